"""Changes inputs at random, for where no fuzzer is installed: blind, it finds only what is near to the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from reliability.fuzz.corpus import MOST_BYTES

WORDS: Final = (
    b'"webhookId":',
    b'"eventType":"DataSubjectCreation"',
    b'"date":"2026-03-02T09:16:04.1182299"',
    b'"data":{"id":1}',
    b'{"requestContext":{"http":{"method":"POST"}},"headers":{}}',
    b'"isBase64Encoded":true',
    b'"multiValueHeaders":{"dastra-signature":[]}',
    b"planted-fuzz-9b3d@example.org",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\0",
    b"1e999",
    b"[" * 600,
    b"9" * 400,
    b" " * 2100,
)
"""What a body or an event may be made of; the fuzzer gets them as well."""


def mutations(kept: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Changed inputs without end, the same for the same seed."""
    rng = Random(seed)  # noqa: S311 - no secret
    pool = list(kept) or [b"\n"]
    while True:
        data = bytearray(rng.choice(pool))
        for _ in range(rng.randrange(1, 5)):
            _change(data, rng, pool)
        yield bytes(data[:MOST_BYTES])


def _change(data: bytearray, rng: Random, pool: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    match rng.randrange(6):
        case 0 if at < len(data):
            data[at] = rng.randrange(256)
        case 1 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 2:
            del data[at : at + rng.randrange(1, 9)]
        case 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        case 4:
            data[at:at] = rng.choice(WORDS)
        case _:
            other = rng.choice(pool)
            data[at:] = other[rng.randrange(len(other) + 1) :]
