"""Remembers the latest requests of a local run, in bounded memory, for whoever looks at them.

Called on the requests' own threads before an answer goes out, so it takes references and does no work: what a page
shows is made when somebody asks.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cli.local.cloud import Handled
from cli.local.front import EntryPoint, HttpAnswer, HttpRequest

MOST_KEPT: Final = 500
"""Requests that are remembered."""
MOST_BYTES: Final = 48 * 1024 * 1024
"""Bytes of bodies that are remembered in all; the oldest go first."""
MOST_OF_ONE: Final = 12 * 1024 * 1024
"""A longer body is kept only by its first bytes."""
START_BYTES: Final = 64 * 1024
_MOST_NOTES: Final = 50
_MOST_AWAITED: Final = 200


@dataclass(slots=True, eq=False)
class Entry:
    """A request and, once it is answered, what became of it. ``changed`` grows with every change of any entry."""

    number: int
    request: HttpRequest
    """Without its body."""
    body: bytes
    size: int
    """Bytes of the body as it came."""
    changed: int
    origin: str | None = None
    """Why the console sent it itself: ``sample``, ``replay of 3``; None for a request from elsewhere."""
    handled: Handled | None = None
    """Without the request's body."""
    ended: bool = False
    event_id: str | None = None
    duplicate_of: int | None = None
    """The first request with the same signed bytes."""
    place: str | None = None
    """Where a spooled or quarantined event is now: ``spool``, ``quarantine``, ``queue`` or ``gone``."""
    cache: tuple[int, dict[str, Any]] | None = None

    @property
    def whole(self) -> bool:
        """Whether the exact bytes are still there."""
        return len(self.body) == self.size


@dataclass(frozen=True, slots=True)
class Note:
    """Something beside the requests: a fault was switched, a redrive ended.

    ``number`` sorts it between the request before it and the one after.
    """

    number: float
    changed: int
    at: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class News:
    """What changed since some point, oldest first, and what is no longer there."""

    changed: int
    entries: tuple[Entry, ...]
    notes: tuple[Note, ...]
    oldest: int
    """Entries with lower numbers are forgotten."""


@dataclass(slots=True, eq=False)
class Recorder:
    """The latest requests. Safe under concurrent calls; ``wake`` functions are called on the thread that changed it."""

    most: int = MOST_KEPT
    most_bytes: int = MOST_BYTES
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _entries: OrderedDict[int, Entry] = field(default_factory=OrderedDict, init=False)
    _open: dict[int, Entry] = field(default_factory=dict, init=False)
    _first: dict[str, int] = field(default_factory=dict, init=False)
    _notes: list[Note] = field(default_factory=list, init=False)
    _awaited: OrderedDict[int, str] = field(default_factory=OrderedDict, init=False)
    _watchers: list[Callable[[], None]] = field(default_factory=list, init=False)
    _bytes: int = field(default=0, init=False)
    _number: int = field(default=0, init=False)
    _changed: int = field(default=0, init=False)
    recording: bool = field(default=False, init=False)
    """Not while the run greets itself."""
    closed: bool = field(default=False, init=False)
    """Whether the run ends: streams end then."""

    def begin(self, request: HttpRequest, size: int) -> None:
        """A request has come."""
        if not self.recording:
            return
        body = request.body if len(request.body) <= MOST_OF_ONE else request.body[:START_BYTES]
        with self._lock:
            self._number += 1
            self._changed += 1
            bare = replace(request, body=b"")
            entry = Entry(self._number, bare, body, size, self._changed, self._awaited.pop(request.client_port, None))
            self._entries[entry.number] = entry
            self._open[id(request)] = entry
            self._bytes += len(body)
            self._forget()
        self._wake()

    def finish(self, handled: Handled) -> None:
        """A request was answered."""
        with self._lock:
            entry = self._open.get(id(handled.request))
            if entry is None:
                return
            self._changed += 1
            entry.handled, entry.changed = replace(handled, request=entry.request), self._changed
            found = next((line["event_id"] for line in reversed(handled.lines) if "event_id" in line), None)
            if isinstance(found, str):
                entry.event_id = found
                # One that was forgotten while it was under way would be the first for ever.
                first = self._first.get(found)
                entry.duplicate_of = first
                if first is None and entry.number in self._entries:
                    self._first[found] = entry.number
        self._wake()

    def end(self, request: HttpRequest) -> None:
        """The request's thread is done with it, whatever it told."""
        with self._lock:
            entry = self._open.pop(id(request), None)
            if entry is None:
                return
            entry.ended = True
            if entry.handled is not None:
                return
            self._changed += 1
            entry.changed = self._changed
        self._wake()

    def note(self, kind: str, text: str) -> None:
        """Remember something beside the requests."""
        with self._lock:
            self._changed += 1
            last = self._notes[-1].number if self._notes else 0.0
            number = max(float(self._number), last) + 1 / 4096
            self._notes = [*self._notes, Note(number, self._changed, time.time(), kind, text)][-_MOST_NOTES:]
        self._wake()

    def redriven(self, report: Mapping[str, Any]) -> None:
        """A redrive ended; it is worth a note when it moved something, or could not."""
        sent, failed = report.get("sent", 0), report.get("failed", 0)
        if sent or failed:
            self.note("redrive", f"{sent} from the spool to the queue" + (f", {failed} failed" if failed else ""))

    def await_port(self, port: int, origin: str) -> None:
        """The next request from this local port is one of the console's own."""
        with self._lock:
            self._awaited[port] = origin
            while len(self._awaited) > _MOST_AWAITED:
                self._awaited.popitem(last=False)

    def still_awaits(self, port: int) -> bool:
        """Whether no request has come from that port; it is not awaited any more."""
        with self._lock:
            return self._awaited.pop(port, None) is not None

    def put_in_place(self, places: Mapping[str, str], otherwise: Callable[[str], str]) -> None:
        """Take note of where events are now.

        Args:
            places: event ids in the store, with ``spool`` or ``quarantine``.
            otherwise: is asked for each held event that is no longer there.
        """
        moved = False
        for entry in self.held():
            place = places.get(str(entry.event_id)) or (
                entry.place if entry.place in ("queue", "gone") else otherwise(str(entry.event_id))
            )
            if place != entry.place:
                with self._lock:
                    self._changed += 1
                    entry.place, entry.changed = place, self._changed
                moved = True
        if moved:
            self._wake()

    def held(self) -> tuple[Entry, ...]:
        """The requests whose event went to the store first."""
        with self._lock:
            entries = tuple(self._entries.values())
        words = {"spooled", "quarantined"}
        return tuple(
            entry
            for entry in entries
            if entry.handled is not None
            and entry.event_id is not None
            and any(line.get("message") in words for line in entry.handled.lines)
        )

    def get(self, number: int) -> Entry | None:
        """A request by its number, while it is remembered."""
        with self._lock:
            return self._entries.get(number)

    def since(self, changed: int) -> News:
        """What changed after that point; 0 for everything."""
        with self._lock:
            entries = [entry for entry in self._entries.values() if entry.changed > changed]
            notes = [note for note in self._notes if note.changed > changed]
            return News(self._changed, tuple(entries), tuple(notes), self._oldest())

    def clear(self) -> None:
        """Forget everything that was remembered; requests under way as well."""
        with self._lock:
            self._entries.clear()
            self._open.clear()
            self._first.clear()
            self._notes.clear()
            self._bytes = 0
            # By two: pages keep the notes that come just before the oldest request.
            self._number += 2
            self._changed += 1
        self._wake()

    def close(self) -> None:
        """The run ends."""
        self.closed = True
        self._wake()

    @contextmanager
    def watched(self, wake: Callable[[], None]) -> Iterator[None]:
        """Calls ``wake`` after every change meanwhile."""
        with self._lock:
            self._watchers.append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._watchers.remove(wake)

    def _wake(self) -> None:
        for wake in tuple(self._watchers):
            wake()

    def _oldest(self) -> int:
        # After `clear` there is no entry, and pages must forget theirs.
        return next(iter(self._entries), self._number)

    def _forget(self) -> None:
        while len(self._entries) > self.most:
            _, gone = self._entries.popitem(last=False)
            self._bytes -= len(gone.body)
            if gone.event_id is not None and self._first.get(gone.event_id) == gone.number:
                del self._first[gone.event_id]
        for entry in self._entries.values():
            if self._bytes <= self.most_bytes:
                return
            if len(entry.body) > START_BYTES:
                self._bytes -= len(entry.body) - START_BYTES
                entry.body = entry.body[:START_BYTES]


class Recorded:
    """An entry point whose requests are remembered."""

    def __init__(self, entry_point: EntryPoint, recorder: Recorder) -> None:
        self._entry_point: Final = entry_point
        self._recorder: Final = recorder
        self.most_bytes: int = entry_point.most_bytes

    def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request."""
        with self._remembered(request, len(request.body)):
            return self._entry_point(request)

    def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
        """Answer a request whose body is too large."""
        with self._remembered(request, size):
            return self._entry_point.turn_away(request, size)

    @contextmanager
    def _remembered(self, request: HttpRequest, size: int) -> Iterator[None]:
        self._recorder.begin(request, size)
        try:
            yield
        finally:
            self._recorder.end(request)
