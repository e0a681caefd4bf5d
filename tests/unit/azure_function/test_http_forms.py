"""How a request arrives in the two forms of the HTTP function, and what they make of it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final

import pytest
from azure.functions import HttpRequest as ClassicRequest
from starlette.requests import Request as WebRequest

from azure_function import classic, streaming
from azure_function.telemetry import RECEIVER, AzureLog
from azure_function.webhook import Webhook
from cli.local.azure_front import classic_request, seen, web_request
from core.http import ACCEPTED, METHOD_NOT_ALLOWED, Request, Response
from core.settings import Settings
from tests.unit import samples

SETTINGS: Final = Settings(
    queue="q", store="s", signature_keys=(samples.KEY,), max_body_bytes=1000, time_budget_seconds=0.5
)


class Recording:
    """Stands where the receiver is, and remembers what it got."""

    def __init__(self, answer: Response = ACCEPTED) -> None:
        self.requests: list[Request] = []
        self._answer = answer

    def receive(self, request: Request) -> Response:
        self.requests.append(request)
        return self._answer


def webhook(receiver: Recording, *, started_at: float | None = None, **changes: Any) -> Webhook:
    """The shared part, with a receiver that records."""
    settings = dataclasses.replace(SETTINGS, **changes)
    return Webhook(receiver, settings, AzureLog(RECEIVER), 2, started_at)  # type: ignore[arg-type]


def stream(
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = (),
    messages: Sequence[dict[str, Any]] = (),
    *,
    waits: float = 0.0,
) -> WebRequest:
    """A request whose body comes as the server's messages; after them it waits, then the client is gone."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop(0)
        await asyncio.sleep(waits)
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": method, "path": "/api/receive", "headers": list(headers), "query_string": b""}
    return WebRequest(scope, receive)


async def _next(request: WebRequest) -> Any:
    return await request.receive()


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    """A part of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


def received(request: WebRequest, **changes: Any) -> Request:
    """What the receiver gets of a request."""
    recording = Recording()
    hook = webhook(recording, **changes)
    asyncio.run(streaming.function(hook)(request))
    hook.close()
    (found,) = recording.requests
    return found


TRACE: Final = f"00-{'5f' * 16}-{'7a' * 8}-01"
CONTEXTS: Final = [
    (SimpleNamespace(trace_context=SimpleNamespace(trace_parent=TRACE)), TRACE),
    *(
        (SimpleNamespace(trace_context=SimpleNamespace(trace_parent=bad)), None)
        for bad in ("", "x", None, 5, b"x", TRACE.upper(), f"{TRACE}\n")
    ),
    (SimpleNamespace(trace_context=None), None),
    (SimpleNamespace(), None),
    (None, None),
]


@pytest.mark.parametrize(("context", "expected"), CONTEXTS)
def test_both_forms_pass_the_invocations_trace_on(context: Any, expected: str | None) -> None:
    """What the host says about it, where it has the form; nothing else, and never an error."""
    recording = Recording()
    hook = webhook(recording)
    asyncio.run(streaming.function(hook)(stream(messages=[piece(b"x", more=False)]), context))
    asyncio.run(streaming.function(hook)(stream(headers=[(b"content-length", b"1200")]), context))
    given = classic_request("POST", "/api/receive", seen((), None, size=1, chunked=False), b"x")
    asyncio.run(classic.function(hook, AzureLog(RECEIVER))(given, context))
    hook.close()
    assert [request.trace for request in recording.requests] == [expected] * 3


@pytest.mark.parametrize("pieces", [[b"whole"], [b"wh", b"ole"], [b"", b"whole", b""], [b"w", b"h", b"o", b"l", b"e"]])
def test_a_body_arrives_whole_however_it_comes(pieces: list[bytes]) -> None:
    """In one piece or many, with or without a length."""
    messages = [piece(part, more=number + 1 < len(pieces)) for number, part in enumerate(pieces)]
    for headers in ([(b"content-length", b"5")], [(b"transfer-encoding", b"chunked")], []):
        assert received(stream(headers=headers, messages=messages)).body == b"whole"


def test_a_body_declared_too_large_is_not_read_into_memory() -> None:
    """Its length is told, its bytes are read past so that the sender hears the answer, and kept nowhere."""
    request = stream(
        headers=[(b"content-length", b"1200")],
        messages=[piece(b"x" * 600), piece(b"x" * 600, more=False), piece(b"next")],
    )
    found = received(request)
    assert (found.body, found.length) == (b"", 1200)
    # Read to the end of this request and not beyond it.
    assert asyncio.run(_next(request)) == piece(b"next")


def test_a_body_that_grows_too_large_is_dropped_at_the_limit() -> None:
    """Of a chunked one no more than the limit is ever held."""
    found = received(stream(messages=[piece(b"x" * 600), piece(b"x" * 600), piece(b"x", more=False)]))
    assert (found.body, found.length) == (b"", 1200)
    exact = received(stream(messages=[piece(b"x" * 600), piece(b"x" * 400, more=False)]))
    assert (len(exact.body), exact.length) == (1000, None)


def test_a_body_that_does_not_arrive_is_refused_in_time() -> None:
    """A sender that stops half-way, or goes away, gets what a wrong signature gets, once the budget is over."""
    started = time.monotonic()
    assert received(stream(messages=[piece(b"half")], waits=30)).body == b"half"
    assert time.monotonic() - started < 5
    assert received(stream(messages=[piece(b"half")])).body == b"half"


@pytest.mark.parametrize("text", [b"-1", b"1e9", b"", b" 5", b"\xb2", b"9" * 40])
def test_a_length_that_is_none_is_ignored(text: bytes) -> None:
    """The server below decides what it reads; nothing raises here."""
    assert received(stream(headers=[(b"content-length", text)], messages=[piece(b"body", more=False)])).body == b"body"


def test_only_a_post_has_its_body_read() -> None:
    """Of others only the method counts."""
    assert received(stream("PUT", messages=[piece(b"body", more=False)])).body == b""


def test_headers_keep_their_bytes_and_their_duplicates() -> None:
    """As they came, also outside ASCII, where text is one character for each byte."""
    found = received(stream(headers=[(b"X-A", b"1"), (b"x-a", b"\xc3\xa9")]))
    assert found.headers.get_all("x-a") == ("1", "\xc3\xa9")


@pytest.mark.parametrize(
    ("forwarded", "hops", "expected"),
    [
        ("192.0.2.44:51234", 1, "192.0.2.44"),
        ("203.0.113.1, 192.0.2.44:51234", 1, "192.0.2.44"),
        ("203.0.113.1,192.0.2.44", 1, "192.0.2.44"),
        ("[2001:db8::1]:443", 1, "2001:db8::1"),
        ("2001:db8::1", 1, "2001:db8::1"),
        ("[::ffff:192.0.2.44]:443", 1, "192.0.2.44"),
        ("203.0.113.1, 192.0.2.44, 198.51.100.9:1024", 2, "192.0.2.44"),
        ("192.0.2.44:51234", 2, None),
        ("AFD:49828", 1, None),
        ("", 1, None),
    ],
)
def test_the_client_is_whom_the_platform_saw(forwarded: str, hops: int, expected: str | None) -> None:
    """The last element without its port; behind Front Door the one before it; never one that the caller wrote."""
    headers = [
        (b"x-forwarded-for", forwarded.encode()),
        (b"x-azure-clientip", b"203.0.113.7"),
        (b"client-ip", b"203.0.113.8:1"),
    ]
    assert received(stream(headers=headers), trusted_proxy_hops=hops).source == expected


def test_without_the_header_the_client_is_unknown() -> None:
    """And unknown is not on the list."""
    assert received(stream()).source is None


def test_the_first_request_has_waited_since_the_start() -> None:
    """The request for which an instance was started counts from then; one that comes later counts from its arrival."""
    recording = Recording()
    hook = webhook(recording, started_at=time.time() - 3)
    now = time.time()
    assert hook.request("POST", [], b"", now).received_at == pytest.approx(now - 3, abs=0.5)
    assert hook.request("POST", [], b"", now + 60).received_at == pytest.approx(now + 60)
    hook.close()


def test_an_answer_keeps_its_status_headers_and_body() -> None:
    """In both forms, one header per name."""
    recording = Recording(METHOD_NOT_ALLOWED)
    hook = webhook(recording)
    web = asyncio.run(streaming.function(hook)(stream("GET")))
    old = asyncio.run(classic.function(hook, AzureLog(RECEIVER))(classic_request("GET", "/api/x", [], b"")))
    hook.close()
    for status, body, headers in (
        (web.status_code, web.body, dict(web.headers)),
        (old.status_code, old.get_body(), dict(old.headers)),
    ):
        assert (status, body) == (405, METHOD_NOT_ALLOWED.body)
        lowered = {name.lower(): value for name, value in headers.items()}
        assert {name.lower(): value for name, value in METHOD_NOT_ALLOWED.headers}.items() <= lowered.items()


# -- the classic form --------------------------------------------------------------------------------------------------


def classic_outcome(request: ClassicRequest, caplog: pytest.LogCaptureFixture) -> tuple[int, list[Request], list[str]]:
    """Status, what the receiver got, and the names of the events that were logged."""
    recording = Recording()
    hook = webhook(recording)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        response = asyncio.run(classic.function(hook, AzureLog(RECEIVER))(request))
    hook.close()
    return response.status_code, recording.requests, [record.getMessage() for record in caplog.records]


def test_a_classic_request_with_a_length_is_received(caplog: pytest.LogCaptureFixture) -> None:
    """Method, headers, address and bytes."""
    headers = seen([("X-A", "1")], "192.0.2.44", size=4, chunked=False)
    status, (request,), _ = classic_outcome(classic_request("POST", "/api/receive", headers, b"body"), caplog)
    assert (status, request.method, request.body, request.source) == (200, "POST", b"body", "192.0.2.44")


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "http2"])
def test_an_event_that_lost_its_body_is_told_apart(caplog: pytest.LogCaptureFixture, chunked: bool) -> None:
    """No body, no length and a well-formed signature: 401, an alarm of its own, and no question to the secret store."""
    pairs = seen([("Dastra-Signature", samples.signature(b"body"))], "192.0.2.44", size=4, chunked=chunked)
    headers = [(name, value) for name, value in pairs if name != "content-length"]
    status, requests, (line,) = classic_outcome(classic_request("POST", "/api/receive", headers, b""), caplog)
    assert (status, requests) == (401, [])
    assert '"message":"body_not_received"' in line
    assert '"level":"ERROR"' in line


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("dastra-signature", samples.signature(b""))], b""),
        ([("transfer-encoding", "chunked")], b""),
        ([("transfer-encoding", "chunked"), ("dastra-signature", "x")], b""),
    ],
    ids=["empty-with-length", "unsigned", "malformed"],
)
def test_other_empty_bodies_go_the_usual_way(
    caplog: pytest.LogCaptureFixture, headers: list[tuple[str, str]], body: bytes
) -> None:
    """A signed empty body is a body, and a scanner's is no event."""
    length = [] if ("transfer-encoding", "chunked") in headers else [("content-length", "0")]
    _, requests, _ = classic_outcome(classic_request("POST", "/api/receive", [*headers, *length], body), caplog)
    assert len(requests) == 1


# -- the worker's web half ---------------------------------------------------------------------------------------------


class Coordinator:
    """As the worker's: it waits without end and forgets nothing."""

    def __init__(self) -> None:
        self._context_references: dict[str, object] = {}
        self.arrives = asyncio.Event()

    async def get_http_request_async(self, invocation_id: str) -> str:
        self._context_references[invocation_id] = object()
        await self.arrives.wait()
        return "request"

    async def await_http_response_async(self, invocation_id: str) -> str:
        self._context_references.setdefault(invocation_id, object())
        return "answer"


def test_the_workers_waits_get_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never comes fails its invocation, and nothing of an answered one is remembered."""

    async def run() -> None:
        coordinator = Coordinator()
        monkeypatch.setitem(
            sys.modules, "azure_functions_runtime.http_v2", SimpleNamespace(http_coordinator=coordinator)
        )
        monkeypatch.setattr(streaming, "ARRIVAL_SECONDS", 0.05)
        assert streaming.bound_the_worker()
        with pytest.raises(TimeoutError, match="did not pass the request on"):
            await coordinator.get_http_request_async("never")
        coordinator.arrives.set()
        assert await coordinator.get_http_request_async("one") == "request"
        assert await coordinator.await_http_response_async("one") == "answer"
        await asyncio.sleep(1.2)
        assert not coordinator._context_references

    asyncio.run(run())


@pytest.mark.parametrize("worker", [None, SimpleNamespace(), SimpleNamespace(http_coordinator=SimpleNamespace())])
def test_another_worker_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, worker: Any) -> None:
    """Where the worker is not the one that is known, nothing is touched and nothing fails."""
    if worker is None:
        monkeypatch.delitem(sys.modules, "azure_functions_runtime.http_v2", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "azure_functions_runtime.http_v2", worker)
    assert not streaming.bound_the_worker()


def test_the_web_app_answers_when_the_worker_fails() -> None:
    """An endpoint that raises is a plain 500, without a word about why."""
    sent: list[dict[str, Any]] = []

    async def endpoint(_: WebRequest) -> Any:
        raise LookupError("planted text")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app = streaming.WebApp()
    app.route(endpoint)
    request = web_request("POST", "/api/receive", [], b"")
    asyncio.run(app.get_app()(request.scope, request.receive, send))
    assert [message.get("status") for message in sent] == [500, None]
    assert b"planted" not in b"".join(message.get("body", b"") for message in sent)


def test_what_comes_after_the_first_answer_is_done_once_and_aside() -> None:
    """The first answer does not wait for it, and no later one starts it again."""
    begun, may_end = threading.Event(), threading.Event()
    times: list[int] = []

    def afterwards() -> None:
        times.append(1)
        begun.set()
        assert may_end.wait(30)

    hook = Webhook(Recording(), SETTINGS, AzureLog(RECEIVER), 2, None, afterwards)  # type: ignore[arg-type]
    request = hook.request("POST", [], b"", time.time())
    assert not times
    assert asyncio.run(hook.answer(request)) is ACCEPTED
    assert begun.wait(30)
    assert asyncio.run(hook.answer(request)) is ACCEPTED
    may_end.set()
    hook.close()
    assert times == [1]
