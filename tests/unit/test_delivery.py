"""Where an authentic event goes: queue, claim check, spool, quarantine or nowhere, and with which share of the time."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.deadline import Deadline
from core.delivery import REST_SECONDS, ClaimedOnlyError, Delivery, Limits, Placed, Rest, StoreFailedError, Trace
from core.log import QUEUE_FAILED, STORE_FAILED
from core.message import QueueMessage
from core.ports import NotFoundError, PortError, StoredObject
from core.records import StoredRecord
from tests.fakes import FakeClock, FakeQueue, FakeStore, Hang, RecordingLog
from tests.unit.samples import UNLISTED, event, message

SMALL = message()
LARGE = message(event(eventName="x" * 2000))
STAMP = "20260302T120000000Z"
SHORT = 0.02
"""A share for calls that hang, in seconds."""


class Rig:
    """A delivery with its fakes, on one clock and with one journal."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = FakeClock()
        self.journal: list[str] = []
        self.queue = FakeQueue(journal=self.journal)
        self.store = FakeStore(self.clock, journal=self.journal)
        self.log = RecordingLog()
        self.delivery = Delivery(
            self.queue, self.store, self.log, limits or Limits(), self.clock.monotonic, self.clock.now
        )
        self.trace = Trace()

    def deadline(self, budget: float = 6) -> Deadline:
        return Deadline.start(budget, 0, self.clock.monotonic)

    def accept(self, sent: QueueMessage = SMALL, budget: float = 6) -> Placed:
        return self.delivery.accept(sent, self.deadline(budget), UNLISTED, self.trace)

    def hold(self, sent: QueueMessage = SMALL, address: str | None = UNLISTED) -> Placed:
        return self.delivery.quarantine(sent, "too_old", self.deadline(), address, self.trace)


def fails(error: BaseException, *, only: str = "") -> Callable[..., None]:
    """A port's hook that raises, for all calls or for those whose message id or key begins so."""

    def before(*call: object) -> None:
        subject = call[-1]
        if str(subject.id if isinstance(subject, QueueMessage) else subject).startswith(only):
            raise error

    return before


@pytest.fixture
def rig() -> Rig:
    """Everything works."""
    return Rig()


@pytest.fixture
def hang() -> Iterator[Hang]:
    """A call that hangs until the test is over."""
    call = Hang()
    yield call
    call.end()


# The queue takes it


def test_an_event_goes_to_the_queue_and_nowhere_else(rig: Rig) -> None:
    """Unchanged, with the queue's share of the time, and without a log line."""
    assert rig.accept() is Placed.QUEUE
    assert rig.queue.messages == [SMALL]
    assert rig.store.objects == {}
    assert rig.queue.timeouts == [2.5]
    assert rig.log.lines == []
    assert rig.trace == Trace(queue_ms=0)
    assert rig.queue.discarded == 0


@pytest.mark.parametrize(
    ("budget", "share"), [(60, 2.5), (6, 2.5), (5, 2.5), (4.5, 2.25), (3, 1.5), (1.5, 0.75), (0.5, 0.25)]
)
def test_the_queue_gets_half_of_what_is_left_at_most(rig: Rig, budget: float, share: float) -> None:
    """The other half belongs to the store."""
    assert rig.accept(budget=budget) is Placed.QUEUE
    assert rig.queue.timeouts == [pytest.approx(share)]


# The queue does not


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PortError("Throttled"), "Throttled"),
        (PortError("ReadTimeoutError", timed_out=True), "ReadTimeoutError"),
        (NotFoundError(), "not_found"),
        (ValueError("planted"), "ValueError"),
        (TimeoutError("planted"), "TimeoutError"),
        (MemoryError(), "MemoryError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_event_that_the_queue_fails_on_is_spooled(rig: Rig, error: Exception, code: str) -> None:
    """Whole, with everything that redrive needs; the log names the code and never the message of an exception."""
    rig.queue.before = fails(error)
    assert rig.accept() is Placed.SPOOL
    assert rig.queue.messages == []
    [kept] = rig.store.below("")
    assert kept.key == f"spool/{STAMP}-{SMALL.id}"
    assert StoredRecord.read(kept) == StoredRecord(kept.key, SMALL, "queue_failed", UNLISTED)
    assert rig.log.lines == [(QUEUE_FAILED, {"event_id": SMALL.id, "error": code, "queue_ms": 0.0})]
    assert rig.trace == Trace(queue_ms=0, store_ms=0)
    assert rig.queue.discarded == (1 if code == "ReadTimeoutError" else 0)


def test_an_event_that_neither_takes_is_nowhere(rig: Rig) -> None:
    """Both failures are logged, the store's with the place it should have had."""
    rig.queue.before = fails(PortError("Throttled"))
    rig.store.before = fails(OSError("planted"))
    assert rig.accept() is Placed.NOWHERE
    assert rig.store.objects == {}
    assert rig.log.events == [QUEUE_FAILED, STORE_FAILED]
    place = f"spool/{STAMP}-{SMALL.id}"
    assert rig.log.of(STORE_FAILED) == [{"place": place, "error": "OSError", "store_ms": 0.0}]


@pytest.mark.parametrize(("budget", "queue", "store"), [(6, 2.5, 2.5), (5, 2.5, 2.5), (4, 2, 2), (1.5, 0.75, 0.75)])
def test_the_store_gets_what_the_queue_left_and_its_share_at_most(budget: float, queue: float, store: float) -> None:
    """A queue that uses its whole share leaves the store a share of its own."""
    rig = Rig()

    def use_it_all(_: QueueMessage) -> None:
        rig.clock.advance(rig.queue.timeouts[-1])
        raise PortError("slow", timed_out=True)

    rig.queue.before = use_it_all
    assert rig.accept(budget=budget) is Placed.SPOOL
    assert rig.queue.timeouts == [pytest.approx(queue)]
    assert rig.store.timeouts == [pytest.approx(store)]
    assert rig.trace.queue_ms == pytest.approx(1000 * queue)


def test_times_are_measured_in_milliseconds_with_one_digit(rig: Rig) -> None:
    """For the queue and for the store, in the trace and in the log line of a failure."""

    def take(seconds: float, error: Exception | None = None) -> Callable[..., None]:
        def before(*_: object) -> None:
            rig.clock.advance(seconds)
            if error is not None:
                raise error

        return before

    rig.queue.before = take(0.12345, PortError("x"))
    rig.store.before = take(0.25)
    assert rig.accept() is Placed.SPOOL
    assert rig.trace == Trace(queue_ms=123.5, store_ms=250.0)
    assert rig.log.of(QUEUE_FAILED)[0]["queue_ms"] == 123.5
    rig.store.before = take(0.0625, PortError("x"))
    assert rig.accept() is Placed.NOWHERE
    assert rig.log.of(STORE_FAILED)[0]["store_ms"] == 62.5
    assert rig.trace.store_ms == pytest.approx(312.5)


# Claim check


@pytest.mark.parametrize("sent", [LARGE, QueueMessage.of_unreadable(b"a\0b", "sig")], ids=["size", "characters"])
def test_what_the_queue_cannot_take_goes_to_the_store_first_and_then_as_a_pointer(rig: Rig, sent: QueueMessage) -> None:
    """In this order: a pointer to nothing would be worse than no message."""
    assert rig.accept(sent) is Placed.QUEUE
    assert rig.journal == [f"store.put claims/{sent.id}", f"queue.send {sent.id}"]
    assert rig.store.below("") == [StoredObject(f"claims/{sent.id}", sent.body, dict(sent.attributes))]
    [pointer] = rig.queue.messages
    assert pointer == sent.as_pointer(f"fake://store/claims/{sent.id}")
    assert json.loads(pointer.body)["size"] == len(sent.body)
    assert rig.trace == Trace(queue_ms=0, store_ms=0, claim_check=True)
    assert rig.log.lines == []


@pytest.mark.parametrize(("size", "claimed"), [(-1, False), (0, False), (1, True)])
def test_the_queue_says_what_it_takes(rig: Rig, size: int, claimed: bool) -> None:
    """At its limit as it is, one byte beyond as a claim check."""
    rig.queue.most = len(SMALL.body) - size
    assert rig.accept() is Placed.QUEUE
    assert rig.queue.messages[0].is_pointer is claimed
    assert rig.trace.claim_check is claimed


def test_what_the_queue_refuses_for_ever_goes_as_a_claim_check(rig: Rig) -> None:
    """The queue was asked with the body, refused it as such, and takes the pointer."""
    refused = fails(PortError("InvalidMessageContents", permanent=True))
    rig.queue.before = lambda sent: None if sent.is_pointer else refused(sent)
    assert rig.accept() is Placed.QUEUE
    assert rig.journal == [f"queue.send {SMALL.id}", f"store.put claims/{SMALL.id}", f"queue.send {SMALL.id}"]
    assert [sent.is_pointer for sent in rig.queue.messages] == [True]
    assert rig.log.events == [QUEUE_FAILED]
    assert rig.trace.claim_check


def test_a_pointer_that_does_not_go_is_spooled_and_points_at_the_claim(rig: Rig) -> None:
    """The body is stored once, as the claim; the spool record is the small pointer."""
    rig.queue.before = fails(PortError("Throttled"))
    assert rig.accept(LARGE) is Placed.SPOOL
    claim, spooled = rig.store.below("")
    assert (claim.key, claim.body) == (f"claims/{LARGE.id}", LARGE.body)
    record = StoredRecord.read(spooled)
    assert spooled.key == f"spool/{STAMP}-{LARGE.id}"
    assert record.message == LARGE.as_pointer(f"fake://store/claims/{LARGE.id}")
    assert (record.reason, record.address) == ("queue_failed", UNLISTED)
    assert len(spooled.body) < 300


def test_a_pointer_that_is_refused_for_ever_is_spooled_too(rig: Rig) -> None:
    """There is no claim check of a claim check."""
    rig.queue.before = fails(PortError("InvalidParameterValue", permanent=True))
    assert rig.accept() is Placed.SPOOL
    assert [kept.key.partition("/")[0] for kept in rig.store.below("")] == ["claims", "spool"]
    assert StoredRecord.read(rig.store.below("spool/")[0]).message.is_pointer
    assert len(rig.log.of(QUEUE_FAILED)) == 2


def test_a_pointer_of_the_spool_that_is_refused_for_ever_is_an_error_of_the_queue(rig: Rig) -> None:
    """It is not claimed a second time: the store holds its body already."""
    rig.queue.before = fails(PortError("InvalidParameterValue", permanent=True))
    with pytest.raises(PortError) as raised:
        rig.delivery.enqueue(LARGE.as_pointer("fake://store/claims/x"), rig.deadline(), rig.trace)
    assert type(raised.value) is PortError
    assert (raised.value.code, raised.value.permanent) == ("InvalidParameterValue", True)
    assert rig.store.journal == rig.journal == [f"queue.send {LARGE.id}"]
    assert not rig.trace.claim_check


def test_a_pointer_is_sent_as_it_is_whatever_the_queue_takes(rig: Rig) -> None:
    """A record of the spool that is a pointer already: no second claim."""
    pointer = LARGE.as_pointer("fake://store/claims/x")
    rig.queue.most = 0
    assert rig.accept(pointer) is Placed.QUEUE
    assert rig.queue.messages == [pointer]
    assert rig.store.objects == {}


def test_without_the_store_a_large_event_is_nowhere_and_the_queue_is_not_asked(rig: Rig) -> None:
    """No pointer to what is not there, and no second try at a store that has just failed."""
    rig.store.before = fails(PortError("SlowDown"))
    assert rig.accept(LARGE) is Placed.NOWHERE
    assert rig.journal == [f"store.put claims/{LARGE.id}"]
    assert rig.log.lines == [
        (STORE_FAILED, {"place": f"claims/{LARGE.id}", "error": "SlowDown", "store_ms": 0.0}),
    ]


def test_a_claim_whose_spool_record_fails_is_nowhere(rig: Rig) -> None:
    """The body is stored, but nothing will ever find it: no 200 for that."""
    rig.queue.before = fails(PortError("Throttled"))
    rig.store.before = fails(PortError("SlowDown"), only="spool/")
    assert rig.accept(LARGE) is Placed.NOWHERE
    assert [kept.key for kept in rig.store.below("")] == [f"claims/{LARGE.id}"]


def test_the_shares_of_a_claim_check(rig: Rig) -> None:
    """Store, then half of what is left for the pointer, then what is left for the spool record."""

    def slow_store(operation: str, key: str) -> None:
        rig.clock.advance(2)

    def slow_queue(_: QueueMessage) -> None:
        rig.clock.advance(rig.queue.timeouts[-1])
        raise PortError("slow", timed_out=True)

    rig.store.before, rig.queue.before = slow_store, slow_queue
    assert rig.accept(LARGE) is Placed.SPOOL
    assert rig.store.timeouts == [pytest.approx(2.5), pytest.approx(2)]
    assert rig.queue.timeouts == [pytest.approx(2)]
    assert rig.trace == Trace(queue_ms=2000.0, store_ms=4000.0, claim_check=True)


# Quarantine


@pytest.mark.parametrize("address", [UNLISTED, None])
def test_a_held_event_is_in_quarantine_with_its_reason(rig: Rig, address: str | None) -> None:
    """The queue is not asked."""
    assert rig.hold(LARGE, address) is Placed.QUARANTINE
    [kept] = rig.store.below("")
    assert kept.key == f"quarantine/{STAMP}-{LARGE.id}"
    assert StoredRecord.read(kept) == StoredRecord(kept.key, LARGE, "too_old", address)
    assert rig.journal == [f"store.put {kept.key}"]
    assert rig.store.timeouts == [2.5]
    assert rig.trace == Trace(store_ms=0)


def test_a_held_event_that_the_store_does_not_take_is_nowhere(rig: Rig) -> None:
    """It must not go to the queue instead: a person has not looked at it."""
    rig.store.before = fails(PortError("SlowDown"))
    assert rig.hold() is Placed.NOWHERE
    assert rig.queue.messages == []
    assert rig.log.events == [STORE_FAILED]


# Calls that hang


def test_a_queue_that_hangs_is_given_up_thrown_away_and_left_alone(hang: Hang) -> None:
    """The event is spooled in time, the client is discarded, and the next event does not wait for the queue."""
    rig = Rig(Limits(queue_seconds=SHORT))
    rig.queue.before = hang
    assert rig.accept() is Placed.SPOOL
    assert rig.queue.discarded == 1
    assert rig.log.of(QUEUE_FAILED)[0]["error"] == "hard_timeout"
    assert rig.accept(LARGE) is Placed.SPOOL
    assert len(rig.queue.timeouts) == 1
    assert len(rig.log.of(QUEUE_FAILED)) == 1
    hang.end()


def test_while_the_queue_rests_an_event_goes_whole_to_the_spool(hang: Hang) -> None:
    """Also a large one: one call of the store, and redrive makes the claim check."""
    rig = Rig(Limits(queue_seconds=SHORT))
    rig.queue.before = hang
    rig.accept()
    rig.journal.clear()
    rig.trace = Trace()
    assert rig.accept(LARGE) is Placed.SPOOL
    assert rig.journal == [f"store.put spool/{STAMP}-{LARGE.id}"]
    assert rig.store.objects[f"spool/{STAMP}-{LARGE.id}"].body == LARGE.body
    assert rig.trace == Trace(queue_ms=None, store_ms=0)


def test_a_store_that_hangs_is_given_up_and_thrown_away(hang: Hang) -> None:
    """The event is nowhere, and the client is discarded; the queue's client is not."""
    rig = Rig(Limits(store_seconds=SHORT))
    rig.store.before = hang
    assert rig.hold() is Placed.NOWHERE
    assert rig.store.discarded == 1
    assert rig.queue.discarded == 0
    assert rig.log.of(STORE_FAILED)[0]["error"] == "hard_timeout"


def test_a_store_s_own_time_out_throws_its_client_away(rig: Rig) -> None:
    """A read that timed out leaves a connection nobody wants; any other failure keeps the client."""
    rig.store.before = fails(PortError("SlowDown"))
    rig.hold()
    assert rig.store.discarded == 0
    rig.store.before = fails(PortError("ReadTimeoutError", timed_out=True))
    rig.hold()
    assert rig.store.discarded == 1


def test_calls_that_hang_never_hold_more_threads_than_workers(hang: Hang) -> None:
    """Each probe of a hanging queue takes a worker; when none is free, that is a failure of the queue like another."""
    rig = Rig(Limits(queue_seconds=SHORT, workers=2))
    rig.queue.before = hang
    for _ in range(5):
        assert rig.accept() is Placed.SPOOL
        rig.clock.advance(REST_SECONDS)
    errors = [line["error"] for line in rig.log.of(QUEUE_FAILED)]
    assert errors == ["hard_timeout", "hard_timeout", "no_free_worker", "no_free_worker", "no_free_worker"]
    assert rig.queue.discarded == 2
    assert len(rig.queue.timeouts) == 2


def test_no_free_worker_makes_the_queue_rest(hang: Hang) -> None:
    """It means that earlier calls hang."""
    rig = Rig(Limits(queue_seconds=SHORT, workers=1, rest_seconds=5))
    rig.queue.before = hang
    rig.accept()
    rig.clock.advance(5)
    rig.accept()
    assert rig.log.of(QUEUE_FAILED)[-1]["error"] == "no_free_worker"
    rig.accept()
    assert len(rig.log.of(QUEUE_FAILED)) == 2


def test_queue_and_store_have_workers_of_their_own(hang: Hang) -> None:
    """All of the queue's workers hang, and the store still takes the event."""
    rig = Rig(Limits(queue_seconds=SHORT, workers=1, rest_seconds=0))
    rig.queue.before = hang
    assert [rig.accept() for _ in range(3)] == [Placed.SPOOL] * 3
    assert len(rig.log.of(STORE_FAILED)) == 0


def test_an_interrupt_is_not_taken_for_a_failure_of_the_queue(rig: Rig) -> None:
    """What stops the process passes through."""
    rig.queue.before = fails(SystemExit(1))
    with pytest.raises(SystemExit):
        rig.accept()
    assert rig.store.objects == {}


# The rest of the queue


def test_the_queue_rests_for_fifteen_seconds_after_a_time_out(rig: Rig) -> None:
    """Then one event tries again; when it goes, the others go as well."""
    rig.queue.before = fails(PortError("ReadTimeoutError", timed_out=True))
    rig.accept()
    rig.queue.before = None
    rig.clock.advance(14.999)
    assert rig.accept() is Placed.SPOOL
    rig.clock.advance(0.001)
    assert rig.accept() is Placed.QUEUE
    assert rig.accept() is Placed.QUEUE
    assert len(rig.queue.messages) == 2


@pytest.mark.parametrize("permanent", [False, True])
def test_a_queue_that_answers_with_an_error_does_not_rest(rig: Rig, permanent: bool) -> None:
    """An error is an answer; the next event asks again."""
    rig.queue.before = fails(PortError("Throttled", permanent=permanent))
    rig.accept()
    rig.queue.before = None
    assert rig.accept() is Placed.QUEUE


def test_a_probe_that_is_answered_with_an_error_ends_the_rest(rig: Rig) -> None:
    """The queue is there again, even if it refuses."""
    rig.queue.before = fails(PortError("slow", timed_out=True))
    rig.accept()
    rig.clock.advance(REST_SECONDS)
    rig.queue.before = fails(PortError("Throttled"))
    rig.accept()
    rig.queue.before = None
    assert rig.accept() is Placed.QUEUE


def test_a_probe_that_times_out_begins_the_rest_anew(rig: Rig) -> None:
    """For as long as the first."""
    rig.queue.before = fails(PortError("slow", timed_out=True))
    rig.accept()
    rig.clock.advance(REST_SECONDS)
    rig.accept()
    assert len(rig.queue.timeouts) == 2
    rig.queue.before = None
    rig.clock.advance(REST_SECONDS - 0.001)
    assert rig.accept() is Placed.SPOOL
    rig.clock.advance(0.001)
    assert rig.accept() is Placed.QUEUE


def test_the_rest_is_an_error_of_the_port_without_a_line_of_its_own(rig: Rig) -> None:
    """`enqueue` says so to redrive; the queue was not asked, so it did not fail."""
    rig.queue.before = fails(PortError("slow", timed_out=True))
    rig.accept()
    with pytest.raises(PortError) as raised:
        rig.delivery.enqueue(SMALL, rig.deadline(), rig.trace)
    assert (raised.value.code, raised.value.timed_out, raised.value.permanent) == ("resting", True, False)
    assert len(rig.log.of(QUEUE_FAILED)) == 1


def test_an_event_that_never_reaches_the_queue_does_not_use_up_the_probe(rig: Rig) -> None:
    """After a rest, a large event fails at the store; the next event still finds out that the queue is back."""
    rig.queue.before = fails(PortError("slow", timed_out=True))
    rig.accept()
    rig.queue.before = None
    rig.clock.advance(REST_SECONDS)
    rig.store.before = fails(PortError("SlowDown"), only="claims/")
    assert rig.accept(LARGE) is Placed.NOWHERE
    assert rig.accept() is Placed.QUEUE


def test_a_queue_that_times_out_while_a_claim_is_stored_is_not_asked_with_the_pointer(rig: Rig) -> None:
    """The claim is stored, and the pointer to it goes to the spool without another wait for the queue."""

    def meanwhile(operation: str, key: str) -> None:
        if key.startswith("claims/"):
            rig.queue.before = fails(PortError("slow", timed_out=True))
            assert rig.delivery.accept(SMALL, rig.deadline(), UNLISTED, Trace()) is Placed.SPOOL
            rig.queue.before = None

    rig.store.before = meanwhile
    with pytest.raises(ClaimedOnlyError) as raised:
        rig.delivery.enqueue(LARGE, rig.deadline(), rig.trace)
    assert (raised.value.code, raised.value.timed_out) == ("resting", True)
    assert len(rig.queue.timeouts) == 1
    rig.clock.advance(REST_SECONDS)
    assert rig.accept(LARGE) is Placed.SPOOL
    assert len(rig.queue.timeouts) == 2
    [record] = [StoredRecord.read(kept) for kept in rig.store.below("spool/") if kept.key.endswith(LARGE.id)]
    assert record.message == LARGE.as_pointer(f"fake://store/claims/{LARGE.id}")
    assert rig.trace.queue_ms is None


class TestRest:
    def test_it_allows_everybody_until_it_starts(self) -> None:
        """And again once it has ended."""
        rest = Rest(15, FakeClock().monotonic)
        assert [rest.allows() for _ in range(3)] == [True] * 3
        rest.start()
        assert [rest.allows() for _ in range(3)] == [False] * 3
        rest.end()
        assert [rest.allows() for _ in range(3)] == [True] * 3

    def test_it_lets_one_through_when_its_time_is_over(self) -> None:
        """At the second and not before; the others wait for that one, for one more rest at most."""
        clock = FakeClock()
        rest = Rest(15, clock.monotonic)
        rest.start()
        for _ in range(3):
            clock.advance(14.999)
            assert not rest.allows()
            clock.advance(0.001)
            assert [rest.allows() for _ in range(3)] == [True, False, False]

    def test_one_of_many_at_once_is_the_probe(self) -> None:
        """However many ask at the same moment."""
        clock = FakeClock()
        rest = Rest(15, clock.monotonic)
        rest.start()
        clock.advance(15)
        start = threading.Barrier(16)

        def ask(_: int) -> bool:
            start.wait(30)
            return rest.allows()

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(ask, range(16))) == 1

    def test_starting_again_prolongs_it(self) -> None:
        """From the last time-out on."""
        clock = FakeClock()
        rest = Rest(15, clock.monotonic)
        rest.start()
        clock.advance(10)
        rest.start()
        clock.advance(14)
        assert not rest.allows()
        clock.advance(1)
        assert rest.allows()


# What the port's own users see


def test_enqueue_says_which_part_failed(rig: Rig) -> None:
    """A pointer that did not go carries its cause; a body that the store did not take is another error."""
    rig.queue.before = fails(PortError("slow", timed_out=True, permanent=True))
    with pytest.raises(ClaimedOnlyError) as claimed:
        rig.delivery.enqueue(LARGE, rig.deadline(), rig.trace)
    assert (claimed.value.code, claimed.value.timed_out, claimed.value.permanent) == ("slow", True, True)
    assert claimed.value.pointer == LARGE.as_pointer(f"fake://store/claims/{LARGE.id}")
    rig = Rig()
    rig.store.before = fails(PortError("SlowDown", timed_out=True))
    with pytest.raises(StoreFailedError) as failed:
        rig.delivery.enqueue(LARGE, rig.deadline(), rig.trace)
    assert (failed.value.code, failed.value.timed_out, failed.value.permanent) == ("store_failed", False, False)


def test_a_call_of_the_store_is_given_its_time_and_its_result_comes_back(rig: Rig) -> None:
    """Errors of the port pass through as they are, others become one."""
    assert rig.delivery.with_store(lambda seconds: seconds, 1.25) == 1.25
    missing = NotFoundError()
    for error, expected, code in ((missing, NotFoundError, "not_found"), (KeyError("planted"), PortError, "KeyError")):

        def call(seconds: float, error: Exception = error) -> None:
            raise error

        with pytest.raises(expected) as raised:
            rig.delivery.with_store(call, 1)
        assert raised.value.code == code
        assert "planted" not in str(raised.value)


def test_a_call_of_the_store_that_hangs_is_an_error(rig: Rig, hang: Hang) -> None:
    """When the seconds are over."""
    with pytest.raises(PortError, match="hard_timeout") as raised:
        rig.delivery.with_store(hang, SHORT)
    assert raised.value.timed_out
    assert rig.store.discarded == 1


def test_what_a_queue_or_store_raises_outside_its_calls_does_not_lose_the_event(rig: Rig) -> None:
    """`accept` never raises: where even the question of size fails, the event finds another place."""

    class Broken(FakeQueue):
        def takes(self, message: QueueMessage) -> bool:
            raise RuntimeError("planted")

    rig.delivery.queue = Broken(before=fails(PortError("Throttled")))
    assert rig.accept() is Placed.SPOOL


def test_the_limits_are_the_budget_s_shares() -> None:
    """2.5 s each, a rest of 15 s, and as many calls as a small instance needs."""
    limits = Limits()
    assert limits == Limits(queue_seconds=2.5, store_seconds=2.5, workers=8, rest_seconds=15)
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.workers = 9  # type: ignore[misc]
