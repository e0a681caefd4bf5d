"""Events as the sender might send them, and bodies that other programs signed, all the way to the queue."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests import planted
from tests.contract.answers import ACCEPTED, QUARANTINED
from tests.contract.bypass import NAME, signed
from tests.drivers import Cloud, Driver, HttpRequest

pytestmark = pytest.mark.emulator

TESTS: Final = Path(__file__).parents[1]
SAMPLES: Final = {path.stem: path.read_bytes() for path in sorted((TESTS / "events" / "dastra").glob("*.json"))}
VECTORS: Final[list[dict[str, str]]] = [
    vector
    for vector in json.loads((TESTS / "vectors" / "signatures.json").read_text())
    if vector["made_by"] == "openssl"
]
NOT_OBJECTS: Final = {"array", "empty", "gzip", "invalid-utf8"}
"""Bodies of the vectors that are no JSON object in UTF-8."""

for _body in SAMPLES.values():
    planted.plant_all(re.findall(r"[a-z.]+@example\.(?:org|com)", _body.decode()), "an address of a sample")
for _vector in VECTORS:
    planted.key(_vector["key"])
    planted.register_signature(_vector["signature"])


@pytest.mark.parametrize("name", SAMPLES)
def test_each_family_of_events_reaches_the_queue(cloud: Cloud, driver: Driver, name: str) -> None:
    """Through every front: accepted, the exact bytes on the queue, and the attributes that the envelope gives."""
    body = SAMPLES[name]
    envelope: Mapping[str, Any] = json.loads(body)
    driver.build(keys=[planted.KEY])
    for front in cloud.fronts:
        assert driver.post(signed(body), front) == ACCEPTED, front.name
        (message,) = driver.messages()
        assert message.body == body, front.name
        assert not message.claimed
        expected = {
            "specversion": "1.0",
            "id": hashlib.sha256(body).hexdigest(),
            "source": f"urn:dastra:webhook:{envelope['webhookId']}",
            "type": f"eu.dastra.{envelope['eventType']}",
            "signature": planted.signature(body),
        }
        assert expected.items() <= message.attributes.items(), front.name
        # The day and the minute; the fractions differ in length, and no sample has a zone other than UTC.
        assert message.attributes["time"].startswith(envelope["date"][:16])
        assert message.attributes["time"].endswith("Z")
        assert message.attributes.keys() == expected.keys() | {"time"}
        driver.reset()


def _title(vector: Mapping[str, str]) -> str:
    keys = sorted({other["key"] for other in VECTORS})
    return f"{Path(vector['body']).stem}-key{keys.index(vector['key'])}"


@pytest.mark.parametrize("vector", VECTORS, ids=_title)
def test_what_openssl_signed_is_genuine(cloud: Cloud, driver: Driver, vector: Mapping[str, str]) -> None:
    """Through every front: the signature of another program opens the door, and the bytes arrive as they were."""
    body = (TESTS / "vectors" / vector["body"]).read_bytes()
    readable = Path(vector["body"]).stem not in NOT_OBJECTS
    driver.put_keys(vector["key"])
    driver.build()
    for front in cloud.fronts:
        answer = driver.post(HttpRequest(body, ((NAME, vector["signature"]),)), front)
        assert answer == (ACCEPTED if readable else QUARANTINED), front.name
        found = [message.body for message in driver.messages()] or [held.body for held in driver.stored("quarantine/")]
        assert found == [body], front.name
        assert bool(driver.messages()) is readable
        driver.reset()
