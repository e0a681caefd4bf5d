"""How fast the client asks, and what it makes of Retry-After."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cli.dastra.pace import PER_MINUTE, Pace, backoff, retry_after
from tests.fakes import FakeClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_never_more_than_the_limit_in_any_minute() -> None:
    """Of 2,000 requests in a row no minute holds more than 500, wherever it begins; a few go at once."""
    clock = FakeClock()
    pace = Pace(monotonic=clock.monotonic, sleep=clock.advance)
    times = []
    for _ in range(2000):
        pace.wait()
        times.append(clock.monotonic())
    assert max(sum(start <= time < start + 60 for time in times[i : i + 600]) for i, start in enumerate(times)) <= (
        PER_MINUTE
    )
    assert times[19] == times[0]
    # And not much slower than allowed.
    assert times[-1] - times[0] < 2000 / PER_MINUTE * 60 * 1.1


def test_a_rest_gives_no_more_than_a_burst() -> None:
    """An hour without requests is followed by a burst of twenty, not of thousands."""
    clock = FakeClock()
    pace = Pace(monotonic=clock.monotonic, sleep=clock.advance)
    clock.advance(3600)
    started = clock.monotonic()
    for _ in range(21):
        pace.wait()
    assert clock.monotonic() > started


def test_backoff_grows_to_a_bound() -> None:
    """Pauses double up to twenty seconds, each cut by a random part of at most a half."""
    for attempt, longest in ((1, 0.5), (2, 1), (3, 2), (10, 20), (60, 20)):
        assert all(longest / 2 <= backoff(attempt) <= longest for _ in range(20))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("99999999999999999999", 999999999.0),
        ("Mon, 02 Mar 2026 12:00:30 GMT", 30.0),
        ("Monday, 02-Mar-26 12:00:30 GMT", 30.0),
        ("Mon, 02 Mar 2026 11:00:00 GMT", 0.0),
        ("Mon, 02 Mar 2026 12:00:30", 30.0),
        ("1.5", None),
        ("-3", None),
        ("tomorrow", None),
        ("\u0661\u0662", None),
        ("", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds and dates are read as RFC 9110 has them; what is neither counts as absent, what is past as now."""
    assert retry_after(value, NOW) == seconds


def test_retry_after_against_the_clock() -> None:
    """Without a time of its own a date is held against now."""
    date = (datetime.now(UTC) + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    found = retry_after(date)
    assert found is not None
    assert 80 < found <= 90
