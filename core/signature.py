"""Dastra's signature: base64 of HMAC-SHA256 over the exact body, keyed with the text of the validation key.

Source: Dastra's webhook page, whose PHP and C# samples agree on both encodings. Nothing here raises on what a sender
controls; only a bad key, which the operator controls, is an error.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

HEADER: Final = "dastra-signature"
LEAST_LENGTH: Final = 16
"""Characters of a key, at the least. Dastra's are GUIDs, of 36."""

_DIGEST_LENGTH: Final = 32  # of SHA-256
_TEXT_LENGTH: Final = 44  # base64 of 32 bytes, with its one "="
_LAST_CHARACTERS: Final = frozenset("AEIMQUYcgkosw048")
"""32 bytes leave two unused bits in the last character; a canonical encoder leaves them zero."""
_SEPARATORS: Final = re.compile(r"[\s,;]+")
_FINGERPRINT_PREFIX: Final = b"dastra-webhooks key fingerprint\n"


class SignatureFault(StrEnum):
    """Why a request carries no usable signature, or why the one it carries does not hold."""

    MISSING = "missing_signature"
    CONFLICTING = "conflicting_signatures"
    MALFORMED = "malformed_signature"
    MISMATCH = "wrong_signature"


class SignatureKey:
    """A webhook's validation key. The text is trimmed; its UTF-8 bytes are the HMAC key, also where it is a GUID.

    Raises:
        ValueError: the text is empty or cannot be encoded. The message never holds the text.
    """

    __slots__ = ("_secret", "fingerprint")

    def __init__(self, text: str) -> None:
        try:
            secret = text.strip().encode()
        except UnicodeEncodeError:
            raise ValueError("a signature key must be valid UTF-8 text") from None
        if not secret:
            raise ValueError("a signature key must not be empty")
        self._secret: Final = secret
        self.fingerprint: Final = hashlib.sha256(_FINGERPRINT_PREFIX + secret).hexdigest()[:12]

    def digest(self, body: bytes) -> bytes:
        """HMAC-SHA256 of ``body``, 32 bytes."""
        return hmac.digest(self._secret, body, "sha256")

    def reveal(self) -> str:
        """The key's text, for the one place that writes it to a secret store."""
        return self._secret.decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SignatureKey) and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"SignatureKey({self.fingerprint})"


def parse_keys(text: str) -> tuple[SignatureKey, ...]:
    """Read one or several keys, newest first, as they stand in a setting or a secret.

    Accepts keys separated by white space, commas or semicolons; a JSON list of strings; and a JSON object whose values
    are keys, which is what the consoles of secret stores produce. Repeated keys count once. What is shorter than a key
    can be is none: a word of a comment, or ``"env": "prod"`` beside the key, would be one that anybody may guess.

    Raises:
        ValueError: nothing in the text is a key. The message never holds the text.
    """
    text = text.strip().removeprefix("\ufeff").strip()
    parts: Iterable[object]
    if text[:1] in ("[", "{"):
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("the keys look like JSON but are not valid JSON") from None
        parts = decoded.values() if isinstance(decoded, dict) else decoded
    else:
        parts = _SEPARATORS.split(text)
    texts = (part.strip() for part in parts if isinstance(part, str))
    keys = dict.fromkeys(SignatureKey(text) for text in texts if len(text) >= LEAST_LENGTH)
    if not keys:
        raise ValueError(
            f"no key found: expected one or several validation keys of {LEAST_LENGTH} characters or more, "
            "separated by commas or white space"
        )
    return tuple(keys)


def sign(body: bytes, key: SignatureKey) -> str:
    """The value of ``Dastra-Signature`` that Dastra would send with ``body``: 44 characters of base64."""
    return binascii.b2a_base64(key.digest(body), newline=False).decode("ascii")


def read_signature(values: Sequence[str]) -> bytes | SignatureFault:
    """Decode the header's values to the 32 bytes they claim, or say what is wrong with them.

    A header that occurs twice is one signature as long as both are equal. Platforms join duplicates with a comma,
    which base64 does not contain, so a comma separates. White space around a value is not part of it (RFC 9110, 5.5).
    """
    if not values:
        return SignatureFault.MISSING
    distinct = {part.strip(" \t") for value in values for part in value.split(",")}
    if len(distinct) > 1:
        return SignatureFault.CONFLICTING
    text = distinct.pop()
    if not text:
        return SignatureFault.MISSING
    return _decode(text) or SignatureFault.MALFORMED


def claims_signature(values: Sequence[str]) -> bool:
    """Whether any of the values has the form of a signature: only the sender or somebody who imitates it does that."""
    return any(_decode(part.strip(" \t")) for value in values for part in value.split(","))


def _decode(text: str) -> bytes | None:
    if len(text) != _TEXT_LENGTH or text[-2] not in _LAST_CHARACTERS:
        return None
    try:
        digest = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error, and what a str outside ASCII raises
        return None
    return digest if len(digest) == _DIGEST_LENGTH else None


def matching_key(body: bytes, digest: bytes, keys: Iterable[SignatureKey]) -> SignatureKey | None:
    """The key with which ``digest`` is the HMAC of ``body``, or None. Comparison takes constant time per key."""
    for key in keys:
        if hmac.compare_digest(key.digest(body), digest):
            return key
    return None
