"""Points in time as a person writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from cli.exits import CliError, Exit

SETTLED: Final = timedelta(minutes=5)
"""After so long an event has come or will not: Dastra says that it may take two minutes to send it."""
_AGO: Final = re.compile(r"(\d{1,6})\s?(m|min|h|d)", re.ASCII)
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def moment_of(text: str, option: str, now: datetime) -> datetime:
    """What ``2026-03-02T09:00``, ``2026-03-02``, ``2026-03-02T10:00+01:00``, ``now`` or ``90m``, ``6h``, ``2d`` means.

    UTC where no zone is named.

    Raises:
        CliError: it means nothing.
    """
    if text.strip().lower() == "now":
        return now
    if match := _AGO.fullmatch(text.strip().lower()):
        return now - int(match[1]) * _UNITS[match[2]]
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CliError(
            f"{text!r} is no point in time for {option}.",
            "Valid: 2026-03-02, 2026-03-02T09:00 (UTC), 2026-03-02T10:00+01:00, or how long ago: 90m, 6h, 2d, now.",
            Exit.USAGE,
        ) from None


def window_of(since: str, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    """The window, in UTC. Without an end it ends when what was under way has settled.

    Raises:
        CliError: it is empty, or one of both means nothing.
    """
    begin = moment_of(since, "--since", now)
    end = moment_of(until, "--until", now) if until is not None else now - SETTLED
    if begin < end:
        return begin, end
    if until is None:
        raise CliError(
            f"{since} is too close to now: without --until the window ends 5 minutes ago.",
            "An event younger than that may still be on its way, and would then come twice.",
            Exit.USAGE,
        )
    raise CliError(f"the window from {since} to {until} is empty.", "--since comes before --until.", Exit.USAGE)
