"""The decision about one request: every mode, order and boundary."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from core.envelope import Envelope
from core.http import REFUSALS, Headers, Request
from core.screening import (
    Accepted,
    HoldReason,
    Outcome,
    Policy,
    Quarantined,
    RefusalReason,
    Refused,
    SourceIpMode,
    screen,
)
from core.signature import SignatureFault
from core.source_ip import EMPTY, AllowList
from tests.fakes import NOON
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
TRACEPARENT = "00-1f0c2d3e4b5a69788796a5b4c3d2e1f0-0a1b2c3d4e5f6071-01"

modes = pytest.mark.parametrize("mode", list(SourceIpMode))
sources = pytest.mark.parametrize("source", [LISTED, UNLISTED, None])


def policy(mode: SourceIpMode = QUARANTINE, *, most: int = 4096, age: float = 0) -> Policy:
    """A policy that lists one address."""
    return Policy(mode, LIST, most, age)


def decide(asked: Request, mode: SourceIpMode = QUARANTINE, *, most: int = 4096, age: float = 0) -> Outcome:
    """The outcome with one known key, at noon."""
    return screen(asked, (KEY,), policy(mode, most=most, age=age), NOON)


# An authentic event


def test_a_genuine_event_is_accepted_with_its_message() -> None:
    """Understood, listed, young enough: message, envelope and the key that matched."""
    assert decide(request()) == Accepted(message(), Envelope.parse(event()), KEY, listed=True)


def held(reason: HoldReason, *, refused: bool = False) -> Outcome:
    """The sample event from an unlisted address, held."""
    return Quarantined(message(unlisted=True), Envelope.parse(event()), KEY, False, reason, refused)


@pytest.mark.parametrize("source", [UNLISTED, None, "192.0.2.11", "2001:db8::1"])
@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        (OFF, Accepted(message(), Envelope.parse(event()), KEY, listed=True)),
        (OBSERVE, Accepted(message(unlisted=True), Envelope.parse(event()), KEY, listed=False)),
        (QUARANTINE, held(HoldReason.UNLISTED_ADDRESS)),
        (REJECT, held(HoldReason.UNLISTED_ADDRESS, refused=True)),
    ],
)
def test_an_authentic_event_from_an_unlisted_address(source: str | None, mode: SourceIpMode, outcome: Outcome) -> None:
    """Off: no difference. Observe: forwarded with a mark. Quarantine: held. Reject: held, and the answer refuses."""
    assert decide(request(source=source), mode) == outcome


@modes
def test_a_listed_address_is_accepted_in_every_mode(mode: SourceIpMode) -> None:
    """Without a mark."""
    assert decide(request(), mode) == Accepted(message(), Envelope.parse(event()), KEY, listed=True)


@modes
@sources
@pytest.mark.parametrize(
    "body", [b"", b"text", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000], ids=lambda b: ascii(b[:9])
)
def test_an_authentic_body_that_is_no_object_is_held_whoever_sent_it(
    mode: SourceIpMode, source: str | None, body: bytes
) -> None:
    """That is the reason in every mode; the mark and the refusal follow the address as always."""
    outcome = decide(request(body, source=source), mode, most=200_000)
    listed = mode is OFF or source == LISTED
    assert isinstance(outcome, Quarantined)
    assert outcome.reason is HoldReason.NOT_AN_OBJECT
    assert outcome.envelope is None
    assert outcome.key is KEY
    assert outcome.listed is listed
    assert outcome.refused is (mode is REJECT and not listed)
    assert outcome.message.body == body
    assert ("sourceipcheck" in outcome.message.attributes) is not listed


@pytest.mark.parametrize(
    "body", [event(data=None), event(date="?", eventType=..., webhookId=...), b"{}", b"\xef\xbb\xbf{}"]
)
def test_an_object_is_understood_however_little_is_in_it(body: bytes) -> None:
    """And its message carries the very bytes."""
    outcome = decide(request(body))
    assert isinstance(outcome, Accepted)
    assert outcome.message.body == body


@pytest.mark.parametrize(
    "header", ["{}", " {}\t", "{},{}", " {} , {}", "{}, {},{}"], ids=["plain", "padded", "joined", "spaces", "three"]
)
def test_the_message_carries_the_signature_as_it_was_checked(header: str) -> None:
    """Once, without white space, however the platform joined it."""
    signed = signature(event())
    asked = Request("POST", Headers([("dastra-signature", header.replace("{}", signed))]), event(), LISTED)
    outcome = decide(asked)
    assert isinstance(outcome, Accepted)
    assert outcome.message.attributes["signature"] == signed


def test_no_character_of_a_signature_is_lost() -> None:
    """Whichever stand at its ends."""
    bodies = [event(userId=number) for number in range(400)]
    assert {signature(body)[0] for body in bodies} >= set("ABXYZabxyz0189+/")
    for body in bodies:
        outcome = decide(request(body))
        assert isinstance(outcome, Accepted)
        assert outcome.message.attributes["signature"] == signature(body)


@pytest.mark.parametrize("body", [event(), b"[1]"], ids=["event", "unreadable"])
def test_the_trace_context_is_carried(body: bytes) -> None:
    """The first one, in its W3C form, also with a body that is held; another form is left out."""
    headers = (("Traceparent", TRACEPARENT), ("traceparent", "00-other"))
    for given, expected in ((headers, TRACEPARENT), ((("traceparent", "x"),), None), ((), None)):
        outcome = decide(request(body, headers=given))
        assert isinstance(outcome, Accepted | Quarantined)
        assert outcome.message.attributes.get("traceparent") == expected


@pytest.mark.parametrize("body", [event(), b"[1]"], ids=["event", "unreadable"])
def test_without_a_trace_context_of_its_own_the_platforms_is_carried(body: bytes) -> None:
    """And a header that is none does not stand in its way."""
    platforms = f"00-{'5f' * 16}-{'7a' * 8}-00"
    for given, expected in (
        ((), platforms),
        ((("traceparent", "x"),), platforms),
        ((("traceparent", TRACEPARENT),), TRACEPARENT),
    ):
        outcome = decide(dataclasses.replace(request(body, headers=given), trace=platforms))
        assert isinstance(outcome, Accepted | Quarantined)
        assert outcome.message.attributes.get("traceparent") == expected


def test_the_key_that_matched_is_named() -> None:
    """Of several, whichever it was."""
    for text, key in ((None, None), (OTHER_KEY_TEXT, OTHER_KEY)):
        outcome = screen(request(signed_by=text or OTHER_KEY_TEXT), (KEY, OTHER_KEY), policy(), NOON)
        assert isinstance(outcome, Accepted)
        assert outcome.key is (key or OTHER_KEY)


# The age


def dated(age: float, suffix: str = "+00:00") -> Request:
    """An event whose date lies so many seconds before noon."""
    date = (datetime.fromtimestamp(NOON, UTC) - timedelta(seconds=age)).replace(tzinfo=None).isoformat()
    return request(event(date=date + suffix))


@pytest.mark.parametrize(
    ("most", "age", "accepted"),
    [
        (300, 0, True),
        (300, 299.999999, True),
        (300, 300, True),
        (300, 300.000001, False),
        (300, 301, False),
        (300, 1e9, False),
        (0.5, 0.5, True),
        (0.5, 0.500001, False),
        # A clock that is ahead is not an old event.
        (300, -301, True),
        (300, -1e9, True),
        # Off.
        (0, 301, True),
        (0, 1e9, True),
    ],
)
def test_an_event_is_too_old_beyond_the_limit_and_not_at_it(most: float, age: float, accepted: bool) -> None:
    """By its own date against the clock; 0 switches the check off."""
    outcome = decide(dated(age), age=most)
    if accepted:
        assert isinstance(outcome, Accepted)
    else:
        assert isinstance(outcome, Quarantined)
        assert outcome.reason is HoldReason.TOO_OLD
        assert outcome.listed
        assert not outcome.refused
        assert outcome.envelope == Envelope.parse(outcome.message.body)


def test_the_zone_of_the_date_counts_and_utc_is_assumed() -> None:
    """Noon in Paris is an hour ago at noon in UTC."""
    assert isinstance(decide(dated(0, ""), age=300), Accepted)
    assert isinstance(decide(dated(0, "Z"), age=300), Accepted)
    assert isinstance(decide(dated(0, "+01:00"), age=300), Quarantined)
    assert isinstance(decide(dated(0, "-01:00"), age=300), Accepted)


@pytest.mark.parametrize("date", [..., None, "", "yesterday", 5])
def test_a_date_that_cannot_be_read_is_not_too_old(date: object) -> None:
    """It says nothing."""
    assert isinstance(decide(request(event(date=date)), age=1), Accepted)


@pytest.mark.parametrize(
    ("mode", "reason", "refused"),
    [
        (OFF, HoldReason.TOO_OLD, False),
        (OBSERVE, HoldReason.TOO_OLD, False),
        (QUARANTINE, HoldReason.UNLISTED_ADDRESS, False),
        (REJECT, HoldReason.UNLISTED_ADDRESS, True),
    ],
)
def test_the_address_is_the_first_reason_where_it_is_one(mode: SourceIpMode, reason: HoldReason, refused: bool) -> None:
    """Old and unlisted: held for the address where that is held, else for the age, with the mark."""
    outcome = decide(request(event(date="2026-03-01T12:00:00Z"), source=UNLISTED), mode, age=300)
    assert isinstance(outcome, Quarantined)
    assert (outcome.reason, outcome.refused, outcome.listed) == (reason, refused, mode is OFF)
    assert outcome.message.attributes.get("sourceipcheck") == (None if mode is OFF else "unlisted")


# Refusals, in their order


@modes
@sources
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "Post", "", "POST "]
)
@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["no key", "one key"])
def test_a_method_other_than_post_comes_first(
    mode: SourceIpMode, source: str | None, method: str, keys: tuple[()]
) -> None:
    """405, whatever else is wrong or right with the request."""
    for asked in (request(source=source, method=method), request(b"x" * 9999, source=source, method=method)):
        assert screen(asked, keys, policy(mode), NOON) == Refused(405, RefusalReason.METHOD)


@modes
@sources
@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["no key", "one key"])
def test_size_comes_second(mode: SourceIpMode, source: str | None, keys: tuple[()]) -> None:
    """413 ahead of signature, key and address; a well-formed signature is told, right or wrong."""
    body = event()
    too_large = policy(mode, most=len(body) - 1)
    for text, claimed in ((None, False), ("other", True), (OTHER_KEY_TEXT, True)):
        asked = request(body, source=source, signed_by=text)
        assert screen(asked, keys, too_large, NOON) == Refused(413, RefusalReason.TOO_LARGE, claimed)


@pytest.mark.parametrize(("excess", "accepted"), [(-1, True), (0, True), (1, False)])
def test_a_body_of_the_limit_s_size_is_accepted_and_one_byte_more_is_not(excess: int, accepted: bool) -> None:
    """The limit counts bytes, not characters."""
    body = event(eventName="é" * 50)
    outcome = decide(request(body), most=len(body) - excess)
    assert isinstance(outcome, Accepted) is accepted
    assert accepted or outcome == Refused(413, RefusalReason.TOO_LARGE, claimed=True)


@pytest.mark.parametrize(
    ("length", "refused"), [(None, False), (0, False), (4096, False), (4097, True), (10**12, True)]
)
def test_a_declared_length_is_refused_before_the_body_is_read(length: int | None, refused: bool) -> None:
    """The body is not there yet, and the signature's form is told all the same."""
    outcome = decide(request(b"", length=length))
    assert (outcome == Refused(413, RefusalReason.TOO_LARGE, claimed=True)) is refused


@pytest.mark.parametrize(
    ("values", "claimed"),
    [
        ([], False),
        ([""], False),
        (["junk"], False),
        (["junk", signature(b"")], True),
        ([signature(b"") + ",junk"], True),
        ([signature(b""), signature(b"x")], True),
    ],
)
def test_a_large_body_claims_a_signature_by_any_well_formed_value(values: list[str], claimed: bool) -> None:
    """It may be the one genuine event that is refused, so even one value among others counts."""
    asked = Request("POST", Headers([("Dastra-Signature", value) for value in values]), b"x" * 4097, LISTED)
    assert decide(asked) == Refused(413, RefusalReason.TOO_LARGE, claimed)


SIGNED = signature(event())
FAULTS = [
    pytest.param([], RefusalReason.MISSING_SIGNATURE, False, id="missing"),
    pytest.param([""], RefusalReason.MISSING_SIGNATURE, False, id="empty"),
    pytest.param([SIGNED[:-1]], RefusalReason.MALFORMED_SIGNATURE, False, id="malformed"),
    pytest.param(["é"], RefusalReason.MALFORMED_SIGNATURE, False, id="not ASCII"),
    pytest.param(["one", "two"], RefusalReason.CONFLICTING_SIGNATURES, False, id="two, malformed"),
    pytest.param([SIGNED, signature(b"x")], RefusalReason.CONFLICTING_SIGNATURES, True, id="two, one of them right"),
    pytest.param([f"{SIGNED},x"], RefusalReason.CONFLICTING_SIGNATURES, True, id="right and junk, joined"),
]


def with_values(values: list[str], source: str | None) -> Request:
    """The sample event with these values of the signature's header."""
    return Request("POST", Headers([("Dastra-Signature", value) for value in values]), event(), source)


@pytest.mark.parametrize(("values", "reason", "claimed"), FAULTS)
@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["no key", "one key"])
@modes
@sources
def test_a_signature_that_cannot_be_right_is_refused(
    values: list[str],
    reason: RefusalReason,
    claimed: bool,
    keys: tuple[()],
    mode: SourceIpMode,
    source: str | None,
) -> None:
    """401 with the reason, also while no key is known; in mode `reject`, 403 from an unlisted address.

    There no value counts as a claim: whatever key comes, it cannot turn what two values decided.
    """
    outcome = screen(with_values(values, source), keys, policy(mode), NOON)
    if mode is REJECT and source != LISTED:
        assert outcome == Refused(403, RefusalReason.UNLISTED_ADDRESS)
    else:
        assert outcome == Refused(401, reason, claimed)


@modes
@sources
@pytest.mark.parametrize(
    ("body", "text"),
    [(event(), OTHER_KEY_TEXT), (event(), ""), (b"", OTHER_KEY_TEXT), (b"[" * 4000, OTHER_KEY_TEXT), (b"\xff", "x")],
    ids=["other key", "empty key", "empty body", "deep body", "not UTF-8"],
)
def test_a_wrong_signature_is_refused_before_the_body_is_looked_at(
    mode: SourceIpMode, source: str | None, body: bytes, text: str
) -> None:
    """401, or 403 in mode `reject` from an unlisted address; the well-formed signature is told either way."""
    outcome = decide(request(body, source=source, signed_by=text), mode)
    if mode is REJECT and source != LISTED:
        assert outcome == Refused(403, RefusalReason.UNLISTED_ADDRESS, claimed=True)
    else:
        assert outcome == Refused(401, RefusalReason.WRONG_SIGNATURE, claimed=True)


@modes
@sources
def test_while_no_key_is_known_a_well_formed_signature_is_not_judged(mode: SourceIpMode, source: str | None) -> None:
    """503 in every mode and from every address, since it may be Dastra's."""
    assert screen(request(source=source), (), policy(mode), NOON) == Refused(503, RefusalReason.NO_KEY, claimed=True)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(event(eventName="other") + b" "), id="another event's"),
        pytest.param(Request("POST", Headers([("Dastra-Signature", SIGNED)]), event() + b"\n", LISTED), id="line end"),
        pytest.param(Request("POST", Headers([("Dastra-Signature", SIGNED)]), event()[:-1], LISTED), id="cut"),
        pytest.param(
            Request("POST", Headers([("Dastra-Signature", SIGNED)]), event().replace(b": ", b":"), LISTED),
            id="re-encoded",
        ),
        pytest.param(Request("POST", Headers([("X-Dastra-Signature", SIGNED)]), event(), LISTED), id="other header"),
        pytest.param(Request("POST", Headers([("Authorization", SIGNED)]), event(), LISTED), id="authorization"),
    ],
)
def test_only_the_exact_bytes_under_the_exact_header_are_authentic(asked: Request) -> None:
    """Signed and then changed is as wrong as not signed; the first case shows that a true one passes."""
    genuine = asked.body.endswith(b" ")
    assert isinstance(decide(asked), Accepted) is genuine
    assert genuine or getattr(decide(asked), "status", None) == 401


# What the outcomes promise


def test_every_refusal_has_an_answer_and_reasons_repeat_the_signature_s_faults() -> None:
    """No status without a fixed body; one name for one fault in both enumerations."""
    assert {405, 413, 401, 403, 503} == REFUSALS.keys()
    assert {fault.value for fault in SignatureFault} <= {reason.value for reason in RefusalReason}


def test_reasons_have_the_names_that_stand_in_logs_and_beside_stored_events() -> None:
    """Whoever searches for one finds it, and a later release still reads what an earlier one stored."""
    assert [reason.value for reason in HoldReason] == ["not_a_json_object", "unlisted_address", "too_old"]
    assert {reason.value for reason in RefusalReason} - {fault.value for fault in SignatureFault} == {
        "method_not_allowed",
        "body_too_large",
        "unlisted_address",
        "no_key",
    }
    assert [mode.value for mode in SourceIpMode] == ["off", "observe", "quarantine", "reject"]


def test_the_same_request_gets_the_same_decision() -> None:
    """Nothing is remembered from one request to the next."""
    asked, settings = request(source=UNLISTED), policy()
    assert screen(asked, (KEY,), settings, NOON) == screen(asked, (KEY,), settings, NOON)


@pytest.mark.parametrize(
    "value", [Policy(), Refused(401, RefusalReason.NO_KEY), decide(request()), decide(request(b"1"))]
)
def test_policy_and_outcomes_are_frozen(value: Policy | Outcome) -> None:
    """A decision stands."""
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


# The policy


def test_a_policy_holds_by_default() -> None:
    """Quarantine, nobody listed, 4 MiB, no age check."""
    assert Policy() == Policy(QUARANTINE, EMPTY, 4_194_304, 0)


@modes
def test_every_address_is_listed_while_the_check_is_off(mode: SourceIpMode) -> None:
    """In the other modes the list decides, and an unknown address is not on it."""
    assert policy(mode).listed(LISTED)
    assert policy(mode).listed(UNLISTED) is (mode is OFF)
    assert policy(mode).listed(None) is (mode is OFF)


def test_a_policy_with_accepted_addresses_is_another_one() -> None:
    """More addresses, all else the same, and the first is unchanged."""
    first = policy(REJECT, most=5, age=7)
    assert first.also(AllowList.of([UNLISTED])) == Policy(REJECT, AllowList.of([LISTED, UNLISTED]), 5, 7)
    assert first == policy(REJECT, most=5, age=7)
    assert first.also(EMPTY) == first
