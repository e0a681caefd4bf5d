"""Attacks on the signature's header: absent, doubled, elsewhere, in another form, or right in part only."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from cli.doctor.attacks.base import (
    JSON,
    NAME,
    Attack,
    Change,
    Fault,
    Group,
    Sender,
    Sent,
    as_is,
    digest,
    encoded,
    text,
    unsigned,
    with_header,
    with_headers,
    wrong,
)

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ELSEWHERE: Final = (
    "Dastra_Signature",
    "DastraSignature",
    "X-Dastra-Signature",
    "Dastra-Signature-1",
    "Signature",
    "X-Hub-Signature-256",
    "Authorization",
    "HTTP_DASTRA_SIGNATURE",
)


def header_attacks() -> Iterator[Attack]:
    """All of them."""
    yield from _absent()
    yield from _doubled()
    yield from _encodings()
    yield from _partial()


def _absent() -> Iterator[Attack]:
    of = partial(Attack, group=Group.HEADER, stands_for=Fault.FAILS_OPEN)
    yield of("missing", make=unsigned)
    yield of("empty", make=with_header(text("")))
    yield of("blank", make=with_header(text(" \t ")))
    yield of("comma-only", make=with_header(text(",")))
    yield of("wrong", make=with_header(wrong), stands_for=Fault.WRONG_ANSWER)
    for name in _ELSEWHERE:
        yield of(f"in-{name}", make=with_headers(as_is, names=(name,)))
    yield of("in-the-query", make=_in_the_query)
    yield of("in-a-cookie", make=_in_a_cookie)
    for word in ("*", "0", "true", "null", "None", "undefined", "[]", "{}", "' OR '1'='1"):
        yield of(f"word-{word}", make=with_header(text(word)))
    slow = partial(of, stands_for="a slow parser")
    yield slow("very-long", make=with_header(text("A" * 100_000)))
    yield slow("very-many-commas", make=with_header(text("," * 10_000)))


def _doubled() -> Iterator[Attack]:
    of = partial(Attack, group=Group.HEADER, stands_for="a second signature hides the first")
    both = (NAME, NAME.lower())
    yield of("right-then-wrong", make=with_headers(as_is, wrong))
    yield of("wrong-then-right", make=with_headers(wrong, as_is), last_wins=True)
    yield of("right-then-empty", make=with_headers(as_is, text("")))
    yield of("empty-then-right", make=with_headers(text(""), as_is), last_wins=True)
    yield of("right-then-malformed", make=with_headers(as_is, text("x")))
    yield of("malformed-then-right", make=with_headers(text("x"), as_is), last_wins=True)
    case = partial(of, stands_for=Fault.EXACT_CASE)
    yield case("two-spellings-right-and-wrong", make=with_headers(as_is, wrong, names=both))
    yield case("two-spellings-wrong-and-right", make=with_headers(wrong, as_is, names=both), last_wins=True)
    joined = partial(of, stands_for="a list to try out")
    yield joined("joined-right-and-wrong", make=with_header(lambda s: f"{s}, {wrong(s)}"))
    yield joined("joined-wrong-and-right", make=with_header(lambda s: f"{wrong(s)},{s}"))
    yield joined("joined-with-semicolon", make=with_header(lambda s: f"{s};{s}"))


def _encodings() -> Iterator[Attack]:
    of = partial(Attack, group=Group.ENCODING, stands_for="another encoding")
    yield of("hex", make=with_header(lambda s: digest(s).hex()))
    yield of("hex-upper", make=with_header(lambda s: digest(s).hex().upper()))
    yield of("base64-of-hex", make=with_header(lambda s: encoded(digest(s).hex().encode())))
    yield of("base64-twice", make=with_header(lambda s: encoded(s.encode())))
    yield of("base32", make=with_header(_base32))
    yield of("percent-encoded", make=_with_special(lambda s: s.replace("+", "%2B").replace("=", "%3D")))
    alphabet = partial(of, stands_for="another alphabet")
    yield alphabet("url-safe", make=_with_special(lambda s: s.replace("+", "-").replace("/", "_")))
    yield alphabet("half-url-safe", make=_with_special(lambda s: s.replace("+", "-")))
    yield alphabet("plus-as-space", make=_with_special(lambda s: s.replace("+", " ")))
    lenient = partial(of, stands_for="a lenient decoder")
    yield lenient("space-inside", make=with_header(lambda s: f"{s[:20]} {s[20:]}"))
    yield lenient("unpadded", make=with_header(lambda s: s.rstrip("=")))
    yield lenient("overpadded", make=with_header(lambda s: f"{s}="))
    yield lenient("non-canonical", make=with_header(_non_canonical), stands_for="only unused bits differ")
    yield lenient("junk-inside", make=with_header(lambda s: f"{s[:10]}!{s[10:]}"))
    yield lenient("junk-instead", make=with_header(lambda s: f"{s[:10]}!{s[11:]}"))
    outside = partial(of, stands_for=Fault.COMPARES_TEXT)
    yield outside("padded-no-break-space", make=with_header("\u00a0{}".format))
    yield outside("padded-em-space", make=with_header("{}\u2003".format))
    yield outside("padded-zero-width", make=with_header("\u200b{}".format))
    yield outside("padded-bom", make=with_header("\ufeff{}".format))
    yield outside("raw-bytes", make=with_header(lambda s: digest(s).decode("latin-1")))
    yield outside("accent", make=with_header(lambda s: f"é{s[1:]}"))
    yield outside("full-width", make=with_header(_full_width))
    yield outside("cyrillic", make=with_header(lambda s: f"\u0410{s[1:]}"))
    yield outside("emoji", make=with_header(lambda s: f"{s[:-1]}\U0001f600"))
    yield outside("all-outside-ascii", make=with_header(text("é" * 44)))
    yield outside("dotless-padding", make=with_header(lambda s: f"{s[:-1]}\uff1d"))
    vendor = partial(of, stands_for="a form of other vendors")
    for prefix in ("sha256=", "SHA256=", "sha-256=", "hmac-sha256 ", "v1=", "v0:", "Basic ", "Bearer ", "t=1,v1="):
        yield vendor(f"prefixed-{prefix.strip(' =')}", make=with_header(prefix.__add__))
    yield vendor("prefixed-hex", make=with_header(lambda s: f"sha256={digest(s).hex()}"))
    yield vendor("quoted", make=with_header(lambda s: f'"{s}"'))
    yield vendor("colons", make=with_header(lambda s: f":{s}:"))


def _partial() -> Iterator[Attack]:
    of = partial(Attack, group=Group.PARTIAL, stands_for="only the first bytes are compared")
    for length in (0, 1, 4, 20, 32, 40, 43):
        yield of(f"truncated-to-{length}", make=with_header(_cut(length)))
    yield of("first-byte-right", make=with_header(lambda s: encoded(digest(s)[:1] + digest(wrong(s))[1:])))
    yield of(
        "all-but-last-byte-right",
        make=with_header(lambda s: encoded(digest(s)[:-1] + bytes([digest(s)[-1] ^ 1]))),
    )
    yield of(
        "one-bit-wrong",
        stands_for="only the last bytes are compared",
        make=with_header(lambda s: encoded(bytes([digest(s)[0] ^ 1]) + digest(s)[1:])),
    )
    search = partial(of, stands_for="a search in place of a comparison")
    yield search("first-character-cut", make=with_header(lambda s: s[1:]))
    yield search("twice-in-one", make=with_header(lambda s: s + s))
    yield search("trailing-text", make=with_header(lambda s: f"{s}A"))
    yield search("leading-text", make=with_header(lambda s: f"A{s}"))
    case = partial(of, stands_for="letters are compared without case")
    yield case("lower-cased", make=with_header(str.lower))
    yield case("swapped-case", make=with_header(str.swapcase))
    yield of("reversed", stands_for="a well-formed value", make=with_header(lambda s: encoded(digest(s)[::-1])))
    empty = partial(of, stands_for="an empty digest")
    yield empty("zeros", make=with_header(text("A" * 43 + "=")))
    yield empty("ones", make=with_header(text(encoded(b"\xff" * 32))))
    yield empty("equals-signs", make=with_header(text("=" * 44)))


def _in_the_query(sender: Sender) -> Sent:
    body = sender.body()
    return unsigned(sender, body, query=f"{NAME}={sender.signature(body, sender.key)}")


def _in_a_cookie(sender: Sender) -> Sent:
    body = sender.body()
    return unsigned(sender, body, ("Cookie", f"{NAME}={sender.signature(body, sender.key)}"))


def _with_special(change: Change) -> Callable[[Sender], Sent]:
    """As ``with_header``, for a body whose signature has both characters in which the two alphabets differ."""

    def make(sender: Sender) -> Sent:
        while True:
            body = sender.body()
            value = sender.signature(body, sender.key)
            if "+" in value and "/" in value:
                return Sent(body, (JSON, (NAME, change(value))))

    return make


def _cut(length: int) -> Change:
    return lambda value: value[:length]


def _base32(value: str) -> str:
    return b32encode(digest(value)).decode()


def _non_canonical(value: str) -> str:
    """The same 32 bytes to a lenient decoder: only bits that mean nothing differ."""
    return f"{value[:-2]}{_ALPHABET[_ALPHABET.index(value[-2]) + 1]}="


def _full_width(value: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if char.isalnum() else char for char in value)
