"""Attacks by another key, or by another function of key and body."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from cli.doctor.attacks.base import JSON, NAME, Attack, Fault, Group, Sender, Sent, encoded, forged, hmac_of
from core.signature import SignatureKey

KEY_HALF: Final = "key-half"
"""Says something about the key to whoever can read requests, so it is for invented keys only."""


def key_attacks() -> Iterator[Attack]:
    """All of them."""
    of = partial(Attack, group=Group.KEY, stands_for="another key than the configured text")
    for name, key in _KEYS.items():
        yield of(f"key-{name}", make=partial(_signed_with, key))
    for word in ("None", "null", "undefined", "sha256=", "DASTRA_SIGNATURE_KEYS", "[]", "{}", "change-me", "\0"):
        yield of(f"key-word-{word!a}", make=partial(forged, key=word), stands_for=Fault.FAILS_OPEN)
    for name, make in _ALGORITHMS.items():
        yield Attack(f"algorithm-{name}", Group.ALGORITHM, "another algorithm", partial(_hashed, make))


def _signed_with(key: Callable[[Sender], str | bytes], sender: Sender) -> Sent:
    return forged(sender, key(sender))


def _hashed(make: Callable[[bytes, str], bytes], sender: Sender) -> Sent:
    body = sender.body()
    return Sent(body, (JSON, (NAME, encoded(make(body, sender.key)))))


def _guid(key: str) -> uuid.UUID:
    """The key as a GUID; of a key that is none, one that goes with it."""
    try:
        return uuid.UUID(key)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, key)


_KEYS: Final[dict[str, Callable[[Sender], str | bytes]]] = {
    "other": lambda s: s.other_key,
    "empty": lambda _: b"",
    "guid-bytes": lambda s: _guid(s.key).bytes,
    "guid-bytes-little-endian": lambda s: _guid(s.key).bytes_le,
    "upper-case": lambda s: s.key.swapcase() if s.key == s.key.upper() else s.key.upper(),
    "no-hyphens": lambda s: _guid(s.key).hex,
    "braces": lambda s: f"{{{s.key}}}",
    "trailing-newline": lambda s: f"{s.key}\n",
    "leading-space": lambda s: f" {s.key}",
    "quoted": lambda s: f'"{s.key}"',
    "utf-16": lambda s: s.key.encode("utf-16-le"),
    "base64": lambda s: encoded(s.key.encode()),
    "hashed": lambda s: hashlib.sha256(s.key.encode()).digest(),
    KEY_HALF.removeprefix("key-"): lambda s: s.key[: len(s.key) // 2],
    "reversed": lambda s: s.key[::-1],
    "fingerprint-from-the-log": lambda s: SignatureKey(s.key).fingerprint,
}
_ALGORITHMS: Final[dict[str, Callable[[bytes, str], bytes]]] = {
    "md5": lambda body, key: hmac_of(body, key, "md5"),
    "sha1": lambda body, key: hmac_of(body, key, "sha1"),
    "sha384": lambda body, key: hmac_of(body, key, "sha384"),
    "sha512": lambda body, key: hmac_of(body, key, "sha512"),
    "sha3": lambda body, key: hmac_of(body, key, "sha3_256"),
    "sha512-cut": lambda body, key: hmac_of(body, key, "sha512")[:32],
    "plain-hash": lambda body, _: hashlib.sha256(body).digest(),
    "key-then-body": lambda body, key: hashlib.sha256(key.encode() + body).digest(),
    "body-then-key": lambda body, key: hashlib.sha256(body + key.encode()).digest(),
    "hmac-of-the-hash": lambda body, key: hmac_of(hashlib.sha256(body).digest(), key),
    "hmac-of-the-id": lambda body, key: hmac_of(hashlib.sha256(body).hexdigest().encode(), key),
    "hmac-twice": lambda body, key: hmac_of(hmac_of(body, key), key),
    "hmac-of-the-url": lambda body, key: hmac_of(b"https://webhooks.example.org/dastra" + body, key),
    "key-and-body-swapped": lambda body, key: hmac.new(body, key.encode(), "sha256").digest(),
}
