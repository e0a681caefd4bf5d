"""The check of the webhooks, against a real server with every fault that it can have at the wire."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import trustme

from core.api import MOST_BYTES
from core.log import WEBHOOK_BLOCKED, WEBHOOK_CHECK, WEBHOOK_CHECK_FAILED, WEBHOOK_ERRORS, Value
from core.ports import PortError
from core.watch import Watch, WatchReport, read_api_key
from core.watch_settings import WatchSettings
from tests import planted
from tests.fakes import RecordingLog
from tests.unit.api_stub import (
    API_KEY,
    ApiStub,
    answers,
    api_stub,
    drips,
    drips_its_body,
    pours,
    raw,
    resets,
    says_nothing,
    webhook,
)

QUICK: Final = 0.2
"""Seconds for one request, where the server does not answer."""
WELL: Final = [webhook(1), webhook(2)]


@pytest.fixture
def api() -> Iterator[ApiStub]:
    """The stand-in for Dastra's API."""
    with api_stub() as stub:
        yield stub


def watch(
    api: ApiStub | str,
    log: RecordingLog,
    *,
    seconds: float = 5.0,
    secret: Callable[[float], str] = lambda _: API_KEY,
    **settings: Any,
) -> Watch:
    """A check that asks the stand-in; it does not pause before the second attempt."""
    url = api if isinstance(api, str) else api.url
    return Watch(WatchSettings("secret", url, **settings), secret, log, seconds, sleep=lambda _: None)


def told(log: RecordingLog) -> list[tuple[str, dict[str, Value]]]:
    """The lines by the names of their events."""
    return [(event.name, dict(fields)) for event, fields in log.lines]


def failure(api: ApiStub | str, **options: Any) -> dict[str, Value]:
    """The one line of a check that could not read."""
    log = RecordingLog()
    report = watch(api, log, **options).run()
    [(event, fields)] = log.lines
    assert event is WEBHOOK_CHECK_FAILED
    assert report == WatchReport(failed=str(fields["error"]))
    assert not planted.found_in(repr(log.lines))
    return dict(fields)


# What is found


def test_webhooks_without_errors_are_well(api: ApiStub) -> None:
    """One line, with three numbers: the gauges of the alarms."""
    api.has(*WELL)
    log = RecordingLog()
    assert watch(api, log).run() == WatchReport(webhooks=2)
    assert told(log) == [("webhook_check", {"count": 2, "errors": 0, "blocked": 0})]


def test_one_error_is_told_with_its_webhook(api: ApiStub) -> None:
    """A line for each that has any, and the highest count in the gauge."""
    api.has(webhook(1, 2), webhook(2), webhook(3, 1))
    log = RecordingLog()
    assert watch(api, log).run() == WatchReport(webhooks=3, errors=2)
    assert told(log) == [
        ("webhook_errors", {"webhook_id": "1", "errors": 2}),
        ("webhook_errors", {"webhook_id": "3", "errors": 1}),
        ("webhook_check", {"count": 3, "errors": 2, "blocked": 0}),
    ]


@pytest.mark.parametrize("errors", [0, 6])
def test_a_block_is_told_whatever_the_count_is(api: ApiStub, errors: int) -> None:
    """``inError`` says it; nobody knows whether the count is kept."""
    api.has(webhook(1), webhook(2, errors, blocked=True))
    log = RecordingLog()
    assert watch(api, log).run() == WatchReport(webhooks=2, errors=errors, blocked=1)
    assert told(log) == [
        ("webhook_blocked", {"webhook_id": "2", "errors": errors}),
        ("webhook_check", {"count": 2, "errors": errors, "blocked": 1}),
    ]


@pytest.mark.parametrize(("errors", "blocked"), [(4, 0), (5, 1), (6, 1)])
def test_as_many_errors_as_a_block_takes_count_as_one(api: ApiStub, errors: int, blocked: int) -> None:
    """Also where ``inError`` does not say so yet: the fifth or the sixth, nobody knows."""
    api.has(webhook(1, errors))
    assert watch(api, RecordingLog()).run() == WatchReport(webhooks=1, errors=errors, blocked=blocked)


def test_what_is_told_has_the_levels_of_its_gravity() -> None:
    """A block is as bad as a lost event: from then on every event is one."""
    events = (WEBHOOK_BLOCKED, WEBHOOK_CHECK_FAILED, WEBHOOK_ERRORS, WEBHOOK_CHECK)
    assert [event.level.value for event in events] == ["CRITICAL", "ERROR", "WARNING", "INFO"]


def test_nothing_else_of_the_answer_is_told(api: ApiStub) -> None:
    """Neither keys, nor URLs, nor Dastra's own message."""
    api.has(webhook(1, 3), webhook(2, 5, blocked=True))
    log = RecordingLog()
    check = watch(api, log)
    report = check.run()
    for text in (repr(log.lines), repr(report), repr(check.settings)):
        assert not planted.found_in(text)


def test_only_the_named_webhooks_count(api: ApiStub) -> None:
    """An account may have others, for other receivers."""
    api.has(webhook(1, 5, blocked=True), webhook(2), webhook(3, 1))
    log = RecordingLog()
    assert watch(api, log, webhook_ids=("2", "3")).run() == WatchReport(webhooks=2, errors=1)


@pytest.mark.parametrize(
    ("settings", "target"),
    [({}, "/v1/WebHookUrls"), ({"workspace_id": 7}, "/v1/WebHookUrls?workspaceId=7")],
)
def test_one_request_is_made(api: ApiStub, settings: dict[str, Any], target: str) -> None:
    """With the key in the header that Dastra's page names, and nowhere else."""
    watch(api, RecordingLog(), **settings).run()
    [(asked, headers)] = api.asked
    assert asked == target
    assert headers["x-api-key"] == API_KEY
    assert headers["accept"] == "application/json"
    assert [name for name, value in headers.items() if API_KEY in value] == ["x-api-key"]


@pytest.mark.parametrize(
    "body",
    [
        WELL,
        {"items": WELL},
        {"items": WELL, "total": 2, "size": 20, "page": 1},
        {"items": WELL, "total": None},
        [webhook(1, nbErrors="0"), webhook(id_="2", inError="false")],  # type: ignore[arg-type]
    ],
    ids=["bare", "items", "paged", "no total", "texts"],
)
def test_both_forms_of_a_list_are_read(api: ApiStub, body: object) -> None:
    """Dastra's description has one, its other lists the other."""
    api.script[:] = [answers(200, body)]
    assert watch(api, RecordingLog()).run() == WatchReport(webhooks=2)


def test_a_chunked_answer_is_read(api: ApiStub) -> None:
    """As .NET likes to send it."""
    api.script[:] = [
        raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'1\r\n[\r\n26\r\n{"id":1,"nbErrors":0, "inError":false}'
            b"\r\n1\r\n]\r\n0\r\n\r\n"
        )
    ]
    assert watch(api, RecordingLog()).run() == WatchReport(webhooks=1)


# What cannot be read


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
def test_a_refusal_is_told_with_its_status_and_not_repeated(api: ApiStub, status: int) -> None:
    """A wrong key stays wrong, and who is told to wait does not ask again at once."""
    api.script[:] = [answers(status, {"message": planted.MARKER}, ("Retry-After", "60"))]
    assert failure(api) == {"error": f"http_{status}", "during": "api", "status": status}
    assert len(api.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_fault_of_theirs_is_told_once_it_lasts(api: ApiStub, status: int) -> None:
    """It is tried twice."""
    api.script[:] = [answers(status, planted.MARKER.encode())]
    assert failure(api) == {"error": f"http_{status}", "during": "api", "status": status}
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    "first",
    [answers(503), resets, raw(b""), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]"), says_nothing, drips],
    ids=["503", "reset", "closed", "cut", "silent", "dripping"],
)
def test_a_passing_fault_is_none(api: ApiStub, first: Any) -> None:
    """The second attempt reads, and nothing is told of the first."""
    api.script[:] = [first, answers(200, WELL)]
    log = RecordingLog()
    assert watch(api, log, seconds=1.5).run() == WatchReport(webhooks=2)
    assert [name for name, _ in told(log)] == ["webhook_check"]


@pytest.mark.parametrize(
    ("behaviour", "codes"),
    [
        (resets, {"ConnectionResetError", "RemoteDisconnected"}),
        (raw(b""), {"RemoteDisconnected"}),
        (raw(b"planted nonsense\r\n\r\n"), {"BadStatusLine"}),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[]"), {"IncompleteRead"}),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), {"IncompleteRead"}),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n[]"), {"HTTPException"}),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n[]"), {"LineTooLong"}),
    ],
    ids=["reset", "closed", "no HTTP", "cut", "broken chunk", "many headers", "long header"],
)
def test_a_broken_answer_is_told_by_its_fault(api: ApiStub, behaviour: Any, codes: set[str]) -> None:
    """The name of the exception, never its text, which may quote."""
    api.script[:] = [behaviour]
    fields = failure(api)
    assert fields.pop("error") in codes
    assert fields == {"during": "api"}


@pytest.mark.parametrize(
    "behaviour", [says_nothing, drips, drips_its_body], ids=["silent", "dripping", "dripping body"]
)
def test_no_server_holds_a_check_longer_than_its_time(api: ApiStub, behaviour: Any) -> None:
    """Twice the time of one request, whatever comes on the wire; and no thread is left behind."""
    api.script[:] = [behaviour]
    before = threading.active_count()
    started = time.monotonic()
    assert failure(api, seconds=QUICK)["error"] in {"hard_timeout", "timed_out"}
    assert time.monotonic() - started < 2 * QUICK + 10  # without its bound it would never end
    log = RecordingLog()
    check = watch(api, log, seconds=QUICK)
    for _ in range(3):
        check.run()
    assert [fields["error"] for _, fields in log.lines if fields["error"] == "no_free_worker"] == []
    deadline = time.monotonic() + 5
    while threading.active_count() > before + 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before + 4, "one thread for each bound, and the server's own"


@pytest.mark.parametrize(
    "behaviour",
    [
        pours,
        answers(200, b" " * (MOST_BYTES + 1)),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
    ],
    ids=["endless", "too long", "said to be too long"],
)
def test_an_answer_that_is_too_large_is_not_kept(api: ApiStub, behaviour: Any) -> None:
    """Not more of it than the limit is read."""
    api.script[:] = [behaviour]
    assert failure(api) == {"error": "too_large", "during": "api", "status": 200}


def test_an_answer_up_to_the_limit_is_read(api: ApiStub) -> None:
    """To the byte."""
    body = b'[{"id":1,"nbErrors":0,"inError":false}]'
    api.script[:] = [answers(200, body + b" " * (MOST_BYTES - len(body)))]
    assert watch(api, RecordingLog()).run() == WatchReport(webhooks=1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(api: ApiStub, status: int) -> None:
    """The key would go along, to wherever it leads."""
    with api_stub() as elsewhere:
        api.script[:] = [answers(status, b"", ("Location", f"{elsewhere.url}/v1/WebHookUrls"))]
        assert failure(api) == {"error": f"http_{status}", "during": "api", "status": status}
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>planted</html>",
        b"null",
        b"5",
        b'"planted"',
        b"{}",
        b'{"items": null}',
        b'{"items": {}}',
        b"[null]",
        b"[[]]",
        b"[{}]",
        b'[{"id":1,"nbErrors":0}]',
        b'[{"id":1,"inError":false}]',
        b'[{"nbErrors":0,"inError":false}]',
        b'[{"id":null,"nbErrors":0,"inError":false}]',
        b'[{"id":"a b","nbErrors":0,"inError":false}]',
        b'[{"id":1,"nbErrors":null,"inError":false}]',
        b'[{"id":1,"nbErrors":-1,"inError":false}]',
        b'[{"id":1,"nbErrors":1e400,"inError":false}]',
        b'[{"id":1,"nbErrors":' + b"9" * 5000 + b',"inError":false}]',
        b'[{"id":1,"nbErrors":0,"inError":null}]',
        b'[{"id":1,"nbErrors":0,"inError":false},{"id":2}]',
        b"[" * 100_000,
        b"\xff\xfe[\x00",
    ],
    ids=lambda body: ascii(body[:40]),
)
def test_an_answer_of_another_form_is_no_good_news(api: ApiStub, body: bytes) -> None:
    """What cannot be understood must not look like no errors."""
    api.script[:] = [answers(200, body)]
    assert failure(api) == {"error": "malformed", "during": "api"}


def test_a_list_with_a_missing_part_is_no_good_news(api: ApiStub) -> None:
    """The one that is blocked may be on the next page."""
    api.script[:] = [answers(200, {"items": WELL, "total": 3})]
    assert failure(api) == {"error": "list_is_incomplete", "during": "api"}


@pytest.mark.parametrize("body", [[], {"items": []}])
def test_no_webhook_at_all_is_no_good_news(api: ApiStub, body: object) -> None:
    """The key may see another workspace than the webhook's."""
    api.script[:] = [answers(200, body)]
    assert failure(api) == {"error": "no_webhook", "during": "api"}


def test_a_named_webhook_that_is_not_there_is_told(api: ApiStub) -> None:
    """Somebody deleted it, or its number is wrong; the others being well does not hide it."""
    api.has(*WELL)
    assert failure(api, webhook_ids=("9",)) == {"error": "no_webhook", "during": "api"}
    assert failure(api, webhook_ids=("1", "9")) == {"error": "webhook_is_missing", "during": "api"}


def test_nobody_listening_is_told() -> None:
    """Twice refused."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}")["error"] == "ConnectionRefusedError"


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority that nobody knows."""
    return trustme.CA()


def served_by(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """What a server of this name needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_an_unknown_certificate_gets_no_key(authority: trustme.CA) -> None:
    """The handshake ends it, before the request."""
    with api_stub(served_by(authority, "127.0.0.1")) as api:
        assert failure(api) == {"error": "certificate_not_trusted", "during": "api"}
        assert api.asked == []


def test_a_known_certificate_is_trusted_for_its_name_alone(
    authority: trustme.CA, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system's authorities, which the standard library looks up."""
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with api_stub(served_by(authority, "localhost"), "localhost") as api:
        api.has(*WELL)
        assert watch(api, RecordingLog()).run() == WatchReport(webhooks=2)
    with api_stub(served_by(authority, "api.example.org")) as api:
        assert failure(api) == {"error": "certificate_not_trusted", "during": "api"}
        assert api.asked == []


# The key


def test_a_secret_store_that_fails_is_told(api: ApiStub) -> None:
    """With its own code; the API is not asked."""

    def secret(_: float) -> str:
        raise PortError("AccessDeniedException")

    assert failure(api, secret=secret) == {"error": "AccessDeniedException", "during": "key"}
    assert api.asked == []


def test_a_secret_store_that_hangs_holds_no_check(api: ApiStub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its own time."""
    monkeypatch.setattr("core.watch.KEY_SECONDS", 0.2)
    ended = threading.Event()

    def secret(_: float) -> str:
        ended.wait(30)
        return API_KEY

    assert failure(api, secret=secret) == {"error": "hard_timeout", "during": "key"}
    ended.set()


def test_a_fault_of_ours_is_told_too(api: ApiStub) -> None:
    """Whatever is raised: a check that ends without a word would look like one that never ran."""

    def secret(_: float) -> str:
        raise KeyError(API_KEY)

    assert failure(api, secret=secret) == {"error": "KeyError", "during": "check"}


@pytest.mark.parametrize(
    "text",
    [
        API_KEY,
        f" {API_KEY}\n",
        f"\ufeff{API_KEY}",
        f'{{"key": "{API_KEY}"}}',
        f'["{API_KEY}"]',
        f'{{"apiKey": " {API_KEY} "}}\n',
    ],
)
def test_the_key_is_read_in_every_form(text: str) -> None:
    """As consoles and command lines leave it."""
    assert read_api_key(text) == API_KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "two words",
        f"{API_KEY}\r\nX-Other: 1",
        f"{API_KEY}é",
        f"{API_KEY}\x00",
        "x" * 1025,
        "{}",
        "[]",
        '{"a": "x", "b": "y"}',
        '{"a": 5}',
        '{"a": ["x"]}',
        '{"planted"',
        "[" * 100_000,
        '["\\n"]',
        '["a\\nb"]',
    ],
    ids=range(16),
)
def test_what_is_no_key_is_told_without_it(api: ApiStub, text: str) -> None:
    """Nothing of it, and the API is not asked: a header of two lines would be another request."""
    with pytest.raises(ValueError, match=r"^no_usable_key$") as raised:
        read_api_key(text)
    assert raised.value.__cause__ is None
    assert failure(api, secret=lambda _: text) == {"error": "no_usable_key", "during": "key"}
    assert api.asked == []


def test_the_key_is_read_anew_for_each_check(api: ApiStub) -> None:
    """A new one is used within a quarter of an hour."""
    keys = iter((API_KEY, "another-invented-key"))
    check = watch(api, RecordingLog(), secret=lambda _: next(keys))
    check.run()
    check.run()
    assert [headers["x-api-key"] for _, headers in api.asked] == [API_KEY, "another-invented-key"]
