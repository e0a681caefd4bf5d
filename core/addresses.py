"""Addresses that a person accepted after the deployment, as one learns a host's key in ssh.

Each is an empty object in the store, so that accepting one needs no new deployment and no later deployment undoes it.
They are read only when an authentic event comes from an address off the list.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from core.delivery import Delivery
from core.log import STORE_FAILED, record
from core.ports import PortError, Store
from core.records import ADDRESSES_PREFIX
from core.source_ip import EMPTY, AddressError, AllowList

READ_SECONDS: Final = 1.0
_MOST: Final = 1000


def address_key(entry: str) -> str:
    """The store key of an accepted address or network; a slash would make a folder of it."""
    return ADDRESSES_PREFIX + entry.replace("/", "_")


def accepted_entries(store: Store, timeout: float) -> tuple[str, ...]:
    """The accepted addresses and networks, sorted as text.

    Raises:
        PortError: the store did not answer.
    """
    listing = store.list(ADDRESSES_PREFIX, _MOST, timeout)
    return tuple(sorted(entry.key.removeprefix(ADDRESSES_PREFIX).replace("_", "/") for entry in listing))


def accepted_list(store: Store, timeout: float) -> AllowList:
    """The accepted addresses and networks as a list to look into; what is neither is left out.

    Raises:
        PortError: the store did not answer.
    """
    return AllowList.of(entry for entry in accepted_entries(store, timeout) if _is_valid(entry))


class AcceptedAddresses:
    """The accepted addresses as this instance last read them."""

    def __init__(
        self,
        delivery: Delivery,
        *,
        absent_for: float = 0,
        max_age: float = 300,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Seconds: an absence is believed for ``absent_for``, what was read is used for ``max_age``."""
        self._delivery: Final = delivery
        self._absent_for: Final = absent_for
        self._max_age: Final = max_age
        self._monotonic: Final = monotonic
        self._lock: Final = threading.Lock()
        self._list = EMPTY
        self._read_at: float | None = None
        self._asked_at: float | None = None

    def remembered(self, timeout: float) -> AllowList:
        """The accepted addresses for deciding who is served first: rather old than none.

        They are read for this at most once in ``max_age``, so that nobody without a key can cause more.
        """
        with self._lock:
            now = self._monotonic()
            due = self._asked_at is None or now - self._asked_at > self._max_age
            if due:
                self._asked_at = now
        if due:
            self.look_up(timeout)
        return self._list

    def known(self) -> AllowList:
        """The accepted addresses that may still be used without reading them again. No I/O."""
        if self._read_at is None or self._monotonic() - self._read_at > self._max_age:
            return EMPTY
        return self._list

    def look_up(self, timeout: float) -> tuple[AllowList, bool]:
        """Read the accepted addresses, at most for ``timeout`` seconds; whether the store answered.

        When it does not, what was read last counts on: an address that a person accepted is not in doubt because the
        store is down.
        """
        if self._read_at is not None and self._monotonic() - self._read_at < self._absent_for:
            return self.known(), True
        store = self._delivery.store
        try:
            found = self._delivery.with_store(lambda seconds: accepted_list(store, seconds), timeout)
        except PortError as error:
            record(self._delivery.log, STORE_FAILED, during="accepted_addresses", error=error.code)
            return self._list, False
        with self._lock:
            self._list = found
            self._read_at = self._asked_at = self._monotonic()
        return found, True


def _is_valid(entry: str) -> bool:
    try:
        AllowList.of([entry])
    except AddressError:
        return False
    return True
