"""Addresses that were accepted after the deployment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.addresses import AcceptedAddresses, accepted_entries, address_key
from core.delivery import Delivery
from core.log import STORE_FAILED
from core.ports import PortError
from core.source_ip import EMPTY, AllowList
from tests.fakes import FakeClock, FakeQueue, FakeStore, RecordingLog
from tests.unit.samples import LISTED, UNLISTED

ENTRIES = ["192.0.2.10", "198.51.100.0/24", "2001:db8::1", "2001:db8:1::/48"]


class Rig:
    """A store with its delivery, and the accepted addresses as an instance sees them."""

    def __init__(self, **seconds: float) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.log = RecordingLog()
        self.delivery = Delivery(FakeQueue(), self.store, self.log, monotonic=self.clock.monotonic)
        self.accepted = AcceptedAddresses(self.delivery, monotonic=self.clock.monotonic, **seconds)

    def accept(self, entry: str) -> None:
        """What `addresses accept` does."""
        self.store.put(address_key(entry), b"", {}, 1)
        self.store.journal.clear()

    def look_up(self, timeout: float) -> AllowList:
        """What a look finds, whether the store answered or not."""
        return self.accepted.look_up(timeout)[0]

    def break_store(self, error: Exception) -> None:
        def before(operation: str, key: str) -> None:
            raise error

        self.store.before = before


@pytest.fixture
def rig() -> Rig:
    """Nothing is accepted yet."""
    return Rig()


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("192.0.2.10", "addresses/192.0.2.10"),
        ("198.51.100.0/24", "addresses/198.51.100.0_24"),
        ("2001:db8:1::/48", "addresses/2001:db8:1::_48"),
    ],
)
def test_an_entry_is_one_object_without_a_folder(entry: str, key: str) -> None:
    """The slash of a network would make one."""
    assert address_key(entry) == key


@pytest.mark.parametrize("order", [1, -1])
def test_accepted_entries_come_back_as_they_were_written_sorted_as_text(rig: Rig, order: int) -> None:
    """Slashes included, also where the order of the keys is another; other objects of the store are none."""
    entries = [*ENTRIES, "192.0.2.1/32"]
    for entry in entries[::order]:
        rig.accept(entry)
    rig.store.put("spool/x", b"", {}, 1)
    assert accepted_entries(rig.store, 1.5) == tuple(sorted(entries))
    assert rig.store.timeouts[-1] == 1.5


def test_nothing_is_known_before_the_first_look(rig: Rig) -> None:
    """And no I/O happens without one."""
    rig.accept(UNLISTED)
    assert rig.accepted.known() == EMPTY
    assert rig.store.journal == []


def test_a_look_reads_the_accepted_addresses_and_they_are_known_from_then_on(rig: Rig) -> None:
    """In one call of the store, with the time it is given."""
    for entry in ENTRIES:
        rig.accept(entry)
    assert rig.look_up(0.75) == AllowList.of(ENTRIES)
    assert rig.accepted.known() == AllowList.of(ENTRIES)
    assert rig.store.journal == ["store.list addresses/"]
    assert rig.store.timeouts[-1] == 0.75


def test_what_was_read_is_used_for_five_minutes(rig: Rig) -> None:
    """To the second; then it is unknown until the next look."""
    rig.accept(UNLISTED)
    rig.accepted.look_up(1)
    rig.clock.advance(300)
    assert UNLISTED in rig.accepted.known()
    rig.clock.advance(0.001)
    assert rig.accepted.known() == EMPTY
    assert UNLISTED in rig.look_up(1)
    assert UNLISTED in rig.accepted.known()


def test_each_look_reads_anew_so_that_a_new_acceptance_counts_at_once(rig: Rig) -> None:
    """And one that was taken back is gone."""
    assert UNLISTED not in rig.look_up(1)
    rig.accept(UNLISTED)
    assert UNLISTED in rig.look_up(1)
    rig.store.delete(address_key(UNLISTED), 1)
    assert UNLISTED not in rig.look_up(1)
    assert UNLISTED not in rig.accepted.known()


def test_an_absence_may_be_believed_for_a_while() -> None:
    """Within it the store is not asked; at its end it is."""
    rig = Rig(absent_for=60)
    rig.accept(LISTED)
    assert UNLISTED not in rig.look_up(1)
    rig.accept(UNLISTED)
    rig.clock.advance(59.999)
    assert UNLISTED not in rig.look_up(1)
    assert LISTED in rig.look_up(1)
    assert rig.store.journal == []
    rig.clock.advance(0.001)
    assert UNLISTED in rig.look_up(1)
    assert rig.store.journal == ["store.list addresses/"]


def test_an_absence_is_not_believed_for_longer_than_what_was_read() -> None:
    """The shorter of the two times counts for what is listed."""
    rig = Rig(absent_for=60, max_age=30)
    rig.accept(UNLISTED)
    rig.accepted.look_up(1)
    rig.clock.advance(30.001)
    assert rig.look_up(1) == EMPTY


@pytest.mark.parametrize(
    ("error", "code"), [(PortError("SlowDown"), "SlowDown"), (OSError("planted"), "OSError")], ids=["port", "other"]
)
def test_without_the_store_what_was_read_last_goes_on(rig: Rig, error: Exception, code: str) -> None:
    """However long it is down. A failure is logged by its code, raises nothing, and is told from an absence."""
    rig.accept(UNLISTED)
    rig.break_store(error)
    assert rig.accepted.look_up(1) == (EMPTY, False)
    rig.store.before = None
    assert rig.accepted.look_up(1) == (AllowList.of([UNLISTED]), True)
    rig.break_store(error)
    for seconds in (0, 300.001, 86_400):
        rig.clock.advance(seconds)
        assert rig.accepted.look_up(1) == (AllowList.of([UNLISTED]), False)
    assert rig.log.lines == [(STORE_FAILED, {"during": "accepted_addresses", "error": code})] * 4
    rig.store.before = None
    rig.store.delete(address_key(UNLISTED), 1)
    assert rig.accepted.look_up(1) == (EMPTY, True)


def test_a_failure_does_not_begin_an_absence() -> None:
    """The next event asks the store again, at once."""
    rig = Rig(absent_for=60)
    rig.break_store(PortError("SlowDown"))
    rig.accepted.look_up(1)
    rig.store.before = None
    rig.accept(UNLISTED)
    assert UNLISTED in rig.look_up(1)


# For deciding who is served first


def test_what_is_remembered_is_read_at_most_once_in_five_minutes(rig: Rig) -> None:
    """Whoever asks, however often; to the second."""
    rig.accept(UNLISTED)
    for _ in range(3):
        assert UNLISTED in rig.accepted.remembered(0.5)
    assert rig.store.journal == ["store.list addresses/"]
    assert rig.store.timeouts[-1] == 0.5
    rig.clock.advance(300)
    rig.accepted.remembered(1)
    assert len(rig.store.journal) == 1
    rig.clock.advance(0.001)
    rig.accepted.remembered(1)
    assert len(rig.store.journal) == 2


def test_a_look_for_another_reason_counts(rig: Rig) -> None:
    """The five minutes begin with it."""
    rig.accept(UNLISTED)
    rig.accepted.look_up(1)
    rig.clock.advance(300)
    assert UNLISTED in rig.accepted.remembered(1)
    assert len(rig.store.journal) == 1


def test_a_memory_is_rather_old_than_none(rig: Rig) -> None:
    """While the store is down, and each failure is one call of it in five minutes."""
    rig.accept(UNLISTED)
    rig.accepted.remembered(1)
    rig.break_store(PortError("SlowDown"))
    for _ in range(3):
        rig.clock.advance(300.001)
        assert UNLISTED in rig.accepted.remembered(1)
        assert UNLISTED in rig.accepted.remembered(1)
        assert rig.accepted.known() == EMPTY
    assert len(rig.store.journal) == 4


def test_without_the_store_nothing_is_remembered_and_nobody_waits_twice(rig: Rig) -> None:
    """A forger must not make each request wait for a store that is down."""
    rig.break_store(PortError("SlowDown"))
    assert [rig.accepted.remembered(1) for _ in range(3)] == [EMPTY] * 3
    assert len(rig.store.journal) == 1


def test_of_many_that_ask_at_once_one_reads(rig: Rig) -> None:
    """The others take what there is."""
    start = threading.Barrier(8)

    def ask(_: int) -> None:
        start.wait(30)
        rig.accepted.remembered(5)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert rig.store.journal == ["store.list addresses/"]


# What may stand in the store


@pytest.mark.parametrize("stray", ["", "x", "192.0.2.1_24", "192.0.2.256", "folder/192.0.2.9", ".keep"])
def test_an_object_that_names_no_address_spoils_nothing(rig: Rig, stray: str) -> None:
    """Somebody put it there by hand; the valid ones count."""
    rig.accept(LISTED)
    rig.store.put(f"addresses/{stray}", b"", {}, 1)
    rig.accept("198.51.100.0/24")
    assert rig.look_up(1) == AllowList.of([LISTED, "198.51.100.0/24"])


def test_at_most_a_thousand_entries_are_read(rig: Rig) -> None:
    """A bucket that somebody fills does not grow an instance's memory without end."""
    for number in range(1002):
        rig.store.put(address_key(f"10.0.{number // 256}.{number % 256}"), b"", {}, 1)
    assert len(accepted_entries(rig.store, 1)) == 1000
