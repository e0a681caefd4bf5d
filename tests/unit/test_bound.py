"""The hard bound: a fixed number of threads, whatever hangs."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from core.bound import HardBound, HardTimeoutError, NoFreeWorkerError, _Job
from tests.fakes import Hang

LONG = 30.0
"""A time-out that only a fault reaches."""
SHORT = 0.01


@pytest.fixture
def hang() -> Iterator[Hang]:
    """A call that hangs until the test is over."""
    call = Hang()
    yield call
    call.end()


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition that another thread brings about comes true; the wait is for a fault only."""
    ends_at = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.001)
    return True


def threads(name: str) -> list[threading.Thread]:
    """The workers of one bound."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{name}-")]


def test_the_result_is_the_call_s() -> None:
    """Whatever it is, None included."""
    bound = HardBound("result", 1)
    value = object()
    assert bound.run(lambda: value, LONG) is value
    assert bound.run(lambda: None, LONG) is None


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [ValueError("x"), HardTimeoutError(), SystemExit(3), Odd()], ids=lambda e: type(e).__name__
)
def test_an_exception_is_passed_on_and_the_worker_survives(error: BaseException) -> None:
    """The same object, of any class, and the next call finds the worker free."""
    bound = HardBound("error", 1)

    def fail() -> None:
        raise error

    for _ in range(3):
        with pytest.raises(type(error)) as raised:
            bound.run(fail, LONG)
        assert raised.value is error
    assert bound.run(lambda: 1, LONG) == 1


def test_no_thread_is_started_before_it_is_needed_and_one_serves_calls_in_turn() -> None:
    """Calls one after the other run on one daemon thread: it is free before its caller hears of the result."""
    bound = HardBound("in-turn", 8)
    assert threads("in-turn") == []
    served_by = {bound.run(threading.current_thread, LONG) for _ in range(500)}
    assert served_by == set(threads("in-turn"))
    [worker] = served_by
    assert worker.name == "in-turn-1"
    assert worker.daemon


def test_a_hanging_call_is_given_up_and_its_late_result_is_nobody_s(hang: Hang) -> None:
    """The caller goes on when the time is up; what the call returns later is not the answer to the next."""
    bound = HardBound("late", 2)

    def slow() -> str:
        hang()
        return "late"

    with pytest.raises(HardTimeoutError):
        bound.run(slow, SHORT)
    assert bound.run(lambda: "prompt", LONG) == "prompt"
    hang.end()
    assert bound.run(lambda: "next", LONG) == "next"


def test_a_hundred_hanging_calls_hold_as_many_threads_as_there_are_workers(hang: Hang) -> None:
    """The rest are turned away when their time is up and start nothing."""
    bound = HardBound("hundred", 4)
    ran = []

    def call() -> None:
        ran.append(1)
        hang()

    outcomes = []
    for number in range(100):
        with pytest.raises((HardTimeoutError, NoFreeWorkerError)) as raised:
            bound.run(call, SHORT if number < 10 else 0)
        outcomes.append(raised.type)
    assert outcomes == [HardTimeoutError] * 4 + [NoFreeWorkerError] * 96
    assert len(threads("hundred")) == 4
    assert eventually(lambda: len(ran) == 4)


def test_a_hundred_calls_at_once_are_served_by_the_workers_there_are() -> None:
    """Whoever meets no free worker waits for one; nobody gets another's result, and no thread is added."""
    bound = HardBound("at-once", 4)
    start = threading.Barrier(100)
    most: list[int] = []

    def answer(number: int) -> int:
        most.append(len(threads("at-once")))
        return number

    def ask(number: int) -> int:
        start.wait(LONG)
        return bound.run(lambda: answer(number), LONG)

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(ask, range(100))) == list(range(100))
    assert max(most) <= 4
    assert len(threads("at-once")) <= 4


def test_waiting_for_a_worker_is_part_of_the_time(monkeypatch: pytest.MonkeyPatch, hang: Hang) -> None:
    """A caller whose time was used up by then does not begin to wait for the call anew."""
    moments = iter([0.0, LONG])
    monkeypatch.setattr("core.bound.time", SimpleNamespace(monotonic=lambda: next(moments)))
    with pytest.raises(HardTimeoutError):
        HardBound("share", 1).run(hang, LONG)
    assert next(moments, None) is None


@pytest.mark.parametrize("timeout", [0, -1])
def test_without_time_a_call_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, hang: Hang, timeout: float) -> None:
    """A share that is used up is a time-out and no error of another kind, and it is not stretched."""
    waits: list[float] = []
    wait = _Job.wait

    def remember(job: _Job[None], seconds: float) -> None:
        waits.append(seconds)
        wait(job, seconds)

    monkeypatch.setattr(_Job, "wait", remember)
    bound = HardBound(f"none{timeout}", 1)
    with pytest.raises(HardTimeoutError):
        bound.run(hang, timeout)
    with pytest.raises(NoFreeWorkerError):
        bound.run(hang, timeout)
    assert waits == [0]


def test_workers_that_come_back_are_free_again(hang: Hang) -> None:
    """Once the hanging calls return, all workers serve, two at once, and no thread was added."""
    bound = HardBound("back", 2)
    for _ in range(2):
        with pytest.raises(HardTimeoutError):
            bound.run(hang, SHORT)
    with pytest.raises(NoFreeWorkerError):
        bound.run(lambda: 1, SHORT)
    hang.end()
    both = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(bound.run, lambda: both.wait(LONG), LONG) for _ in range(2)]
        assert sorted(answer.result(LONG) for answer in answers) == [0, 1]
    assert len(threads("back")) == 2


def test_calls_overlap_on_different_workers() -> None:
    """Two calls that wait for each other both end; the threads are numbered for whoever looks at a dump."""
    bound = HardBound("overlap", 2)
    both = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(bound.run, lambda: both.wait(LONG), LONG) for _ in range(2)]
        assert sorted(answer.result(LONG) for answer in answers) == [0, 1]
    assert {thread.name for thread in threads("overlap")} == {"overlap-1", "overlap-2"}


class Large:
    """Stands for a body of some megabytes."""


def test_an_idle_worker_holds_neither_the_call_nor_its_result_nor_its_error() -> None:
    """What a call used can be freed while the worker waits for the next one, without the collector of cycles."""
    bound = HardBound("memory", 1)
    kept: list[weakref.ref[Large]] = []

    def succeed(large: Large) -> Large:
        return large

    def fail(large: Large) -> Large:
        raise ValueError(large)

    def call(body: Callable[[Large], Large]) -> None:
        large = Large()
        kept.append(weakref.ref(large))
        with contextlib.suppress(ValueError):
            bound.run(lambda: body(large), LONG)

    gc.collect()
    gc.disable()
    try:
        call(succeed)
        call(fail)
        assert eventually(lambda: [reference() for reference in kept] == [None, None])
    finally:
        gc.enable()


def test_a_worker_without_work_ends_and_the_next_call_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance at rest holds no threads; the bound serves on as before."""
    monkeypatch.setattr("core.bound._IDLE_SECONDS", 0.01)
    bound = HardBound("idle", 2)
    for _ in range(3):
        assert bound.run(threading.current_thread, LONG).name == "idle-1"
        assert eventually(lambda: threads("idle") == [])
    both = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(bound.run, lambda: both.wait(LONG), LONG) for _ in range(2)]
        assert sorted(answer.result(LONG) for answer in answers) == [0, 1]


def test_a_worker_that_hangs_does_not_end(monkeypatch: pytest.MonkeyPatch, hang: Hang) -> None:
    """It is taken, and no other is started in its place."""
    monkeypatch.setattr("core.bound._IDLE_SECONDS", 0.01)
    bound = HardBound("busy", 1)
    for error in (HardTimeoutError, NoFreeWorkerError, NoFreeWorkerError):
        with pytest.raises(error):
            bound.run(hang, 0.05)
    assert len(threads("busy")) == 1


class LateQueue:
    """Jobs for one worker that gives up waiting at the very moment when the second job is on its way."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._puts = count(1)
        self._gets = count(1)
        self._claimed = threading.Event()
        self._gave_up = threading.Event()

    def put(self, job: object) -> None:
        if next(self._puts) == 2:
            self._claimed.set()
            assert self._gave_up.wait(LONG)
        self._jobs.put(job)

    def get(self, timeout: float) -> object:
        if next(self._gets) == 2:
            assert self._claimed.wait(LONG)
            self._gave_up.set()
            raise Empty
        return self._jobs.get(timeout=timeout)


def test_a_worker_that_a_caller_counts_on_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is over when the caller has claimed it and not yet handed over the job: it waits on and serves it."""
    bound = HardBound("claimed", 1)
    monkeypatch.setattr(bound, "_jobs", LateQueue())
    first = bound.run(threading.current_thread, LONG)
    assert bound.run(threading.current_thread, LONG) is first


def test_a_thread_that_cannot_be_started_takes_no_worker_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system has no thread to give, that call fails; once it has one again, the worker serves."""
    bound = HardBound("no-thread", 1)

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            bound.run(lambda: 1, LONG)
    assert bound.run(lambda: 1, 5) == 1
    assert len(threads("no-thread")) == 1
