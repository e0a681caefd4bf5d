"""How much time an answer has left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

SENDER_PATIENCE: Final = 10.0
"""Seconds that Dastra waits for an answer (its webhook page)."""
_LEAST: Final = 1.5
"""Seconds granted however late a request reaches us: the sender may be gone, but its event can still be saved."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in monotonic time by which the answer must be out. Seconds throughout."""

    ends_at: float
    monotonic: Callable[[], float] = time.monotonic

    @classmethod
    def start(cls, budget: float, already_spent: float, monotonic: Callable[[], float] = time.monotonic) -> Self:
        """Begin with ``budget`` less what passed before we had the request.

        A time spent that is negative or beyond the sender's patience is not believed: clocks differ, a test event
        carries an old stamp, an instance may have been warmed long ago.
        """
        spent = already_spent if 0 < already_spent < SENDER_PATIENCE else 0.0
        return cls(monotonic() + max(budget - spent, min(budget, _LEAST)), monotonic)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.ends_at - self.monotonic())

    def share(self, seconds: float) -> float:
        """At most ``seconds``, and at most what is left."""
        return min(seconds, self.remaining())

    def half_or(self, seconds: float) -> float:
        """At most ``seconds``, and at most half of what is left: the other half belongs to the fallback."""
        return min(seconds, self.remaining() / 2)


def process_age() -> float:
    """Seconds since this process was started, 0 where the system does not tell (it does on Linux)."""
    try:
        stat = Path("/proc/self/stat").read_text()
        started = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
