"""Runs the table of ``faults.py``, and what a fault that lasts does to the events after the first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from cli.local import faults
from tests import planted
from tests.contract.answers import ACCEPTED, SPOOLED
from tests.contract.bypass import signed, sized
from tests.contract.faults import BUDGET, NEVER_ANSWERS, QUICK, ROWS, SLACK, After, Held, Keys, Kind, Row
from tests.contract.steps import until_a_key_is_known
from tests.drivers import Answer, Driver, HttpRequest, Mode, Port
from tests.planted import KEY, NEWER_KEY

pytestmark = pytest.mark.emulator

_MAKE: Final[dict[Kind, Callable[[Driver], bytes]]] = {
    Kind.PLAIN: lambda _: planted.body(),
    Kind.LARGE: lambda driver: sized(driver.queue_limit),
    Kind.UNREADABLE: lambda _: f"{planted.MARKER} {planted.nonce()}".encode(),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_every_fault_has_its_answer_in_time_and_loses_nothing_that_was_accepted(driver: Driver, row: Row) -> None:
    """The answer, its time against the budget, where the event is, and what is on the queue once all is well again."""
    driver.slow(row.late)
    driver.put_keys(KEY)
    settings = QUICK if row.budget == BUDGET else {}
    if row.keys is not Keys.NONE:
        driver.build(settings)
        until_a_key_is_known(driver)
    if row.keys is Keys.ROTATED:
        driver.put_keys(NEWER_KEY, KEY)
    for port, mode in row.faults.items():
        driver.fault(port, mode, row.times)
    if row.keys is Keys.NONE:
        driver.build(settings)
    request = signed(_MAKE[row.kind](driver), key=NEWER_KEY if row.keys is Keys.ROTATED else KEY)

    answer = driver.post(request)
    assert answer in row.answers
    assert answer.seconds < row.budget + SLACK
    _check_held(driver, request, row, answer)

    driver.lift()
    run = driver.redrive()
    assert not run.failed
    if row.after is not After.PERHAPS:
        assert not driver.stored("spool/")
    _check_after(driver, request, row)
    following = signed()
    assert driver.post(following).status == 200
    driver.redrive()
    assert following.body in [message.body for message in driver.messages()]


def _check_held(driver: Driver, request: HttpRequest, row: Row, answer: Answer) -> None:
    queued = [message.body for message in driver.messages()]
    spooled, quarantined = driver.stored("spool/"), driver.stored("quarantine/")
    if answer.status == 200:
        assert queued or spooled or quarantined
    if answer == ACCEPTED:
        assert queued
    if answer == SPOOLED:
        (record,) = spooled
        assert record.metadata["reason"] == "queue_failed"
        if "dataref" in record.metadata:
            (claim,) = driver.stored("claims/")
            assert claim.body == request.body
        else:
            assert record.body == request.body
    if row.held is Held.QUARANTINE:
        assert [record.body for record in quarantined] == [request.body]
    if not row.unheard:
        assert queued == [request.body] * (row.held is Held.QUEUE)
        assert answer.status == 200 or not driver.stored("")
    assert not set(queued) - {request.body}


def _check_after(driver: Driver, request: HttpRequest, row: Row) -> None:
    messages = driver.messages()
    assert {message.body for message in messages} <= {request.body}
    assert len({message.id for message in messages}) <= 1
    assert all(message.claimed is (row.kind is Kind.LARGE) for message in messages)
    match row.after:
        case After.ONCE:
            assert len(messages) == 1
        case After.AGAIN:
            assert messages
        case After.ABSENT:
            assert not messages
        case After.PERHAPS:
            pass


@pytest.mark.parametrize("mode", NEVER_ANSWERS)
def test_a_queue_that_hangs_costs_its_share_once(driver: Driver, mode: Mode) -> None:
    """The first event pays for the wait; those that follow do not ask the queue at all, and all are kept."""
    driver.build(QUICK, keys=[KEY])
    driver.fault(Port.QUEUE, mode)
    requests = [signed() for _ in range(20)]
    assert driver.post(requests[0]) == SPOOLED
    asked = driver.requests(Port.QUEUE)
    answers = [driver.post(request) for request in requests[1:]]
    assert answers == [SPOOLED] * 19
    assert driver.requests(Port.QUEUE) <= asked + 2  # the first one's own second attempt, still under way
    assert sum(answer.seconds for answer in answers) < 19  # a second is the share that each of them does not pay
    driver.lift()
    assert driver.redrive().sent == 20
    assert {message.body for message in driver.messages()} == {request.body for request in requests}


@pytest.mark.parametrize(("mode", "events"), [(Mode.SILENT, 25), (Mode.HANGING, 25), (Mode.DRIPPING, 100)])
def test_threads_do_not_pile_up(driver: Driver, mode: Mode, events: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events against a queue that is asked again each time and never answers: all are kept, and threads are few."""
    # Quick drops, so that no time-out of a socket ends a call that was given up.
    monkeypatch.setattr(faults, "DRIP_SECONDS", 0.01)
    driver.build({"TIME_BUDGET_SECONDS": "3", "QUEUE_BUDGET_SECONDS": "0.1"}, keys=[KEY], rest=0)
    driver.fault(Port.QUEUE, mode)
    before = threading.active_count()
    counts = []
    for _ in range(events):
        assert driver.post(signed()) == SPOOLED
        counts.append(threading.active_count())
    assert max(counts) <= before + 16
    assert len(driver.stored("spool/")) == events


@pytest.mark.parametrize("mode", NEVER_ANSWERS)
def test_the_queue_is_used_again_after_its_rest(driver: Driver, mode: Mode) -> None:
    """Once the rest is over and the queue answers, events go to it without a restart, on a client of their own."""
    driver.build(QUICK, keys=[KEY], rest=0.5)
    driver.fault(Port.QUEUE, mode)
    assert driver.post(signed()) == SPOOLED
    driver.lift()
    assert driver.post(signed()) == SPOOLED
    time.sleep(0.6)
    assert driver.post(signed()) == ACCEPTED
    assert driver.post(signed()) == ACCEPTED


def test_a_large_event_while_the_queue_rests(driver: Driver) -> None:
    """It is spooled whole, and is a claim check once the redrive sends it."""
    driver.build(QUICK, keys=[KEY])
    driver.fault(Port.QUEUE, Mode.HANGING)
    assert driver.post(signed()) == SPOOLED
    large = signed(sized(driver.queue_limit))
    assert driver.post(large) == SPOOLED
    driver.lift()
    assert driver.redrive().sent == 2
    assert [message.claimed for message in driver.messages() if message.body == large.body] == [True]


@pytest.mark.parametrize("threads", [4, 16])
def test_many_at_once_on_one_instance(driver: Driver, threads: int) -> None:
    """However many requests an instance gets at once, with nothing wrong, each event is accepted and on the queue."""
    driver.build(keys=[KEY])
    requests = [signed() for _ in range(200)]
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(driver.post, requests))
    assert {answer.body for answer in answers} == {ACCEPTED.body}
    assert sorted(message.body for message in driver.messages()) == sorted(request.body for request in requests)


def test_many_at_once_while_the_queue_hangs(driver: Driver) -> None:
    """Events that come at once while the queue hangs are all kept, each within the budget."""
    driver.build(QUICK, keys=[KEY])
    driver.fault(Port.QUEUE, Mode.HANGING)
    requests = [signed() for _ in range(40)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(driver.post, requests))
    assert answers == [SPOOLED] * 40
    assert max(answer.seconds for answer in answers) < BUDGET + SLACK
    driver.lift()
    driver.redrive()
    # A send that was given up may have gone through after all: duplicates are allowed, losses are not.
    assert {message.body for message in driver.messages()} == {request.body for request in requests}
