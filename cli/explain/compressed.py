"""Bodies that were compressed, or decompressed, between signing and arrival."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Final

from cli.explain.hypothesis import BodyForms, body_form

MOST_BYTES: Final = 32 * 1024 * 1024
"""What a compressed body may grow to; more than a receiver takes, little enough for any machine."""

_UNPACKED: Final = (
    "Check the signature over the bytes that were signed: decompress before the check (or let the front do it), or let "
    "the sender leave the body uncompressed. Dastra is not known to compress."
)
_PACKED: Final = (
    "Something on the way, or the capture, decompressed the body before it came here. Switch that off for this path."
)


def unpacked(body: bytes) -> BodyForms:
    """What the body is when decompressed, for each codec at hand that understands it."""
    for name, decompress in _CODECS:
        plain = decompress(body)
        if plain is not None and plain != body:
            yield body_form(
                plain,
                f"body_compressed_{name.replace(' ', '_')}",
                f"The body arrived compressed ({name}); it was signed before.",
                _UNPACKED,
            )


def packed(body: bytes) -> BodyForms:
    """The body compressed as common programs do it; what they write differs in level and header only."""
    for name, data in _compressed(body):
        yield body_form(
            data,
            f"body_decompressed_{name}",
            f"It was signed in its compressed form ({name}), and arrived without compression.",
            _PACKED,
        )


def is_packed(body: bytes) -> str | None:
    """The name of the compression that a body's first bytes tell, whether it can be undone here or not."""
    for magic, name in ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x78\x9c", "deflate")):
        if body.startswith(magic):
            return name
    return None


def missing_codec(encoding: str) -> str | None:
    """The package that would undo a `Content-Encoding` which cannot be undone here; None where it can."""
    wanted = {"br": ("brotli", _brotli), "zstd": ("zstandard", _zstd)}.get(encoding.strip().lower())
    return wanted[0] if wanted and wanted[1]() is None else None


def _inflate(body: bytes, wbits: int) -> bytes | None:
    if len(body) < 6:
        return None
    stream = zlib.decompressobj(wbits)
    try:
        plain = stream.decompress(body, MOST_BYTES)
    except zlib.error:
        return None
    return plain if stream.eof and plain else None


def _brotli() -> Callable[[bytes], bytes] | None:
    # Not a dependency: used where it happens to be installed.
    for name in ("brotli", "brotlicffi"):
        try:
            found: Callable[[bytes], bytes] = import_module(name).decompress
        except (ImportError, AttributeError):
            continue
        return found
    return None


def _zstd() -> Callable[[bytes], bytes] | None:
    for name, attribute in (("compression.zstd", "decompress"), ("zstandard", "decompress")):
        try:
            found: Callable[[bytes], bytes] = getattr(import_module(name), attribute)
        except (ImportError, AttributeError):
            continue
        return found
    return None


def _foreign(load: Callable[[], Callable[[bytes], bytes] | None]) -> Callable[[bytes], bytes | None]:
    def decompress(body: bytes) -> bytes | None:
        call = load()
        # No bound on what comes out, so a bound on what goes in.
        if call is None or len(body) > 1024 * 1024:
            return None
        try:
            plain = call(body)
        except Exception:  # noqa: BLE001 - each package has errors of its own, and all mean the same here
            return None
        return plain if len(plain) <= MOST_BYTES else None

    return decompress


_CODECS: Final[tuple[tuple[str, Callable[[bytes], bytes | None]], ...]] = (
    ("gzip", lambda body: _inflate(body, 16 + zlib.MAX_WBITS)),
    ("deflate", lambda body: _inflate(body, zlib.MAX_WBITS)),
    ("raw deflate", lambda body: _inflate(body, -zlib.MAX_WBITS)),
    ("br", _foreign(_brotli)),
    ("zstd", _foreign(_zstd)),
)


def _compressed(body: bytes) -> Iterator[tuple[str, bytes]]:
    for level in (6, 9, 1):
        whole = gzip.compress(body, level, mtime=0)
        # The header's tenth byte names the system: 255 Python, 3 Unix (gzip, zlib, Go, Node), 10 and 0 .NET and Java.
        for system in (whole[9], 3, 255, 10, 0, 19):
            for extra in dict.fromkeys((whole[8], 0, 2, 4)):
                yield "gzip", whole[:8] + bytes((extra, system)) + whole[10:]
        yield "deflate", zlib.compress(body, level)
