"""Where an authentic event goes: the queue, else the store, within the time that is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from core.bound import HardBound, HardTimeoutError, NoFreeWorkerError
from core.deadline import Deadline
from core.log import QUEUE_FAILED, STORE_FAILED, Log, error_code, record
from core.message import QueueMessage
from core.ports import PortError, Queue, Store
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX, metadata_of, record_key

T = TypeVar("T")

REST_SECONDS: Final = 15.0
"""How long a queue that timed out is left alone: it must not eat the time of every event in turn."""


UNDECIDED: Final = "address_unknown"
"""Why an event is in the spool of which nobody could say whether its address has been accepted."""


class Placed(StrEnum):
    """The durable place that has the event."""

    QUEUE = "queue"
    SPOOL = "spool"
    QUARANTINE = "quarantine"
    NOWHERE = "nowhere"


@dataclass(slots=True)
class Trace:
    """Where the time of one request went, for its log line; milliseconds."""

    screen_ms: float | None = None
    """The decision, with every wait that it took: ``keys_ms`` is part of it."""
    keys_ms: float | None = None
    queue_ms: float | None = None
    store_ms: float | None = None
    claim_check: bool = False
    address_known: bool = True
    """False when the store could not say whether the address has been accepted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares of the time budget in seconds, and how many calls may be under way at once per port."""

    queue_seconds: float = 2.5
    store_seconds: float = 2.5
    workers: int = 8
    rest_seconds: float = REST_SECONDS


class Rest:
    """Whether the queue may be asked. After a time-out it rests; then one caller at a time may try it again."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self._seconds: Final = seconds
        self._monotonic: Final = monotonic
        self._lock: Final = threading.Lock()
        self._until: float | None = None

    def allows(self) -> bool:
        """Whether to ask now. The first to be told yes after a rest is the probe; the others keep waiting for it."""
        with self._lock:
            if self._until is None:
                return True
            now = self._monotonic()
            if now < self._until:
                return False
            self._until = now + self._seconds
            return True

    def resting(self) -> bool:
        """Whether asking is pointless now. Takes no part in who is the probe."""
        with self._lock:
            return self._until is not None and self._monotonic() < self._until

    def start(self) -> None:
        """The queue timed out."""
        with self._lock:
            self._until = self._monotonic() + self._seconds

    def end(self) -> None:
        """The queue answered."""
        with self._lock:
            self._until = None


@dataclass(slots=True, eq=False)
class Delivery:
    """Puts events into their durable place. One per instance, safe under concurrent calls."""

    queue: Queue
    store: Store
    log: Log
    limits: Limits = field(default_factory=Limits)
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    _queue_bound: HardBound = field(init=False)
    _store_bound: HardBound = field(init=False)
    _rest: Rest = field(init=False)

    def __post_init__(self) -> None:
        self._queue_bound = HardBound("queue", self.limits.workers)
        self._store_bound = HardBound("store", self.limits.workers)
        self._rest = Rest(self.limits.rest_seconds, self.monotonic)

    def accept(self, message: QueueMessage, deadline: Deadline, address: str | None, trace: Trace) -> Placed:
        """Put an accepted event on the queue, or into the spool when the queue does not take it. Never raises."""
        try:
            self.enqueue(message, deadline, trace)
        except ClaimedOnlyError as claimed:
            return self._keep(SPOOL_PREFIX, claimed.pointer, "queue_failed", address, deadline, trace, Placed.SPOOL)
        except PortError as error:
            if isinstance(error, StoreFailedError):
                return Placed.NOWHERE
            return self._keep(SPOOL_PREFIX, message, "queue_failed", address, deadline, trace, Placed.SPOOL)
        return Placed.QUEUE

    def quarantine(
        self, message: QueueMessage, reason: str, deadline: Deadline, address: str | None, trace: Trace
    ) -> Placed:
        """Hold an event for a person. Never raises."""
        return self._keep(QUARANTINE_PREFIX, message, reason, address, deadline, trace, Placed.QUARANTINE)

    def postpone(self, message: QueueMessage, deadline: Deadline, address: str | None, trace: Trace) -> Placed:
        """Keep an event whose address may have been accepted, which the store could not say. Never raises.

        In the spool, where the redrive decides. When the store does not take it either, on the queue with its mark
        ``unlisted``: a consumer can still hold it, and nobody can bring back what is lost.
        """
        placed = self._keep(SPOOL_PREFIX, message, UNDECIDED, address, deadline, trace, Placed.SPOOL)
        if placed is Placed.NOWHERE:
            try:
                self.enqueue(message, deadline, trace)
            except PortError:
                return Placed.NOWHERE
            return Placed.QUEUE
        return placed

    def enqueue(self, message: QueueMessage, deadline: Deadline, trace: Trace) -> None:
        """Put a message on the queue, as a claim check where the queue does not take it as it is.

        Raises:
            ClaimedOnlyError: the body is in the store, and the pointer to it did not go.
            StoreFailedError: the body needs the store, which did not take it.
            PortError: the queue did not take it; while it rests after a time-out it is not asked.
        """
        try:
            self._enqueue(message, deadline, trace)
        except PortError:
            raise
        except Exception as error:  # a fault in an adapter must not cost the event
            raise PortError(error_code(error)) from error

    def _enqueue(self, message: QueueMessage, deadline: Deadline, trace: Trace) -> None:
        if self._rest.resting():
            raise PortError("resting", timed_out=True)
        if message.is_pointer or self.queue.takes(message):
            try:
                return self._send(message, deadline, trace)
            except PortError as error:
                if not error.permanent or message.is_pointer:
                    raise
        pointer = self._claim(message, deadline, trace)
        try:
            self._send(pointer, deadline, trace)
        except PortError as error:
            raise ClaimedOnlyError(pointer, error) from None

    def with_store(self, call: Callable[[float], T], seconds: float) -> T:
        """Run a call of the store under the hard bound; it is given its time-out.

        Raises:
            PortError: it failed or took longer than ``seconds``.
        """
        return self._bounded(self._store_bound, self.store, call, seconds)

    def _send(self, message: QueueMessage, deadline: Deadline, trace: Trace) -> None:
        if not self._rest.allows():
            raise PortError("resting", timed_out=True)
        started = self.monotonic()
        timeout = deadline.half_or(self.limits.queue_seconds)
        try:
            self._bounded(self._queue_bound, self.queue, lambda seconds: self.queue.send(message, seconds), timeout)
        except PortError as error:
            if error.timed_out:
                self._rest.start()
            else:
                self._rest.end()
            record(self.log, QUEUE_FAILED, event_id=message.id, error=error.code, queue_ms=self._since(started))
            raise
        finally:
            trace.queue_ms = self._since(started)
        self._rest.end()

    def _claim(self, message: QueueMessage, deadline: Deadline, trace: Trace) -> QueueMessage:
        trace.claim_check = True
        if not self._put(message.claim_key, message.body, dict(message.attributes), deadline, trace):
            raise StoreFailedError
        return message.as_pointer(self.store.url(message.claim_key))

    def _keep(
        self,
        prefix: str,
        message: QueueMessage,
        reason: str,
        address: str | None,
        deadline: Deadline,
        trace: Trace,
        placed: Placed,
    ) -> Placed:
        key = record_key(prefix, message.id, self.now())
        kept = self._put(key, message.body, metadata_of(message, reason, address), deadline, trace)
        return placed if kept else Placed.NOWHERE

    def _put(self, key: str, body: bytes, metadata: dict[str, str], deadline: Deadline, trace: Trace) -> bool:
        started = self.monotonic()
        timeout = deadline.share(self.limits.store_seconds)
        try:
            self._bounded(
                self._store_bound, self.store, lambda seconds: self.store.put(key, body, metadata, seconds), timeout
            )
        except PortError as error:
            record(self.log, STORE_FAILED, place=key, error=error.code, store_ms=self._since(started))
            return False
        finally:
            trace.store_ms = (trace.store_ms or 0) + self._since(started)
        return True

    def _bounded(self, bound: HardBound, port: Queue | Store, call: Callable[[float], T], seconds: float) -> T:
        try:
            return bound.run(lambda: call(seconds), seconds)
        except PortError as error:
            if error.timed_out:
                port.discard()
            raise
        except HardTimeoutError:
            port.discard()
            raise PortError("hard_timeout", timed_out=True) from None
        except NoFreeWorkerError:
            raise PortError("no_free_worker", timed_out=True) from None
        except Exception as error:  # whatever an SDK raises, the event must find another place
            raise PortError(error_code(error)) from error

    def _since(self, started: float) -> float:
        return round((self.monotonic() - started) * 1000, 1)


class StoreFailedError(PortError):
    """The store did not take a body that the queue cannot take either."""

    def __init__(self) -> None:
        super().__init__("store_failed")


class ClaimedOnlyError(PortError):
    """The body is stored as a claim, but the pointer to it is not on the queue yet."""

    def __init__(self, pointer: QueueMessage, cause: PortError) -> None:
        super().__init__(cause.code, timed_out=cause.timed_out, permanent=cause.permanent)
        self.pointer = pointer
