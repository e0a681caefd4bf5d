"""How fast to ask, and how long to wait before asking again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

PER_MINUTE: Final = 500
"""Requests that Dastra allows in a minute (its API documentation)."""
_AT_ONCE: Final = 20
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 20.0


class Pace:
    """At most ``per_minute`` requests in any minute, a few of them at once. Safe under concurrent calls.

    The generic cell rate algorithm: a point in time that every request moves on by its share of the minute. Those at
    once are taken off the rate, so that a burst and a full minute after it stay within the limit together.
    """

    def __init__(
        self,
        per_minute: int = PER_MINUTE,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        at_once = max(1, min(_AT_ONCE, per_minute // 2))
        self._every: Final = 60 / max(1, per_minute - at_once)
        self._slack: Final = (at_once - 1) * self._every
        self._monotonic: Final = monotonic
        self._sleep: Final = sleep
        self._lock: Final = threading.Lock()
        self._next = monotonic()

    def wait(self) -> None:
        """Return when the next request may go."""
        with self._lock:
            now = self._monotonic()
            mine = max(self._next, now)
            self._next = mine + self._every
        if (pause := mine - self._slack - now) > 0:
            self._sleep(pause)


def backoff(attempt: int) -> float:
    """Seconds before try ``attempt`` + 1 (the first is 1): doubled each time, with a random part against a chorus."""
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * float(2 ** (attempt - 1)))
    return pause * random.uniform(0.5, 1)  # noqa: S311 - no secret hangs on it


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110, 10.2.3); None where it is absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
