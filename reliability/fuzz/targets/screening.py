"""Screening alone, against a second opinion on what is authentic that shares no code with it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

from core.http import Headers, Request
from core.message import ATTRIBUTE_NAMES
from core.screening import Policy, Quarantined, Refused, SourceIpMode, screen
from core.signature import SignatureKey, sign
from core.source_ip import AllowList, from_forwarded, normalise
from reliability.fuzz.inputs import Choices, split
from reliability.fuzz.oracle import require
from reliability.fuzz.targets import Target
from reliability.fuzz.world import KEY, LISTED, OTHER_KEY

_NOW: Final = 1_772_442_964.0
_KEYS: Final[tuple[tuple[SignatureKey, ...], ...]] = ((KEY,), (KEY,), (OTHER_KEY, KEY), (OTHER_KEY,), ())
_LIST: Final = AllowList.parse(f"{LISTED}, 2001:db8::/32")
_MOST: Final = 2048
_CANONICAL: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,1023}")


def make() -> Target:
    """The function; nothing needs to be set up."""
    return _target


def _target(data: bytes) -> None:
    choices, body = split(data)
    keys = choices.of(_KEYS)
    policy = Policy(choices.of(tuple(SourceIpMode)), _LIST, _MOST, choices.of((0, 60, 1e12)))
    method = choices.of(("POST", "POST", "POST", "POST", "GET", "post", "\ud800", ""))
    values = [_value(choices, body) for _ in range(choices.of((1, 1, 1, 0, 2, 3)))]
    source = _source(choices)
    pairs = [(choices.of(("Dastra-Signature", "dastra-signature")), value) for value in values]
    headers = Headers([*pairs, ("traceparent", choices.text())])
    length = choices.of((None, None, None, 0, _MOST, _MOST + 1))
    outcome = screen(Request(method, headers, body, source, length=length), keys, policy, _NOW)

    too_large = len(body) > _MOST or (length or 0) > _MOST
    claimed = _claimed(values)
    authentic = method == "POST" and not too_large and claimed is not None and _holds(body, claimed, keys)
    require(isinstance(outcome, Refused) is not authentic, "kept exactly when the HMAC says so")
    if isinstance(outcome, Refused):
        no_key = method == "POST" and not too_large and claimed is not None and not keys
        require(outcome.status in {401, 403, 405, 413} or no_key, "no 5xx but while no key is known")
        require(outcome.status == (503 if no_key else outcome.status), "503 while no key is known")
        require((outcome.status == 405) is (method != "POST"), "405 exactly for another method")
        return
    message = outcome.message
    require(message.body == body, "the bytes that were signed")
    require(message.id == hashlib.sha256(body).hexdigest(), "the id is their hash")
    require(message.attributes["signature"] == claimed, "the signature as it was checked")
    require(message.attributes.keys() <= {*ATTRIBUTE_NAMES}, "known attributes only")
    require(all(_PRINTABLE.fullmatch(value) for value in message.attributes.values()), "printable on all three queues")
    listed = policy.source_ip_mode is SourceIpMode.OFF or (source is not None and source in _LIST)
    require(outcome.listed is listed, "listed exactly when the address is, or nobody asks")
    must_wait = not listed and policy.source_ip_mode is not SourceIpMode.OBSERVE
    require(isinstance(outcome, Quarantined) or not must_wait, "an unlisted event waits for a person")
    refused = isinstance(outcome, Quarantined) and outcome.refused
    require(refused is (not listed and policy.source_ip_mode is SourceIpMode.REJECT), "403 exactly in mode reject")


def _value(choices: Choices, body: bytes) -> str:
    right = sign(body, KEY)
    match choices.number(8):
        case 0 | 1:
            return right
        case 2:
            return sign(body, OTHER_KEY)
        case 3:
            return f" {right}\t"
        case 4:
            return f"{right},{choices.of((right, '', 'x'))}"
        case 5:
            return right.swapcase()
        case 6:
            at = choices.number(len(right))
            return right[:at] + chr(choices.number(256)) + right[at + 1 :]
        case _:
            return choices.text()


def _source(choices: Choices) -> str | None:
    """An address as the entry points find one, from text that a sender may have a hand in."""
    text = choices.of((LISTED, "::ffff:192.0.2.44", "[2001:db8::7]:80", "", "fe80::1%eth0", "192.0.2.44, ", "*"))
    found = normalise(choices.text() if text == "*" else text)
    chain = from_forwarded([text, choices.text()], choices.number(4))
    for address in (found, chain):
        require(address is None or normalise(address) == address, "a normalised address stays as it is")
    return found


def _claimed(values: list[str]) -> str | None:
    """The one signature that the header claims, if it has the only form that is allowed."""
    parts = {part.strip(" \t") for value in values for part in value.split(",")}
    if len(parts) != 1:
        return None
    (text,) = parts
    return text if _CANONICAL.fullmatch(text) else None


def _holds(body: bytes, claimed: str, keys: tuple[SignatureKey, ...]) -> bool:
    digests = [hmac.new(key.reveal().encode(), body, hashlib.sha256).digest() for key in keys]
    return base64.b64decode(claimed) in digests
