"""Attacks by a way round: methods, queries, paths, and headers that promise that all is well."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from cli.doctor.attacks.base import Attack, Fault, Group, Sender, Sent, forged, signed, unsigned

_METHODS: Final = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post", "Post",
                   "POSTS", "")  # fmt: skip
_QUERIES: Final = ("test=1", "test=true", "debug=1", "skip_signature=true", "validationToken=x", "hub.challenge=1",
                   "_method=GET", "test", "%74est=1", "code=x&clientId=default")  # fmt: skip
_PATHS: Final = ("/", "/test", "/health", "/_local/messages", "/../admin", "//", "/dastra/%2e%2e", "/é",
                 "/dastra?test=1")  # fmt: skip
OVERRIDES: Final = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
PROMISES: Final = {
    "X-Test": "1", "X-Debug": "true", "X-Skip-Signature": "true", "X-Signature-Valid": "true",
    "X-Original-Method": "GET", "X-Original-URL": "/admin", "X-Rewrite-URL": "/admin", "X-Forwarded-Method": "GET",
    "X-Verified": "SUCCESS", "X-Authenticated-User": "dastra", "Authorization": "Bearer x", "X-API-Key": "x",
    "X-Amz-Invocation-Type": "DryRun", "X-Amzn-Lambda-Context": "{}", "X-MS-Client-Principal": "e30=",
    "X-Goog-Authenticated-User-Email": "x", "Dastra-Event": "test", "User-Agent": "Dastra",
    "Expect": "100-continue", "Upgrade": "h2c", "Range": "bytes=0-1", "If-None-Match": "*",
}  # fmt: skip
"""Headers that some framework, platform or receiver believes; each with a value that it would like."""


def way_round_attacks() -> Iterator[Attack]:
    """All of them."""
    method = partial(Attack, group=Group.METHOD, stands_for=Fault.FAILS_OPEN, status=405)
    for name in _METHODS:
        yield method(f"method-{name or 'empty'}", make=partial(signed, method=name))
    yield method("method-GET-unsigned", make=partial(_bare, "GET"))
    yield method("method-OPTIONS-cors", make=partial(_bare, "OPTIONS", ("Access-Control-Request-Method", "POST")))
    for name in OVERRIDES:
        yield method(f"{name}-on-GET", make=partial(_overridden, name))
    of = partial(Attack, group=Group.WAY_ROUND, stands_for=Fault.FAILS_OPEN)
    for query in _QUERIES:
        yield of(f"query-{query}-unsigned", make=partial(unsigned, query=query))
    yield of("query-test-forged", make=_forged_test)
    for path in _PATHS:
        yield of(f"path-{path}-unsigned", make=partial(unsigned, path=path))
    for name, value in PROMISES.items():
        yield of(f"{name}-unsigned", make=partial(_promised, name, value))


def _bare(method: str, *given: Any) -> Sent:
    *extra, sender = given
    return unsigned(sender, b"", *extra, method=method)


def _overridden(name: str, sender: Sender) -> Sent:
    return signed(sender, None, (name, "POST"), method="GET")


def _promised(name: str, value: str, sender: Sender) -> Sent:
    return unsigned(sender, None, (name, value))


def _forged_test(sender: Sender) -> Sent:
    return forged(sender, sender.other_key, query="test=1")
