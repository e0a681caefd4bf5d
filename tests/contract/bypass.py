"""Everything that may come to the door, and what each must get. Data only; ``test_bypass.py`` runs it.

A case makes its request anew each time, so that no two tests share an event.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final

from core.signature import SignatureKey
from tests import planted
from tests.contract.answers import (
    ACCEPTED,
    FORBIDDEN,
    NOT_ALLOWED,
    QUARANTINED,
    TOO_LARGE,
    UNAUTHORIZED,
)
from tests.contract.vendor_faults import VendorFault
from tests.drivers import LISTED, UNLISTED, Answer, Duplicates, HttpRequest
from tests.planted import KEY, NEWER_KEY, OTHER_KEY, signature

NAME: Final = "Dastra-Signature"


class Place(StrEnum):
    """Where an event is after the answer."""

    QUEUE = "queue"
    """Its bytes, or a pointer to them where the queue does not take such bytes."""
    CLAIM = "claim"
    """A pointer on the queue and the bytes in the store."""
    QUARANTINE = "quarantine"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Expected:
    """The answer, and where the event is."""

    authentic: bool
    answer: Answer
    place: Place
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One request. ``stands_for`` says which fault or attack it is; ``by_duplicates`` what differs by front."""

    name: str
    stands_for: str
    make: Callable[[], HttpRequest]
    expected: Expected
    by_duplicates: Mapping[Duplicates, Expected] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = (KEY,)
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    """Attributes that the message must have; None for one that it must not have."""

    def on(self, duplicates: Duplicates) -> Expected:
        """What is expected of a front that treats duplicate headers so."""
        return self.by_duplicates.get(duplicates, self.expected)


OK: Final = Expected(True, ACCEPTED, Place.QUEUE)
CLAIMED: Final = Expected(True, ACCEPTED, Place.CLAIM)
NO: Final = Expected(False, UNAUTHORIZED, Place.NOWHERE)
NOT_POST: Final = Expected(True, NOT_ALLOWED, Place.NOWHERE)
LARGE: Final = Expected(False, TOO_LARGE, Place.NOWHERE)
UNREADABLE: Final = Expected(True, QUARANTINED, Place.QUARANTINE, "not_a_json_object")
OLD: Final = Expected(True, QUARANTINED, Place.QUARANTINE, "too_old")
HELD: Final = Expected(True, QUARANTINED, Place.QUARANTINE, "unlisted_address")
REFUSED_BUT_KEPT: Final = Expected(True, FORBIDDEN, Place.QUARANTINE, "unlisted_address")

_JSON: Final = ("Content-Type", "application/json; charset=utf-8")


def signed(body: bytes | None = None, *extra: tuple[str, str], key: str | bytes = KEY, **changes: Any) -> HttpRequest:
    """A genuine request unless ``key`` or a change makes it another."""
    body = planted.body() if body is None else body
    return replace(HttpRequest(body, (_JSON, (NAME, signature(body, key)), *extra)), **changes)


def unsigned(body: bytes | None = None, *extra: tuple[str, str], **changes: Any) -> HttpRequest:
    """A request without a signature."""
    return replace(HttpRequest(planted.body() if body is None else body, (_JSON, *extra)), **changes)


def of(make: Callable[[], bytes], key: str | bytes = KEY) -> Callable[[], HttpRequest]:
    """A request with the body that ``make`` makes, signed with ``key``."""
    return lambda: signed(make(), key=key)


def without(make: Callable[[], bytes]) -> Callable[[], HttpRequest]:
    """The same without a signature."""
    return lambda: unsigned(make())


def of_kind(content_type: str) -> Callable[[], HttpRequest]:
    """A genuine request with this ``Content-Type``."""

    def make() -> HttpRequest:
        body = planted.body()
        return HttpRequest(body, (("Content-Type", content_type), (NAME, signature(body))))

    return make


def with_header(change: Callable[[str], str]) -> Callable[[], HttpRequest]:
    """A request whose signature header is changed from the right value."""

    def make() -> HttpRequest:
        body = planted.body()
        return HttpRequest(body, (_JSON, (NAME, change(signature(body)))))

    return make


def with_headers(*changes: Callable[[str], str], names: tuple[str, ...] = ()) -> Callable[[], HttpRequest]:
    """A request with several signature headers, each changed from the right value."""

    def make() -> HttpRequest:
        body = planted.body()
        right = signature(body)
        spelt = names or (NAME,) * len(changes)
        pairs = [(name, change(right)) for name, change in zip(spelt, changes, strict=True)]
        return HttpRequest(body, (_JSON, *pairs))

    return make


def with_body(
    change: Callable[[bytes], bytes], original: Callable[[], bytes] = planted.body
) -> Callable[[], HttpRequest]:
    """A request whose body was changed after it was signed."""

    def make() -> HttpRequest:
        body = original()
        changed = change(body)
        assert changed != body
        return HttpRequest(changed, (_JSON, (NAME, signature(body))))

    return make


def as_is(value: str) -> str:
    """The right value."""
    return value


def wrong(value: str) -> str:
    """Another value that is well formed."""
    return signature(value.encode(), OTHER_KEY)


def _text(value: str) -> Callable[[str], str]:
    return lambda _: value


def _cut(length: int) -> Callable[[str], str]:
    return lambda value: value[:length]


def _digest(value: str) -> bytes:
    return base64.b64decode(value)


def _whose_signature(wanted: Callable[[str], bool]) -> bytes:
    while not wanted(signature(body := planted.body())):
        pass
    return body


def _with_special(change: Callable[[str], str]) -> Callable[[], HttpRequest]:
    """As ``with_header``, for a body whose signature has both characters in which the two alphabets differ."""

    def make() -> HttpRequest:
        body = _whose_signature(lambda text: "+" in text and "/" in text)
        return HttpRequest(body, (_JSON, (NAME, change(signature(body)))))

    return make


def _non_canonical(value: str) -> str:
    """The same 32 bytes to a lenient decoder: only bits that mean nothing differ."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = f"{value[:-2]}{alphabet[alphabet.index(value[-2]) + 1]}="
    assert base64.b64decode(changed) == base64.b64decode(value)
    return changed


def _hash_header(make: Callable[[bytes], bytes]) -> Callable[[], HttpRequest]:
    """A request whose signature is some other function of its body."""

    def request() -> HttpRequest:
        body = planted.body()
        return HttpRequest(body, (_JSON, (NAME, base64.b64encode(make(body)).decode())))

    return request


def _hmac(body: bytes, name: str = "sha256", key: str = KEY) -> bytes:
    return hmac.new(key.encode(), body, name).digest()


def _upper_half(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if char.isalnum() else char for char in text)


# -- the signature's header --------------------------------------------------------------------------------------------


def _header_cases() -> Iterator[Case]:
    opens, text, case = VendorFault.FAILS_OPEN, VendorFault.COMPARES_TEXT, VendorFault.EXACT_CASE
    answer = VendorFault.WRONG_ANSWER
    yield Case("genuine", "the sender itself", signed, OK, attributes={"type": "eu.dastra.DataSubjectCreation"})
    yield Case("missing", opens, unsigned, NO)
    yield Case("empty", opens, with_header(_text("")), NO)
    yield Case("blank", opens, with_header(_text(" \t ")), NO)
    yield Case("comma-only", opens, with_header(_text(",")), NO)
    yield Case("wrong", answer, with_header(wrong), NO)

    last_good = {Duplicates.LAST_ONLY: OK}
    yield Case("twice-the-same", "a proxy that doubles headers", with_headers(as_is, as_is), OK)
    yield Case("three-times-the-same", "a proxy that doubles headers", with_headers(as_is, as_is, as_is), OK)
    yield Case("right-then-wrong", "a second signature hides the first", with_headers(as_is, wrong), NO)
    yield Case("wrong-then-right", "a second signature hides the first", with_headers(wrong, as_is), NO, last_good)
    yield Case("right-then-empty", "an empty second header", with_headers(as_is, _text("")), NO)
    yield Case("empty-then-right", "an empty first header", with_headers(_text(""), as_is), NO, last_good)
    yield Case("right-then-malformed", "a second signature", with_headers(as_is, _text("x")), NO)
    yield Case("malformed-then-right", "a second signature", with_headers(_text("x"), as_is), NO, last_good)
    yield Case(
        "two-keys-two-signatures",
        "several signatures to try out",
        lambda: replace(
            signed(body := planted.body()), headers=((NAME, signature(body, NEWER_KEY)), (NAME, signature(body)))
        ),
        NO,
        last_good,
        keys=(NEWER_KEY, KEY),
    )
    yield Case("joined-the-same", "a proxy that joins headers", with_header(lambda s: f"{s},{s}"), OK)
    yield Case("joined-the-same-spaced", "a proxy that joins headers", with_header(lambda s: f"{s} ,\t{s}"), OK)
    yield Case("joined-right-and-wrong", "a list to try out", with_header(lambda s: f"{s}, {wrong(s)}"), NO)
    yield Case("joined-wrong-and-right", "a list to try out", with_header(lambda s: f"{wrong(s)},{s}"), NO)
    yield Case("joined-with-semicolon", "a list to try out", with_header(lambda s: f"{s};{s}"), NO)

    for spelling in ("dastra-signature", "DASTRA-SIGNATURE", "dAsTrA-sIgNaTuRe"):
        yield Case(f"spelt-{spelling}", case, with_headers(as_is, names=(spelling,)), OK)
    both = (NAME, NAME.lower())
    yield Case("two-spellings-the-same", case, with_headers(as_is, as_is, names=both), OK)
    yield Case("two-spellings-right-and-wrong", case, with_headers(as_is, wrong, names=both), NO)
    yield Case("two-spellings-wrong-and-right", case, with_headers(wrong, as_is, names=both), NO, last_good)
    for name in ("Dastra_Signature", "DastraSignature", "X-Dastra-Signature", "Dastra-Signature-1", "Signature",
                 "X-Hub-Signature-256", "Authorization", "HTTP_DASTRA_SIGNATURE"):  # fmt: skip
        yield Case(f"in-{name}", opens, with_headers(as_is, names=(name,)), NO)
    yield Case("in-the-query", opens, lambda: unsigned(b := planted.body(), query=f"{NAME}={signature(b)}"), NO)
    yield Case("in-a-cookie", opens, lambda: unsigned(b := planted.body(), ("Cookie", f"{NAME}={signature(b)}")), NO)

    for name, padded in {
        "spaces": "  {}  ",
        "tabs": "\t{}\t",
        "mixed": " \t {}\t ",
        "leading": " {}",
        "trailing": "{} ",
    }.items():
        yield Case(
            f"padded-{name}", "white space around a field value is not part of it", with_header(padded.format), OK
        )
    for name, padded in {
        "no-break-space": "\u00a0{}",
        "em-space": "{}\u2003",
        "zero-width": "\u200b{}",
        "bom": "\ufeff{}",
    }.items():
        yield Case(f"padded-{name}", text, with_header(padded.format), NO)
    yield Case("space-inside", "a lenient decoder", with_header(lambda s: f"{s[:20]} {s[20:]}"), NO)

    yield Case("hex", "another encoding", with_header(lambda s: _digest(s).hex()), NO)
    yield Case("hex-upper", "another encoding", with_header(lambda s: _digest(s).hex().upper()), NO)
    yield Case(
        "base64-of-hex",
        "another encoding",
        with_header(lambda s: base64.b64encode(_digest(s).hex().encode()).decode()),
        NO,
    )
    yield Case("base64-twice", "another encoding", with_header(lambda s: base64.b64encode(s.encode()).decode()), NO)
    yield Case("base32", "another encoding", with_header(lambda s: base64.b32encode(_digest(s)).decode()), NO)
    yield Case("raw-bytes", text, with_header(lambda s: _digest(s).decode("latin-1")), NO)
    yield Case("url-safe", "another alphabet", _with_special(lambda s: s.replace("+", "-").replace("/", "_")), NO)
    yield Case("half-url-safe", "another alphabet", _with_special(lambda s: s.replace("+", "-")), NO)
    yield Case("plus-as-space", "another alphabet", _with_special(lambda s: s.replace("+", " ")), NO)
    yield Case(
        "percent-encoded", "another encoding", _with_special(lambda s: s.replace("+", "%2B").replace("=", "%3D")), NO
    )
    yield Case("unpadded", "a lenient decoder", with_header(lambda s: s.rstrip("=")), NO)
    yield Case("overpadded", "a lenient decoder", with_header(lambda s: f"{s}="), NO)
    yield Case("non-canonical", "a lenient decoder: only unused bits differ", with_header(_non_canonical), NO)
    yield Case("junk-inside", "a lenient decoder", with_header(lambda s: f"{s[:10]}!{s[10:]}"), NO)
    yield Case("junk-instead", "a lenient decoder", with_header(lambda s: f"{s[:10]}!{s[11:]}"), NO)

    yield Case("accent", text, with_header(lambda s: f"é{s[1:]}"), NO)
    yield Case("full-width", text, with_header(_upper_half), NO)
    yield Case("cyrillic", text, with_header(lambda s: f"\u0410{s[1:]}"), NO)
    yield Case("emoji", text, with_header(lambda s: f"{s[:-1]}\U0001f600"), NO)
    yield Case("all-outside-ascii", text, with_header(_text("é" * 44)), NO)
    yield Case("dotless-padding", text, with_header(lambda s: f"{s[:-1]}\uff1d"), NO)

    for length in (0, 1, 4, 20, 32, 40, 43):
        yield Case(f"truncated-to-{length}", "only the first bytes are compared", with_header(_cut(length)), NO)
    yield Case(
        "first-byte-right",
        "only the first bytes are compared",
        with_header(lambda s: base64.b64encode(_digest(s)[:1] + _digest(wrong(s))[1:]).decode()),
        NO,
    )
    yield Case(
        "all-but-last-byte-right",
        "only the first bytes are compared",
        with_header(lambda s: base64.b64encode(_digest(s)[:-1] + bytes([_digest(s)[-1] ^ 1])).decode()),
        NO,
    )
    yield Case(
        "one-bit-wrong",
        "only the last bytes are compared",
        with_header(lambda s: base64.b64encode(bytes([_digest(s)[0] ^ 1]) + _digest(s)[1:]).decode()),
        NO,
    )
    yield Case("first-character-cut", "a search in place of a comparison", with_header(lambda s: s[1:]), NO)
    yield Case("twice-in-one", "a search in place of a comparison", with_header(lambda s: s + s), NO)
    yield Case("trailing-text", "a prefix is compared", with_header(lambda s: f"{s}A"), NO)
    yield Case("leading-text", "a suffix is compared", with_header(lambda s: f"A{s}"), NO)
    yield Case("lower-cased", "letters are compared without case", with_header(str.lower), NO)
    yield Case("swapped-case", "letters are compared without case", with_header(str.swapcase), NO)
    yield Case(
        "reversed", "a well-formed value", with_header(lambda s: base64.b64encode(_digest(s)[::-1]).decode()), NO
    )
    for prefix in ("sha256=", "SHA256=", "sha-256=", "hmac-sha256 ", "v1=", "v0:", "Basic ", "Bearer ", "t=1,v1="):
        yield Case(f"prefixed-{prefix.strip(' =')}", "a form of other vendors", with_header(prefix.__add__), NO)
    yield Case("prefixed-hex", "a form of other vendors", with_header(lambda s: f"sha256={_digest(s).hex()}"), NO)
    yield Case("quoted", "a form of other vendors", with_header(lambda s: f'"{s}"'), NO)
    yield Case("colons", "a structured field", with_header(lambda s: f":{s}:"), NO)
    yield Case("zeros", "an empty digest", with_header(_text("A" * 43 + "=")), NO)
    yield Case("ones", "an empty digest", with_header(_text(base64.b64encode(b"\xff" * 32).decode())), NO)
    yield Case("equals-signs", "an empty digest", with_header(_text("=" * 44)), NO)
    for word in ("*", "0", "true", "null", "None", "undefined", "[]", "{}", "' OR '1'='1"):
        yield Case(f"word-{word}", opens, with_header(_text(word)), NO)
    yield Case("very-long", "a slow parser", with_header(_text("A" * 100_000)), NO)
    yield Case("very-many-commas", "a slow parser", with_header(_text("," * 10_000)), NO)


# -- the key and the algorithm -----------------------------------------------------------------------------------------


def _key_cases() -> Iterator[Case]:
    opens = VendorFault.FAILS_OPEN
    guid = uuid.UUID(KEY)
    keys: dict[str, str | bytes] = {
        "other": OTHER_KEY,
        "empty": b"",
        "guid-bytes": guid.bytes,
        "guid-bytes-little-endian": guid.bytes_le,
        "upper-case": KEY.upper(),
        "no-hyphens": guid.hex,
        "braces": f"{{{KEY}}}",
        "trailing-newline": f"{KEY}\n",
        "leading-space": f" {KEY}",
        "quoted": f'"{KEY}"',
        "utf-16": KEY.encode("utf-16-le"),
        "base64": base64.b64encode(KEY.encode()),
        "hashed": hashlib.sha256(KEY.encode()).digest(),
        "half": KEY[:18],
        "reversed": KEY[::-1],
        "fingerprint-from-the-log": SignatureKey(KEY).fingerprint,
    }
    for name, key in keys.items():
        yield Case(f"key-{name}", "another key than the configured text", partial(signed, key=key), NO)
    for word in ("None", "null", "undefined", "sha256=", "DASTRA_SIGNATURE_KEYS", "[]", "{}", "change-me", "\0"):
        yield Case(f"key-word-{word!a}", opens, partial(signed, key=word), NO)
    rotated = VendorFault.ONE_CACHED_SECRET
    yield Case("first-of-two-keys", rotated, lambda: signed(key=NEWER_KEY), OK, keys=(NEWER_KEY, KEY))
    yield Case("second-of-two-keys", rotated, signed, OK, keys=(NEWER_KEY, KEY))
    yield Case("neither-of-two-keys", rotated, lambda: signed(key=OTHER_KEY), NO, keys=(NEWER_KEY, KEY))
    yield Case("both-keys-joined", rotated, lambda: signed(key=f"{NEWER_KEY} {KEY}"), NO, keys=(NEWER_KEY, KEY))

    algorithms: dict[str, Callable[[bytes], bytes]] = {
        "md5": lambda body: _hmac(body, "md5"),
        "sha1": lambda body: _hmac(body, "sha1"),
        "sha384": lambda body: _hmac(body, "sha384"),
        "sha512": lambda body: _hmac(body, "sha512"),
        "sha3": lambda body: _hmac(body, "sha3_256"),
        "sha512-cut": lambda body: _hmac(body, "sha512")[:32],
        "plain-hash": lambda body: hashlib.sha256(body).digest(),
        "key-then-body": lambda body: hashlib.sha256(KEY.encode() + body).digest(),
        "body-then-key": lambda body: hashlib.sha256(body + KEY.encode()).digest(),
        "hmac-of-the-hash": lambda body: _hmac(hashlib.sha256(body).digest()),
        "hmac-of-the-id": lambda body: _hmac(hashlib.sha256(body).hexdigest().encode()),
        "hmac-twice": lambda body: _hmac(_hmac(body)),
        "hmac-of-the-url": lambda body: _hmac(b"https://webhooks.example.org/dastra" + body),
        "key-and-body-swapped": lambda body: hmac.new(body, KEY.encode(), "sha256").digest(),
    }
    for name, make in algorithms.items():
        yield Case(f"algorithm-{name}", "another algorithm", _hash_header(make), NO)


# -- the body against its signature ------------------------------------------------------------------------------------


def _pretty() -> bytes:
    return json.dumps(planted.envelope(), indent=2, ensure_ascii=False).replace("\n", "\r\n").encode()


def _large() -> bytes:
    return planted.body(data=planted.MARKER * 8000)


def _flip(body: bytes, at: int) -> bytes:
    changed = bytearray(body)
    changed[at] ^= 1
    return bytes(changed)


def _sorted(body: bytes) -> bytes:
    return json.dumps(json.loads(body), separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _tampered_cases() -> Iterator[Case]:
    other_bytes = VendorFault.OTHER_BYTES
    changes: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
        "re-encoded": (other_bytes, lambda b: json.dumps(json.loads(b)).encode()),
        "re-encoded-compact": (other_bytes, lambda b: json.dumps(json.loads(b), separators=(",", ":")).encode()),
        "re-encoded-sorted": (other_bytes, _sorted),
        "latin-1": (other_bytes, lambda b: b.decode().encode("latin-1")),
        "utf-16": (other_bytes, lambda b: b.decode().encode("utf-16")),
        "decomposed": (other_bytes, lambda b: unicodedata.normalize("NFD", b.decode()).encode()),
        "base64-twice": (other_bytes, base64.b64encode),
        "compressed": (other_bytes, lambda b: gzip.compress(b, mtime=0)),
        "newline-added": (other_bytes, lambda b: b + b"\n"),
        "crlf-added": (other_bytes, lambda b: b + b"\r\n"),
        "space-added": (other_bytes, lambda b: b" " + b),
        "bom-added": (other_bytes, lambda b: b"\xef\xbb\xbf" + b),
        "nul-added": ("a C string", lambda b: b + b"\0"),
        "last-byte-cut": ("a body cut on its way", lambda b: b[:-1]),
        "emptied": ("an empty body passes", lambda _: b""),
        "replaced": ("a captured signature on another body", lambda _: planted.body()),
        "braces-only": ("a captured signature on another body", lambda _: b"{}"),
        "first-bit": ("one byte changed", lambda b: _flip(b, 0)),
        "middle-bit": ("one byte changed", lambda b: _flip(b, len(b) // 2)),
        "last-bit": ("one byte changed", lambda b: _flip(b, -1)),
        "member-added": ("a body that was extended", lambda b: b[:-1] + b',"admin":true}'),
        "doubled": ("a body that was extended", lambda b: b + b),
    }  # fmt: skip
    for name, (stands_for, change) in changes.items():
        yield Case(f"body-{name}", stands_for, with_body(change), NO)
    large = lambda b: _flip(b, len(b) - 10)  # noqa: E731
    yield Case("body-changed-far-behind", "only the beginning is hashed", with_body(large, _large), NO)
    yield Case("body-decompressed", other_bytes, with_body(gzip.decompress, lambda: gzip.compress(planted.body())), NO)
    yield Case("body-line-ends", other_bytes, with_body(lambda b: b.replace(b"\r\n", b"\n"), _pretty), NO)
    yield Case("body-bom-cut", other_bytes, with_body(lambda b: b[3:], lambda: b"\xef\xbb\xbf" + planted.body()), NO)
    yield Case("body-newline-cut", other_bytes, with_body(bytes.rstrip, lambda: planted.body() + b"\n"), NO)
    yield Case(
        "signature-of-nothing",
        "a constant signature",
        lambda: HttpRequest(planted.body(), ((NAME, signature(b"")),)),
        NO,
    )
    yield Case(
        "signature-of-braces",
        "a constant signature",
        lambda: HttpRequest(planted.body(), ((NAME, signature(b"{}")),)),
        NO,
    )


# -- genuine bodies, whatever they are ---------------------------------------------------------------------------------


def deep(depth: int, *, inside: str = "data") -> bytes:
    """An object that is nested ``depth`` times below a member."""
    head = f'{{"eventType":"TaskEdit","eventName":"{planted.MARKER} {planted.nonce()}","{inside}":'
    return head.encode() + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


def _raw(inside: bytes) -> bytes:
    """An object with these bytes in a string, whatever they are."""
    return b'{"eventType":"TaskEdit","eventName":"%s %s","data":"%s"}' % (
        planted.MARKER.encode(),
        planted.nonce().encode(),
        inside,
    )


def _value(inside: str) -> bytes:
    """An object with this JSON as a member."""
    return f'{{"eventType":"TaskEdit","eventName":"{planted.MARKER} {planted.nonce()}","data":{inside}}}'.encode()


def _marked(form: str) -> Callable[[], bytes]:
    """Text with the marker and a nonce in it."""

    def make() -> bytes:
        return (form % (planted.MARKER, planted.nonce())).encode()

    return make


def _genuine_body_cases() -> Iterator[Case]:
    other_bytes = VendorFault.OTHER_BYTES
    bodies: dict[str, tuple[Callable[[], bytes], Expected]] = {
        "accents": (planted.body, OK),
        "accents-escaped": (lambda: json.dumps(planted.envelope()).encode(), OK),
        "pretty-crlf": (_pretty, OK),
        "trailing-newline": (lambda: planted.body() + b"\n", OK),
        "white-space-around": (lambda: b" \r\n\t" + planted.body() + b"\n \t", OK),
        "emoji": (lambda: planted.body(eventName="\U0001f600\u200d\U0001f4bb" + planted.MARKER), OK),
        "bom": (lambda: b"\xef\xbb\xbf" + planted.body(), OK),
        "right-to-left": (lambda: planted.body(eventName="\u202e\u05d0\u0628" + planted.MARKER), OK),
        "html-escapes": (lambda: planted.body().replace(b"@", b"\\u0040").replace(b"/", b"\\/"), OK),
        "nul-escaped": (lambda: _raw(b"\\u0000"), OK),
        "nul-escaped-in-the-type": (lambda: planted.body(eventType="Task\0Edit"), OK),
        "lone-surrogate-escaped": (lambda: _raw(b"\\ud800"), OK),
        "low-surrogate-escaped": (lambda: _raw(b"\\udc00 and \\ud83d"), OK),
        "lone-surrogate-in-the-type": (lambda: _raw(b"").replace(b"TaskEdit", b"\\udfff"), OK),
        "nan": (lambda: _value("[NaN,Infinity,-Infinity]"), OK),
        "huge-numbers": (lambda: _value("[1e400,-1e400,1e-400,-0]"), OK),
        "endless-integer": (lambda: _value("9" * 5000), OK),
        "endless-integer-as-id": (lambda: planted.body(webhookId=7).replace(b":7,", b":" + b"9" * 5000 + b","), OK),
        "duplicate-keys": (lambda: planted.body()[:-1] + b',"eventType":"TaskEdit","eventType":"TaskEdit"}', OK),
        "keys-in-other-case": (lambda: planted.body().replace(b"eventType", b"EVENTTYPE"), OK),
        "nothing-known": (_marked('{"%s":"%s"}'), OK),
        "everything-null": (lambda: planted.body(webhookId=None, userId=None, date=None, data=planted.nonce()), OK),
        "everything-odd": (lambda: planted.body(webhookId=[1], userId={}, date=5, eventType=[]), OK),
        "nested-250": (lambda: deep(250), OK),
        "noncharacter": (lambda: _raw("\ufffe\uffff".encode()), OK),
        "delete-character": (lambda: _raw(b"\x7f\xc2\x85"), OK),
        "dates": (lambda: planted.body(date="not a date"), OK),
        "date-year-zero": (lambda: planted.body(date="0000-00-00T00:00:00"), OK),
        "date-at-the-edge": (lambda: planted.body(date="0001-01-01T00:00:00+14:00"), OK),
        "type-with-a-line-break": (lambda: planted.body(eventType="Task\r\nEdit: x"), OK),
        "type-very-long": (lambda: planted.body(eventType="T" * 5000), OK),
        "id-very-long": (lambda: planted.body(webhookId="1" * 5000), OK),
        "empty": (lambda: b"", UNREADABLE),
        "white-space-only": (lambda: b" \r\n" + b" " * 7, UNREADABLE),
        "bom-only": (lambda: b"\xef\xbb\xbf", UNREADABLE),
        "array": (_marked('["%s","%s"]'), UNREADABLE),
        "array-of-one-event": (lambda: b"[" + planted.body() + b"]", UNREADABLE),
        "string": (_marked('"%s %s"'), UNREADABLE),
        "number": (lambda: b"17", UNREADABLE),
        "null": (lambda: b"null", UNREADABLE),
        "true": (lambda: b"true", UNREADABLE),
        "nan-only": (lambda: b"NaN", UNREADABLE),
        "two-objects": (lambda: planted.body() + planted.body(), UNREADABLE),
        "two-boms": (lambda: b"\xef\xbb\xbf" * 2 + planted.body(), UNREADABLE),
        "text-behind": (lambda: planted.body() + b"x", UNREADABLE),
        "cut": (lambda: planted.body()[:-1], UNREADABLE),
        "trailing-comma": (lambda: planted.body()[:-1] + b",}", UNREADABLE),
        "single-quotes": (lambda: planted.body().replace(b'"', b"'"), UNREADABLE),
        "form": (_marked("data=%s&nonce=%s"), UNREADABLE),
        "xml": (_marked("<event>%s %s</event>"), UNREADABLE),
        "deep": (lambda: deep(100_000), UNREADABLE),
        "deep-array": (lambda: b"[" * 200_000, UNREADABLE),
        "nul-raw": (lambda: _raw(b"\0"), UNREADABLE),
        "control-raw": (lambda: _raw(b"\x0b\x1f"), UNREADABLE),
        "nuls-only": (lambda: b"\0" * 9, UNREADABLE),
        "surrogate-raw": (lambda: _raw(b"\xed\xa0\x80"), UNREADABLE),
        "surrogate-pair-raw": (lambda: _raw(b"\xed\xa0\xbd\xed\xb8\x80"), UNREADABLE),
        "invalid-utf-8": (lambda: _raw(b"\xff\xfe"), UNREADABLE),
        "cut-utf-8": (lambda: _raw(b"\xc3"), UNREADABLE),
        "overlong-utf-8": (lambda: _raw(b"\xc0\xaf"), UNREADABLE),
        "latin-1": (lambda: planted.body().decode().encode("latin-1"), UNREADABLE),
        "utf-16": (lambda: planted.body().decode().encode("utf-16"), UNREADABLE),
        "utf-16-without-bom": (lambda: planted.body().decode().encode("utf-16-le"), UNREADABLE),
        "utf-32": (lambda: planted.body().decode().encode("utf-32"), UNREADABLE),
        "gzip": (lambda: gzip.compress(planted.body()), UNREADABLE),
        "base64-text": (lambda: base64.b64encode(planted.body()), UNREADABLE),
        "random-bytes": (lambda: hashlib.sha512(planted.nonce().encode()).digest() * 4, UNREADABLE),
    }  # fmt: skip
    for name, (make, expected) in bodies.items():
        yield Case(f"signed-{name}", "exactly these bytes were signed", of(make), expected)
    first = VendorFault.PARSES_FIRST
    for name in (
        "deep",
        "deep-array",
        "invalid-utf-8",
        "surrogate-raw",
        "endless-integer",
        "nuls-only",
        "utf-16",
        "empty",
    ):
        make = bodies[name][0]
        yield Case(f"unsigned-{name}", first, without(make), NO)
        yield Case(f"forged-{name}", first, of(make, OTHER_KEY), NO)

    for kind in ("", "text/plain", "text/xml; charset=utf-16", "application/octet-stream", "multipart/form-data",
                 "application/x-www-form-urlencoded", "application/json; charset=iso-8859-1", "!"):  # fmt: skip
        yield Case(
            f"content-type-{kind or 'empty'}",
            other_bytes,
            of_kind(kind),
            OK,
        )
    yield Case("no-other-header", other_bytes, lambda: HttpRequest(b := planted.body(), ((NAME, signature(b)),)), OK)
    yield Case("encoding-claimed", other_bytes, lambda: signed(None, ("Content-Encoding", "gzip")), OK)
    yield Case(
        "gzip-with-its-encoding",
        other_bytes,
        lambda: signed(gzip.compress(planted.body()), ("Content-Encoding", "gzip")),
        UNREADABLE,
    )
    yield Case("length-claimed", "a length that lies", lambda: signed(None, ("Content-Length", "1")), OK)
    yield Case("length-is-no-number", "a length that lies", lambda: signed(None, ("Content-Length", "many")), OK)
    yield Case("chunked", "no length", lambda: signed(None, ("Transfer-Encoding", "chunked")), OK)

    trace = f"00-{'1f' * 16}-{'0a' * 8}-01"
    yield Case(
        "trace",
        "a trace is carried on",
        lambda: signed(None, ("traceparent", trace)),
        OK,
        attributes={"traceparent": trace},
    )
    for bad in ("", "x", f"{trace}-x", trace.upper(), f"00-{'0' * 32}-{'0a' * 8}-01", f"{trace},{trace}", "é" * 55):
        yield Case(
            f"trace-bad-{bad[:8]!a}-{len(bad)}",
            "text from a sender becomes an attribute",
            partial(signed, None, ("traceparent", bad)),
            OK,
            attributes={"traceparent": None},
        )
    odd = {"type": "eu.dastra.unclassified", "source": "urn:dastra:webhook:unknown"}
    for name, value in {
        "space": "a b",
        "colon": "a:b",
        "line": "a\nb",
        "accent": "é",
        "empty": "",
        "quote": '"',
    }.items():
        yield Case(
            f"attributes-from-{name}",
            "text from a sender becomes an attribute",
            of(partial(planted.body, eventType=value, webhookId=value)),
            OK,
            attributes=odd,
        )


# -- methods, paths, queries, headers that promise a way round ---------------------------------------------------------


def _way_round_cases() -> Iterator[Case]:
    opens = VendorFault.FAILS_OPEN
    for method in (
        "GET",
        "HEAD",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "post",
        "Post",
        "POSTS",
        "",
    ):
        yield Case(f"method-{method or 'empty'}", opens, partial(signed, method=method), NOT_POST)
    yield Case("method-GET-unsigned", opens, lambda: unsigned(b"", method="GET"), replace(NOT_POST, authentic=False))
    yield Case(
        "method-OPTIONS-cors",
        opens,
        lambda: unsigned(b"", ("Access-Control-Request-Method", "POST"), method="OPTIONS"),
        replace(NOT_POST, authentic=False),
    )
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        yield Case(f"{name}-on-GET", opens, partial(signed, None, (name, "POST"), method="GET"), NOT_POST)
        yield Case(f"{name}-on-POST", opens, partial(signed, None, (name, "GET")), OK)
    queries = ("test=1", "test=true", "debug=1", "skip_signature=true", "validationToken=x", "hub.challenge=1",
               "_method=GET", "test", "%74est=1", "code=x&clientId=default")  # fmt: skip
    for query in queries:
        yield Case(f"query-{query}-unsigned", opens, partial(unsigned, query=query), NO)
    yield Case("query-test-forged", opens, lambda: signed(query="test=1", key=OTHER_KEY), NO)
    yield Case("query-test-genuine", "a query changes nothing", lambda: signed(query="test=1"), OK)
    for path in (
        "/",
        "/test",
        "/health",
        "/_local/messages",
        "/../admin",
        "//",
        "/dastra/%2e%2e",
        "/é",
        "/dastra?test=1",
    ):
        yield Case(f"path-{path}-unsigned", opens, partial(unsigned, path=path), NO)
    yield Case("path-other-genuine", "a path changes nothing", lambda: signed(path="/anything/else"), OK)
    promises = {
        "X-Test": "1", "X-Debug": "true", "X-Skip-Signature": "true", "X-Signature-Valid": "true",
        "X-Original-Method": "GET", "X-Original-URL": "/admin", "X-Rewrite-URL": "/admin", "X-Forwarded-Method": "GET",
        "X-Verified": "SUCCESS", "X-Authenticated-User": "dastra", "Authorization": "Bearer x", "X-API-Key": "x",
        "X-Amz-Invocation-Type": "DryRun", "X-Amzn-Lambda-Context": "{}", "X-MS-Client-Principal": "e30=",
        "X-Goog-Authenticated-User-Email": "x", "Dastra-Event": "test", "User-Agent": "Dastra",
        "Expect": "100-continue", "Upgrade": "h2c", "Range": "bytes=0-1", "If-None-Match": "*",
    }  # fmt: skip
    for name, value in promises.items():
        yield Case(f"{name}-unsigned", opens, partial(unsigned, None, (name, value)), NO)
        yield Case(f"{name}-genuine", "a header changes nothing", partial(signed, None, (name, value)), OK)
    yield Case("many-headers", "a slow look-up", lambda: signed(None, *((f"X-{n}", "x") for n in range(300))), OK)


# -- who is calling ----------------------------------------------------------------------------------------------------


def _address_cases() -> Iterator[Case]:
    first = VendorFault.FIRST_FORWARDED
    claims = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP",
              "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Original-Forwarded-For", "X-Azure-SocketIP",
              "X-Azure-ClientIP", "X-Appengine-User-IP", "Client-IP", "Via", "X-Forwarded",
              "X-Amzn-Source-Ip")  # fmt: skip
    for name in claims:
        value = "for={}" if name == "Forwarded" else "{}"
        claim = (name, value.format(LISTED))
        yield Case(f"{name}-claims-listed", first, partial(signed, None, claim, client=UNLISTED), HELD)
        denial = (name, value.format(UNLISTED))
        yield Case(f"{name}-claims-unlisted", first, partial(signed, None, denial), OK)
    spellings = {
        "twice": (("X-Forwarded-For", LISTED), ("x-forwarded-for", LISTED)),
        "chain": (("X-Forwarded-For", f"{LISTED}, {LISTED}"),),
        "with-port": (("X-Forwarded-For", f"{LISTED}:443"),),
        "mapped": (("X-Forwarded-For", f"::ffff:{LISTED}"),),
        "trailing-comma": (("X-Forwarded-For", f"{LISTED},"),),
        "blank": (("X-Forwarded-For", " "),),
        "quoted": (("X-Forwarded-For", f'"{LISTED}"'),),
        "garbage": (("X-Forwarded-For", "é, \x7f"),),
        "very-long": (("X-Forwarded-For", ", ".join([LISTED] * 2000)),),
    }
    for name, headers in spellings.items():
        yield Case(f"forwarded-{name}", first, partial(signed, None, *headers, client=UNLISTED), HELD)
    yield Case(
        "forwarded-and-forged",
        first,
        lambda: signed(None, ("X-Forwarded-For", LISTED), client=UNLISTED, key=OTHER_KEY),
        NO,
    )
    yield Case("mapped-client", "IPv4 inside IPv6 is IPv4", lambda: signed(client=f"::ffff:{LISTED}"), OK)
    yield Case("other-ipv6-client", "IPv4 inside IPv6 is IPv4", lambda: signed(client="2001:db8::1"), HELD)
    network = {"SOURCE_IP_ALLOWLIST": "203.0.113.0/24, 2001:db8:1::/48"}
    yield Case("in-network", "a network is listed", lambda: signed(client="203.0.113.200"), OK, settings=network)
    yield Case("in-network-6", "a network is listed", lambda: signed(client="2001:DB8:1::5"), OK, settings=network)
    yield Case("off-network", "a network is listed", lambda: signed(client="203.0.114.1"), HELD, settings=network)
    reject = {"SOURCE_IP_MODE": "reject"}
    no = Expected(False, FORBIDDEN, Place.NOWHERE)
    yield Case("reject-unsigned", "an unlisted address", lambda: unsigned(client=UNLISTED), no, settings=reject)
    yield Case(
        "reject-claims-listed",
        first,
        lambda: signed(None, ("X-Forwarded-For", LISTED), client=UNLISTED),
        REFUSED_BUT_KEPT,
        settings=reject,
    )


# -- size and age ------------------------------------------------------------------------------------------------------

LIMIT: Final = 2000
DEFAULT_LIMIT: Final = 4 * 1024 * 1024
QUEUE_LIMIT: Final = 1024 * 1024
"""Above the limit of every queue here: a body of this size, plus attributes."""


def sized(size: int) -> bytes:
    """A genuine event of exactly so many bytes."""
    return planted.body(data="x" * (size - len(planted.body(data=""))))


def _size_and_age_cases() -> Iterator[Case]:
    limit, small = VendorFault.SIZE_LIMIT, {"MAX_BODY_BYTES": str(LIMIT)}
    yield Case("size-at-limit", limit, lambda: signed(sized(LIMIT)), OK, settings=small)
    yield Case("size-at-limit-unsigned", limit, lambda: unsigned(sized(LIMIT)), NO, settings=small)
    yield Case(
        "size-above-limit", limit, lambda: signed(sized(LIMIT + 1)), replace(LARGE, authentic=True), settings=small
    )
    yield Case("size-above-limit-unsigned", limit, lambda: unsigned(sized(LIMIT + 1)), LARGE, settings=small)
    yield Case("size-above-limit-forged", limit, lambda: signed(sized(LIMIT + 1), key=OTHER_KEY), LARGE, settings=small)
    yield Case("size-above-limit-GET", limit, lambda: signed(sized(LIMIT + 1), method="GET"), NOT_POST, settings=small)
    yield Case("size-of-the-queue", limit, lambda: signed(sized(QUEUE_LIMIT)), CLAIMED)
    yield Case("size-at-default-limit", limit, lambda: signed(sized(DEFAULT_LIMIT)), CLAIMED)
    yield Case(
        "size-above-default-limit", limit, lambda: signed(sized(DEFAULT_LIMIT + 1)), replace(LARGE, authentic=True)
    )
    aged = {"MAX_EVENT_AGE_SECONDS": "3600"}
    replay = "a captured request sent again"
    yield Case("age-old", replay, lambda: signed(planted.body(date="2026-03-02T09:16:03.7Z")), OLD, settings=aged)
    yield Case(
        "age-old-forged",
        replay,
        lambda: signed(planted.body(date="2026-03-02T09:16:03.7Z"), key=OTHER_KEY),
        NO,
        settings=aged,
    )
    yield Case("age-future", replay, lambda: signed(planted.body(date="2999-01-01T00:00:00Z")), OK, settings=aged)
    yield Case("age-unreadable", replay, lambda: signed(planted.body(date="yesterday")), OK, settings=aged)
    yield Case("age-absent", replay, lambda: signed(planted.body(date=None)), OK, settings=aged)
    yield Case("age-not-checked", replay, lambda: signed(planted.body(date="1999-01-01T00:00:00")), OK)


CASES: Final = (
    *_header_cases(),
    *_key_cases(),
    *_tampered_cases(),
    *_genuine_body_cases(),
    *_way_round_cases(),
    *_address_cases(),
    *_size_and_age_cases(),
)
