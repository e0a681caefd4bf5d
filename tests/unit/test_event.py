"""The consumer's side: what comes off a queue is checked again."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cli.doctor.sender import DoctorSender
from cli.samples import sample
from core.envelope import Envelope
from core.event import Event, EventError, Verification
from core.message import QueueMessage, event_id
from tests.unit.samples import KEY, OTHER_KEY, event, message, signature

BODY = event()
SENT = message()
PLACE = "fake://store/claims/" + SENT.id
POINTER = SENT.as_pointer(PLACE)


def record(sent: QueueMessage = SENT, **attributes: str | None) -> dict[str, Any]:
    """A record as Lambda hands it over; an attribute given as None is taken out."""
    values = {**sent.attributes, **attributes}
    return {
        "messageId": "00000000-0000-4000-8000-000000000001",
        "body": sent.body.decode(),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {
            f"ce-{name}": {"stringValue": value, "dataType": "String", "stringListValues": [], "binaryListValues": []}
            for name, value in values.items()
            if value is not None
        },
        "eventSource": "aws:sqs",
    }


def read(sent: QueueMessage = SENT, /, **attributes: str | None) -> Event:
    """An event from a message with these attributes changed."""
    known = {name: value for name, value in {**sent.attributes, **attributes}.items() if value is not None}
    return Event.from_message(sent.body, known, keys=[KEY])


# From SQS


def test_an_event_is_what_was_sent() -> None:
    """Id, type without its prefix, source, time, envelope, the signed bytes, the attributes."""
    assert Event.from_sqs(record(), keys=[KEY]) == Event(
        id=hashlib.sha256(BODY).hexdigest(),
        type="TaskCreation",
        source="urn:dastra:webhook:4242",
        time="2026-03-02T12:00:00Z",
        envelope=Envelope.parse(BODY),
        body=BODY,
        verification=Verification.VALID,
        unlisted_address=False,
        attributes=SENT.attributes,
    )


def test_a_message_of_boto3_reads_the_same() -> None:
    """`receive_message` spells the same things with capitals."""
    lambda_record = record()
    message_ = {
        "MessageId": "x",
        "Body": lambda_record["body"],
        "MessageAttributes": {
            name: {"StringValue": value["stringValue"], "DataType": "String"}
            for name, value in lambda_record["messageAttributes"].items()
        },
    }
    assert Event.from_sqs(message_, keys=[KEY]) == Event.from_sqs(lambda_record, keys=[KEY])


def test_names_of_attributes_are_read_in_any_case_and_with_or_without_prefix() -> None:
    """A bridge between queues may have changed them."""
    changed = record()
    changed["messageAttributes"] = {
        name.upper() if number % 2 else name.removeprefix("ce-"): value
        for number, (name, value) in enumerate(changed["messageAttributes"].items())
    }
    assert Event.from_sqs(changed, keys=[KEY]) == Event.from_sqs(record(), keys=[KEY])


def test_other_attributes_are_none_of_the_event_s() -> None:
    """A fork's own, one that is not text, and one that is empty."""
    extended = record()
    extended["messageAttributes"] |= {
        "ce-forks": {"stringValue": "x", "dataType": "String"},
        "ce-time": {"binaryValue": "eA==", "dataType": "Binary"},
        "ce-traceparent": {"stringValue": "", "dataType": "String"},
    }
    found = Event.from_sqs(extended)
    assert found.attributes.keys() == {"specversion", "id", "source", "type", "signature"}
    assert found.time is None


@pytest.mark.parametrize("body", [{}, {"body": None}, {"body": b"x"}, {"Body": 5}])
def test_a_record_without_a_body_is_an_error(body: dict[str, object]) -> None:
    """It is not from SQS."""
    with pytest.raises(EventError, match=r"^the SQS record has no body$"):
        Event.from_sqs({"messageAttributes": record()["messageAttributes"], **body})


def test_a_body_that_is_no_text_of_sqs_is_an_error() -> None:
    """An unpaired surrogate has no bytes."""
    with pytest.raises(EventError, match="not text that SQS can hold"):
        Event.from_sqs({**record(), "body": "\ud800"})


@pytest.mark.parametrize("found", [{}, None])
@pytest.mark.parametrize("name", ["messageAttributes", "MessageAttributes"])
def test_attributes_that_were_not_asked_for_are_an_error_that_says_so(name: str, found: object) -> None:
    """`receive_message` leaves them out by default."""
    with pytest.raises(EventError, match=r"lacks ce-id, ce-source, ce-type: .* or its attributes were not asked for"):
        Event.from_sqs({"body": BODY.decode(), name: found})


# The message


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ({"id": None}, "ce-id"),
        ({"source": ""}, "ce-source"),
        ({"type": None}, "ce-type"),
        ({"type": None, "id": None}, "ce-id, ce-type"),
    ],
)
def test_a_message_without_its_attributes_is_an_error(missing: dict[str, str | None], named: str) -> None:
    """The error names those that are missing."""
    with pytest.raises(EventError, match=f"^the message lacks {named}: it is not from this receiver"):
        read(**missing)


@pytest.mark.parametrize("missing", ["specversion", "time", "signature"])
def test_what_is_not_needed_may_be_missing(missing: str) -> None:
    """A message that lost an attribute on its way is still the event that its id names."""
    assert read(**{missing: None}).body == BODY


@pytest.mark.parametrize("body", [BODY + b"\n", BODY[:-1], b"", BODY.replace(b"TaskCreation", b"TaskMention")])
def test_a_body_that_the_id_does_not_name_is_an_error(body: bytes) -> None:
    """One byte is enough."""
    with pytest.raises(EventError, match=r"^the body is not the one that the message's id names$"):
        Event.from_message(body, SENT.attributes, keys=[KEY])


def test_an_id_that_names_another_body_is_an_error() -> None:
    """Also in capitals: there is one spelling."""
    for id_ in ("0" * 64, SENT.id.upper(), "x"):
        with pytest.raises(EventError, match="id names"):
            read(id=id_)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("eu.dastra.TaskCreation", "TaskCreation"),
        ("eu.dastra.unclassified", "unclassified"),
        ("eu.dastra.eu.dastra.x", "eu.dastra.x"),
        ("other.TaskCreation", "other.TaskCreation"),
    ],
)
def test_the_type_is_dastra_s_own_name(type_: str, expected: str) -> None:
    """The prefix comes off once."""
    assert read(type=type_).type == expected


@pytest.mark.parametrize(
    ("mark", "unlisted"), [(None, False), ("unlisted", True), ("listed", False), ("Unlisted", False)]
)
def test_the_mark_of_an_unlisted_address_is_told(mark: str | None, unlisted: bool) -> None:
    """By its one value."""
    assert read(sourceipcheck=mark).unlisted_address is unlisted


@pytest.mark.parametrize("body", [b"[1]", b"text", b"\xff", b"\0", b""])
def test_a_released_body_that_is_no_envelope_has_none(body: bytes) -> None:
    """It is an event all the same."""
    sent = QueueMessage.of_unreadable(body, signature(body))
    found = Event.from_message(body, sent.attributes, keys=[KEY])
    assert found.envelope is None
    assert found.body == body
    assert found.type == "unclassified"
    assert found.verification is Verification.VALID


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        ("2026-03-02T12:00:00Z", datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ("2026-03-02T12:00:00.700000Z", datetime(2026, 3, 2, 12, microsecond=700_000, tzinfo=UTC)),
        (None, None),
        ("yesterday", None),
        ("2026-13-02T12:00:00Z", None),
    ],
)
def test_the_time_is_a_moment_where_it_is_one(time: str | None, moment: datetime | None) -> None:
    """Else None, and the text stays, where no signature says what it was."""
    attributes = {**SENT.attributes, "time": time}
    found = Event.from_message(BODY, attributes)
    assert found.occurred_at == moment
    assert found.time == time


# The signature


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([KEY], Verification.VALID),
        ([OTHER_KEY, KEY], Verification.VALID),
        (iter([KEY]), Verification.VALID),
        ([OTHER_KEY], Verification.INVALID),
        ([], Verification.UNVERIFIABLE),
    ],
    ids=["the key", "one of two", "an iterator", "another", "none"],
)
def test_the_signature_is_checked_again_with_the_keys_that_are_given(keys: Any, expected: Verification) -> None:
    """Without keys nothing can be said."""
    assert Event.from_sqs(record(), keys=keys).verification is expected


def test_without_keys_an_event_is_unverifiable() -> None:
    """The default."""
    assert Event.from_sqs(record()).verification is Verification.UNVERIFIABLE
    assert Event.from_message(BODY, SENT.attributes).verification is Verification.UNVERIFIABLE


@pytest.mark.parametrize(
    "value", ["x", signature(BODY)[:-1], signature(b"other"), "\ud800" * 44, f"{signature(BODY)},x"]
)
def test_a_signature_that_does_not_hold_is_invalid(value: str) -> None:
    """Malformed or wrong: no error, since the consumer decides what follows."""
    assert read(signature=value).verification is Verification.INVALID


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize(
    "source", [SENT.attributes["source"], "urn:github:webhook:1041", "urn:dastra:reconciled:1", "x"]
)
def test_a_signature_that_is_missing_is_invalid(source: str, value: str | None) -> None:
    """Else whoever can write to the queue would forge an event by leaving it out."""
    assert read(source=source, signature=value).verification is Verification.INVALID
    forged = {"source": source, "id": event_id(b"{}"), "type": "eu.dastra.TaskCreation"}
    assert Event.from_message(b"{}", forged, keys=iter([KEY])).verification is Verification.INVALID
    assert Event.from_message(b"{}", forged).verification is Verification.UNVERIFIABLE


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "eu.dastra.WorkspaceDeleted"},
        {"type": "TaskCreation"},
        {"type": "eu.dastra.unclassified"},
        {"source": "urn:dastra:webhook:9999"},
        {"source": "urn:dastra:webhook:unknown"},
        {"source": "urn:example:other"},
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_a_genuine_body_under_another_event_s_attributes_is_invalid(changes: dict[str, str]) -> None:
    """Attributes are not signed: whoever can write to the queue must not make a creation a deletion."""
    assert read(**changes).verification is Verification.INVALID
    assert Event.from_message(BODY, {**SENT.attributes, **changes}).verification is Verification.UNVERIFIABLE


def test_the_time_of_a_valid_event_is_that_of_its_body() -> None:
    """Whatever stands beside it, and also where nothing does."""
    for time in ("2031-01-01T00:00:00Z", None):
        assert (read(time=time).verification, read(time=time).time) == (Verification.VALID, SENT.attributes["time"])
    body = b"{}"
    sent = QueueMessage.of_event(body, Envelope.parse(body), signature(body))
    dated = Event.from_message(body, {**sent.attributes, "time": "2031-01-01T00:00:00Z"}, keys=[KEY])
    assert (dated.verification, dated.time) == (Verification.VALID, None)


def test_a_body_that_is_no_envelope_keeps_its_verdict() -> None:
    """One that a person released: its source is unknown and its type unclassified, and nothing else may stand there."""
    sent = QueueMessage.of_unreadable(b"[]", signature(b"[]"))
    assert Event.from_message(b"[]", sent.attributes, keys=[KEY]).verification is Verification.VALID
    forged = {**sent.attributes, "type": "eu.dastra.TaskCreation"}
    assert Event.from_message(b"[]", forged, keys=[KEY]).verification is Verification.INVALID


def reconciled(**attributes: str) -> dict[str, str]:
    """The attributes of an event that was rebuilt from Dastra's log."""
    return {
        "id": hashlib.sha256(b"log:00000000-0000-4000-8000-000000000001").hexdigest(),
        "source": "urn:dastra:reconcile:4242",
        "type": "eu.dastra.TaskCreation",
        "specversion": "1.0",
        **attributes,
    }


def test_a_reconciled_event_is_unverifiable_and_not_invalid() -> None:
    """It was rebuilt from Dastra's log: no signature, and an id that names the log's entry and not the body."""
    found = Event.from_message(BODY, reconciled(), keys=[KEY])
    assert found.verification is Verification.UNVERIFIABLE
    assert found.id == reconciled()["id"]
    assert found.envelope == Envelope.parse(BODY)


@pytest.mark.parametrize("body", [BODY, b"{}"], ids=["right", "wrong"])
def test_a_reconciled_event_is_never_signed(body: bytes) -> None:
    """Nobody checks its id, so a signed body under its source would be a genuine event again, under any id."""
    attributes = reconciled(signature=signature(BODY))
    assert Event.from_message(body, attributes, keys=[KEY]).verification is Verification.INVALID
    assert Event.from_message(body, attributes).verification is Verification.UNVERIFIABLE


@pytest.mark.parametrize(
    "source", ["urn:dastra:webhook:reconcile:1", "urn:dastra:reconciled:1", "x:urn:dastra:reconcile:1"]
)
def test_only_a_source_of_reconcile_is_spared_the_hash(source: str) -> None:
    """Any other must name its body."""
    with pytest.raises(EventError, match="id names"):
        read(source=source, id="0" * 64)


# Claim checks


def follow(pointer: bytes, *, dataref: str = PLACE, body: bytes = BODY) -> Event:
    """Follow a pointer to a store that holds one body at one place."""

    def fetch(place: str) -> bytes:
        assert place == PLACE
        return body

    return Event.from_message(pointer, {**SENT.attributes, "dataref": dataref}, keys=[KEY], fetch=fetch)


def test_a_claim_check_is_followed_and_reads_like_the_event_itself() -> None:
    """All but the attribute that names the place."""
    found = Event.from_sqs(record(POINTER), keys=[KEY], fetch=lambda place: {PLACE: BODY}[place])
    plain = Event.from_sqs(record(), keys=[KEY])
    assert found.body == BODY
    assert found.envelope == plain.envelope
    assert found.verification is Verification.VALID
    assert found.attributes == {**plain.attributes, "dataref": PLACE}
    assert follow(POINTER.body) == found


def test_without_fetch_a_claim_check_is_an_error_that_says_so() -> None:
    """It is not silently read as the event."""
    with pytest.raises(EventError, match=r"^the message is a claim check: pass fetch= to follow it$"):
        Event.from_sqs(record(POINTER), keys=[KEY])


@pytest.mark.parametrize(
    "pointer",
    [
        b"",
        b"x",
        b"\xff",
        b"null",
        b"5",
        b'"dataref sha256"',
        b"[]",
        b'["dataref", "sha256"]',
        b"{}",
        b'{"dataref": "x"}',
        b'{"sha256": "x"}',
        b"[" * 100_000,
    ],
    ids=lambda pointer: ascii(pointer[:16]),
)
def test_a_pointer_that_cannot_be_read_is_an_error(pointer: bytes) -> None:
    """And nothing is fetched for it."""
    with pytest.raises(EventError, match=r"^the claim check's pointer is not readable$"):
        Event.from_message(pointer, {**SENT.attributes, "dataref": PLACE}, fetch=lambda _: pytest.fail("fetched"))


@pytest.mark.parametrize("dataref", ["fake://elsewhere/x", PLACE + "x", PLACE.upper()])
def test_a_pointer_and_an_attribute_that_differ_are_an_error(dataref: str) -> None:
    """Whichever is right, somebody changed the other: nothing is fetched."""
    with pytest.raises(EventError, match=r"^the claim check names two places$"):
        follow(POINTER.body, dataref=dataref)


@pytest.mark.parametrize("stated", [b"null", b"5", b'["' + PLACE.encode() + b'"]'])
def test_a_place_that_is_no_text_is_not_fetched(stated: bytes) -> None:
    """It cannot equal the attribute."""
    pointer = b'{"dataref": ' + stated + b', "sha256": "' + SENT.id.encode() + b'"}'
    with pytest.raises(EventError, match="names two places"):
        follow(pointer)


def test_what_stands_at_the_place_must_be_what_the_pointer_names() -> None:
    """Else it was changed in the store."""
    with pytest.raises(EventError, match=r"^what stands at the claim check's place is not what it names$"):
        follow(POINTER.body, body=BODY + b" ")


def test_a_pointer_to_another_stored_body_is_an_error() -> None:
    """Its own hash holds, but the message's id names another event."""
    other = event(userId=9)
    pointer = message(other).as_pointer(PLACE)
    assert event_id(other) != SENT.id
    with pytest.raises(EventError, match="message's id names"):
        follow(pointer.body, body=other)


@pytest.mark.parametrize("error", [TimeoutError(), EventError("elsewhere"), KeyError("x")])
def test_what_fetch_raises_passes_through(error: Exception) -> None:
    """A store that is down is a reason to try again and not to dead-letter."""

    def fetch(_: str) -> bytes:
        raise error

    with pytest.raises(type(error)) as raised:
        Event.from_sqs(record(POINTER), fetch=fetch)
    assert raised.value is error


def test_an_error_is_a_value_error_and_shows_nothing_of_the_body() -> None:
    """It may be logged."""
    changed = record()
    changed["body"] += "planted"
    with pytest.raises(ValueError, match="id names") as raised:
        Event.from_sqs(changed)
    assert isinstance(raised.value, EventError)
    assert "planted" not in str(raised.value)


# Samples


@pytest.mark.parametrize(
    "body",
    [
        sample().body,
        DoctorSender("invented").body(),
        DoctorSender("invented").large(),
        b"\xef\xbb\xbf" + sample().body,
        event(sample="x"),
    ],
    ids=["send", "doctor", "doctor's large one", "with a mark of byte order", "one of one's own"],
)
def test_a_sample_of_the_command_line_is_one(body: bytes) -> None:
    """By the field that it has and Dastra's events have not, also where the body came through the store."""
    assert Event.from_message(body, message(body).attributes, keys=[KEY]).is_sample
    pointer = message(body).as_pointer(PLACE)
    assert Event.from_message(pointer.body, pointer.attributes, keys=[KEY], fetch=lambda _: body).is_sample


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        *(event(sample=value) for value in (None, False, True, 0, 7, "", [], ["x"], {}, {"x": 1})),
        event(data={"sample": "x"}),
        event(Sample="x"),
        event(samples="x", sample_="x"),
        b'["sample"]',
        b'"sample"',
        b"sample",
        b"\xff",
        b"",
    ],
    ids=lambda body: ascii(body[-24:]),
)
def test_what_is_no_sample_is_none(body: bytes) -> None:
    """An event is dropped for text in that one field at the top, and for nothing else that Dastra may come to send."""
    sent = QueueMessage.of_unreadable(body, signature(body))
    assert not Event.from_message(body, sent.attributes, keys=[KEY]).is_sample


def test_a_sample_says_so_however_it_came() -> None:
    """Whether it is one does not hang on its signature: look at that first."""
    body = json.dumps({"sample": "x"}).encode()
    found = Event.from_message(body, {"id": event_id(body), "source": "x", "type": "x"}, keys=[KEY])
    assert (found.is_sample, found.verification) == (True, Verification.INVALID)


# From Pub/Sub and Service Bus, whose SDKs are not needed to tell: only the shapes of their messages matter


def prefixed(sent: QueueMessage, prefix: str) -> dict[str, str]:
    """A message's attributes as a binding names them."""
    return {prefix + name: value for name, value in sent.attributes.items()}


def pubsub_forms(sent: QueueMessage = SENT) -> list[Any]:
    """The same message pulled three ways and pushed three ways."""
    attributes = prefixed(sent, "ce-")
    pulled = SimpleNamespace(data=sent.body, attributes=attributes, message_id="1", ordering_key="")
    pushed = {
        "message": {"data": base64.b64encode(sent.body).decode(), "attributes": attributes, "messageId": "1"},
        "subscription": "projects/invented/subscriptions/events",
    }
    return [
        pulled,
        SimpleNamespace(message=pulled, ack_id="x"),
        {"data": sent.body, "attributes": attributes},
        pushed,
        {"data": pushed, "type": "google.cloud.pubsub.topic.v1.messagePublished"},
        SimpleNamespace(data=pushed),
    ]


PUBSUB_FORMS = ["callback", "ReceivedMessage", "mapping", "push", "CloudEvent mapping", "CloudEvent object"]


@pytest.mark.parametrize("form", range(6), ids=PUBSUB_FORMS.__getitem__)
def test_a_message_of_pubsub_reads_like_one_of_sqs(form: int) -> None:
    """In each of its forms, claim checks included."""
    assert Event.from_pubsub(pubsub_forms()[form], keys=[KEY]) == Event.from_sqs(record(), keys=[KEY])
    followed = Event.from_pubsub(pubsub_forms(POINTER)[form], keys=[KEY], fetch=lambda _: BODY)
    assert followed == Event.from_sqs(record(POINTER), keys=[KEY], fetch=lambda _: BODY)


def test_a_body_of_any_bytes_comes_through_pubsub() -> None:
    """Its data are bytes, and an empty body is left out of a push."""
    for body in (b"\xff\0", b""):
        sent = QueueMessage.of_unreadable(body, signature(body))
        for form in pubsub_forms(sent):
            assert Event.from_pubsub(form, keys=[KEY]).body == body
    sent = QueueMessage.of_unreadable(b"", signature(b""))
    assert Event.from_pubsub({"message": {"attributes": prefixed(sent, "ce-")}}).body == b""


@pytest.mark.parametrize("data", ["e30", "{}", "é", "e3 0="])
def test_a_push_whose_data_are_no_base64_is_an_error(data: str) -> None:
    """Nothing of it is guessed."""
    with pytest.raises(EventError, match=r"^the Pub/Sub message's data is not base64$"):
        Event.from_pubsub({"message": {"data": data, "attributes": prefixed(SENT, "ce-")}})


@pytest.mark.parametrize(
    "message_",
    [{"data": 5}, {"data": [1]}, {"data": b"", "attributes": [1]}, {"message": {"data": "", "attributes": "x"}}],
)
def test_what_is_no_message_of_pubsub_is_an_error(message_: object) -> None:
    """It says so."""
    with pytest.raises(EventError, match=r"^this is no Pub/Sub message$"):
        Event.from_pubsub(message_)


@pytest.mark.parametrize("message_", [None, 5, "text", {}, [], {"message": None}, SimpleNamespace()])
def test_a_message_of_pubsub_without_attributes_is_an_error(message_: object) -> None:
    """It is not from this receiver."""
    with pytest.raises(EventError, match="lacks ce-id, ce-source, ce-type"):
        Event.from_pubsub(message_)


def service_bus_forms(sent: QueueMessage = SENT, prefix: str = "cloudEvents:") -> list[Any]:
    """The same message as the SDK gives it, in one section or several, with text or bytes, and as a trigger does."""
    properties = prefixed(sent, prefix)
    raw = {name.encode(): value.encode() for name, value in properties.items()}
    return [
        SimpleNamespace(body=iter([sent.body]), application_properties=raw, message_id=sent.id),
        SimpleNamespace(body=[sent.body[:9], sent.body[9:]], application_properties=properties),
        SimpleNamespace(body=sent.body, application_properties=properties),
        SimpleNamespace(get_body=lambda: sent.body, application_properties=properties),
    ]


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_", "cloudevents:", "CLOUDEVENTS_"])
@pytest.mark.parametrize("form", range(4), ids=["sections", "several", "bytes", "trigger"].__getitem__)
def test_a_message_of_service_bus_reads_like_one_of_sqs(form: int, prefix: str) -> None:
    """In each of its forms, claim checks included, with either prefix that CloudEvents' AMQP binding knows."""
    assert Event.from_service_bus(service_bus_forms(prefix=prefix)[form], keys=[KEY]) == Event.from_sqs(
        record(), keys=[KEY]
    )
    followed = Event.from_service_bus(service_bus_forms(POINTER, prefix)[form], keys=[KEY], fetch=lambda _: BODY)
    assert followed == Event.from_sqs(record(POINTER), keys=[KEY], fetch=lambda _: BODY)


def test_a_text_body_of_service_bus_is_its_utf8() -> None:
    """As a trigger may hand it over."""
    text = SimpleNamespace(body=BODY.decode(), application_properties=prefixed(SENT, "cloudEvents:"))
    assert Event.from_service_bus(text, keys=[KEY]).verification is Verification.VALID


def test_properties_of_other_types_are_not_ours() -> None:
    """A number or a date that somebody added is no error; a name that is no UTF-8 neither."""
    properties: dict[Any, Any] = {**prefixed(SENT, "cloudEvents:"), "attempt": 3, 5: "x", b"\xff": b"\xff", "z": None}
    found = Event.from_service_bus(SimpleNamespace(body=BODY, application_properties=properties))
    assert found.attributes == SENT.attributes


@pytest.mark.parametrize(
    "message_",
    [
        None,
        5,
        SimpleNamespace(),
        SimpleNamespace(body=None),
        SimpleNamespace(body=5),
        SimpleNamespace(body=[b"a", "b"]),
        SimpleNamespace(body=b"", application_properties=[1]),
    ],
)
def test_what_is_no_message_of_service_bus_is_an_error(message_: object) -> None:
    """It says so."""
    with pytest.raises(EventError, match=r"^this is no Service Bus message with a body of bytes$"):
        Event.from_service_bus(message_)


@pytest.mark.parametrize("properties", [None, {}, {"id": 5}])
def test_a_message_of_service_bus_without_properties_is_an_error(properties: object) -> None:
    """It is not from this receiver."""
    with pytest.raises(EventError, match="lacks ce-id, ce-source, ce-type"):
        Event.from_service_bus(SimpleNamespace(body=BODY, application_properties=properties))
