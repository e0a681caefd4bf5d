"""What is sent: genuine events and attacks in a mixed order, the same for the same seed. All of it is invented."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from core.message import event_id
from core.signature import SignatureKey, sign

KEY: Final = SignatureKey("3f0b8c52-71de-4c8a-9a40-6d1e2b5c7f98")
_OTHER_KEY: Final = SignatureKey("0c9d7e61-52ab-4f13-8e76-b4a3d2c1f005")
MARKER: Final = "planted-load-41c7@example.org"
"""Stands in every body as somebody's address; no log line may hold it."""
LISTED: Final = "127.0.0.1"
UNLISTED: Final = "127.0.0.2"
"""Where requests come from: both are this machine."""
_HEADER: Final = "Dastra-Signature"
RARE: Final = 500
"""One request in so many is out of the ordinary in some respect."""
_LARGE: Final = 1_200_000
"""Bytes: more than SQS and Service Bus take, so it becomes a claim check there."""
_TOO_LARGE: Final = 5_000_000
_CHUNKED: Final = 0.3
_TYPES: Final = ("DataSubjectCreation", "ProcessingModification", "TaskAssigned", "DataBreachCreation")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, and the answers that are right for it while nothing fails."""

    kind: str
    genuine: bool
    body: bytes
    headers: Headers
    right: frozenset[int]
    source: str
    method: str = "POST"
    chunked: bool = False

    @property
    def id(self) -> str:
        """What its message would be called."""
        return event_id(self.body)


@dataclass(frozen=True, slots=True)
class Plan:
    """So many genuine events and attacks. The same seed makes the same requests in the same order.

    ``large``: one event and one attack in so many has megabytes; 0 for none.
    """

    seed: int
    events: int
    attacks: int
    large: int = RARE

    def __len__(self) -> int:
        return self.events + self.attacks

    def samples(self) -> Iterator[Sample]:
        """The requests in the order in which they begin."""
        order = Random(self.seed)  # noqa: S311 - no secret
        events = self.events
        for number in range(len(self)):
            # As drawing from an urn: every order is as likely as any other, and none is made in advance.
            genuine = order.randrange(len(self) - number) < events
            events -= genuine
            rng = Random(f"{self.seed}/{number}")  # noqa: S311 - no secret
            name = f"{self.seed}-{number}"
            large = bool(self.large) and rng.randrange(self.large) == 0
            yield _genuine(rng, name, large=large) if genuine else _attack(rng, name, large=large)


def _event(rng: Random, name: str) -> dict[str, Any]:
    return {
        "webhookId": rng.randrange(1, 9),
        "signatureUrl": "https://receiver.example/dastra",
        "userId": rng.randrange(1, 99),
        "eventType": rng.choice(_TYPES),
        "eventName": "Événement inventé",
        "date": "2026-03-02T09:16:04.1182299",
        "data": {
            "id": name,
            "email": MARKER,
            "notes": ["é" * rng.randrange(1, 40) for _ in range(rng.randrange(1, 40))],
        },
    }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _genuine(rng: Random, name: str, *, large: bool) -> Sample:
    event = _event(rng, name)
    kind, source = "event", LISTED
    if large:
        kind, event["data"]["file"] = "large event", "x" * _LARGE
    body = _json(event)
    if rng.randrange(50) == 0:  # authentic, yet no envelope: held for a person
        kind, body = "not an object", _json([MARKER, name])
    elif rng.randrange(50) == 0:  # held as well
        kind, source = "from an unlisted address", UNLISTED
    headers = _signed_with(sign(body, KEY))
    return Sample(kind, True, body, headers, frozenset({200}), source, chunked=rng.random() < _CHUNKED)


def _attack(rng: Random, name: str, *, large: bool) -> Sample:
    kind = "too large" if large else rng.choice(tuple(_ATTACKS))
    # A wrong signature from a listed address may wait a second for the keys to be read again; such are few.
    source = LISTED if rng.randrange(RARE) == 0 else UNLISTED
    body, method, status = _json(_event(rng, name)), "POST", 401
    if kind == "too large":
        body, status = b"%s %s" % (name.encode(), b"x" * _TOO_LARGE), 413
    elif kind == "deeply nested":
        body = b"[" * 20_000 + name.encode()
    elif kind == "other method":
        method, status = "PUT", 405
    headers = _ATTACKS.get(kind, _ATTACKS["another key"])(body, rng)
    return Sample(kind, False, body, headers, frozenset({status}), source, method, chunked=rng.random() < _CHUNKED)


def _signed_with(text: str) -> Headers:
    return ((_HEADER, text),)


_ATTACKS: Final[dict[str, Callable[[bytes, Random], Headers]]] = {
    "another key": lambda body, _: _signed_with(sign(body, _OTHER_KEY)),
    "another body's signature": lambda body, _: _signed_with(sign(body + b" ", KEY)),
    "no signature": lambda _body, _: (),
    "an empty signature": lambda _body, _: _signed_with(""),
    "noise": lambda _body, rng: _signed_with(base64.b64encode(rng.randbytes(32)).decode()),
    "not base64": lambda _body, _: _signed_with("é" * 44),
    "hex": lambda body, _: _signed_with(KEY.digest(body).hex()),
    "cut short": lambda body, _: _signed_with(sign(body, KEY)[:-2]),
    "two signatures": lambda body, _: (*_signed_with(sign(body, KEY)), *_signed_with(sign(body, _OTHER_KEY))),
    "deeply nested": lambda _body, _: (),
    "other method": lambda body, _: _signed_with(sign(body, KEY)),
}
