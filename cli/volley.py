"""Many events to one endpoint: paced, several under way at a time, and what became of them in figures."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from cli.exits import CliError
from cli.sending import Answer

MOST: Final = 100_000
MOST_UNDER_WAY: Final = 32
"""Requests at a time where a rate is given; without one, the next goes out when the last is answered."""
_PERCENTS: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Shot:
    """One event and its answer; ``error`` says why there was no connection, and then there is no answer."""

    answer: Answer | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a volley. Times in milliseconds, of those that were answered."""

    wanted: int
    sent: int
    good: int
    statuses: dict[str, int]
    verdicts: dict[str, int]
    milliseconds: dict[str, float]
    seconds: float
    interrupted: bool

    def as_json(self) -> dict[str, object]:
        """The form of ``--json``."""
        return {
            "wanted": self.wanted,
            "sent": self.sent,
            "good": self.good,
            "statuses": self.statuses,
            "verdicts": self.verdicts,
            "milliseconds": {name: round(value, 1) for name, value in self.milliseconds.items()},
            "seconds": round(self.seconds, 2),
            "per_second": round(self.sent / self.seconds, 2) if self.seconds else None,
            "interrupted": self.interrupted,
        }


def volley(shoot: Callable[[int], Answer], count: int, rate: float | None, done: Callable[[], None]) -> Summary:
    """Send ``count`` events and sum up.

    Args:
        shoot: sends the event of a number and gives its answer.
        count: how many.
        rate: events per second, or None for one after the other.
        done: is called after each.

    Raises:
        CliError: the very first one found no connection. Later ones are counted.
    """
    started = time.monotonic()
    shots: list[Shot] = []
    interrupted = False
    try:
        for shot in _paced(shoot, count, rate) if rate else _one_by_one(shoot, count):
            shots.append(shot)
            done()
    except KeyboardInterrupt:
        interrupted = True
    return _sum_up(count, shots, time.monotonic() - started, interrupted=interrupted)


def _one_by_one(shoot: Callable[[int], Answer], count: int) -> Iterator[Shot]:
    for number in range(count):
        yield _shot(shoot, number, first=number == 0)


def _paced(shoot: Callable[[int], Answer], count: int, rate: float) -> Iterator[Shot]:
    """Each event starts at its own time, whatever the earlier ones do, as far as threads go round."""
    yield _shot(shoot, 0, first=True)
    answered: queue.SimpleQueue[Future[Shot]] = queue.SimpleQueue()
    room = threading.Semaphore(MOST_UNDER_WAY)
    stop = threading.Event()
    started = time.monotonic()

    def ended(future: Future[Shot]) -> None:
        room.release()
        answered.put(future)

    def schedule(pool: ThreadPoolExecutor) -> None:
        for number in range(1, count):
            if stop.wait(max(0.0, started + number / rate - time.monotonic())):
                return
            room.acquire()
            if stop.is_set():
                return
            pool.submit(_shot, shoot, number, first=False).add_done_callback(ended)

    with ThreadPoolExecutor(MOST_UNDER_WAY, "post") as pool:
        scheduler = threading.Thread(target=schedule, args=(pool,), name="pace", daemon=True)
        scheduler.start()
        try:
            for _ in range(1, count):
                yield answered.get().result()
        finally:
            stop.set()
            scheduler.join()


def _shot(shoot: Callable[[int], Answer], number: int, *, first: bool) -> Shot:
    try:
        return Shot(shoot(number))
    except CliError as error:
        if first:
            raise
        return Shot(None, error.message)


def _sum_up(wanted: int, shots: Sequence[Shot], seconds: float, *, interrupted: bool) -> Summary:
    answers = [shot.answer for shot in shots if shot.answer is not None]
    statuses = Counter(_status(shot) for shot in shots)
    verdicts = Counter(answer.verdict for answer in answers if answer.verdict is not None)
    return Summary(
        wanted,
        len(shots),
        sum(answer.good for answer in answers),
        dict(sorted(statuses.items())),
        dict(verdicts.most_common()),
        _times([answer.milliseconds for answer in answers if answer.status is not None]),
        seconds,
        interrupted,
    )


def _status(shot: Shot) -> str:
    if shot.answer is None:
        return "unreachable"
    return "no answer" if shot.answer.status is None else str(shot.answer.status)


def _times(milliseconds: Sequence[float]) -> dict[str, float]:
    """Smallest, percentiles by nearest rank, largest."""
    ordered = sorted(milliseconds)
    if not ordered:
        return {}
    ranks = {f"p{percent}": ordered[math.ceil(percent / 100 * len(ordered)) - 1] for percent in _PERCENTS}
    return {"min": ordered[0], **ranks, "max": ordered[-1]}
