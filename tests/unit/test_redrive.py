"""What is stored goes on: order, limits, poison, the lease, the gauges, and a person's commands."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from core.addresses import address_key
from core.delivery import UNDECIDED, Delivery, Limits
from core.log import QUEUE_FAILED, REDRIVE, REDRIVE_SKIPPED, STORE_FAILED
from core.message import QueueMessage, event_id
from core.ports import NotFoundError, PortError
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX, RecordError, metadata_of, record_key
from core.redrive import Gauges, Redrive, RedriveReport
from tests.fakes import NOON, FakeClock, FakeQueue, FakeStore, RecordingLog
from tests.unit.samples import LISTED, UNLISTED, event, message

DAY = 86_400
LEASE = "leases/redrive"


class Rig:
    """A store with records of the past, and the redrive that finds them at noon."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = FakeClock()
        self.journal: list[str] = []
        self.queue = FakeQueue(journal=self.journal)
        self.store = FakeStore(self.clock, journal=self.journal)
        self.log = RecordingLog()
        delivery = Delivery(self.queue, self.store, self.log, limits or Limits(), self.clock.monotonic, self.clock.now)
        self.redrive = Redrive(delivery, self.clock.now, self.clock.monotonic)

    def keep(
        self,
        sent: QueueMessage | None = None,
        *,
        prefix: str = SPOOL_PREFIX,
        age: float = 60,
        body: bytes | None = None,
    ) -> str:
        """Store a record as it was written so many seconds ago; the key of it."""
        sent = message() if sent is None else sent
        key = record_key(prefix, sent.id, NOON - age)
        self.store.put(key, sent.body if body is None else body, metadata_of(sent, "queue_failed", UNLISTED), 1)
        self.journal.clear()
        self.store.timeouts.clear()
        return key

    def run(self, **limits: float) -> tuple[int, int, bool]:
        report = self.redrive.run(**limits)  # type: ignore[arg-type]
        return report.sent, report.failed, report.skipped

    def places(self, prefix: str = "") -> list[str]:
        return [stored.key for stored in self.store.below(prefix)]


@pytest.fixture
def rig() -> Rig:
    """Nothing is stored."""
    return Rig()


def numbered(count: int) -> list[QueueMessage]:
    """So many different events."""
    return [message(event(userId=number)) for number in range(count)]


def fails(error: BaseException, *, operation: str = "", key: str = "") -> Callable[..., None]:
    """A port's hook that raises: for a store, on one operation, and on keys that begin so."""

    def before(*call: object) -> None:
        if len(call) == 1 or (call[0] == operation and str(call[1]).startswith(key)):
            raise error

    return before


# The spool


def test_the_spool_goes_back_on_the_queue_oldest_first(rig: Rig) -> None:
    """Each is removed after it was sent, unchanged, and the quarantine is left alone."""
    events = numbered(3)
    keys = [rig.keep(sent, age=age) for sent, age in zip(events, (10, 3000, 200), strict=True)]
    held = rig.keep(prefix=QUARANTINE_PREFIX)
    assert rig.run() == (3, 0, False)
    assert rig.queue.messages == [events[1], events[2], events[0]]
    assert rig.places() == [held]
    order = [
        entry
        for key, sent in ((keys[1], events[1]), (keys[2], events[2]), (keys[0], events[0]))
        for entry in (f"store.get {key}", f"queue.send {sent.id}", f"store.delete {key}")
    ]
    assert rig.journal == [
        f"store.put {LEASE}",
        "store.list spool/",
        *order,
        f"store.delete {LEASE}",
        "store.list spool/",
        "store.list quarantine/",
    ]


def test_an_empty_spool_is_a_run_with_gauges(rig: Rig) -> None:
    """Missing gauges alarm, so they come each time."""
    assert rig.redrive.run() == RedriveReport(0, 0, False, Gauges(0, 0, 0, 0, 0))
    assert rig.log.of(REDRIVE) == [
        {
            "sent": 0,
            "failed": 0,
            "spool_count": 0,
            "spool_oldest_seconds": 0,
            "quarantine_count": 0,
            "quarantine_oldest_seconds": 0,
            "expiring_count": 0,
        }
    ]


def test_a_large_event_of_the_spool_becomes_a_claim_check(rig: Rig) -> None:
    """As it would have at first, had the queue not rested."""
    large = message(event(eventName="x" * 2000))
    rig.keep(large)
    assert rig.run() == (1, 0, False)
    assert rig.queue.messages == [large.as_pointer(f"fake://store/{large.claim_key}")]
    assert rig.places() == [large.claim_key]


def test_a_pointer_of_the_spool_is_sent_as_it_is(rig: Rig) -> None:
    """Its claim is stored already."""
    pointer = message().as_pointer("fake://store/claims/x")
    rig.keep(pointer)
    assert rig.run() == (1, 0, False)
    assert rig.queue.messages == [pointer]


def test_a_mark_of_the_spool_stays(rig: Rig) -> None:
    """Nobody vouched for the address."""
    rig.keep(message(unlisted=True))
    rig.run()
    assert rig.queue.messages == [message(unlisted=True)]


@pytest.mark.parametrize(("limit", "sent"), [(1, 1), (4, 4), (5, 5), (6, 5)])
def test_a_run_sends_at_most_so_many(rig: Rig, limit: int, sent: int) -> None:
    """The oldest; the next run goes on."""
    events = numbered(5)
    for number, kept in enumerate(events):
        rig.keep(kept, age=100 - number)
    assert rig.run(limit=limit) == (sent, 0, False)
    assert rig.queue.messages == events[:sent]
    assert rig.run() == (5 - sent, 0, False)
    assert rig.queue.messages == events


@pytest.mark.parametrize(("seconds", "sent"), [(30, 3), (30.001, 4), (29.999, 3), (10, 1), (0, 0)])
def test_a_run_ends_when_its_time_is_over(rig: Rig, seconds: float, sent: int) -> None:
    """With ten seconds for each event: none is begun at the end or later, and what was begun is ended."""
    for kept in numbered(5):
        rig.keep(kept)
    rig.queue.before = lambda _: rig.clock.advance(10)
    assert rig.run(seconds=seconds) == (sent, 0, False)
    assert LEASE not in rig.places()


def test_a_run_has_its_limits_when_none_are_given(rig: Rig) -> None:
    """Five hundred events, 45 seconds."""
    for kept in numbered(502):
        rig.keep(kept)
    assert rig.run() == (500, 0, False)
    for kept in numbered(3):
        rig.keep(kept)
    rig.queue.before = lambda _: rig.clock.advance(44.5)
    assert rig.run() == (2, 0, False)
    rig.queue.before = lambda _: rig.clock.advance(45)
    assert rig.run() == (1, 0, False)


def test_a_run_gives_up_after_three_failures_in_a_row(rig: Rig) -> None:
    """The queue is down: no need to ask for each event; all are still stored."""
    keys = [rig.keep(kept, age=100 - number) for number, kept in enumerate(numbered(5))]
    rig.queue.before = fails(PortError("Throttled"))
    assert rig.run() == (0, 3, False)
    assert rig.places() == keys
    assert len(rig.log.of(QUEUE_FAILED)) == 3


def test_failures_that_are_not_in_a_row_do_not_end_a_run(rig: Rig) -> None:
    """A success in between begins the count anew."""
    events = numbered(9)
    for number, kept in enumerate(events):
        rig.keep(kept, age=100 - number)
    working = {events[2].id, events[5].id}

    def before(sent: QueueMessage) -> None:
        if sent.id not in working:
            raise PortError("Throttled")

    rig.queue.before = before
    assert rig.run() == (2, 7, False)


def test_a_queue_that_timed_out_is_asked_once(rig: Rig) -> None:
    """It rests then; the other two failures cost nothing."""
    for kept in numbered(5):
        rig.keep(kept)
    rig.queue.before = fails(PortError("slow", timed_out=True))
    assert rig.run() == (0, 3, False)
    assert len(rig.queue.timeouts) == 1


def test_an_event_that_was_sent_but_not_removed_is_sent_again(rig: Rig) -> None:
    """It is on the queue, and the failure is logged; a duplicate is allowed, a loss is not."""
    key = rig.keep()
    rig.store.before = fails(PortError("SlowDown"), operation="delete", key="spool/")
    assert rig.run() == (1, 0, False)
    assert rig.places() == [key]
    assert rig.log.of(STORE_FAILED) == [{"place": key, "error": "SlowDown"}]
    rig.store.before = None
    assert rig.run() == (1, 0, False)
    assert rig.queue.messages == [message(), message()]


def test_an_event_that_another_run_has_taken_counts_for_nothing(rig: Rig) -> None:
    """It was listed and is gone: neither sent nor failed."""
    events = numbered(3)
    keys = [rig.keep(kept, age=100 - number) for number, kept in enumerate(events)]

    def before(operation: str, key: str) -> None:
        if (operation, key) == ("get", keys[1]):
            rig.store.objects.pop(key, None)

    rig.store.before = before
    assert rig.run() == (2, 0, False)
    assert rig.queue.messages == [events[0], events[2]]


def test_a_send_has_the_queue_s_share_of_the_time(rig: Rig) -> None:
    """And the store's calls have five seconds, since nobody waits for an answer."""
    rig.keep()
    rig.run()
    assert rig.queue.timeouts == [2.5]
    assert set(rig.store.timeouts) == {5.0}


def test_the_queue_has_its_share_however_small_the_store_s_is() -> None:
    """Redrive is not bound by a sender's patience."""
    rig = Rig(Limits(queue_seconds=2.5, store_seconds=0.5))
    rig.keep()
    rig.run()
    assert rig.queue.timeouts == [2.5]


@pytest.mark.parametrize(("operation", "result"), [("get", (4, 5, False)), ("delete", (9, 0, False))])
def test_objects_that_cannot_be_read_or_removed_hold_up_nothing_else(
    rig: Rig, operation: str, result: tuple[int, int, bool]
) -> None:
    """Five of the oldest: under a key that is gone, or under a hold. Everything behind them goes."""
    events = numbered(9)
    keys = [rig.keep(kept, age=100 - number) for number, kept in enumerate(events)]

    def before(asked: str, key: str) -> None:
        if asked == operation and key in keys[:5]:
            raise PortError("AccessDenied")

    rig.store.before = before
    assert rig.run() == result
    assert rig.places("spool/") == keys[:5]
    assert rig.queue.messages[-4:] == events[5:]
    assert [line["place"] for line in rig.log.of(STORE_FAILED)] == keys[:5]


def test_objects_that_cannot_be_read_do_not_begin_the_queue_s_count_anew(rig: Rig) -> None:
    """They say nothing about the queue, which is down."""
    keys = [rig.keep(kept, age=100 - number) for number, kept in enumerate(numbered(9))]

    def before(asked: str, key: str) -> None:
        if asked == "get" and key in keys[1:7:2]:
            raise PortError("AccessDenied")

    rig.store.before = before
    rig.queue.before = fails(PortError("Throttled"))
    assert rig.run() == (0, 5, False)
    assert len(rig.log.of(QUEUE_FAILED)) == 3


# Undecided: whether their address has been accepted could not be read


def undecided(rig: Rig, sent: QueueMessage, address: str | None = UNLISTED) -> str:
    """A record as the receiver leaves it."""
    key = record_key(SPOOL_PREFIX, sent.id, NOON - 60)
    rig.store.put(key, sent.body, metadata_of(sent, UNDECIDED, address), 1)
    return key


@pytest.mark.parametrize("entry", [UNLISTED, "198.51.100.0/24"])
def test_an_undecided_event_of_an_accepted_address_goes_to_the_queue(rig: Rig, entry: str) -> None:
    """Without its mark: a person vouched for the address."""
    undecided(rig, message(unlisted=True))
    rig.store.put(address_key(entry), b"", {}, 1)
    assert rig.run() == (1, 0, False)
    assert rig.queue.messages == [message()]
    assert rig.places("spool/") == []


@pytest.mark.parametrize("address", [UNLISTED, None])
def test_an_undecided_event_of_another_address_is_held(rig: Rig, address: str | None) -> None:
    """As it would have been at once, for the same reason, so that accepting the address releases it."""
    undecided(rig, message(unlisted=True), address)
    rig.store.put(address_key(LISTED), b"", {}, 1)
    assert rig.run() == (0, 0, False)
    assert rig.queue.messages == []
    [aside] = rig.store.below("quarantine/")
    assert aside.metadata == metadata_of(message(unlisted=True), "unlisted_address", address)
    assert rig.places("spool/") == []


def test_an_undecided_event_waits_while_the_list_cannot_be_read(rig: Rig) -> None:
    """It counts as failed, and stays; other events go meanwhile."""
    key = undecided(rig, message(unlisted=True))
    other = message(event(userId=77))
    rig.keep(other, age=10)
    rig.store.before = fails(PortError("SlowDown"), operation="list", key="addresses/")
    assert rig.run() == (1, 1, False)
    assert rig.queue.messages == [other]
    assert rig.places("spool/") == [key]


# Poison


def poisoned(rig: Rig, age: float = 200) -> str:
    """A record whose body is not the one of its id."""
    return rig.keep(age=age, body=b"changed")


def test_a_record_that_is_none_is_set_aside_and_holds_up_nothing(rig: Rig) -> None:
    """It moves to quarantine with all its metadata and the reason, and the next event goes."""
    key = poisoned(rig)
    rig.keep(age=100)
    assert rig.run() == (1, 0, False)
    [aside] = rig.store.below("")
    assert aside.key == record_key(QUARANTINE_PREFIX, message().id, NOON)
    assert aside.body == b"changed"
    assert aside.metadata == {**metadata_of(message(), "unreadable_record", UNLISTED)}
    assert rig.journal.index(f"store.put {aside.key}") < rig.journal.index(f"store.delete {key}")


def test_three_records_that_are_none_are_not_three_failures(rig: Rig) -> None:
    """Poison never ends a run."""
    for age in range(5):
        poisoned(rig, 1000 + age)
    rig.keep(age=1)
    assert rig.run() == (1, 0, False)


@pytest.mark.parametrize("name", ["readme", "a-b", "20260302T120000000Z-x-y"])
def test_a_stray_object_is_set_aside_under_its_name(rig: Rig, name: str) -> None:
    """One that somebody put there by hand; its key keeps one level below the prefix."""
    rig.store.put(f"spool/{name}", b"x", {}, 1)
    assert rig.run() == (0, 0, False)
    [key] = rig.places()
    assert key.startswith("quarantine/20260302T120000000Z-")
    assert key.count("/") == 1
    assert key.endswith(name.rpartition("-")[2])


def test_an_event_that_the_queue_refuses_for_ever_is_set_aside(rig: Rig) -> None:
    """Also as a pointer: a person must look at it."""
    rig.keep()
    rig.queue.before = fails(PortError("InvalidParameterValue", permanent=True))
    assert rig.run() == (0, 0, False)
    assert rig.store.below("spool/") == []
    [aside] = rig.store.below("quarantine/")
    assert aside.metadata["reason"] == "refused_by_queue"
    assert aside.body == message().body


@pytest.mark.parametrize("operation", ["put", "delete"])
def test_what_cannot_be_set_aside_has_failed_and_stays(rig: Rig, operation: str) -> None:
    """The store does not take it or does not give it up; the next run tries again."""
    key = poisoned(rig)
    prefix = "quarantine/" if operation == "put" else "spool/"
    rig.store.before = fails(PortError("SlowDown"), operation=operation, key=prefix)
    assert rig.run() == (0, 1, False)
    assert key in rig.places()
    rig.store.before = None
    assert rig.run() == (0, 0, False)
    assert rig.places("spool/") == []


def test_poison_that_another_run_set_aside_counts_for_nothing(rig: Rig) -> None:
    """It vanished between two looks."""
    key = poisoned(rig)
    looks: list[str] = []

    def before(operation: str, subject: str) -> None:
        if operation == "get" and subject == key:
            looks.append(subject)
            if len(looks) == 2:
                rig.store.objects.pop(key)

    rig.store.before = before
    assert rig.run() == (0, 0, False)
    assert rig.places() == []


# The lease


def test_a_second_run_at_the_same_time_is_skipped_and_emits_the_gauges(rig: Rig) -> None:
    """It sends nothing, says so, and leaves the other's lease alone."""
    key = rig.keep()
    inner: list[RedriveReport] = []
    rig.queue.before = lambda _: inner.append(rig.redrive.run())
    assert rig.run() == (1, 0, False)
    [skipped] = inner
    assert skipped == RedriveReport(0, 0, True, Gauges(1, 60, 0, 0, 0))
    assert rig.log.events == [REDRIVE_SKIPPED, REDRIVE, REDRIVE]
    assert rig.log.of(REDRIVE_SKIPPED) == [{"reason": "another_run"}]
    assert rig.queue.messages == [message()]
    assert key not in rig.places()
    assert LEASE not in rig.places()


def test_a_lease_says_until_when_it_holds(rig: Rig) -> None:
    """Three minutes from now: longer than a run and what it may have begun."""
    bodies: list[bytes] = []
    rig.keep()
    rig.queue.before = lambda _: bodies.append(rig.store.objects[LEASE].body)
    rig.run()
    assert [json.loads(body) for body in bodies] == [{"until": NOON + 180}]


@pytest.mark.parametrize(
    ("left", "skipped"), [(360.001, False), (360, True), (180, True), (0.001, True), (0, False), (-1, False)]
)
def test_a_lease_that_has_expired_is_taken_over(rig: Rig, left: float, skipped: bool) -> None:
    """At its second and not before: the run that took it has died. Beyond twice a lease's time it is none."""
    rig.store.put(LEASE, json.dumps({"until": NOON + left}).encode(), {}, 1)
    rig.keep()
    assert rig.run() == ((0, 0, True) if skipped else (1, 0, False))
    assert (LEASE in rig.places()) is skipped


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b"null",
        b'"x"',
        b"\xff",
        b'{"until": null}',
        b'{"until": "soon"}',
        b'{"until": [1]}',
        b'{"until": NaN}',
    ],
)
def test_a_lease_that_cannot_be_read_is_taken_over(rig: Rig, body: bytes) -> None:
    """Else nothing would ever be sent again."""
    rig.store.put(LEASE, body, {}, 1)
    rig.keep()
    assert rig.run() == (1, 0, False)


@pytest.mark.parametrize("until", ["Infinity", "1e400", f"{NOON + 10 * 365 * DAY}"])
def test_a_lease_beyond_any_that_a_run_takes_is_broken_and_taken_over(rig: Rig, until: str) -> None:
    """A clock that was years ahead must not stop redrive for years."""
    rig.store.put(LEASE, f'{{"until": {until}}}'.encode(), {}, 1)
    rig.keep()
    assert rig.run() == (1, 0, False)


def test_a_lease_that_ends_while_it_is_looked_at_is_taken(rig: Rig) -> None:
    """The other run has just finished."""
    rig.store.put(LEASE, b'{"until": 1e12}', {}, 1)
    rig.keep()

    def before(operation: str, key: str) -> None:
        if (operation, key) == ("get", LEASE):
            rig.store.objects.pop(LEASE, None)

    rig.store.before = before
    assert rig.run() == (1, 0, False)


@pytest.mark.parametrize("body", [b'{"until": 0}', None], ids=["expired", "gone"])
def test_of_two_that_take_over_a_lease_one_gets_it(rig: Rig, body: bytes | None) -> None:
    """The other's lease is there again before ours: this run is skipped."""
    rig.store.put(LEASE, body or b'{"until": 1e12}', {}, 1)
    rig.keep()
    puts: list[str] = []

    def before(operation: str, key: str) -> None:
        if operation == "get" and body is None:
            rig.store.objects.pop(LEASE)
        if operation == "put":
            puts.append(key)
            if len(puts) == 2:
                rig.store.before = None
                rig.store.put(LEASE, b'{"until": 1e12}', {}, 1)

    rig.store.before = before
    assert rig.run() == (0, 0, True)
    assert rig.queue.messages == []


def test_a_lease_that_cannot_be_given_back_ends_by_itself(rig: Rig) -> None:
    """The run counts; a line names the lease."""
    rig.keep()
    rig.store.before = fails(PortError("SlowDown"), operation="delete", key=LEASE)
    assert rig.run() == (1, 0, False)
    assert rig.log.of(STORE_FAILED) == [{"place": LEASE, "error": "SlowDown"}]
    rig.store.before = None
    rig.keep()
    assert rig.run() == (0, 0, True)
    rig.clock.advance(180)
    assert rig.run() == (1, 0, False)


@pytest.mark.parametrize(("operation", "key"), [("put", LEASE), ("list", "spool/"), ("list", "quarantine/")])
def test_without_the_store_a_run_is_an_error(rig: Rig, operation: str, key: str) -> None:
    """There are no gauges, which alarms; the lease is given back."""
    rig.store.before = fails(PortError("SlowDown"), operation=operation, key=key)
    with pytest.raises(PortError, match="SlowDown"):
        rig.redrive.run()
    assert rig.log.of(REDRIVE) == []
    assert rig.places() == []


def test_a_bug_in_a_run_gives_the_lease_back(rig: Rig) -> None:
    """The next run is not skipped for it."""
    rig.keep()
    rig.queue.before = fails(SystemExit(1))
    with pytest.raises(SystemExit):
        rig.redrive.run()
    assert LEASE not in rig.places()


# The gauges


def test_gauges_count_what_is_stored_and_the_oldest_age(rig: Rig) -> None:
    """As the keys say, whatever the store says about the objects; claims and leases are none of it."""
    for number, age in enumerate((60, 7200, 5)):
        rig.keep(numbered(3)[number], age=age)
    for number, age in enumerate((10, 30)):
        rig.keep(numbered(3)[number], prefix=QUARANTINE_PREFIX, age=age)
    rig.store.put("claims/x", b"", {}, 1)
    rig.store.put(LEASE, b"", {}, 1)
    assert rig.redrive.gauges() == Gauges(3, 7200, 2, 30, 0)


@pytest.mark.parametrize("prefix", [SPOOL_PREFIX, QUARANTINE_PREFIX])
@pytest.mark.parametrize(("age", "expiring"), [(0, 0), (23 * DAY, 0), (23 * DAY + 0.001, 1), (31 * DAY, 1)])
def test_what_expires_within_seven_days_is_counted(rig: Rig, prefix: str, age: float, expiring: int) -> None:
    """In both places: seven of the store's thirty days are left, or fewer."""
    rig.keep(prefix=prefix, age=age)
    rig.keep(numbered(1)[0], prefix=prefix, age=1)
    assert rig.redrive.gauges().expiring_count == expiring


def test_a_stray_object_ages_by_the_store_s_own_time(rig: Rig) -> None:
    """Its key says nothing."""
    rig.store.put("quarantine/readme", b"", {}, 1)
    rig.clock.advance(24 * DAY)
    assert rig.redrive.gauges() == Gauges(0, 0, 1, 24 * DAY, 1)


def test_an_age_is_never_negative(rig: Rig) -> None:
    """Another machine's clock may be ahead."""
    rig.keep(age=-60)
    assert rig.redrive.gauges() == Gauges(1, 0, 0, 0, 0)


def test_a_run_reports_the_gauges_as_it_leaves_them(rig: Rig) -> None:
    """After what it sent; ages in the log are whole seconds."""
    rig.keep(age=500)
    rig.keep(numbered(1)[0], prefix=QUARANTINE_PREFIX, age=24 * DAY + 0.75)
    report = rig.redrive.run()
    assert report.gauges == Gauges(0, 0, 1, 24 * DAY + 0.75, 1)
    assert rig.log.of(REDRIVE) == [
        {
            "sent": 1,
            "failed": 0,
            "spool_count": 0,
            "spool_oldest_seconds": 0,
            "quarantine_count": 1,
            "quarantine_oldest_seconds": 24 * DAY + 1,
            "expiring_count": 1,
        }
    ]


def test_counts_stop_at_ten_thousand(rig: Rig) -> None:
    """A listing without end would be a run without end."""
    for number in range(10_001):
        rig.store.put(f"spool/{number:05}", b"", {}, 1)
    assert rig.redrive.gauges().spool_count == 10_000
    assert len(rig.redrive.records(SPOOL_PREFIX)) == 10_000


@pytest.mark.parametrize("value", [Gauges(0, 0, 0, 0, 0), RedriveReport(0, 0, False, Gauges(0, 0, 0, 0, 0))])
def test_a_report_is_frozen(value: Gauges | RedriveReport) -> None:
    """What was counted stands."""
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


# A person's commands


def test_records_are_listed_oldest_first_and_at_most_so_many(rig: Rig) -> None:
    """One place at a time."""
    keys = [rig.keep(kept, prefix=QUARANTINE_PREFIX, age=100 - number) for number, kept in enumerate(numbered(3))]
    rig.keep()
    assert [entry.key for entry in rig.redrive.records(QUARANTINE_PREFIX)] == keys
    assert [entry.key for entry in rig.redrive.records(QUARANTINE_PREFIX, 2)] == keys[:2]


def test_a_record_can_be_read(rig: Rig) -> None:
    """With its message, its reason and the address; it stays."""
    key = rig.keep(prefix=QUARANTINE_PREFIX)
    record = rig.redrive.read(key)
    assert (record.key, record.message, record.reason, record.address) == (key, message(), "queue_failed", UNLISTED)
    assert rig.places() == [key]


@pytest.mark.parametrize("vouched", [False, True])
def test_a_held_event_can_be_released(rig: Rig, vouched: bool) -> None:
    """Sent, then removed, and told; with the mark, unless the address has been accepted since."""
    key = rig.keep(message(unlisted=True), prefix=QUARANTINE_PREFIX)
    record = rig.redrive.release(key, vouched=vouched)
    assert record.message == message(unlisted=True)
    assert rig.queue.messages == [message(unlisted=not vouched)]
    assert rig.places() == []
    assert rig.journal[-2:] == [f"queue.send {message().id}", f"store.delete {key}"]


def test_a_body_that_is_no_envelope_can_be_released(rig: Rig) -> None:
    """A person has decided so."""
    unreadable = QueueMessage.of_unreadable(b"not json", "sig")
    rig.redrive.release(rig.keep(unreadable, prefix=QUARANTINE_PREFIX))
    assert rig.queue.messages == [unreadable]


def test_what_the_queue_does_not_take_is_still_held(rig: Rig) -> None:
    """The error is the queue's."""
    key = rig.keep(prefix=QUARANTINE_PREFIX)
    rig.queue.before = fails(PortError("Throttled"))
    with pytest.raises(PortError, match="Throttled"):
        rig.redrive.release(key)
    assert rig.places() == [key]


def test_a_held_event_can_be_dropped(rig: Rig) -> None:
    """For good, without being sent, whatever it is."""
    rig.redrive.drop(rig.keep(prefix=QUARANTINE_PREFIX))
    rig.redrive.drop(rig.keep(prefix=QUARANTINE_PREFIX, body=b"changed"))
    assert rig.places() == []
    assert rig.queue.messages == []


@pytest.mark.parametrize("command", ["read", "release", "drop"])
def test_a_command_on_what_is_not_there_says_so(rig: Rig, command: str) -> None:
    """And does nothing."""
    held = rig.keep(prefix=QUARANTINE_PREFIX)
    with pytest.raises(NotFoundError):
        getattr(rig.redrive, command)("quarantine/none")
    assert rig.places() == [held]


@pytest.mark.parametrize("command", ["read", "release"])
def test_a_command_on_what_is_no_record_says_so(rig: Rig, command: str) -> None:
    """It is not sent and stays."""
    key = rig.keep(prefix=QUARANTINE_PREFIX, body=b"changed")
    assert event_id(b"changed") != message().id
    with pytest.raises(RecordError):
        getattr(rig.redrive, command)(key)
    assert rig.places() == [key]
    assert rig.queue.messages == []
