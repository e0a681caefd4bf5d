"""Attacks by the body: changed after it was signed, or made to break whoever parses before checking."""

from __future__ import annotations

import base64
import gzip
import json
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from cli.doctor.attacks.base import JSON, NAME, Attack, Fault, Group, Sender, Sent, forged, unsigned, with_body

_BOM: Final = b"\xef\xbb\xbf"


def body_attacks() -> Iterator[Attack]:
    """All of them."""
    of = partial(Attack, group=Group.BODY)
    for name, (stands_for, change) in _CHANGES.items():
        yield of(f"body-{name}", stands_for=stands_for, make=with_body(change))
    yield of("body-replaced", stands_for="a captured signature on another body", make=_replaced)
    yield of(
        "body-changed-far-behind",
        stands_for="only the beginning is hashed",
        make=with_body(lambda body: flip(body, len(body) - 10), lambda s: s.body(data="far behind " * 20_000)),
    )
    other = partial(of, stands_for=Fault.OTHER_BYTES)
    yield other("body-decompressed", make=with_body(gzip.decompress, lambda s: gzip.compress(s.body())))
    yield other("body-line-ends", make=with_body(lambda body: body.replace(b"\r\n", b"\n"), pretty))
    yield other("body-bom-cut", make=with_body(lambda body: body[3:], lambda s: _BOM + s.body()))
    yield other("body-newline-cut", make=with_body(bytes.rstrip, lambda s: s.body() + b"\n"))
    for name, constant in {"nothing": b"", "braces": b"{}"}.items():
        yield of(f"signature-of-{name}", stands_for="a constant signature", make=partial(_signature_of, constant))
    for name, make in BREAKERS.items():
        parser = partial(Attack, group=Group.PARSER, stands_for=Fault.PARSES_FIRST)
        yield parser(f"unsigned-{name}", make=partial(_unsigned, make))
        yield parser(f"forged-{name}", make=partial(_forged, make))


def flip(body: bytes, at: int) -> bytes:
    """The body with one bit changed."""
    changed = bytearray(body)
    changed[at] ^= 1
    return bytes(changed)


def pretty(sender: Sender) -> bytes:
    """An event with indents and Windows' line ends."""
    return json.dumps(sender.envelope(), indent=2, ensure_ascii=False).replace("\n", "\r\n").encode()


def deep(sender: Sender, depth: int) -> bytes:
    """An object that is nested ``depth`` times below a member."""
    head = sender.body(eventType="TaskEdit")[:-1] + b',"deep":'
    return head + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


def _sorted(body: bytes) -> bytes:
    return json.dumps(json.loads(body), separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _raw(sender: Sender, inside: bytes) -> bytes:
    """An object with these bytes in a string, whatever they are."""
    return sender.body(eventType="TaskEdit")[:-1] + b',"raw":"%s"}' % inside


def _replaced(sender: Sender) -> Sent:
    return Sent(sender.body(), (JSON, (NAME, sender.signature(sender.body(), sender.key))))


def _signature_of(constant: bytes, sender: Sender) -> Sent:
    return Sent(sender.body(), ((NAME, sender.signature(constant, sender.key)),))


def _unsigned(make: Callable[[Sender], bytes], sender: Sender) -> Sent:
    return unsigned(sender, make(sender))


def _forged(make: Callable[[Sender], bytes], sender: Sender) -> Sent:
    return forged(sender, sender.other_key, make(sender))


_CHANGES: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "re-encoded": (Fault.OTHER_BYTES, lambda b: json.dumps(json.loads(b)).encode()),
    "re-encoded-compact": (Fault.OTHER_BYTES, lambda b: json.dumps(json.loads(b), separators=(",", ":")).encode()),
    "re-encoded-sorted": (Fault.OTHER_BYTES, _sorted),
    "latin-1": (Fault.OTHER_BYTES, lambda b: b.decode().encode("latin-1")),
    "utf-16": (Fault.OTHER_BYTES, lambda b: b.decode().encode("utf-16")),
    "decomposed": (Fault.OTHER_BYTES, lambda b: unicodedata.normalize("NFD", b.decode()).encode()),
    "base64-twice": (Fault.OTHER_BYTES, base64.b64encode),
    "compressed": (Fault.OTHER_BYTES, lambda b: gzip.compress(b, mtime=0)),
    "newline-added": (Fault.OTHER_BYTES, lambda b: b + b"\n"),
    "crlf-added": (Fault.OTHER_BYTES, lambda b: b + b"\r\n"),
    "space-added": (Fault.OTHER_BYTES, lambda b: b" " + b),
    "bom-added": (Fault.OTHER_BYTES, lambda b: _BOM + b),
    "nul-added": ("a C string", lambda b: b + b"\0"),
    "last-byte-cut": ("a body cut on its way", lambda b: b[:-1]),
    "emptied": ("an empty body passes", lambda _: b""),
    "braces-only": ("a captured signature on another body", lambda _: b"{}"),
    "first-bit": ("one byte changed", lambda b: flip(b, 0)),
    "middle-bit": ("one byte changed", lambda b: flip(b, len(b) // 2)),
    "last-bit": ("one byte changed", lambda b: flip(b, -1)),
    "member-added": ("a body that was extended", lambda b: b[:-1] + b',"admin":true}'),
    "doubled": ("a body that was extended", lambda b: b + b),
}
BREAKERS: Final[dict[str, Callable[[Sender], bytes]]] = {
    "deep": lambda s: deep(s, 100_000),
    "deep-array": lambda _: b"[" * 200_000,
    "invalid-utf-8": lambda s: _raw(s, b"\xff\xfe"),
    "surrogate-raw": lambda s: _raw(s, b"\xed\xa0\x80"),
    "endless-integer": lambda s: _raw(s, b'","number":%s,"end":"' % (b"9" * 5000)),
    "nuls-only": lambda _: b"\0" * 9,
    "utf-16": lambda s: s.body().decode().encode("utf-16"),
    "empty": lambda _: b"",
}
