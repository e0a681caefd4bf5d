"""What a signer may have computed in place of the HMAC-SHA256 of the body."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from cli.explain.hypothesis import Hypothesis, Part

_REMEDY: Final = "Compute HMAC-SHA256 of the body with the key's text; every language has it ready."


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A function of key and body. ``size`` is its digest's length in bytes; ``keyed`` whether the key matters."""

    compute: Callable[[bytes, bytes], bytes]
    size: int
    because: tuple[Hypothesis, ...] = ()
    keyed: bool = True


def _about(code: str, found: str, remedy: str = _REMEDY) -> tuple[Hypothesis, ...]:
    return (Hypothesis(Part.ALGORITHM, code, found, remedy),)


def _hmac(name: str, key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, name)


def _hash(name: str, _: bytes, body: bytes) -> bytes:
    return hashlib.new(name, body, usedforsecurity=False).digest()


def _of_both(key: bytes, body: bytes) -> bytes:
    return hashlib.sha256(key + body).digest()


def _of_both_reversed(key: bytes, body: bytes) -> bytes:
    return hashlib.sha256(body + key).digest()


def _swapped(key: bytes, body: bytes) -> bytes:
    return hmac.digest(body, key, "sha256")


def _of_hash(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, hashlib.sha256(body).digest(), "sha256")


def _of_hex_hash(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, hashlib.sha256(body).hexdigest().encode(), "sha256")


RIGHT: Final = Algorithm(partial(_hmac, "sha256"), 32)
"""What Dastra computes and the receiver checks."""
_NAMES: Final = {"md5": 16, "sha1": 20, "sha224": 28, "sha384": 48, "sha512": 64, "sha3_256": 32, "sha512_256": 32}
_PLAIN: Final = _about("plain_hash", "It is a plain hash of the body, made without any key, which anybody can make.")
OTHERS: Final[tuple[Algorithm, ...]] = (
    *(
        Algorithm(
            partial(_hmac, name), size, _about(f"hmac_{name}", f"It was made with {name.upper()}, not with SHA-256.")
        )
        for name, size in _NAMES.items()
        if name in hashlib.algorithms_available
    ),
    *(
        Algorithm(partial(_hash, name), size, _PLAIN, keyed=False)
        for name, size in {"sha256": 32, "sha1": 20, "sha512": 64, "md5": 16}.items()
    ),
    Algorithm(
        _of_both, 32, _about("hash_of_key_and_body", "It is a hash of key and body put together, which is no HMAC.")
    ),
    Algorithm(
        _of_both_reversed,
        32,
        _about("hash_of_body_and_key", "It is a hash of body and key put together, which is no HMAC."),
    ),
    Algorithm(_swapped, 32, _about("key_and_body_swapped", "Key and body were given to the HMAC the wrong way round.")),
    Algorithm(_of_hash, 32, _about("hmac_of_hash", "The HMAC was made of the body's hash, not of the body.")),
    Algorithm(_of_hex_hash, 32, _about("hmac_of_hash", "The HMAC was made of the body's hash, not of the body.")),
)
