"""Stand-ins for the three ports, the log and the clock. Each keeps its port's promises; a test bends one on purpose.

``before`` of a port runs ahead of the call's effect and may raise or block. Nothing here sleeps or opens a socket.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from core.log import LogEvent, Value
from core.message import QueueMessage
from core.ports import NotFoundError, StoredEntry, StoredObject
from core.signature import SignatureKey

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
"""When a fake clock begins, in seconds since the epoch."""


class FakeClock:
    """Time that moves when a test says so; safe to read from several threads."""

    def __init__(self) -> None:
        self._elapsed = 0.0

    def monotonic(self) -> float:
        return 5000.0 + self._elapsed

    def now(self) -> float:
        return NOON + self._elapsed

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds


class Hang:
    """A call that does not return until :meth:`end`, like one to a server that stays silent."""

    def __init__(self) -> None:
        self._released: Final = threading.Event()
        self.began: Final = threading.Event()

    def __call__(self, *_: object) -> None:
        self.began.set()
        assert self._released.wait(60), "a test left a hanging call behind"

    def end(self) -> None:
        self._released.set()


@dataclass(slots=True)
class FakeQueue:
    """Keeps what it acknowledged. ``most`` is the largest body it takes, in bytes; it refuses NUL like SQS."""

    most: int = 1024
    before: Callable[[QueueMessage], None] | None = None
    journal: list[str] = field(default_factory=list)
    messages: list[QueueMessage] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    discarded: int = 0

    def takes(self, message: QueueMessage) -> bool:
        return len(message.body) <= self.most and b"\0" not in message.body

    def send(self, message: QueueMessage, timeout: float) -> None:
        self.journal.append(f"queue.send {message.id}")
        self.timeouts.append(timeout)
        if self.before is not None:
            self.before(message)
        self.messages.append(message)

    def discard(self) -> None:
        self.discarded += 1


@dataclass(slots=True)
class FakeStore:
    """An object store in memory. ``before`` is given the operation's name and the key or prefix."""

    clock: FakeClock = field(default_factory=FakeClock)
    before: Callable[[str, str], None] | None = None
    journal: list[str] = field(default_factory=list)
    objects: dict[str, StoredObject] = field(default_factory=dict)
    modified: dict[str, datetime] = field(default_factory=dict)
    timeouts: list[float] = field(default_factory=list)
    discarded: int = 0

    def put(
        self, key: str, body: bytes, metadata: Mapping[str, str], timeout: float, *, only_if_absent: bool = False
    ) -> bool:
        self._begin("put", key, timeout)
        if only_if_absent and key in self.objects:
            return False
        self.objects[key] = StoredObject(key, body, dict(metadata))
        self.modified[key] = datetime.fromtimestamp(self.clock.now(), UTC)
        return True

    def get(self, key: str, timeout: float) -> StoredObject:
        self._begin("get", key, timeout)
        if key not in self.objects:
            raise NotFoundError
        return self.objects[key]

    def list(self, prefix: str, limit: int, timeout: float) -> Sequence[StoredEntry]:
        self._begin("list", prefix, timeout)
        keys = sorted(key for key in self.objects if key.startswith(prefix))[:limit]
        return [StoredEntry(key, len(self.objects[key].body), self.modified[key]) for key in keys]

    def delete(self, key: str, timeout: float) -> None:
        self._begin("delete", key, timeout)
        self.objects.pop(key, None)
        self.modified.pop(key, None)

    def url(self, key: str) -> str:
        return f"fake://store/{key}"

    def discard(self) -> None:
        self.discarded += 1

    def below(self, prefix: str) -> Sequence[StoredObject]:
        """The objects below a prefix, for a test to look at; no call of the port."""
        return [self.objects[key] for key in sorted(self.objects) if key.startswith(prefix)]

    def _begin(self, operation: str, key: str, timeout: float) -> None:
        self.journal.append(f"store.{operation} {key}")
        self.timeouts.append(timeout)
        if self.before is not None:
            self.before(operation, key)


@dataclass(slots=True)
class FakeKeySource:
    """A secret store that holds ``keys``; ``before`` is given the number of the fetch, from 1."""

    keys: tuple[SignatureKey, ...] = ()
    before: Callable[[int], None] | None = None
    timeouts: list[float] = field(default_factory=list)

    @property
    def fetches(self) -> int:
        return len(self.timeouts)

    def fetch(self, timeout: float) -> tuple[SignatureKey, ...]:
        keys = self.keys  # as they were when the question arrived
        self.timeouts.append(timeout)
        if self.before is not None:
            self.before(len(self.timeouts))
        return keys


@dataclass(slots=True)
class RecordingLog:
    """Remembers every line and every count."""

    lines: list[tuple[LogEvent, dict[str, Value]]] = field(default_factory=list)
    counted: list[LogEvent] = field(default_factory=list)

    def write(self, event: LogEvent, fields: Mapping[str, Value]) -> None:
        self.lines.append((event, dict(fields)))

    def count(self, event: LogEvent) -> None:
        self.counted.append(event)

    @property
    def events(self) -> list[LogEvent]:
        """What was written, in order."""
        return [event for event, _ in self.lines]

    def of(self, event: LogEvent) -> list[dict[str, Value]]:
        """The fields of each line of one event."""
        return [fields for written, fields in self.lines if written is event]
