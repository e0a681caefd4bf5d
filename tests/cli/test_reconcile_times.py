"""The window of a reconcile, as a person writes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cli.exits import CliError, Exit
from cli.reconcile.times import moment_of, window_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        ("2026-03-02T09:00", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        (" 2026-03-02T10:00:30+01:00 ", datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)),
        ("2026-03-02T09:00:00Z", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("6H", NOW - timedelta(hours=6)),
        ("2 d", NOW - timedelta(days=2)),
        ("now", NOW),
    ],
)
def test_a_point_in_time(text: str, expected: datetime) -> None:
    """A date, a date and a time in UTC or with a zone, or how long ago."""
    assert moment_of(text, "--since", NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "6w", "-1h", "0001-01-01T00:00+23:00"])
def test_no_point_in_time(text: str) -> None:
    """It is refused with what is valid."""
    with pytest.raises(CliError, match="no point in time for --since") as raised:
        moment_of(text, "--since", NOW)
    assert raised.value.code is Exit.USAGE
    assert "2d" in raised.value.hint


def test_a_window() -> None:
    """Without an end it ends five minutes ago; it must not be empty."""
    assert window_of("1h", None, NOW) == (NOW - timedelta(hours=1), NOW - timedelta(minutes=5))
    with pytest.raises(CliError, match="is empty"):
        window_of("1h", "2h", NOW)
    with pytest.raises(CliError, match="too close to now"):
        window_of("2m", None, NOW)
