"""The client of Dastra's API against the stand-in: every answer becomes a value or an error in words."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from cli.dastra import transport
from cli.dastra.access import ApiKey, check_api_url
from cli.dastra.client import DastraApi
from cli.dastra.errors import DastraError, GoneError, UnsureError
from cli.exits import CliError, Exit
from tests import planted
from tests.dastra.standin import API_KEY, Manner, Right, StandIn
from tests.dastra.troubles import Kind
from tests.dastra.wire import Reply, Request

HOOKS = r"/v1/WebHookUrls"
RECEIVER = "https://hooks.example.org/dastra"


@pytest.fixture
def dastra() -> Iterator[StandIn]:
    """An account."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def slept() -> list[float]:
    """The pauses that the client made, in seconds; none of them was really made."""
    return []


@pytest.fixture
def api(dastra: StandIn, slept: list[float]) -> Iterator[DastraApi]:
    """The account's API."""
    with DastraApi(dastra.url, ApiKey(API_KEY), sleep=slept.append) as opened:
        yield opened


def failing(call: Callable[[], object], kind: type[DastraError] = DastraError) -> DastraError:
    """The error of a call, whose text must not hold anything planted."""
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert planted.found_in(f"{error.message}\n{error.hint}\n{error!r}") == []
    return error


def test_a_webhook_through_its_life(api: DastraApi, dastra: StandIn) -> None:
    """Created without events, subscribed, read, listed, deleted: what Dastra holds is what was asked."""
    made = api.create_webhook(RECEIVER, 7)
    assert made.signature_key is not None
    assert (made.events, made.workspace_id, made.errors, made.blocked) == ((), 7, 0, False)
    api.subscribe(made, ("TaskCreation", "TaskEdit"))
    [held] = dastra.hooks.values()
    assert (held.url, held.workspace, held.events) == (RECEIVER, 7, ["TaskCreation", "TaskEdit"])
    assert api.webhook(made.id).events == ("TaskCreation", "TaskEdit")
    assert [hook.id for hook in api.webhooks(7)] == [made.id]
    assert api.webhooks(8) == []
    assert api.delete_webhook(made.id) is True
    assert api.delete_webhook(made.id) is False
    failing(lambda: api.webhook(made.id), GoneError)


def test_lists_come_bare_or_in_pages(api: DastraApi, dastra: StandIn) -> None:
    """A list in pages of two is read to its end, and is the same as the bare array."""
    for _ in range(5):
        dastra.add(RECEIVER)
    bare = api.webhooks()
    dastra.manner = Manner(pages=2)
    assert [hook.id for hook in api.webhooks()] == [hook.id for hook in bare] == list(dastra.hooks)


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [({"Retry-After": "7"}, 7, 7), ({"Retry-After": "soon"}, 0.5, 2), ({}, 0.5, 2)],
    ids=["seconds", "unreadable", "absent"],
)
def test_429_waits_as_asked(
    api: DastraApi, dastra: StandIn, slept: list[float], asked: dict[str, str], least: float, most: float
) -> None:
    """After 429 the client waits as long as Retry-After says, else for its own pause, and asks again; a POST too."""
    dastra.trouble(Kind.STATUS, status=429, headers=asked)
    assert api.create_webhook(RECEIVER, 1).id in dastra.hooks
    assert len(dastra.hooks) == 1
    assert len(slept) == 1
    assert least <= slept[0] <= most


def test_429_with_a_date(api: DastraApi, dastra: StandIn, slept: list[float]) -> None:
    """Retry-After may be an HTTP date, as RFC 9110 has it."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    dastra.trouble(Kind.STATUS, status=429, headers={"Retry-After": date})
    assert api.webhooks() == []
    assert 25 < slept[0] <= 30


def test_a_wait_too_long_is_not_waited_for(api: DastraApi, dastra: StandIn, slept: list[float]) -> None:
    """A Retry-After of an hour ends the call, with its length in the message."""
    dastra.trouble(Kind.STATUS, status=429, headers={"Retry-After": "3600"})
    assert "3600 s" in failing(api.webhooks).message
    assert slept == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_tries_have_an_end(api: DastraApi, dastra: StandIn, slept: list[float], status: int) -> None:
    """A server that never recovers is asked four times."""
    dastra.trouble(Kind.STATUS, status=status, times=99)
    error = failing(api.webhooks)
    assert (error.status, error.code) == (status, Exit.UNREACHABLE)
    assert len(dastra.requests) == 4
    assert len(slept) == 3


@pytest.mark.parametrize(
    ("kind", "status"),
    [(Kind.RESET, 0), (Kind.LOST, 0), (Kind.HALF, 0), *((Kind.STATUS, status) for status in (500, 502, 503, 504))],
)
def test_what_may_be_done_twice_is_tried_again(api: DastraApi, dastra: StandIn, kind: Kind, status: int) -> None:
    """Reading, changing and deleting survive a reset before and after the work, half an answer, a server's error."""
    made = api.create_webhook(RECEIVER, 1)
    held = dastra.hooks[int(made.id)]

    def befall() -> int:
        dastra.trouble(kind, status=status)
        return len(dastra.requests) + 2

    expected = befall()
    assert api.webhook(made.id).url == RECEIVER
    assert len(dastra.requests) == expected
    expected = befall()
    api.subscribe(made, ("TaskEdit",))
    assert held.events == ["TaskEdit"]
    assert len(dastra.requests) == expected
    expected = befall()
    api.delete_webhook(made.id)
    assert dastra.hooks == {}
    assert len(dastra.requests) == expected


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.LOST, Kind.HALF, Kind.STATUS])
def test_a_creation_is_never_repeated_blindly(api: DastraApi, dastra: StandIn, kind: Kind) -> None:
    """Where it is not known whether a webhook was made, the call says so after one request."""
    dastra.trouble(kind, "POST")
    error = failing(lambda: api.create_webhook(RECEIVER, 1), UnsureError)
    assert "may have been done" in error.message
    assert dastra.calls("POST") == [f"POST {HOOKS}"]
    assert len(dastra.hooks) == (kind in (Kind.LOST, Kind.HALF))


def test_nobody_there(slept: list[float]) -> None:
    """Without a connection nothing was done, a creation neither: it is tried again, and the error says why."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with DastraApi(url, ApiKey(API_KEY), sleep=slept.append) as api:
            error = failing(lambda: api.create_webhook(RECEIVER, 1))
    assert not isinstance(error, UnsureError)
    assert "connection refused" in error.message
    assert len(slept) == 3


@pytest.mark.parametrize("kind", [Kind.DRIP, Kind.SLOW])
def test_slow_answers_have_an_end(dastra: StandIn, slept: list[float], kind: Kind) -> None:
    """An answer that drips or comes too late ends in an error: the whole time counts, not the pause between bytes."""
    dastra.trouble(kind, seconds=30, times=99)
    with DastraApi(dastra.url, ApiKey(API_KEY), seconds=0.2, sleep=slept.append) as api:
        began = time.monotonic()
        assert "longer than 0.2 s" in failing(api.webhooks).message
        assert "may have been done" in failing(lambda: api.create_webhook(RECEIVER, 1), UnsureError).message
        assert time.monotonic() - began < 10
        dastra.wire.troubles.clear()
        assert len(api.webhooks()) == 1


@pytest.mark.parametrize(
    ("kind", "said"), [(Kind.CUT, "no JSON"), (Kind.PAGE, "a web page (200), not by the API")], ids=["cut", "page"]
)
def test_answers_that_are_none(api: DastraApi, dastra: StandIn, kind: Kind, said: str) -> None:
    """JSON that is cut and a proxy's web page are errors that say so, and nothing of them is quoted."""
    dastra.add(RECEIVER)
    dastra.trouble(kind)
    assert said in failing(api.webhooks).message


@pytest.mark.parametrize("value", [{}, {"items": 3}, 7, "text", [{"url": "x"}], ["x"], [None]])
def test_json_of_another_form(api: DastraApi, dastra: StandIn, value: object) -> None:
    """JSON that is no list of webhooks is an error and never a crash."""
    dastra.trouble(Kind.STATUS, status=200, value=value)
    failing(api.webhooks)


def test_an_answer_without_end(api: DastraApi, dastra: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the client holds in memory ends the call."""
    monkeypatch.setattr(transport, "_MOST_BYTES", 1024 * 1024)
    dastra.trouble(Kind.STATUS, status=200, value=["x" * 1_100_000])
    assert "more than 1 MiB" in failing(api.webhooks).message


def test_a_key_that_dastra_does_not_know(dastra: StandIn) -> None:
    """401 says that the key is unknown and who makes keys, and has an exit code of its own."""
    with DastraApi(dastra.url, ApiKey(planted.key("dprv-another-invented-key"))) as api:
        error = failing(api.webhooks)
    assert error.code is Exit.REFUSED
    assert "does not know this API key" in error.message
    assert "owners" in error.hint
    assert len(dastra.requests) == 1


@pytest.mark.parametrize(
    ("verb", "lacks"),
    [("GET", "read webhooks"), ("POST", "create webhooks"), ("PUT", "change webhooks"), ("DELETE", "delete webhooks")],
)
def test_a_key_that_may_not(api: DastraApi, dastra: StandIn, verb: str, lacks: str) -> None:
    """403 says which permission the key lacks, and that a key may be another workspace's."""
    hook = api.create_webhook(RECEIVER, 1)
    dastra.rights[API_KEY] = Right(frozenset({"GET", "POST", "PUT", "DELETE"} - {verb}))
    calls: dict[str, Callable[[], object]] = {
        "GET": api.webhooks,
        "POST": lambda: api.create_webhook(RECEIVER, 1),
        "PUT": lambda: api.subscribe(hook, ()),
        "DELETE": lambda: api.delete_webhook(hook.id),
    }
    error = failing(calls[verb])
    assert error.code is Exit.REFUSED
    assert lacks in error.message
    assert "workspace" in error.hint


def test_a_redirect_is_not_followed(api: DastraApi, dastra: StandIn) -> None:
    """The key does not go where an answer points to."""
    dastra.trouble(Kind.STATUS, status=302, headers={"Location": f"{dastra.url}/elsewhere"})
    assert "redirected (302)" in failing(api.webhooks).message
    assert dastra.calls(path="/elsewhere") == []


def test_a_refusal_names_the_fields(api: DastraApi, dastra: StandIn) -> None:
    """Of a problem report the title and the names of the fields are shown."""
    hook = api.create_webhook(RECEIVER, 1)
    error = failing(lambda: api.subscribe(hook, ("NoSuchEvent",)))
    assert "400 (One or more validation errors occurred.; fields: subscribedEvents)" in error.message


def test_pages_are_fetched_one_by_one(api: DastraApi, dastra: StandIn) -> None:
    """A reset in the middle of the second page costs a request and no item, and none comes twice; a page is asked for
    when the one before has been used."""  # noqa: D205, D209
    things = list(range(25))
    dastra.route("GET", "/v1/Things", lambda request: Reply(_slice(things, request)))
    dastra.trouble(Kind.HALF, skip=1)
    seen: list[int] = []
    for number, page in enumerate(api.pages("/v1/Things", size=10), 1):
        assert len(dastra.requests) == number + (number > 1)
        seen += page.items
    assert seen == things


@pytest.mark.parametrize("most", [None, 10, 4])
@pytest.mark.parametrize("count", [0, 1, 10, 20, 21])
def test_pages_end(api: DastraApi, dastra: StandIn, count: int, most: int | None) -> None:
    """Lists of every length are read to their end: bare, in pages of the size asked for, and in smaller ones."""
    things = list(range(count))

    def reply(request: Request) -> Reply:
        if most is None:
            return Reply(_slice(things, request))
        number = int(request.one("page") or 1)
        items = things[(number - 1) * most : number * most]
        return Reply({"Items": items, "Total": count, "Size": most, "Page": number})

    dastra.route("GET", "/v1/Things", reply)
    assert [item for page in api.pages("/v1/Things", size=10) for item in page.items] == things
    assert len(dastra.requests) <= count // (most or 10) + 1


def test_a_total_that_promises_too_much(api: DastraApi, dastra: StandIn) -> None:
    """A list whose total never comes ends with the first empty page."""

    def reply(request: Request) -> Reply:
        items = [1, 2] if request.one("page") in (None, "1") else []
        return Reply({"items": items, "total": 99, "size": 2, "page": int(request.one("page") or 1)})

    dastra.route("GET", "/v1/Things", reply)
    assert [page.items for page in api.pages("/v1/Things", size=2)] == [(1, 2), ()]
    assert len(dastra.requests) == 2


def test_a_list_starts_anywhere(api: DastraApi, dastra: StandIn) -> None:
    """A list can be gone on with at a page; parameters go along, lists as repeated names, None not at all."""
    dastra.route("GET", "/v1/Things", lambda request: Reply(_slice(list(range(25)), request)))
    params = {"channels": ["A", "B"], "asc": True, "nothing": None}
    pages = list(api.pages("/v1/Things", params=params, first=3, size=10))
    assert [page.items for page in pages] == [(20, 21, 22, 23, 24)]
    assert dict(dastra.requests[0].query) == {"channels": ["A", "B"], "asc": ["true"], "page": ["3"], "size": ["10"]}


def test_many_at_once(dastra: StandIn) -> None:
    """The client may be used from many threads, and every answer goes to its own question."""
    ids = [dastra.add(f"{RECEIVER}/{number}").id for number in range(16)]
    with DastraApi(dastra.url, ApiKey(API_KEY)) as api, ThreadPoolExecutor(16) as pool:
        assert [hook.id for hook in pool.map(api.webhook, ids)] == ids


def test_long_waits_are_told(dastra: StandIn) -> None:
    """Whoever watches hears of a pause before it is made, and why."""
    told: list[tuple[float, str]] = []
    dastra.trouble(Kind.STATUS, status=503, headers={"Retry-After": "9"})
    wait: Callable[[float], None] = lambda seconds: told.append((seconds, "slept"))  # noqa: E731
    with DastraApi(dastra.url, ApiKey(API_KEY), on_wait=lambda *said: told.append(said), sleep=wait) as api:
        api.webhooks()
    assert told == [(9.0, "Dastra answered 503"), (9.0, "slept")]


def test_ids_with_signs_stay_in_their_place(api: DastraApi, dastra: StandIn) -> None:
    """An id or an event type cannot change the path or the query."""
    failing(lambda: api.webhook("1/../../x?y#z"), GoneError)
    assert re.fullmatch(r"GET /v1/WebHookUrls/1%2F\.\.%2F\.\.%2Fx%3Fy%23z", dastra.calls()[0])


@pytest.mark.parametrize("url", ["http://api.dastra.eu", "ftp://x", "api.dastra.eu", "https://", "http://192.0.2.1:8"])
def test_the_key_goes_nowhere_in_clear(url: str) -> None:
    """An address that is none, or that would send the key in clear, is refused before anything is sent."""
    with pytest.raises(CliError) as caught:
        check_api_url(url)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize("text", ["", " ", "two words", "line\nfeed", "ümlaut", "x" * 5000])
def test_a_key_is_one_plain_word(text: str) -> None:
    """What cannot stand in a header is refused without being repeated; white space around a key is not part of it."""
    with pytest.raises(ValueError, match="plain characters") as caught:
        ApiKey(text)
    assert text.strip() == "" or text not in str(caught.value)
    key = ApiKey(f" {API_KEY}\n")
    assert key.reveal() == API_KEY
    assert API_KEY not in repr(key)


def _slice(things: list[Any], request: Request) -> list[Any]:
    number, size = int(request.one("page") or 1), int(request.one("size") or 20)
    return things[(number - 1) * size : number * size]
