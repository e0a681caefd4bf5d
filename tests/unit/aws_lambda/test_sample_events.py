"""The sample events of AWS are what their README promises: invented, and of the shape that is documented."""

from __future__ import annotations

import base64
import json
import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest

from tests.unit.test_sample_events import DOCUMENTATION_NETWORKS, TESTS

AWS: Final = TESTS / "events" / "aws"

platform_events = pytest.mark.parametrize("path", sorted(AWS.glob("*.json")), ids=lambda path: path.stem)


@platform_events
def test_a_platform_event_carries_the_openssl_vector(path: Path) -> None:
    """Whatever front it stands for, the event holds the same bytes and the signature that OpenSSL made for them."""
    event = json.loads(path.read_bytes())
    headers = {name.lower(): [value] for name, value in event.get("headers", {}).items()}
    multiple = {name.lower(): values for name, values in event.get("multiValueHeaders", {}).items()}
    assert not headers or not multiple or headers == multiple

    vectors = json.loads((TESTS / "vectors" / "signatures.json").read_bytes())
    [vector] = [
        vector
        for vector in vectors
        if vector["made_by"] == "openssl"
        and vector["key"] == "0b5fae1c-7d2e-4c4b-9a68-3f1de2c47a90"
        and vector["body"] == "bodies/accents-utf8.bin"
    ]
    body = event["body"]
    sent = base64.b64decode(body, validate=True) if event["isBase64Encoded"] else body.encode()
    assert sent == (TESTS / "vectors" / vector["body"]).read_bytes()
    assert (headers or multiple)["dastra-signature"] == [vector["signature"]]


def test_every_front_comes_as_text_and_as_base64() -> None:
    """Each shape has two files, and the name tells which of the two it is."""
    encoded = {path.stem: json.loads(path.read_bytes())["isBase64Encoded"] for path in AWS.glob("*.json")}
    fronts = {"function_url", "http_api_v2", "rest_api_v1", "alb", "alb_multi_value"}
    assert encoded == dict.fromkeys(fronts, False) | {f"{front}_base64": True for front in fronts}


@platform_events
def test_a_platform_event_names_nobody_real(path: Path) -> None:
    """Addresses come from the networks reserved for documentation, the account is AWS's own example."""
    text = path.read_text(encoding="utf-8")
    addresses = re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text)
    assert addresses
    for address in addresses:
        assert any(IPv4Address(address) in network for network in DOCUMENTATION_NETWORKS), address
    assert set(re.findall(r"(?<![\w-])\d{12}(?![\w-])", text)) <= {"123456789012"}
