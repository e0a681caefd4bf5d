"""Dastra's log is read whole, whatever happens to it meanwhile and however the API's open questions are answered."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.dastra.access import ApiKey
from cli.dastra.client import DastraApi
from cli.dastra.errors import DastraError
from cli.dastra.logs import Api, LogQuery, pages
from cli.dastra.pace import Pace
from cli.exits import Exit
from tests.dastra.logs import NOON, Direct, Entry, Log, LogManner, LongLog, entry, stamp
from tests.dastra.standin import API_KEY, StandIn
from tests.dastra.troubles import Kind

QUERY = LogQuery(NOON, NOON + timedelta(hours=1), ("DataSubjectCreation",), 1)
MANNERS = {
    "as described": LogManner(),
    "start excluded": LogManner(start_included=False),
    "end excluded": LogManner(end_included=False),
    "small pages": LogManner(most=7),
    "with items": LogManner(items=True),
    "by whole days": LogManner(whole_days=True),
    "newest first": LogManner(keeps_order=False),
    "newest first, by whole days": LogManner(keeps_order=False, whole_days=True, most=7),
    "no filter": LogManner(filters=False),
}


@pytest.fixture
def dastra() -> Iterator[StandIn]:
    """An account."""
    with StandIn() as standing:
        yield standing


@pytest.fixture
def api(dastra: StandIn) -> Iterator[DastraApi]:
    """Its API, at full speed and without waiting between tries."""
    with DastraApi(dastra.url, ApiKey(API_KEY), pace=Pace(1_000_000), sleep=lambda _: None) as opened:
        yield opened


def read(api: Api, query: LogQuery = QUERY, size: int = 10) -> list[str]:
    """The ids in the order in which they first come."""
    found = [entry.id for page in pages(api, query, size) for entry in page.entries]
    return list(dict.fromkeys(found))


def ids(entries: list[Entry]) -> list[str]:
    """Their ids."""
    return [found["id"] for found in entries]


@pytest.mark.parametrize("manner", MANNERS.values(), ids=MANNERS.keys())
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 65])
def test_every_entry_of_the_window_is_read(manner: LogManner, count: int) -> None:
    """All of the window, its first and its last moment included, and nothing before or after."""
    hour = timedelta(hours=1)
    inside = [entry(number, date=stamp(NOON + hour * number / max(1, count - 1))) for number in range(count)]
    around = [
        entry(900, date=stamp(NOON - timedelta(milliseconds=20))),
        entry(901, date=stamp(NOON + hour + timedelta(milliseconds=20))),
        entry(902, channel="TaskEdit", date=stamp(NOON + hour / 2)),
    ]
    log = Log(manner=manner)
    log.add(*inside, *around)
    assert sorted(read(Direct(log))) == sorted(ids(inside))


def test_it_is_asked_for_as_the_description_says(dastra: StandIn, api: DastraApi) -> None:
    """One request has every parameter by its documented name; arrays repeat theirs."""
    Log().plug(dastra)
    query = replace(QUERY, channels=("TaskEdit", "DataSubjectCreation"))
    assert list(pages(api, query)) == []
    [request] = dastra.requests
    assert request.query == {
        "workspaceId": ["1"],
        "start": ["2026-03-02T11:59:59Z"],
        "end": ["2026-03-02T13:00:01Z"],
        "typeQuery": ["All"],
        "channels": ["TaskEdit", "DataSubjectCreation"],
        "page": ["1"],
        "size": ["500"],
        "sortBy": ["date"],
        "asc": ["true"],
    }


def test_all_workspaces() -> None:
    """A webhook of all workspaces asks for none."""
    log = Log()
    log.add(entry(1, workSpaceId=1), entry(2, workSpaceId=2))
    assert len(read(Direct(log))) == 1
    assert len(read(Direct(log), replace(QUERY, workspace_id=None))) == 2


@pytest.mark.parametrize("keeps_order", [True, False])
def test_many_of_one_date(keeps_order: bool) -> None:
    """More entries of one date than fit on several pages are all read: page numbers count among them."""
    log = Log(manner=LogManner(keeps_order=keeps_order))
    log.add(*(entry(number, date=stamp(NOON + timedelta(minutes=5))) for number in range(57)), entry(400), entry(3000))
    assert len(read(Direct(log))) == 59


def test_no_more_requests_than_pages_need() -> None:
    """5,000 entries in pages of 500 take their ten requests and no more than five for seams and the end."""
    log = Log(LongLog(5_000))
    assert len(read(Direct(log), replace(QUERY, until=NOON + timedelta(days=1)), 500)) == 5_000
    assert log.pages <= 15


dates = st.lists(st.integers(0, 40), min_size=1, max_size=60)


@settings(deadline=None, max_examples=150)
@given(dates=dates, size=st.integers(1, 12), data=st.data())
def test_what_stays_is_read_whatever_comes_and_goes(dates: list[int], size: int, data: st.DataObject) -> None:
    """While it is read, entries are purged and others come, with dates before and after: none that stays is missed."""
    made = [entry(number, date=stamp(NOON + timedelta(seconds=30 * date))) for number, date in enumerate(dates)]
    purged = {made[place]["id"] for place in data.draw(st.sets(st.integers(0, len(made) - 1)))}
    late = data.draw(st.lists(st.integers(0, 40), max_size=20))
    turns = data.draw(st.lists(st.integers(1, 12), min_size=len(purged) + len(late), max_size=len(purged) + len(late)))
    log = Log()
    log.add(*made)
    latecomers = [
        entry(500 + place, date=stamp(NOON + timedelta(seconds=30 * date))) for place, date in enumerate(late)
    ]
    changes = [*purged, *latecomers]

    def change(page: int) -> None:
        for turn, what in zip(turns, changes, strict=True):
            if turn == page and isinstance(what, str):
                log.remove([what])
            elif turn == page:
                log.add(what)

    log.before = change
    assert {found["id"] for found in made} - purged <= set(read(Direct(log), size=size))


@pytest.mark.parametrize("turn", [1, 2, 3, 4])
def test_a_purge_among_entries_of_one_date_moves_none_out_of_sight(turn: int) -> None:
    """The first of three goes before one request or another: a page that it moves is read again."""
    made = [entry(number, date=stamp(NOON)) for number in range(3)] + [entry(400)]
    log = Log()
    log.add(*made)

    def purge(page: int) -> None:
        if page == turn:
            log.remove([made[0]["id"]])

    log.before = purge
    assert {found["id"] for found in made[1:]} <= set(read(Direct(log), size=1))


def test_entries_of_one_date_without_an_order_are_not_read_for_ever() -> None:
    """Where each answer has them in another order, they are taken as they come in the end."""
    log = Log()
    log.add(*(entry(number, date=stamp(NOON)) for number in range(9)), entry(400))
    chance = random.Random(20261124)

    def shuffle(_: int) -> None:
        # Sorting keeps the order of equal dates: what comes first in the list comes first in the log.
        shuffled = chance.sample(list(log.entries), len(log.entries))
        log.entries = []
        log.add(*shuffled)

    log.before = shuffle
    assert read(Direct(log), size=2)
    assert log.pages < 200


def test_odd_entries() -> None:
    """Without a type: it is given all the same. Without an id, or of another type: it is left out and counted."""
    log = Log(manner=LogManner(filters=False))
    log.add(entry(1), entry(2, channel="TaskEdit"), entry(3, channel=None), entry(4, id=None), entry(5, id=""))
    found = list(pages(Direct(log), QUERY))
    assert [item.id for item in found[0].entries] == ids([entry(1), entry(3)])
    assert sum(page.others for page in found) == 1
    assert found[0].unreadable == 2


def test_an_entry_without_a_date() -> None:
    """It is given, and does not stop the reading."""

    class Undated(Direct):
        def request(self, method: str, path: str, *, params: Mapping[str, object] | None = None) -> Any:
            page = super().request(method, path, params=params)
            return [{**item, "date": None} if item["refId"] == "10003" else item for item in page]

    log = Log()
    log.add(*map(entry, range(30)))
    assert len(read(Undated(log))) == 30


@pytest.mark.parametrize("answer", [{"rows": []}, "x", 7, {"items": {}}])
def test_an_answer_that_is_no_list(answer: object) -> None:
    """It is an error, and not the end of the log."""

    class Odd:
        def request(self, *_: object, **__: object) -> object:
            return answer

    with pytest.raises(DastraError, match="another form"):
        list(pages(Odd(), QUERY))


def test_a_page_number_that_does_not_count() -> None:
    """An API that gives the same page for ever is an error, and no endless run."""

    class Stuck(Direct):
        def request(self, method: str, path: str, *, params: Mapping[str, object] | None = None) -> Any:
            return super().request(method, path, params={**(params or {}), "page": 1})

    log = Log()
    log.add(*map(entry, range(5)))
    with pytest.raises(DastraError, match="same page"):
        list(pages(Stuck(log), QUERY))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Kind.STATUS, {"status": 429, "headers": {"Retry-After": "1"}}),
        (Kind.STATUS, {"status": 500}),
        (Kind.STATUS, {"status": 503, "headers": {"Retry-After": "0"}}),
        (Kind.RESET, {}),
        (Kind.HALF, {}),
        (Kind.SLOW, {"seconds": 0.2}),
    ],
)
def test_what_passes_is_overcome(dastra: StandIn, api: DastraApi, kind: Kind, more: dict[str, Any]) -> None:
    """A trouble in the middle of the log does not lose an entry."""
    log = Log().plug(dastra)
    log.add(*map(entry, range(40)))
    dastra.trouble(kind, path="/v1/Logs", skip=2, **more)
    assert len(read(api)) == 40


@pytest.mark.parametrize(
    ("kind", "more", "code"),
    [
        (Kind.STATUS, {"status": 401}, Exit.REFUSED),
        (Kind.STATUS, {"status": 403}, Exit.REFUSED),
        (Kind.STATUS, {"status": 429, "headers": {"Retry-After": "3600"}}, Exit.UNREACHABLE),
        (Kind.STATUS, {"status": 500, "times": 9}, Exit.UNREACHABLE),
        (Kind.CUT, {}, Exit.UNREACHABLE),
        (Kind.PAGE, {}, Exit.UNREACHABLE),
    ],
)
def test_what_does_not_pass_is_an_error(
    dastra: StandIn, api: DastraApi, kind: Kind, more: dict[str, Any], code: Exit
) -> None:
    """A trouble that stays ends the reading with an error: half a log is never taken for the whole."""
    log = Log().plug(dastra)
    log.add(*map(entry, range(40)))
    dastra.trouble(kind, path="/v1/Logs", skip=2, **more)
    with pytest.raises(DastraError) as raised:
        read(api)
    assert raised.value.code is code


def test_where_a_later_read_can_start() -> None:
    """Reading on from where a page says misses nothing that was not given before."""
    log = Log()
    log.add(*(entry(number, date=stamp(NOON + timedelta(seconds=number // 3))) for number in range(60)))
    seen: list[str] = []
    resume_at: datetime = QUERY.since
    for _ in range(60):
        for page in pages(Direct(log), replace(QUERY, since=resume_at), 8):
            seen += [item.id for item in page.entries]
            resume_at = page.resume_at
            break
    everything = {*seen, *read(Direct(log), replace(QUERY, since=resume_at), 8)}
    assert everything == {found["id"] for found in log.entries}
