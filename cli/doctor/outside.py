"""The black box: everything that can be seen of an endpoint by calling it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cli.doctor import answers, assault, events, network
from cli.doctor.model import Result
from cli.doctor.session import Plan, Session
from cli.doctor.wire import Endpoint, Wire

_OTHERS: Final = 12
"""Genuine events, and what the rows of lengths and of the size send."""


def requests(plan: Plan) -> int:
    """About how many requests a run sends."""
    return len(assault.chosen(plan)) + _OTHERS


@dataclass(slots=True)
class Outside:
    """One run. ``probes`` are the ids of the genuine events that it sent."""

    plan: Plan
    progress: Callable[[], None] = lambda: None
    probes: list[str] = field(default_factory=list)

    def run(self) -> Iterator[Result]:
        """Every row, as it is known."""
        plan = self.plan
        endpoint = yield from network.check_network(Endpoint.parse(plan.url), plan.limits.patience)
        if endpoint is None:
            yield from _skipped("it cannot be reached, or not safely: mend that first")
            return
        session = Session(Wire(endpoint), plan)
        self.probes = session.probes
        answers_something = yield from events.check_events(session)
        if answers_something:
            yield from assault.check_attacks(session, self.progress)
        else:
            for check in assault.checks():
                yield check.skipped("mend the above first")
        yield from answers.check_answers(session)


def _skipped(why: str) -> Iterator[Result]:
    for check in (events.HTTP, events.REDIRECTS, events.FIRST, *events.MORE):
        yield check.skipped(why)
    for check in (*assault.checks(), answers.HEADERS, answers.BODIES, answers.FIXED):
        yield check.skipped(why)
