"""Dastra's log in the stand-in: `GET /v1/Logs`, with the properties that nobody knows as switches. All is invented.

What the API description (August 2022) says is kept: pages of at most 500, channels of the enumeration, dates. What it
leaves open is decided by `LogManner`.
"""

from __future__ import annotations

import json
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, overload

from cli.samples import event_types
from core.envelope import Envelope
from tests import planted
from tests.dastra.standin import Happening, StandIn
from tests.dastra.wire import Reply, Request, refusal

MOST: Final = 500
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
Entry = dict[str, Any]


@dataclass
class LogManner:
    """What is not known about Dastra's log."""

    start_included: bool = True
    end_included: bool = True
    most: int = MOST
    """The largest page; a larger ``size`` is cut to it."""
    items: bool = False
    """Answers as ``{items, total, size, page}``; else as a bare array."""
    whole_days: bool = False
    """``start`` and ``end`` count by their days."""
    keeps_order: bool = True
    """Ascending by date where that is asked for; else the newest first, whatever is asked for."""
    filters: bool = True
    """Whether ``channels`` counts."""


def entry(number: int = 0, **fields: Any) -> Entry:
    """An entry as ``LogDto`` has it, on an object of its own, a second after the one of the number before."""
    made: Entry = {
        "id": str(uuid.UUID(int=0x5EED << 96 | number)),
        "label": f"Demande créée, {planted.MARKER}",
        "objectType": "DataSubject",
        "isDeletion": False,
        "channel": "DataSubjectCreation",
        "refId": str(10_000 + number),
        "user": {"id": 17, "displayName": planted.MARKER, "email": f"{planted.MARKER}@example.org"},
        "workSpaceId": 1,
        "date": stamp(NOON + timedelta(seconds=number)),
        "data": {"id": 10_000 + number, "givenName": planted.MARKER},
        "url": f"/workspaces/1/requests/{number}",
    }
    return made | fields


def entry_of(body: bytes, **fields: Any) -> Entry:
    """The entry of an event that was posted, as far as the log has what the event has."""
    event = Envelope.parse(body)
    raw = json.loads(body)
    made = entry(
        id=str(uuid.uuid4()),
        channel=event.event_type,
        refId=event.data_id,
        date=event.date,
        data=raw.get("data"),
        label=event.event_name,
    )
    return made | fields


def stamp(time: datetime) -> str:
    """A date as .NET writes it: seven digits and no zone."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0")


def date_of(found: Mapping[str, Any]) -> datetime:
    """An entry's date; one that cannot be read is filed at the beginning of time."""
    return Envelope(date=found["date"]).time or datetime.min.replace(tzinfo=UTC)


class LongLog(Sequence[Entry]):
    """Entries that are made when they are asked for, in ascending order: a log of any length, without its memory."""

    def __init__(self, length: int, make: Callable[[int], Entry] = entry) -> None:
        self._length: Final = length
        self._make: Final = make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...
    def __getitem__(self, place: int | slice) -> Entry | list[Entry]:
        if isinstance(place, slice):
            return [self._make(number) for number in range(*place.indices(self._length))]
        return self._make(range(self._length)[place])


@dataclass
class Log:
    """The log of an account. ``before`` is called ahead of each page with its number among all, from 1."""

    entries: Sequence[Entry] = field(default_factory=list)
    manner: LogManner = field(default_factory=LogManner)
    before: Callable[[int], None] | None = None
    pages: int = 0

    def plug(self, dastra: StandIn) -> Log:
        """Answer for a stand-in, and keep one entry per event that happens there."""
        dastra.route("GET", r"/v1/Logs", self.answer)
        dastra.on_event.append(self.happened)
        return self

    def happened(self, event: Happening) -> None:
        """Keep an event's entry."""
        self.add(
            entry(
                id=event.id,
                channel=event.event_type,
                refId=str(event.data["id"]),
                date=stamp(event.date),
                data=event.data,
                workSpaceId=event.workspace,
            )
        )

    def add(self, *entries: Entry) -> None:
        """Put entries in, wherever their dates belong."""
        self.entries = sorted([*self.entries, *entries], key=date_of)

    def remove(self, ids: Iterable[str]) -> None:
        """Purge entries."""
        gone = set(ids)
        self.entries = [found for found in self.entries if found["id"] not in gone]

    def answer(self, request: Request) -> Reply:
        """One page."""
        self.pages += 1
        if self.before is not None:
            self.before(self.pages)
        channels = request.query.get("channels", [])
        if wrong := [name for name in channels if name not in event_types()]:
            return refusal(400, "One or more validation errors occurred.", channels=[f"{len(wrong)} are not valid"])
        found = self._found(request, channels)
        size = min(int(request.one("size") or 20), self.manner.most)
        number = int(request.one("page") or 1)
        begin = (number - 1) * size
        if self.manner.keeps_order:
            shown = found[begin : begin + size]
        else:
            shown = list(reversed(found[max(0, len(found) - begin - size) : max(0, len(found) - begin)]))
        if self.manner.items:
            return Reply({"items": list(shown), "total": len(found), "size": size, "page": number})
        return Reply(list(shown))

    def _found(self, request: Request, channels: Sequence[str]) -> Sequence[Entry]:
        start, end = (_moment(request.one(name)) for name in ("start", "end"))
        if self.manner.whole_days:
            start = start and start.replace(hour=0, minute=0, second=0, microsecond=0)
            end = end and end.replace(hour=23, minute=59, second=59, microsecond=999_999)
        first, last = 0, len(self.entries)
        if start is not None:
            side = bisect_left if self.manner.start_included else bisect_right
            first = side(self.entries, start, key=date_of)
        if end is not None:
            side = bisect_right if self.manner.end_included else bisect_left
            last = side(self.entries, end, key=date_of)
        if isinstance(self.entries, LongLog):
            log = self.entries
            return LongLog(max(0, last - first), lambda number: log[first + number])
        workspace = request.one("workspaceId")
        return [
            found
            for found in self.entries[first:last]
            if (not self.manner.filters or not channels or found["channel"] in (*channels, None))
            and (workspace is None or str(found["workSpaceId"]) == workspace)
        ]


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


class Direct:
    """The log as `cli.dastra.logs.Api`, without a wire in between, for tests that ask many times."""

    def __init__(self, log: Log) -> None:
        self.log: Final = log

    def request(self, method: str, path: str, *, params: Mapping[str, object] | None = None) -> Any:
        query = {
            name: [str(item) for item in (value if isinstance(value, list | tuple) else [value])]
            for name, value in (params or {}).items()
            if value is not None
        }
        return self.log.answer(Request(method, path, query, {})).value
