"""What is in the store goes on: the spool back to the queue by itself, the quarantine when a person says so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final, TypeVar

from core.addresses import accepted_list
from core.deadline import Deadline
from core.delivery import UNDECIDED, Delivery, Trace
from core.log import REDRIVE, REDRIVE_SKIPPED, STORE_FAILED, record
from core.message import QueueMessage
from core.ports import NotFoundError, PortError, StoredEntry, StoredObject
from core.records import (
    LEASE_KEY,
    QUARANTINE_PREFIX,
    SPOOL_PREFIX,
    RecordError,
    StoredRecord,
    record_key,
    record_time,
)
from core.screening import HoldReason
from core.source_ip import AllowList

T = TypeVar("T")

STORE_SECONDS: Final = 5.0
LEASE_SECONDS: Final = 180.0
EXPIRY_WARNING_SECONDS: Final = 23 * 86_400
"""Seven days before the store's 30 days are over."""
MOST_PER_RUN: Final = 500
_MOST_LISTED: Final = 10_000
_GIVE_UP_AFTER: Final = 3


class _Step(Enum):
    """What became of one object of the spool."""

    SENT = auto()
    QUEUE_FAILED = auto()
    STORE_FAILED = auto()
    GONE = auto()
    """There is nothing to send: it was sent by another run, or set aside."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """How full the store is; ages in seconds. Counts stop at 10,000."""

    spool_count: int
    spool_oldest_seconds: float
    quarantine_count: int
    quarantine_oldest_seconds: float
    expiring_count: int


@dataclass(frozen=True, slots=True)
class RedriveReport:
    """What one run did. ``skipped`` says that another run was under way; ``gauges`` is how it was left."""

    sent: int
    failed: int
    skipped: bool
    gauges: Gauges


@dataclass(slots=True, eq=False)
class Redrive:
    """Puts stored events on the queue. Running twice at once loses nothing: an event is removed after it was sent."""

    delivery: Delivery
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def run(self, *, limit: int = MOST_PER_RUN, seconds: float = 45.0) -> RedriveReport:
        """Put the spool back on the queue, oldest first, at most ``limit`` events or for ``seconds``.

        Ends early when the queue fails three times in a row; an object that cannot be read or removed holds up nothing
        else. Emits the gauges whatever happens to the events.

        Raises:
            PortError: the store cannot be listed; without it there are no gauges, and their absence alarms.
        """
        ends_at = self.monotonic() + seconds
        if not self._take_lease():
            record(self.delivery.log, REDRIVE_SKIPPED, reason="another_run")
            return self._report(0, 0, skipped=True)
        sent = failed = in_a_row = 0
        try:
            for entry in self._list(SPOOL_PREFIX, limit):
                if self.monotonic() >= ends_at or in_a_row >= _GIVE_UP_AFTER:
                    break
                step = self._redrive_one(entry.key)
                sent += step is _Step.SENT
                failed += step in (_Step.QUEUE_FAILED, _Step.STORE_FAILED)
                in_a_row = in_a_row + 1 if step is _Step.QUEUE_FAILED else 0 if step is _Step.SENT else in_a_row
        finally:
            self._end_lease()
        return self._report(sent, failed, skipped=False)

    def gauges(self) -> Gauges:
        """Count what is stored.

        Raises:
            PortError: the store cannot be listed.
        """
        spool, quarantine = self._list(SPOOL_PREFIX, _MOST_LISTED), self._list(QUARANTINE_PREFIX, _MOST_LISTED)
        ages = [self._ages(entries) for entries in (spool, quarantine)]
        return Gauges(
            len(spool),
            max(ages[0], default=0.0),
            len(quarantine),
            max(ages[1], default=0.0),
            sum(age > EXPIRY_WARNING_SECONDS for part in ages for age in part),
        )

    def records(self, prefix: str, limit: int = _MOST_LISTED) -> list[StoredEntry]:
        """What is stored below ``spool/`` or ``quarantine/``, oldest first.

        Raises:
            PortError: the store cannot be listed.
        """
        return list(self._list(prefix, limit))

    def read(self, key: str) -> StoredRecord:
        """One stored event.

        Raises:
            NotFoundError: there is no such object.
            RecordError: the object is no record of ours.
            PortError: the store did not answer.
        """
        return StoredRecord.read(self._get(key))

    def release(self, key: str, *, vouched: bool = False) -> StoredRecord:
        """Send a stored event to the queue, then remove it. ``vouched``: its address has been accepted since.

        Raises:
            NotFoundError: there is no such object.
            RecordError: the object is no record of ours.
            PortError: the queue did not take it, or it could not be removed afterwards; it is still stored.
        """
        stored = self.read(key)
        self._send(stored.message.vouched() if vouched else stored.message)
        self._remove(key)
        return stored

    def drop(self, key: str) -> None:
        """Remove a stored event for good.

        Raises:
            NotFoundError: there is no such object.
            PortError: the store did not answer.
        """
        self._get(key)
        self._remove(key)

    def _redrive_one(self, key: str) -> _Step:
        try:
            stored = self.read(key)
            undecided = stored.reason == UNDECIDED
            if undecided and stored.address not in self._accepted():
                return self._set_aside(key, HoldReason.UNLISTED_ADDRESS)
        except NotFoundError:
            return _Step.GONE  # the other run was faster
        except RecordError:
            return self._set_aside(key, "unreadable_record")
        except PortError as error:
            return self._store_failed(key, error)
        try:
            self._send(stored.message.vouched() if undecided else stored.message)
        except PortError as error:
            return self._set_aside(key, "refused_by_queue") if error.permanent else _Step.QUEUE_FAILED
        try:
            self._remove(key)
        except PortError as error:
            self._store_failed(key, error)  # it is on the queue, and will be once more: the contract allows it
        return _Step.SENT

    def _set_aside(self, key: str, reason: str) -> _Step:
        """Move what must not or can never be sent to quarantine, where a person sees it."""
        try:
            stored = self._get(key)
            target = record_key(QUARANTINE_PREFIX, key.removeprefix(SPOOL_PREFIX).rpartition("-")[2], self.now())
            metadata = {**stored.metadata, "reason": reason}
            self._call(lambda timeout: self.delivery.store.put(target, stored.body, metadata, timeout))
            self._remove(key)
        except NotFoundError:
            return _Step.GONE
        except PortError as error:
            return self._store_failed(key, error)
        return _Step.GONE

    def _store_failed(self, key: str, error: PortError) -> _Step:
        record(self.delivery.log, STORE_FAILED, place=key, error=error.code)
        return _Step.STORE_FAILED

    def _accepted(self) -> AllowList:
        """The accepted addresses, read anew for each undecided event: there are few, and a person may act meanwhile."""
        return self._call(lambda timeout: accepted_list(self.delivery.store, timeout))

    def _remove(self, key: str) -> None:
        self._call(lambda timeout: self.delivery.store.delete(key, timeout))

    def _send(self, message: QueueMessage) -> None:
        trace = Trace()
        seconds = 2 * self.delivery.limits.queue_seconds + self.delivery.limits.store_seconds
        deadline = Deadline.start(seconds, 0, self.monotonic)
        self.delivery.enqueue(message, deadline, trace)

    def _take_lease(self) -> bool:
        """Whether this run may go on. Losing a race here costs a duplicate at most, which the contract allows."""
        body = json.dumps({"until": self.now() + LEASE_SECONDS}).encode()

        def take(timeout: float) -> bool:
            return self.delivery.store.put(LEASE_KEY, body, {}, timeout, only_if_absent=True)

        if self._call(take):
            return True
        try:
            until = float(json.loads(self._get(LEASE_KEY).body)["until"])
        except NotFoundError:
            return bool(self._call(take))
        except (ValueError, KeyError, TypeError):
            until = 0.0
        # No run outlasts a lease; twice that leaves room for clocks that differ, and what is beyond is broken.
        if self.now() < until <= self.now() + 2 * LEASE_SECONDS:
            return False
        self._call(lambda timeout: self.delivery.store.delete(LEASE_KEY, timeout))
        return bool(self._call(take))

    def _end_lease(self) -> None:
        try:
            self._call(lambda timeout: self.delivery.store.delete(LEASE_KEY, timeout))
        except PortError as error:  # it ends by itself
            record(self.delivery.log, STORE_FAILED, place=LEASE_KEY, error=error.code)

    def _list(self, prefix: str, limit: int) -> Sequence[StoredEntry]:
        return self._call(lambda timeout: self.delivery.store.list(prefix, limit, timeout))

    def _get(self, key: str) -> StoredObject:
        return self._call(lambda timeout: self.delivery.store.get(key, timeout))

    def _call(self, call: Callable[[float], T]) -> T:
        return self.delivery.with_store(call, STORE_SECONDS)

    def _ages(self, entries: Sequence[StoredEntry]) -> list[float]:
        now = datetime.fromtimestamp(self.now(), UTC)
        return [max(0.0, (now - (record_time(entry.key) or entry.modified)).total_seconds()) for entry in entries]

    def _report(self, sent: int, failed: int, *, skipped: bool) -> RedriveReport:
        gauges = self.gauges()
        record(
            self.delivery.log,
            REDRIVE,
            sent=sent,
            failed=failed,
            spool_count=gauges.spool_count,
            spool_oldest_seconds=round(gauges.spool_oldest_seconds),
            quarantine_count=gauges.quarantine_count,
            quarantine_oldest_seconds=round(gauges.quarantine_oldest_seconds),
            expiring_count=gauges.expiring_count,
        )
        return RedriveReport(sent, failed, skipped, gauges)
