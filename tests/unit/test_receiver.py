"""From request to answer, with real parts in between: what each outcome answers, stores and logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from core import http, log
from core.addresses import AcceptedAddresses, address_key
from core.delivery import Delivery, Limits
from core.http import Headers, Request, Response
from core.keys import KeyRing, StaticKeys
from core.log import LogEvent, Value
from core.message import QueueMessage, event_id
from core.ports import PortError
from core.receiver import Receiver
from core.screening import Policy, SourceIpMode
from core.signature import SignatureKey
from core.source_ip import AllowList
from tests.fakes import NOON, FakeClock, FakeKeySource, FakeQueue, FakeStore, RecordingLog
from tests.unit.samples import (
    KEY,
    LIST,
    LISTED,
    OTHER_KEY,
    OTHER_KEY_TEXT,
    UNLISTED,
    event,
    message,
    request,
    signature,
)

OFF, OBSERVE, QUARANTINE, REJECT = SourceIpMode.OFF, SourceIpMode.OBSERVE, SourceIpMode.QUARANTINE, SourceIpMode.REJECT
SIZE = len(event())
LARGE = event(eventName="x" * 2000)


class Rig:
    """A receiver with its fakes. ``known`` are the keys it has at start, ``secret`` those in the secret store."""

    def __init__(
        self,
        mode: SourceIpMode = QUARANTINE,
        *,
        known: tuple[SignatureKey, ...] = (KEY,),
        secret: tuple[SignatureKey, ...] | None = None,
        most: int = 4096,
        age: float = 0,
        budget: float = 6,
        refresh: float = 1,
    ) -> None:
        self.clock = FakeClock()
        self.queue = FakeQueue()
        self.store = FakeStore(self.clock)
        self.source = FakeKeySource(known)
        self.log = RecordingLog()
        self.ages: list[float] = [0.0]
        delivery = Delivery(self.queue, self.store, self.log, Limits(), self.clock.monotonic, self.clock.now)
        ring = KeyRing(self.source, self.log, monotonic=self.clock.monotonic)
        self.receiver = Receiver(
            policy=Policy(mode, LIST, most, age),
            keys=ring,
            delivery=delivery,
            accepted_addresses=AcceptedAddresses(delivery, monotonic=self.clock.monotonic),
            log=self.log,
            budget_seconds=budget,
            refresh_seconds=refresh,
            now=self.clock.now,
            monotonic=self.clock.monotonic,
            process_age=lambda: self.ages.pop(0),
        )
        if known:
            ring.refresh(1, listed=True)
        self.source.timeouts.clear()
        self.source.keys = known if secret is None else secret
        self.log.lines.clear()

    def receive(self, asked: Request | None = None) -> Response:
        return self.receiver.receive(request() if asked is None else asked)

    @property
    def stored(self) -> list[str]:
        return [stored.key.partition("/")[0] for stored in self.store.below("")]

    def the_line(self) -> tuple[LogEvent, dict[str, Value]]:
        [line] = self.log.lines
        return line


def fails(error: BaseException) -> Callable[..., None]:
    """A port's hook that always raises."""

    def before(*_: object) -> None:
        raise error

    return before


def fails_on(operation: str) -> Callable[[str, str], None]:
    """A store's hook that fails on one operation alone."""

    def before(asked: str, _: str) -> None:
        if asked == operation:
            raise PortError("down")

    return before


def common(status: int, **fields: Value) -> dict[str, Value]:
    """The fields of a line about a delivered sample event."""
    return {
        "status": status,
        "source_ip": LISTED,
        "size": SIZE,
        "duration_ms": 0.0,
        "screen_ms": 0.0,
        "event_id": event_id(event()),
        "event_type": "TaskCreation",
        "webhook_id": "4242",
        "key": KEY.fingerprint,
        "listed": True,
        **fields,
    }


# One outcome, one answer, one line


def test_an_accepted_event_is_on_the_queue_when_200_is_answered() -> None:
    """The line names event, type, webhook, key, address and times, and nothing else."""
    rig = Rig()
    assert rig.receive() is http.ACCEPTED
    assert rig.queue.messages == [message()]
    assert rig.the_line() == (log.ACCEPTED, common(200, queue_ms=0.0))
    assert rig.source.fetches == 0


def test_a_claim_check_is_accepted_like_any_other() -> None:
    """The line says that it was one, and how long the store took."""
    rig = Rig()
    assert rig.receive(request(LARGE)) is http.ACCEPTED
    assert [sent.is_pointer for sent in rig.queue.messages] == [True]
    event_, fields = rig.the_line()
    assert event_ is log.ACCEPTED
    assert fields == common(
        200, size=len(LARGE), event_id=event_id(LARGE), queue_ms=0.0, store_ms=0.0, claim_check=True
    )


def test_an_event_that_the_queue_does_not_take_is_answered_200_from_the_spool() -> None:
    """After a line of the queue's failure."""
    rig = Rig()
    rig.queue.before = fails(PortError("Throttled"))
    assert rig.receive() is http.SPOOLED
    assert rig.stored == ["spool"]
    assert rig.log.events == [log.QUEUE_FAILED, log.SPOOLED]
    assert rig.log.of(log.SPOOLED) == [common(200, queue_ms=0.0, store_ms=0.0)]


@pytest.mark.parametrize(
    ("body", "age", "reason", "named"),
    [
        (b"[1]", 0, "not_a_json_object", False),
        (event(date="2026-03-02T11:00:00Z"), 60, "too_old", True),
    ],
    ids=["not an object", "too old"],
)
def test_a_held_event_is_answered_200_from_the_quarantine(body: bytes, age: float, reason: str, named: bool) -> None:
    """With its reason; type and webhook are named where the body could be read."""
    rig = Rig(age=age)
    assert rig.receive(request(body)) is http.QUARANTINED
    assert rig.stored == ["quarantine"]
    assert rig.queue.messages == []
    expected = common(200, size=len(body), event_id=event_id(body), reason=reason, store_ms=0.0)
    if not named:
        del expected["event_type"], expected["webhook_id"]
    assert rig.the_line() == (log.QUARANTINED, expected)


def test_an_event_that_neither_takes_is_503() -> None:
    """Lost, with the highest severity."""
    rig = Rig()
    rig.queue.before, rig.store.before = fails(PortError("x")), fails(PortError("y"))
    assert rig.receive() is http.UNAVAILABLE
    assert rig.log.events == [log.QUEUE_FAILED, log.STORE_FAILED, log.EVENT_LOST]
    assert rig.log.of(log.EVENT_LOST) == [common(503, queue_ms=0.0, store_ms=0.0)]


def test_a_held_event_that_the_store_does_not_take_is_503() -> None:
    """In every mode that holds, reject included: its address is known to be on no list, and nothing durable has it."""
    for mode in (QUARANTINE, REJECT):
        rig = Rig(mode)
        rig.store.before = fails_on("put")
        assert rig.receive(request(source=UNLISTED)) is http.UNAVAILABLE
        assert rig.log.events[-1] is log.EVENT_LOST
        assert rig.log.lines[-1][1]["reason"] == "unlisted_address"
        assert rig.queue.messages == []


@pytest.mark.parametrize(
    ("mode", "answer", "event_", "place", "fields"),
    [
        (OBSERVE, http.ACCEPTED, log.ACCEPTED, [], {"status": 200, "queue_ms": 0.0}),
        (
            QUARANTINE,
            http.QUARANTINED,
            log.QUARANTINED,
            ["quarantine"],
            {"status": 200, "reason": "unlisted_address", "store_ms": 0.0},
        ),
        (
            REJECT,
            http.FORBIDDEN,
            log.QUARANTINED,
            ["quarantine"],
            {"status": 403, "reason": "unlisted_address", "store_ms": 0.0},
        ),
    ],
    ids=["observe", "quarantine", "reject"],
)
def test_an_authentic_event_from_an_unlisted_address_has_a_line_of_its_own_as_well(
    mode: SourceIpMode, answer: Response, event_: LogEvent, place: list[str], fields: dict[str, Any]
) -> None:
    """Address and key, since a key may have leaked; mode reject keeps the event and answers 403 all the same."""
    rig = Rig(mode)
    assert rig.receive(request(source=UNLISTED)) is answer
    assert rig.stored == place
    assert len(rig.queue.messages) == (0 if place else 1)
    assert rig.log.lines == [
        (log.UNLISTED_ADDRESS, {"source_ip": UNLISTED, "key": KEY.fingerprint}),
        (event_, common(source_ip=UNLISTED, listed=False, **fields)),
    ]


def test_with_the_check_off_an_address_is_of_no_interest() -> None:
    """No second line, and the store is not asked about accepted addresses."""
    rig = Rig(OFF)
    assert rig.receive(request(source=UNLISTED)) is http.ACCEPTED
    assert rig.log.events == [log.ACCEPTED]
    assert rig.store.journal == []


def test_an_unknown_address_is_left_out_of_the_lines() -> None:
    """And is unlisted."""
    rig = Rig()
    assert rig.receive(request(source=None)) is http.QUARANTINED
    assert rig.log.lines[0] == (log.UNLISTED_ADDRESS, {"key": KEY.fingerprint})
    assert "source_ip" not in rig.log.lines[1][1]


def test_what_the_sender_named_reaches_a_line_as_a_plain_token_only() -> None:
    """Other names are left out, not cut or quoted."""
    rig = Rig()
    body = event(eventType="planted words", webhookId="planted:urn")
    assert rig.receive(request(body)) is http.ACCEPTED
    assert "event_type" not in rig.the_line()[1]
    assert "webhook_id" not in rig.the_line()[1]


# Refusals


@pytest.mark.parametrize(
    ("asked", "answer", "event_", "reason"),
    [
        (request(signed_by=OTHER_KEY_TEXT), http.UNAUTHORIZED, log.BAD_SIGNATURE_LISTED, "wrong_signature"),
        (
            request(signed_by=OTHER_KEY_TEXT, source=UNLISTED),
            http.UNAUTHORIZED,
            log.BAD_SIGNATURE_UNLISTED,
            "wrong_signature",
        ),
        (
            request(signed_by=OTHER_KEY_TEXT, source=None),
            http.UNAUTHORIZED,
            log.BAD_SIGNATURE_UNLISTED,
            "wrong_signature",
        ),
        (
            request(headers=(("Dastra-Signature", signature(b"x")),)),
            http.UNAUTHORIZED,
            log.BAD_SIGNATURE_LISTED,
            "conflicting_signatures",
        ),
        (request(b"x" * 4097), http.TOO_LARGE, log.TOO_LARGE, "body_too_large"),
        (request(b"x" * 4097, source=UNLISTED), http.TOO_LARGE, log.TOO_LARGE, "body_too_large"),
    ],
    ids=["listed", "unlisted", "unknown", "conflicting", "too large", "too large, unlisted"],
)
def test_a_refused_request_with_a_well_formed_signature_has_its_line(
    asked: Request, answer: Response, event_: LogEvent, reason: str
) -> None:
    """High severity from a listed address, low from others; nothing is queued or stored."""
    rig = Rig()
    assert rig.receive(asked) is answer
    expected: dict[str, Value] = {
        "status": answer.status,
        "size": len(asked.body),
        "duration_ms": 0.0,
        "screen_ms": 0.0,
        "reason": reason,
        "listed": asked.source == LISTED,
    }
    if asked.source:
        expected["source_ip"] = asked.source
    if reason == "wrong_signature":
        expected["keys_ms"] = 0.0
    assert rig.the_line() == (event_, expected)
    assert rig.queue.journal == []
    assert rig.store.objects == {}


def test_a_declared_length_is_the_size_that_is_logged() -> None:
    """The body was not read."""
    rig = Rig()
    assert rig.receive(request(b"", length=5_000_000)) is http.TOO_LARGE
    assert rig.the_line()[1]["size"] == 5_000_000


@pytest.mark.parametrize(
    ("asked", "answer", "reason"),
    [
        (request(method="GET"), http.METHOD_NOT_ALLOWED, "method_not_allowed"),
        (request(signed_by=None), http.UNAUTHORIZED, "missing_signature"),
        (request(signed_by=None, headers=(("Dastra-Signature", "x"),)), http.UNAUTHORIZED, "malformed_signature"),
        (request(b"x" * 4097, signed_by=None), http.TOO_LARGE, "body_too_large"),
    ],
    ids=["method", "no signature", "malformed", "large without signature"],
)
def test_a_scanner_is_logged_at_the_first_request_and_then_one_in_a_hundred(
    asked: Request, answer: Response, reason: str
) -> None:
    """All are counted, by a line or without one, and a line says how many came before."""
    rig = Rig()
    for _ in range(201):
        assert rig.receive(asked) is answer
    assert rig.log.events == [log.REFUSED] * 3
    assert rig.log.counted == [log.REFUSED] * 198
    assert rig.log.of(log.REFUSED) == [
        {
            "status": answer.status,
            "source_ip": LISTED,
            "size": len(asked.body),
            "duration_ms": 0.0,
            "screen_ms": 0.0,
            "reason": reason,
            "seen": seen,
        }
        for seen in (1, 101, 201)
    ]
    assert rig.source.fetches == 0


def test_bad_signatures_are_never_sampled() -> None:
    """Each one has its line, also among scanners."""
    rig = Rig()
    for _ in range(5):
        rig.receive(request(signed_by=None))
        rig.receive(request(signed_by=OTHER_KEY_TEXT))
    assert len(rig.log.of(log.BAD_SIGNATURE_LISTED)) == 5


@pytest.mark.parametrize(
    ("asked", "event_", "reason"),
    [
        (request(signed_by=None, source=UNLISTED), log.REFUSED, "unlisted_address"),
        (request(signed_by=OTHER_KEY_TEXT, source=UNLISTED), log.BAD_SIGNATURE_UNLISTED, "unlisted_address"),
    ],
    ids=["no signature", "wrong signature"],
)
def test_in_mode_reject_every_unlisted_address_gets_403(asked: Request, event_: LogEvent, reason: str) -> None:
    """The line tells a scanner from a wrong key all the same."""
    rig = Rig(REJECT)
    assert rig.receive(asked) is http.FORBIDDEN
    assert (rig.the_line()[0], rig.the_line()[1]["reason"]) == (event_, reason)


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(b"[]", source=UNLISTED),
        request(signed_by=None),
        request(signed_by=OTHER_KEY_TEXT),
        request(method="GET"),
        request(b"planted" * 1000),
        request(LARGE),
    ],
    ids=["accepted", "held", "no signature", "wrong", "GET", "large", "claim"],
)
@pytest.mark.parametrize("broken", [False, True])
def test_no_line_holds_body_key_or_signature(asked: Request, broken: bool) -> None:
    """Whatever comes of the request."""
    rig = Rig()
    if broken:
        rig.queue.before, rig.store.before = fails(ValueError(asked.body)), fails(ValueError(asked.body))
    rig.receive(asked)
    text = repr(rig.log.lines)
    for secret in ("planted", "Tâche", KEY.reveal(), signature(asked.body), signature(asked.body, OTHER_KEY_TEXT)):
        assert secret not in text


# Keys


def test_while_no_key_is_known_a_claim_is_503_and_each_request_asks_again() -> None:
    """Until one is there; from then on events are accepted."""
    rig = Rig(known=(), secret=())
    assert rig.receive() is http.UNAVAILABLE
    assert rig.the_line() == (
        log.NO_KEY,
        {
            "status": 503,
            "source_ip": LISTED,
            "size": SIZE,
            "duration_ms": 0.0,
            "screen_ms": 0.0,
            "keys_ms": 0.0,
            "reason": "no_key",
            "listed": True,
        },
    )
    assert rig.source.fetches == 1
    rig.source.keys = (KEY,)
    assert rig.receive() is http.ACCEPTED
    assert rig.source.fetches == 2


def test_while_no_key_is_known_a_scanner_gets_401_and_asks_for_nothing() -> None:
    """It cannot make an instance without a key ask the secret store."""
    rig = Rig(known=(), secret=())
    assert rig.receive(request(signed_by=None)) is http.UNAUTHORIZED
    assert rig.source.fetches == 0


@pytest.mark.parametrize("mode", list(SourceIpMode))
@pytest.mark.parametrize("source", [LISTED, UNLISTED])
def test_a_new_key_is_found_before_its_first_event_is_refused(mode: SourceIpMode, source: str) -> None:
    """In every mode; then it is known."""
    rig = Rig(mode, secret=(OTHER_KEY, KEY))
    for _ in range(2):
        answer = rig.receive(request(signed_by=OTHER_KEY_TEXT, source=source))
        assert answer.status == (403 if mode is REJECT and source == UNLISTED else 200)
    assert rig.source.fetches == 1
    assert rig.source.timeouts == [1]
    assert rig.log.of(log.BAD_SIGNATURE_LISTED) == []
    assert rig.queue.messages or rig.stored == ["quarantine"]


def test_a_wrong_signature_asks_once_per_request() -> None:
    """The keys did not change, so the answer stays 401."""
    rig = Rig()
    assert rig.receive(request(signed_by=OTHER_KEY_TEXT)) is http.UNAUTHORIZED
    assert rig.source.fetches == 1


def test_a_request_that_finds_the_keys_due_does_not_ask_again_for_its_signature() -> None:
    """The answer that it has is as new as one can be."""
    rig = Rig()
    rig.clock.advance(900)
    assert rig.receive(request(signed_by=OTHER_KEY_TEXT)) is http.UNAUTHORIZED
    assert rig.source.fetches == 1


def test_keys_that_are_due_are_read_again_before_the_request_is_judged() -> None:
    """A key that was taken out is out of use with that request."""
    rig = Rig(known=(OTHER_KEY, KEY), secret=(OTHER_KEY,))
    rig.clock.advance(899.9)
    assert rig.receive() is http.ACCEPTED
    rig.clock.advance(0.1)
    assert rig.receive() is http.UNAUTHORIZED
    assert rig.source.fetches == 1


def test_stale_keys_serve_while_the_secret_store_is_down() -> None:
    """The event is accepted, and the failure has its line."""
    rig = Rig()
    rig.clock.advance(900)
    rig.source.before = fails(PortError("down"))
    assert rig.receive() is http.ACCEPTED
    assert rig.log.events == [log.KEYS_FAILED, log.ACCEPTED]


def test_forged_requests_from_elsewhere_do_not_use_up_the_refreshes_of_listed_addresses() -> None:
    """After a hundred of them a genuine rotation is found at once."""
    rig = Rig()
    for _ in range(100):
        assert rig.receive(request(signed_by="forged", source=UNLISTED)) is http.UNAUTHORIZED
    assert rig.source.fetches == 5
    rig.source.keys = (OTHER_KEY,)
    assert rig.receive(request(signed_by=OTHER_KEY_TEXT)) is http.ACCEPTED


@pytest.mark.parametrize(
    "asked",
    [
        request(signed_by=None),
        request(signed_by=None, headers=(("Dastra-Signature", "x"),)),
        request(headers=(("Dastra-Signature", signature(b"x")),)),
        request(method="GET"),
        request(b"x" * 4097),
    ],
    ids=["missing", "malformed", "conflicting", "method", "too large"],
)
@pytest.mark.parametrize("mode", list(SourceIpMode))
@pytest.mark.parametrize("source", [LISTED, UNLISTED])
def test_what_no_key_could_turn_asks_for_none(asked: Request, mode: SourceIpMode, source: str) -> None:
    """Not where the method, the length, the form or two values decided it, in any mode."""
    rig = Rig(mode)
    rig.receive(Request(asked.method, asked.headers, asked.body, source))
    assert rig.source.fetches == 0


def test_a_refresh_has_its_own_limit_and_the_deadline_s() -> None:
    """Whichever is shorter."""
    for budget, refresh, expected in ((6, 0.5, 0.5), (0.75, 1, 0.75)):
        rig = Rig(budget=budget, refresh=refresh)
        rig.receive(request(signed_by=OTHER_KEY_TEXT))
        assert rig.source.timeouts == [expected]


def test_all_that_a_request_waits_for_keys_comes_out_of_one_allowance() -> None:
    """The look at accepted addresses may take half of it; the refresh has what that leaves."""
    rig = Rig()

    def slow(operation: str, key: str) -> None:
        rig.clock.advance(0.4)

    rig.store.before = slow
    rig.receive(request(signed_by=OTHER_KEY_TEXT, source=UNLISTED))
    assert rig.store.timeouts == [pytest.approx(0.5)]
    assert rig.source.timeouts == [pytest.approx(0.6)]


class Sluggish:
    """Keys whose refresh uses up its time and brings nothing, as behind another request's hanging fetch."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.waits: list[float] = []

    def current(self) -> tuple[SignatureKey, ...]:
        return (KEY,)

    def due(self) -> bool:
        return True

    def refresh(self, timeout: float, *, listed: bool = False) -> bool:
        self.waits.append(timeout)
        self._clock.advance(timeout)
        return False


def test_a_due_refresh_and_a_wrong_signature_share_the_allowance() -> None:
    """What the first has waited in vain, the second does not wait once more."""
    rig = Rig()
    rig.receiver.keys = keys = Sluggish(rig.clock)
    assert rig.receive(request(signed_by=OTHER_KEY_TEXT)) is http.UNAUTHORIZED
    assert keys.waits == [pytest.approx(1), pytest.approx(0)]


def test_with_keys_of_the_settings_nobody_waits() -> None:
    """A wrong one is refused at once, a right one accepted."""
    rig = Rig()
    rig.receiver.keys = StaticKeys((KEY,))
    assert rig.receive(request(signed_by=OTHER_KEY_TEXT)) is http.UNAUTHORIZED
    assert rig.receive() is http.ACCEPTED
    assert rig.source.fetches == 0


# Addresses that were accepted since


@pytest.mark.parametrize("mode", [OBSERVE, QUARANTINE, REJECT])
def test_an_address_that_was_accepted_counts_from_the_next_event_on(mode: SourceIpMode) -> None:
    """Without a new deployment: first held or marked, then as if it had been on the list."""
    rig = Rig(mode)
    rig.receive(request(source=UNLISTED))
    rig.store.put(address_key(UNLISTED), b"", {}, 1)
    rig.log.lines.clear()
    rig.queue.messages.clear()
    for _ in range(2):
        assert rig.receive(request(source=UNLISTED)) is http.ACCEPTED
    assert rig.queue.messages == [message()] * 2
    assert rig.log.lines == [(log.ACCEPTED, common(200, source_ip=UNLISTED, queue_ms=0.0))] * 2
    assert rig.store.journal.count("store.list addresses/") == 2


def test_an_accepted_address_is_listed_for_bad_signatures_too() -> None:
    """High severity, from the first on; while the store does not tell, low."""
    rig = Rig()
    rig.store.put(address_key(UNLISTED), b"", {}, 1)
    rig.receive(request(signed_by=OTHER_KEY_TEXT, source=UNLISTED))
    assert rig.the_line()[0] is log.BAD_SIGNATURE_LISTED
    rig = Rig()
    rig.store.before = fails(PortError("down"))
    rig.receive(request(signed_by=OTHER_KEY_TEXT, source=UNLISTED))
    assert rig.log.events == [log.STORE_FAILED, log.BAD_SIGNATURE_UNLISTED]


def test_an_accepted_address_has_the_refreshes_of_listed_ones() -> None:
    """On an instance that has not seen it yet, too: forged requests from elsewhere cannot keep its new key out."""
    rig = Rig()
    rig.store.put(address_key(UNLISTED), b"", {}, 1)
    for _ in range(100):
        rig.receive(request(signed_by="forged", source="203.0.113.9"))
    assert rig.source.fetches == 5
    rig.source.keys = (OTHER_KEY,)
    assert rig.receive(request(signed_by=OTHER_KEY_TEXT, source=UNLISTED)) is http.ACCEPTED


def test_an_accepted_network_counts_like_an_address() -> None:
    """Also when it is all that was accepted."""
    rig = Rig()
    rig.store.put(address_key("198.51.100.0/24"), b"", {}, 1)
    assert [rig.receive(request(source=UNLISTED)) for _ in range(2)] == [http.ACCEPTED] * 2
    assert rig.store.journal.count("store.list addresses/") == 1


def test_who_has_no_key_makes_the_store_be_asked_once_in_five_minutes() -> None:
    """By a well-formed signature from an unlisted address; not by a scanner or a listed address."""
    rig = Rig()
    for asked in (
        request(),
        request(signed_by=None, source=UNLISTED),
        request(method="GET", source=UNLISTED),
        request(b"x" * 4097, source=UNLISTED),
        request(signed_by=OTHER_KEY_TEXT),
    ):
        rig.receive(asked)
    assert rig.store.journal == []
    for _ in range(10):
        rig.receive(request(signed_by=OTHER_KEY_TEXT, source=UNLISTED))
        rig.clock.advance(30)
    assert rig.store.journal == ["store.list addresses/"]
    rig.clock.advance(0.001)
    rig.receive(request(signed_by=OTHER_KEY_TEXT, source=UNLISTED))
    assert rig.store.journal == ["store.list addresses/"] * 2


def test_each_authentic_event_from_an_unlisted_address_asks_the_store() -> None:
    """Its sender has the key, and an acceptance must count at once; for a second at most."""
    rig = Rig()
    for _ in range(2):
        rig.receive(request(source=UNLISTED))
    assert rig.store.journal.count("store.list addresses/") == 2
    assert rig.store.timeouts[0] == 1
    rig = Rig(refresh=0.25)
    rig.receive(request(source=UNLISTED))
    assert rig.store.timeouts[0] == 0.25


def test_an_accepted_address_does_not_make_a_body_readable() -> None:
    """It is held for the reason that is left, without the mark."""
    rig = Rig()
    rig.store.put(address_key(UNLISTED), b"", {}, 1)
    assert rig.receive(request(b"[]", source=UNLISTED)) is http.QUARANTINED
    assert rig.log.of(log.QUARANTINED)[0]["reason"] == "not_a_json_object"
    assert rig.log.of(log.UNLISTED_ADDRESS) == []


@pytest.mark.parametrize("mode", [QUARANTINE, REJECT])
def test_an_address_of_which_the_store_says_nothing_is_decided_later(mode: SourceIpMode) -> None:
    """Kept in the spool under a reason of its own, never answered 403: it may well have been accepted."""
    rig = Rig(mode)
    rig.store.before = fails_on("list")
    assert rig.receive(request(source=UNLISTED)) is http.SPOOLED
    assert rig.log.events == [log.STORE_FAILED, log.UNLISTED_ADDRESS, log.SPOOLED]
    [kept] = rig.store.below("")
    assert kept.key.startswith("spool/")
    assert (kept.metadata["reason"], kept.metadata["address"]) == ("address_unknown", UNLISTED)
    assert rig.queue.messages == []


@pytest.mark.parametrize("mode", [QUARANTINE, REJECT])
def test_without_the_store_such_an_event_goes_to_the_queue_with_its_mark(mode: SourceIpMode) -> None:
    """One durable place is enough; when the queue does not take it either, it is lost and said to be."""
    rig = Rig(mode)
    rig.store.before = fails(PortError("down"))
    assert rig.receive(request(source=UNLISTED)) is http.ACCEPTED
    [sent] = rig.queue.messages
    assert sent.attributes["sourceipcheck"] == "unlisted"
    assert rig.log.events == [log.STORE_FAILED, log.UNLISTED_ADDRESS, log.STORE_FAILED, log.ACCEPTED]
    rig.queue.before = fails(PortError("down"))
    assert rig.receive(request(source=UNLISTED)) is http.UNAVAILABLE
    assert rig.log.events[-1] is log.EVENT_LOST


def test_what_a_person_must_see_anyway_is_never_sent_to_the_queue() -> None:
    """A body that is no object is held for that: without the store it is lost, whatever its address is."""
    rig = Rig()
    rig.store.before = fails(PortError("down"))
    assert rig.receive(request(b"[]", source=UNLISTED)) is http.UNAVAILABLE
    assert rig.queue.messages == []


def test_an_accepted_address_stays_accepted_while_the_store_is_down() -> None:
    """However long: its events go to the queue without a mark."""
    rig = Rig()
    rig.store.put(address_key(UNLISTED), b"", {}, 1)
    assert rig.receive(request(source=UNLISTED)) is http.ACCEPTED
    rig.store.before = fails(PortError("down"))
    for seconds in (301, 86_400):
        rig.clock.advance(seconds)
        assert rig.receive(request(source=UNLISTED)) is http.ACCEPTED
    assert all("sourceipcheck" not in sent.attributes for sent in rig.queue.messages)


# Time


@pytest.mark.parametrize(
    ("ages", "shares"),
    [
        ([0.0], [2.25, 2.25]),
        ([2.0], [1.25, 2.25]),
        ([5.5], [0.75, 2.25]),
        ([3600.0], [2.25, 2.25]),
    ],
)
def test_the_age_of_the_process_counts_once(ages: list[float], shares: list[float]) -> None:
    """The first request of an instance has waited for its start, the second has not; an old process was warm."""
    rig = Rig(budget=4.5)
    rig.ages = ages
    rig.receive()
    rig.receive()
    assert rig.queue.timeouts == [pytest.approx(share) for share in shares]
    assert rig.ages == []


@pytest.mark.parametrize(
    ("spent", "share"),
    [(0, 2.5), (0.5, 2.5), (2, 2), (4, 1), (5, 0.75), (9.5, 0.75), (10, 2.5), (3600, 2.5), (-2, 2.5), (-1e12, 2.5)],
)
def test_the_platform_s_time_of_receipt_begins_the_budget(spent: float, share: float) -> None:
    """In place of the process's age; a stamp of another day or of the future is not believed."""
    rig = Rig()
    rig.ages = []
    rig.receive(request(received_at=NOON - spent))
    assert rig.queue.timeouts == [pytest.approx(share)]


@pytest.mark.parametrize("stamp", [0.0, float("nan"), float("inf"), float("-inf")])
def test_a_stamp_that_is_no_time_is_not_believed(stamp: float) -> None:
    """The budget is whole then."""
    rig = Rig()
    rig.receive(request(received_at=stamp))
    assert rig.queue.timeouts == [2.5]


def test_a_first_request_with_a_stamp_uses_up_the_age_of_the_process() -> None:
    """The second has not waited for the start, stamp or no stamp."""
    rig = Rig()
    rig.ages = []
    rig.receive(request(received_at=NOON))
    rig.receive()
    assert rig.queue.timeouts == [2.5, 2.5]


def test_the_duration_is_the_request_s_own() -> None:
    """In milliseconds with one digit, without what passed before we had it."""
    rig = Rig()
    rig.ages = [3.0]

    def slow(_: QueueMessage) -> None:
        rig.clock.advance(0.12345)

    rig.queue.before = slow
    rig.receive()
    fields = rig.the_line()[1]
    assert (fields["duration_ms"], fields["queue_ms"]) == (123.5, 123.5)


def test_a_wait_for_keys_is_told_apart_from_the_rest_of_the_decision() -> None:
    """The refresh's own time, and the decision's with it and with the look-up of the address; the queue's is not in."""
    rig = Rig(OBSERVE)

    def keys(_: int) -> None:
        rig.clock.advance(0.2)

    def addresses(_: str, __: str) -> None:
        rig.clock.advance(0.03)

    def queue(_: QueueMessage) -> None:
        rig.clock.advance(1)

    rig.clock.advance(900)
    rig.source.before, rig.store.before, rig.queue.before = keys, addresses, queue
    assert rig.receive(request(source=UNLISTED)) is http.ACCEPTED
    (fields,) = rig.log.of(log.ACCEPTED)
    names = ("keys_ms", "screen_ms", "queue_ms", "duration_ms")
    assert [fields[name] for name in names] == [200.0, 230.0, 1000.0, 1230.0]


def test_the_address_check_comes_out_of_the_same_budget() -> None:
    """What the store took for it is gone from the deadline."""
    rig = Rig(OBSERVE)

    def slow(operation: str, key: str) -> None:
        rig.clock.advance(3)

    rig.store.before = slow
    rig.receive(request(source=UNLISTED))
    assert rig.queue.timeouts == [pytest.approx(1.5)]


# A mistake of ours


class Broken:
    """A log port or part that fails as a bug would."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, *_: object) -> float:
        raise self._error


def test_a_bug_is_answered_503_and_logged_without_its_message() -> None:
    """The class of the error and where it was raised; neither answer nor line holds its text."""
    rig = Rig()
    rig.receiver.now = Broken(LookupError("planted"))
    answer = rig.receive()
    assert answer is http.UNAVAILABLE
    event_, fields = rig.the_line()
    assert event_ is log.INTERNAL_ERROR
    assert fields.keys() == {"error", "at"}
    assert fields["error"] == "LookupError"
    file, _, line = str(fields["at"]).partition(":")
    assert file == "test_receiver.py"
    assert int(line) == Broken.__call__.__code__.co_firstlineno + 1
    assert "planted" not in repr(rig.log.lines)
    assert json.loads(answer.body) == {"error": "unavailable"}


def test_a_bug_does_not_end_the_instance() -> None:
    """The next request is served."""
    rig = Rig()
    rig.receiver.now = Broken(RecursionError())
    assert rig.receive() is http.UNAVAILABLE
    rig.receiver.now = rig.clock.now
    assert rig.receive() is http.ACCEPTED


def test_what_stops_the_process_is_no_bug() -> None:
    """It passes through."""
    rig = Rig()
    rig.receiver.now = Broken(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        rig.receive()


def test_a_hostile_request_is_no_bug() -> None:
    """Odd methods, headers and bodies end in a refusal, not in the last line of defence."""
    rig = Rig()
    for method in ("", "\ud800", "POST"):
        for value in ("\ud800" * 44, "=" * 44, "\0", "é" * 44, "a" * 100_000):
            for body in (b"", b"\xff" * 100, b"[" * 4000):
                asked = Request(method, Headers([("Dastra-Signature", value), (value, value)]), body, UNLISTED)
                assert rig.receive(asked).status in (401, 405)
    assert rig.log.of(log.INTERNAL_ERROR) == []


def test_parts_have_defaults_that_a_platform_needs_not_repeat() -> None:
    """The budget of the design, a real clock and a real process."""
    rig = Rig()
    built = Receiver(
        Policy(OFF, AllowList(), 4096, 0),
        rig.receiver.keys,
        rig.receiver.delivery,
        rig.receiver.accepted_addresses,
        rig.log,
    )
    assert (built.budget_seconds, built.refresh_seconds) == (6, 1)
    assert built.receive(request()) is http.ACCEPTED
