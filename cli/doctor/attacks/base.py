"""What an attack is made of, whoever sends it: the doctor over the wire, the contract tests to each entry point."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol

from core.http import METHOD_NOT_ALLOWED
from core.signature import claims_signature

NAME: Final = "Dastra-Signature"
JSON: Final = ("Content-Type", "application/json; charset=utf-8")
_PLAIN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADER_BYTES: Final = 8000
"""The least that servers commonly take of one header; above it a platform may refuse by itself."""


class Fault(StrEnum):
    """The faults of published receivers that these attacks stand for, in words that the contract tests share."""

    FAILS_OPEN = "no signature passes, a query skips the check, or a failed key look-up leaves a key that passes"
    PARSES_FIRST = "JSON is parsed before the signature is checked: anybody's deep body is a 500"
    COMPARES_TEXT = "signatures are compared as text: a header outside ASCII is a 500"
    OTHER_BYTES = "the HMAC is not over the bytes received: re-serialised JSON, or base64 wrapping forgotten"
    EXACT_CASE = "the header is looked up by exact case"
    WRONG_ANSWER = "a wrong signature is a 500 or a 200, or the right one is logged"


class Group(StrEnum):
    """What kind of attack it is."""

    HEADER = "header"
    ENCODING = "encoding"
    PARTIAL = "partial"
    KEY = "key"
    ALGORITHM = "algorithm"
    BODY = "body"
    PARSER = "parser"
    METHOD = "method"
    WAY_ROUND = "way-round"


class Sender(Protocol):
    """Knows a genuine key, and makes events that are each another one."""

    @property
    def key(self) -> str:
        """The genuine one."""

    @property
    def other_key(self) -> str:
        """Of the same form, and never configured anywhere."""

    def envelope(self, **fields: Any) -> dict[str, Any]:
        """An envelope with text outside ASCII in it; ``fields`` replace its members."""

    def body(self, **fields: Any) -> bytes:
        """The same as compact JSON in UTF-8."""

    def signature(self, body: bytes, key: str | bytes) -> str:
        """The header's value that the holder of ``key`` sends with ``body``."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. ``path`` is None for the endpoint's own; ``query`` goes behind the endpoint's own query."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    path: str | None = None
    query: str = ""

    @property
    def claims(self) -> bool:
        """Whether it carries a well-formed signature, as Dastra does or somebody who imitates it."""
        return claims_signature([value for name, value in self.headers if name.lower() == NAME.lower()])

    @property
    def unusual(self) -> bool:
        """Whether a platform may refuse it before any function sees it, in words of its own."""
        return (
            self.method not in _PLAIN_METHODS
            or self.path is not None
            or any(not value.isascii() or not value.isprintable() for _, value in self.headers)
            or sum(len(name) + len(value) for name, value in self.headers) > _HEADER_BYTES
        )


@dataclass(frozen=True, slots=True)
class Attack:
    """A request that must be refused with ``status``. ``stands_for`` says which fault it would find."""

    name: str
    group: Group
    stands_for: str
    make: Callable[[Sender], Sent]
    status: int = 401
    last_wins: bool = False
    """Whether it is genuine to a front that hands on the last of several headers of one name, and no other."""

    def alarms(self, sender: Sender) -> bool:
        """Whether this receiver tells somebody: of a well-formed signature, but not of one beside a wrong method."""
        return self.status != METHOD_NOT_ALLOWED.status and self.make(sender).claims


Change = Callable[[str], str]
"""Makes another header value of the right one."""


def signed(sender: Sender, body: bytes | None = None, *extra: tuple[str, str], **changes: Any) -> Sent:
    """A genuine request, unless a change makes it another."""
    body = sender.body() if body is None else body
    return Sent(body, (JSON, (NAME, sender.signature(body, sender.key)), *extra), **changes)


def forged(sender: Sender, key: str | bytes, body: bytes | None = None, **changes: Any) -> Sent:
    """A request signed with another key."""
    body = sender.body() if body is None else body
    return Sent(body, (JSON, (NAME, sender.signature(body, key))), **changes)


def unsigned(sender: Sender, body: bytes | None = None, *extra: tuple[str, str], **changes: Any) -> Sent:
    """A request without a signature."""
    return Sent(sender.body() if body is None else body, (JSON, *extra), **changes)


def with_header(change: Change) -> Callable[[Sender], Sent]:
    """A request whose signature is changed from the right value."""
    return partial(_with_headers, (change,), (NAME,))


def with_headers(*changes: Change, names: tuple[str, ...] = ()) -> Callable[[Sender], Sent]:
    """A request with several signature headers, each changed from the right value."""
    return partial(_with_headers, changes, names or (NAME,) * len(changes))


def _with_headers(changes: Iterable[Change], names: Iterable[str], sender: Sender) -> Sent:
    body = sender.body()
    right = sender.signature(body, sender.key)
    return Sent(body, (JSON, *((name, change(right)) for name, change in zip(names, changes, strict=True))))


def with_body(
    change: Callable[[bytes], bytes], original: Callable[[Sender], bytes] | None = None
) -> Callable[[Sender], Sent]:
    """A request whose body was changed after it was signed."""

    def make(sender: Sender) -> Sent:
        body = sender.body() if original is None else original(sender)
        changed = change(body)
        if changed == body:
            raise ValueError("the change changes nothing")
        return Sent(changed, (JSON, (NAME, sender.signature(body, sender.key))))

    return make


def as_is(value: str) -> str:
    """The right value."""
    return value


def wrong(value: str) -> str:
    """Another value that is well formed."""
    return base64.b64encode(hashlib.sha256(value.encode()).digest()).decode()


def text(value: str) -> Change:
    """This value, whatever the right one is."""
    return lambda _: value


def digest(value: str) -> bytes:
    """The 32 bytes of a header's value."""
    return base64.b64decode(value)


def encoded(value: bytes) -> str:
    """A header's value for these bytes."""
    return base64.b64encode(value).decode()


def hmac_of(body: bytes, key: str | bytes, name: str = "sha256") -> bytes:
    """An HMAC with any hash."""
    return hmac.digest(key.encode() if isinstance(key, str) else key, body, name)
