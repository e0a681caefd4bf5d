"""One row of the table: our figure, the floor it is compared with, and the goal for their ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

KEY_TEXT: Final = "0b5fae1c-3c1e-4d4e-9b57-benchmark001"
"""An invented key."""


@dataclass(frozen=True, slots=True)
class Row:
    """A measured row. ``goal`` is the highest ratio that passes; None where the figure is only shown."""

    name: str
    ours: float
    floor: float
    unit: str
    goal: float | None = None
    spread: str = ""
    note: str = ""

    @property
    def ratio(self) -> float:
        """``ours`` over ``floor``."""
        return self.ours / self.floor

    @property
    def missed(self) -> bool:
        """Whether there is a goal and the ratio is above it."""
        return self.goal is not None and self.ratio > self.goal

    def as_json(self) -> dict[str, Any]:
        """The row as it stands in ``build/bench.json``."""
        return {
            **asdict(self),
            "ratio": round(self.ratio, 3),
            "ours": round(self.ours, 4),
            "floor": round(self.floor, 4),
        }


@dataclass(frozen=True, slots=True)
class Sample:
    """Many timings of one thing, in seconds."""

    seconds: Sequence[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    def spread(self, scale: float) -> str:
        """The middle half, scaled to the row's unit."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return f"{low * scale:.3g} to {high * scale:.3g}"


def alternate(calls: Sequence[Callable[[], object]], rounds: int, repeat: int = 1) -> list[Sample]:
    """Time several calls in turn, ``rounds`` times each, so that a busy moment of the machine falls on all of them.

    Each timing covers ``repeat`` calls and is divided by their number.
    """
    timings: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, into in zip(calls, timings, strict=True):
            started = time.perf_counter()
            for _ in range(repeat):
                call()
            into.append((time.perf_counter() - started) / repeat)
    return [Sample(into) for into in timings]


def compare(name: str, ours: Sample, floor: Sample, unit: str, goal: float | None, note: str = "") -> Row:
    """The row of two samples; ``unit`` is ``us`` or ``ms``."""
    scale = {"us": 1e6, "ms": 1e3}[unit]
    spread = f"{ours.spread(scale)} / {floor.spread(scale)}"
    return Row(name, ours.median * scale, floor.median * scale, unit, goal, spread, note)
