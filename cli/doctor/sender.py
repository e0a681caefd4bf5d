"""Makes the doctor's events: samples, each with a nonce and the mark by which a consumer drops them."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from cli.doctor.attacks.base import hmac_of
from cli.samples import MARK, sample
from core.signature import SignatureKey

EVENT_TYPE: Final = "TaskEdit"
_NAME: Final = "Vérification du point d'entrée"
LARGE: Final = 1024 * 1024 + 16 * 1024
"""More than any of the three queues takes: goes through the store."""


@dataclass(frozen=True, slots=True)
class DoctorSender:
    """Signs with the key that a person gave, or with one that nobody knows."""

    key: str
    other_key: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def fingerprint(self) -> str:
        """The key's, as logs and `key list` show it."""
        return SignatureKey(self.key).fingerprint

    def envelope(self, **fields: Any) -> dict[str, Any]:
        """A sample's envelope with labels outside ASCII but in Latin-1, so that a change of the encoding shows."""
        made: dict[str, Any] = json.loads(sample(EVENT_TYPE).body)
        return made | {"eventName": _NAME, "data": {"id": 1, "title": _NAME}} | fields

    def body(self, **fields: Any) -> bytes:
        """The same as compact JSON in UTF-8."""
        return json.dumps(self.envelope(**fields), ensure_ascii=False, separators=(",", ":")).encode()

    def large(self) -> bytes:
        """An event that no queue takes."""
        return self.body(data={"filler": "x" * LARGE})

    def signature(self, body: bytes, key: str | bytes) -> str:
        """The header's value for any key, also for one that no ``SignatureKey`` can be."""
        return base64.b64encode(hmac_of(body, key)).decode()


def nonce_of(body: bytes) -> str | None:
    """The nonce of one of these events; None where it cannot be read."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    nonce = found.get(MARK) if isinstance(found, dict) else None
    return nonce if isinstance(nonce, str) else None
