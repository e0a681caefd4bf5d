"""Everything that may come to the door, and what each must get. Data only; ``test_bypass.py`` runs it.

What must be refused whatever the settings stands in ``cli.doctor.attacks``, since the doctor sends it too.

A case makes its request anew each time, so that no two tests share an event.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final

from cli.doctor.attacks import ATTACKS, Attack
from cli.doctor.attacks.ways import OVERRIDES, PROMISES
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


def as_is(value: str) -> str:
    """The right value."""
    return value


@dataclass(frozen=True, slots=True)
class _Planted:
    """Makes the attacks' events and signatures, each registered with the log check."""

    key: str = KEY
    other_key: str = OTHER_KEY

    def envelope(self, **fields: Any) -> dict[str, Any]:
        return planted.envelope(**fields)

    def body(self, **fields: Any) -> bytes:
        return planted.body(**fields)

    def signature(self, body: bytes, key: str | bytes) -> str:
        return signature(body, key)


def _attack_cases() -> Iterator[Case]:
    """What the doctor sends to a deployment, here to every front."""
    for attack in ATTACKS:
        sent = attack.make(_Planted())
        refused = replace(NOT_POST, authentic=sent.claims) if attack.status == NOT_ALLOWED.status else NO
        by_duplicates = {Duplicates.LAST_ONLY: OK} if attack.last_wins else {}
        yield Case(attack.name, attack.stands_for, partial(_attack, attack), refused, by_duplicates)


def _attack(attack: Attack) -> HttpRequest:
    sent = attack.make(_Planted())
    return HttpRequest(sent.body, sent.headers, sent.method, sent.path or "/dastra", sent.query)


# -- the signature's header --------------------------------------------------------------------------------------------


def _header_cases() -> Iterator[Case]:
    case = VendorFault.EXACT_CASE
    yield Case("genuine", "the sender itself", signed, OK, attributes={"type": "eu.dastra.DataSubjectCreation"})
    yield Case("twice-the-same", "a proxy that doubles headers", with_headers(as_is, as_is), OK)
    yield Case("three-times-the-same", "a proxy that doubles headers", with_headers(as_is, as_is, as_is), OK)
    yield Case(
        "two-keys-two-signatures",
        "several signatures to try out",
        lambda: replace(
            signed(body := planted.body()), headers=((NAME, signature(body, NEWER_KEY)), (NAME, signature(body)))
        ),
        NO,
        {Duplicates.LAST_ONLY: OK},
        keys=(NEWER_KEY, KEY),
    )
    yield Case("joined-the-same", "a proxy that joins headers", with_header(lambda s: f"{s},{s}"), OK)
    yield Case("joined-the-same-spaced", "a proxy that joins headers", with_header(lambda s: f"{s} ,\t{s}"), OK)
    for spelling in ("dastra-signature", "DASTRA-SIGNATURE", "dAsTrA-sIgNaTuRe"):
        yield Case(f"spelt-{spelling}", case, with_headers(as_is, names=(spelling,)), OK)
    yield Case("two-spellings-the-same", case, with_headers(as_is, as_is, names=(NAME, NAME.lower())), OK)
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


# -- several keys ------------------------------------------------------------------------------------------------------


def _key_cases() -> Iterator[Case]:
    rotated = VendorFault.ONE_CACHED_SECRET
    yield Case("first-of-two-keys", rotated, lambda: signed(key=NEWER_KEY), OK, keys=(NEWER_KEY, KEY))
    yield Case("second-of-two-keys", rotated, signed, OK, keys=(NEWER_KEY, KEY))
    yield Case("neither-of-two-keys", rotated, lambda: signed(key=OTHER_KEY), NO, keys=(NEWER_KEY, KEY))
    yield Case("both-keys-joined", rotated, lambda: signed(key=f"{NEWER_KEY} {KEY}"), NO, keys=(NEWER_KEY, KEY))


# -- genuine bodies, whatever they are ---------------------------------------------------------------------------------


def _pretty() -> bytes:
    return json.dumps(planted.envelope(), indent=2, ensure_ascii=False).replace("\n", "\r\n").encode()


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


# -- methods, paths, queries and headers that change nothing -----------------------------------------------------------


def _way_round_cases() -> Iterator[Case]:
    for name in OVERRIDES:
        yield Case(f"{name}-on-POST", VendorFault.FAILS_OPEN, partial(signed, None, (name, "GET")), OK)
    yield Case("query-test-genuine", "a query changes nothing", lambda: signed(query="test=1"), OK)
    yield Case("path-other-genuine", "a path changes nothing", lambda: signed(path="/anything/else"), OK)
    for name, value in PROMISES.items():
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
    *_attack_cases(),
    *_header_cases(),
    *_key_cases(),
    *_genuine_body_cases(),
    *_way_round_cases(),
    *_address_cases(),
    *_size_and_age_cases(),
)
