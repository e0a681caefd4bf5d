"""Everything secret or personal that the tests handle, in one place, so that the log check knows what to look for.

Keys and signatures come from here and nowhere else: what is made here is registered. Signatures are made with the
standard library and not with the project's own ``sign``, which they are to test.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import itertools
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

MARKER: Final = "planted-personal-data-7f3a"
"""Stands in every body that the tests make."""

_process: Final = uuid.uuid4().hex[:12]
_count: Final = itertools.count()
_texts: Final[dict[str, str]] = {}
_signatures: Final[set[str]] = set()
_TOKEN: Final = re.compile(r"[0-9a-fA-F]{64}|[A-Za-z0-9+/_-]{43}=?")


def plant(text: str, what: str) -> str:
    """Register ``text`` as something no log may contain; ``what`` names it in the report."""
    _texts[text] = what
    _texts[json.dumps(text)[1:-1]] = what  # as a JSON line writes it
    return text


def _base64_forms(text: str) -> Iterator[str]:
    """What base64 makes of ``text`` wherever it stands in a longer text, less the characters that depend on it."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + text.encode()).decode()
        yield encoded[(0, 2, 3)[before] : (before + len(text.encode())) * 8 // 6]


def key(text: str) -> str:
    """Register a validation key."""
    return plant(text, "a key")


plant(MARKER, "a body")
for _form in _base64_forms(MARKER):
    plant(_form, "a body in base64")

KEY: Final = key("5e0c7f1a-93d4-4b58-8a1e-2f6b7c9d0e31")
NEWER_KEY: Final = key("b1d2a6c4-0f7e-4c39-9d85-7a3e5f1c2b60")
OTHER_KEY: Final = key("c8f3e2d1-6a5b-4978-8b1c-0d9e8f7a6b54")
"""Never configured anywhere."""


def signature(body: bytes, with_key: str | bytes = KEY) -> str:
    """Base64 of HMAC-SHA256, as the sender makes it, and registered in every spelling that a log could have."""
    secret = with_key.encode() if isinstance(with_key, str) else with_key
    digest = hmac.new(secret, body, hashlib.sha256).digest()
    text = base64.b64encode(digest).decode()
    _signatures.update((text, text.rstrip("="), base64.urlsafe_b64encode(digest).decode(), digest.hex()))
    return text


def register_signature(text: str) -> str:
    """Register a signature that another program made."""
    _signatures.update((text, text.rstrip("="), binascii.a2b_base64(text).hex()))
    return text


def body(**fields: Any) -> bytes:
    """An invented event, different each time, compact JSON in UTF-8 with the marker in it."""
    return json.dumps(envelope(**fields), ensure_ascii=False, separators=(",", ":")).encode()


def envelope(**fields: Any) -> dict[str, Any]:
    """What :func:`body` writes, for cases that write it differently."""
    event: dict[str, Any] = {
        "webhookId": 4242,
        "signatureUrl": "https://webhooks.example.org/dastra",
        "userId": 17,
        "date": "2026-03-02T09:16:03.7",
        "eventType": "DataSubjectCreation",
        "eventName": f"Demande créée, {MARKER}",
        "data": {"id": 1, "email": f"{MARKER}@example.org", "givenName": "Élodie", "nonce": nonce()},
    }
    return event | fields


def nonce() -> str:
    """Text that no other body of this or any other run has."""
    return f"{_process}-{next(_count)}"


def found_in(text: str) -> list[str]:
    """What of all that is registered stands in ``text``; descriptions, never the values themselves."""
    kinds = {what for planted, what in _texts.items() if planted in text}
    if any(token in _signatures for token in _TOKEN.findall(text)):
        kinds.add("a signature")
    return sorted(kinds)


def masked(text: str) -> str:
    """``text`` with everything registered blotted out, to be shown in a report."""
    for planted, what in _texts.items():
        text = text.replace(planted, f"<{what}>")
    return _TOKEN.sub(lambda match: "<a signature>" if match[0] in _signatures else match[0], text)


def plant_all(texts: Iterable[str], what: str) -> None:
    """Register several texts."""
    for text in texts:
        plant(text, what)
