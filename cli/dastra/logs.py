"""Dastra's log, page by page, in constant memory.

The log grows, and loses entries to purges, while it is read, so a page number is no safe place to go on from: an entry
that vanishes moves one that was not read yet to a page that was. The next request therefore asks for what is not
older than the newest entry read, again from page 1, and page numbers count only among entries of nearly one date. There
a page counts only if the one before it still ends as it did; else entries have moved, and are read again from page 1.
That an entry comes twice at the seam is certain, and that an entry comes at all does not depend on what others do.

What Dastra's API description says of the parameters (August 2022) does not tell whether `start` and `end` include
their moment, how precise they are, or how equal dates are ordered. So each request overlaps the one before, and where
an answer is not in the order asked for, or begins before the start asked for, the rest is read by page numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Protocol

from cli.dastra.errors import DastraError
from cli.dastra.models import Id, Page
from core.reconciled import LogEntry, LogEntryError

PATH: Final = "/v1/Logs"
MOST_PER_PAGE: Final = 500
"""The largest page (its API description)."""
OVERLAP: Final = timedelta(seconds=1)
"""How far a request goes back before the newest entry read."""
_MOST_MOVES: Final = 20
"""How often entries of nearly one date may move before they are taken as they come: equal dates may have no order."""
_MILLISECOND: Final = timedelta(milliseconds=1)


class Api(Protocol):
    """What this needs of `cli.dastra.client.DastraApi`."""

    def request(self, method: str, path: str, *, params: Mapping[str, object] | None = None) -> Any:
        """The decoded answer.

        Raises:
            DastraError: there was none, or it was a refusal.
        """


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which entries: from ``since`` to ``until``, both in UTC and both included, of these event types."""

    since: datetime
    until: datetime
    channels: tuple[str, ...]
    workspace_id: Id | None = None

    def of_type(self, entry: LogEntry) -> bool:
        """Whether an entry is of a type asked for, or of none. Dastra may not filter as we do."""
        return entry.channel is None or entry.channel.lower() in {name.lower() for name in self.channels}

    def in_time(self, time: datetime | None) -> bool:
        """Whether a date is in the window, or not known."""
        return time is None or self.since <= time <= self.until


@dataclass(frozen=True, slots=True)
class LogPage:
    """One answer. The same entry may be in two pages."""

    entries: tuple[LogEntry, ...]
    """Those that were asked for."""
    others: int
    """How many entries of other types came along, which shows that Dastra names types otherwise than expected."""
    unreadable: int
    """How many entries have no id or are no objects."""
    reached: datetime | None
    """The date of the newest entry."""
    resume_at: datetime
    """A later read that starts here misses nothing that this one has not given."""


def pages(api: Api, query: LogQuery, size: int = MOST_PER_PAGE) -> Iterator[LogPage]:
    """The pages of the log, oldest first where Dastra keeps the order asked for.

    Raises:
        DastraError: the client's, or the answers are not those of a log.
    """
    start, number, ordered, moves = query.since - OVERLAP, 1, True, 0
    wide = replace(query, until=query.until + OVERLAP)
    before: Sequence[object] = ()
    reached: datetime | None = None

    def page(number: int) -> Sequence[object]:
        return _items(api.request("GET", PATH, params=_parameters(replace(wide, since=start), number, size)))

    while True:
        found = page(number)
        if number > 1 and ordered and moves < _MOST_MOVES and _last(page(number - 1)) != _last(before):
            number, moves = 1, moves + 1
            continue
        if not found:
            return
        if number > 1 and found == before:
            raise DastraError(
                "Dastra's log gives the same page again and again.",
                "Its API may have changed. Try a shorter window with --since and --until.",
            )
        before = found
        entries, unreadable = _read(found)
        times = [entry.time for entry in entries]
        known = [time for time in times if time is not None]
        ordered = ordered and _in_order(known, start)
        wanted = tuple(
            entry for entry, time in zip(entries, times, strict=True) if query.in_time(time) and query.of_type(entry)
        )
        others = sum(
            not query.of_type(entry) and (reached is None or time is None or time > reached)
            for entry, time in zip(entries, times, strict=True)
        )
        reached = max(known, default=reached) if reached is None else max([reached, *known])
        if ordered and reached is not None and reached - OVERLAP > start:
            start, number, moves = reached - OVERLAP, 1, 0
        else:
            number += 1
        yield LogPage(wanted, others, unreadable, reached, start if ordered else query.since)


def _last(found: Sequence[object]) -> str | None:
    """The id of a page's last entry that has one."""
    entries, _ = _read(found)
    return entries[-1].id if entries else None


def _in_order(times: Sequence[datetime], start: datetime) -> bool:
    """Whether dates ascend from ``start``; a server may have cut it to milliseconds or seconds."""
    ascending = all(later >= earlier - _MILLISECOND for earlier, later in pairwise(times))
    return ascending and (not times or times[0] >= start - OVERLAP)


def _read(found: Sequence[object]) -> tuple[list[LogEntry], int]:
    entries, unreadable = [], 0
    for item in found:
        try:
            entries.append(LogEntry.read(item))
        except LogEntryError:
            unreadable += 1
    return entries, unreadable


def _items(answer: object) -> Sequence[object]:
    """A bare array, as the description says, or the object with ``items`` that Dastra's other lists answer with."""
    try:
        return Page.of([] if answer is None else answer).items
    except ValueError as error:
        raise DastraError(f"GET {PATH} was answered with JSON of another form: {error}.") from None


def _parameters(query: LogQuery, number: int, size: int) -> dict[str, object]:
    return {
        "workspaceId": query.workspace_id,
        "start": _stamp(query.since),
        "end": _stamp(query.until),
        # What counts as an audit log is not documented; the channels say what is wanted.
        "typeQuery": "All",
        "channels": query.channels,
        "page": number,
        "size": size,
        "sortBy": "date",
        "asc": True,
    }


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
