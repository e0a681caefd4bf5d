"""Signatures made by OpenSSL, PHP, Node and C# over stored bytes. tests/vectors/README.md says how."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from core.signature import SignatureKey, matching_key, read_signature, sign

VECTORS: Final = Path(__file__).parents[1] / "vectors"
PROGRAMS: Final = ["csharp", "node", "openssl", "php"]


class Vector(NamedTuple):
    body: str
    key: str
    signature: str
    made_by: str


def _load() -> list[Vector]:
    entries = json.loads((VECTORS / "signatures.json").read_text(encoding="utf-8"))
    return [Vector(**entry) for entry in entries]


ALL: Final = _load()
BODIES: Final = {path.name: path.read_bytes() for path in (VECTORS / "bodies").glob("*.bin")}
KEYS: Final = sorted({vector.key for vector in ALL})


def _body(vector: Vector) -> bytes:
    return (VECTORS / vector.body).read_bytes()


def _name(vector: Vector) -> str:
    return f"{Path(vector.body).stem}-key{KEYS.index(vector.key)}-{vector.made_by}"


@pytest.mark.parametrize("vector", ALL, ids=_name)
def test_our_signature_is_theirs(vector: Vector) -> None:
    """For every body and key, `sign` gives the very text that the other program gave."""
    assert sign(_body(vector), SignatureKey(vector.key)) == vector.signature


@pytest.mark.parametrize("vector", [v for v in ALL if v.made_by == "openssl"], ids=_name)
def test_their_signature_finds_its_own_key(vector: Vector) -> None:
    """The check reads their signature and, given all keys, names the one that made it, however alike they look."""
    digest = read_signature([vector.signature])
    assert isinstance(digest, bytes)
    keys = [SignatureKey(key) for key in KEYS]
    assert matching_key(_body(vector), digest, keys) == SignatureKey(vector.key)


def test_four_programs_signed_every_body_with_every_key_and_agree() -> None:
    """No body, key or program is left out of the list, and no two programs ever differ."""
    by_pair = {
        pair: list(vectors)
        for pair, vectors in groupby(sorted(ALL), key=lambda vector: (Path(vector.body).name, vector.key))
    }
    assert by_pair.keys() == {(body, key) for body in BODIES for key in KEYS}
    for pair, vectors in by_pair.items():
        assert sorted(vector.made_by for vector in vectors) == PROGRAMS, pair
        assert len({vector.signature for vector in vectors}) == 1, pair


def test_the_bodies_still_hold_what_editors_and_git_like_to_repair() -> None:
    """The bytes that a well-meant tool would normalise are still there, so the vectors test what their names say."""
    assert BODIES["bom.bin"].startswith(b"\xef\xbb\xbf{")
    assert BODIES["bom.bin"][3:] == BODIES["accents-utf8.bin"]
    assert BODIES["pretty-crlf.bin"].count(b"\r\n") == BODIES["pretty-crlf.bin"].count(b"\n") > 5
    assert BODIES["trailing-newline.bin"] == BODIES["plain.bin"] + b"\n"
    assert BODIES["empty.bin"] == b""
    assert BODIES["gzip.bin"].startswith(b"\x1f\x8b")
    assert b"\\u0000" in BODIES["nul-escape.bin"]
    assert b"\\uD83D" in BODIES["lone-surrogate.bin"]
    assert BODIES["array.bin"].startswith(b"[")
    assert BODIES["accents-escaped.bin"].isascii()
    assert not BODIES["accents-utf8.bin"].isascii()
    assert len(BODIES["realistic-2k.bin"]) > 2000
    assert len(BODIES["nested-html-64k.bin"]) > 64 * 1024
    with pytest.raises(UnicodeDecodeError):
        BODIES["invalid-utf8.bin"].decode()
