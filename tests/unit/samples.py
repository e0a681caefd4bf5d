"""Invented events, keys and requests for the unit tests. Addresses are documentation addresses (RFC 5737, RFC 3849)."""

from __future__ import annotations

import json
from typing import Final

from core.envelope import Envelope
from core.http import Headers, Request
from core.message import QueueMessage
from core.signature import SignatureKey
from core.source_ip import AllowList
from tests import planted

KEY_TEXT: Final = planted.KEY
OTHER_KEY_TEXT: Final = planted.NEWER_KEY
KEY: Final = SignatureKey(KEY_TEXT)
OTHER_KEY: Final = SignatureKey(OTHER_KEY_TEXT)

LISTED: Final = "192.0.2.10"
UNLISTED: Final = "198.51.100.7"
LIST: Final = AllowList.of([LISTED])


def event(**fields: object) -> bytes:
    """The bytes of an invented event; a field replaces the sample's, and ``...`` takes it out."""
    sample: dict[str, object] = {
        "webhookId": 4242,
        "eventType": "TaskCreation",
        "eventName": "Tâche créée",
        "date": "2026-03-02T12:00:00Z",
        "data": {"id": 7, "label": planted.MARKER},
    }
    given = {name: value for name, value in {**sample, **fields}.items() if value is not ...}
    return json.dumps(given, ensure_ascii=False).encode()


def signature(body: bytes, key: str = KEY_TEXT) -> str:
    """What Dastra would send, worked out without the project's own code."""
    return planted.signature(body, key)


def message(body: bytes | None = None, *, unlisted: bool = False) -> QueueMessage:
    """The message of a genuine event."""
    body = event() if body is None else body
    return QueueMessage.of_event(body, Envelope.parse(body), signature(body), unlisted=unlisted)


def request(
    body: bytes | None = None,
    *,
    source: str | None = LISTED,
    signed_by: str | None = KEY_TEXT,
    headers: tuple[tuple[str, str], ...] = (),
    received_at: float | None = None,
    method: str = "POST",
    length: int | None = None,
) -> Request:
    """A request as an entry point hands it over, signed with ``signed_by`` unless that is None."""
    body = event() if body is None else body
    signed = (("Dastra-Signature", signature(body, signed_by)),) if signed_by is not None else ()
    return Request(method, Headers((*signed, *headers)), body, source, received_at, length)
