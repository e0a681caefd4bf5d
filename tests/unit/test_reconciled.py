"""A message that is rebuilt from an entry of Dastra's log, and what a consumer makes of it on each cloud."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.envelope import Envelope
from core.event import Event, EventError, Verification
from core.message import ATTRIBUTE_NAMES, QueueMessage, event_id
from core.reconciled import LogEntry, LogEntryError, reconciled_id, reconciled_message
from tests import planted
from tests.unit.samples import KEY

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
ENTRY: dict[str, Any] = {
    "id": ID,
    "label": f"Tâche modifiée, {planted.MARKER}",
    "objectType": "Task",
    "isDeletion": False,
    "channel": "TaskEdit",
    "refId": "12",
    "user": {"id": 17, "displayName": planted.MARKER, "email": f"{planted.MARKER}@example.org"},
    "workSpaceId": 3,
    "date": "2026-03-02T09:16:03.7000000",
    "data": {"id": 12, "title": planted.MARKER},
    "url": "/tasks/12",
    "description": planted.MARKER,
}


def made(**fields: Any) -> QueueMessage:
    """The message of the entry with these fields changed; ``...`` takes one out."""
    given_ = {name: value for name, value in {**ENTRY, **fields}.items() if value is not ...}
    return reconciled_message(LogEntry.read(given_), "4242")


def body(**fields: Any) -> dict[str, Any]:
    """Its body, decoded."""
    decoded: dict[str, Any] = json.loads(made(**fields).body)
    return decoded


def test_its_attributes() -> None:
    """Those of the contract: an id of the entry, a source of its own, type and time as ever, and no signature."""
    message = made()
    assert dict(message.attributes) == {
        "specversion": "1.0",
        "id": hashlib.sha256(f"log:{ID}".encode()).hexdigest(),
        "source": "urn:dastra:reconcile:4242",
        "type": "eu.dastra.TaskEdit",
        "time": "2026-03-02T09:16:03.700000Z",
    }
    assert message.id == message.attributes["id"] == reconciled_id(ID)
    assert set(message.attributes) <= set(ATTRIBUTE_NAMES)


def test_its_body() -> None:
    """An envelope as Dastra would have posted it, and beside it what else the log says; of the user the id alone."""
    assert body() == {
        "webhookId": 4242,
        "userId": 17,
        "date": ENTRY["date"],
        "eventType": "TaskEdit",
        "eventName": ENTRY["label"],
        "data": ENTRY["data"],
        "log": {
            "id": ID,
            "objectType": "Task",
            "refId": "12",
            "isDeletion": False,
            "workSpaceId": 3,
            "url": "/tasks/12",
        },
    }


def test_a_consumer_reads_it_like_any_other() -> None:
    """Type, object and time are where a consumer looks for them."""
    envelope = Envelope.parse(made().body)
    assert (envelope.webhook_id, envelope.event_type, envelope.data_id) == ("4242", "TaskEdit", "12")
    assert envelope.time == datetime(2026, 3, 2, 9, 16, 3, 700_000, UTC)


def test_the_same_entry_is_the_same_message() -> None:
    """Byte for byte, in whatever order Dastra writes the fields: repeats can be told."""
    reordered = dict(reversed(ENTRY.items()))
    assert reconciled_message(LogEntry.read(reordered), "4242") == made()
    assert reconciled_message(LogEntry.read({**ENTRY, "id": ID + "0"}), "4242").id != made().id


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_names_in_another_case(case: Any) -> None:
    """As the envelope, the log is read whatever the case of its names."""
    assert reconciled_message(LogEntry.read({case(name): value for name, value in ENTRY.items()}), "4242") == made()


@pytest.mark.parametrize(
    ("data", "ref", "expected"),
    [
        (None, "12", {"id": 12}),
        ({"title": "x"}, "12", {"id": 12, "title": "x"}),
        ({"ID": None, "title": "x"}, "8e7f-ab", {"id": "8e7f-ab", "title": "x"}),
        ({"id": 7}, "12", {"id": 7}),
        ([1], "12", [1]),
        ("text", "12", "text"),
        (None, None, None),
        (None, "007", {"id": "007"}),
        (None, "9" * 30, {"id": "9" * 30}),
    ],
)
def test_the_object_has_an_id(data: object, ref: object, expected: object) -> None:
    """Where the log's data has none, the entry's refId stands in; what is no object stays as it is."""
    assert body(data=data, refId=ref)["data"] == expected


@pytest.mark.parametrize("gone", [name for name in ENTRY if name != "id"])
def test_any_field_may_be_missing(gone: str) -> None:
    """Dastra promises none: what is left is a message all the same."""
    for value in (..., None):
        message = made(**{gone: value})
        assert message.id == reconciled_id(ID)
        assert Envelope.parse(message.body).event_type == (None if gone == "channel" else "TaskEdit")
        assert ("time" in message.attributes) is (gone != "date")


@pytest.mark.parametrize(
    ("fields", "type_"),
    [({"channel": None}, "unclassified"), ({"channel": "a b"}, "unclassified"), ({"channel": 12}, "12")],
)
def test_a_type_that_cannot_stand_in_an_attribute(fields: dict[str, Any], type_: str) -> None:
    """As in every message: unclassified."""
    assert made(**fields).attributes["type"] == f"eu.dastra.{type_}"


@pytest.mark.parametrize("webhook", ["", "a:b", "\n"])
def test_a_webhook_that_cannot_stand_in_a_source(webhook: str) -> None:
    """As in every message: unknown."""
    assert reconciled_message(LogEntry.read(ENTRY), webhook).attributes["source"] == "urn:dastra:reconcile:unknown"


@pytest.mark.parametrize("found", [None, 7, "x", [], {}, {"id": None}, {"id": " "}, {"id": True}, {"id": {}}])
def test_what_is_no_entry(found: object) -> None:
    """Without an id there is nothing to tell repeats by."""
    with pytest.raises(LogEntryError):
        LogEntry.read(found)


def test_what_an_entry_says() -> None:
    """Its object by refId, else by the data; its time in UTC."""
    assert LogEntry.read(ENTRY).object_id == "12"
    assert LogEntry.read({**ENTRY, "refId": None, "data": {"Id": 9}}).object_id == "9"
    assert LogEntry.read({**ENTRY, "refId": None, "data": None}).object_id is None
    assert LogEntry.read({**ENTRY, "date": "soon"}).time is None
    assert LogEntry.read({"id": 5}).id == "5"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60)
@given(st.fixed_dictionaries({}, optional={name: json_values for name in ENTRY if name != "id"}))
def test_whatever_the_log_holds(fields: dict[str, Any]) -> None:
    """Any JSON in any field makes a message that a consumer can read."""
    message = reconciled_message(LogEntry.read({**fields, "id": ID}), "4242")
    assert Event.from_message(message.body, message.attributes, keys=[KEY]).verification is Verification.UNVERIFIABLE
    assert all(value and value.isprintable() for value in message.attributes.values())


# On each cloud


def sqs(message: QueueMessage) -> dict[str, Any]:
    """As a Lambda consumer gets it."""
    attributes = {
        f"ce-{name}": {"stringValue": value, "dataType": "String"} for name, value in message.attributes.items()
    }
    return {"body": message.body.decode(), "messageAttributes": attributes}


def pubsub(message: QueueMessage) -> dict[str, Any]:
    """As a push delivers it."""
    attributes = {f"ce-{name}": value for name, value in message.attributes.items()}
    return {"message": {"data": base64.b64encode(message.body).decode(), "attributes": attributes}}


def service_bus(message: QueueMessage) -> Any:
    """As the SDK hands it over."""
    properties = {f"cloudEvents:{name}".encode(): value.encode() for name, value in message.attributes.items()}
    return SimpleNamespace(body=iter([message.body]), application_properties=properties)


CLOUDS = {
    "aws": (sqs, Event.from_sqs),
    "gcp": (pubsub, Event.from_pubsub),
    "azure": (service_bus, Event.from_service_bus),
}


@pytest.mark.parametrize(("form", "read"), CLOUDS.values(), ids=CLOUDS.keys())
def test_a_consumer_calls_it_unverifiable(form: Any, read: Any) -> None:
    """On every cloud: not invalid, with keys and without, and everything else as in the message."""
    message = made()
    for keys in ((), [KEY]):
        event = read(form(message), keys=keys)
        assert event.verification is Verification.UNVERIFIABLE
        assert (event.id, event.type, event.body) == (message.id, "TaskEdit", message.body)
        assert event.source == "urn:dastra:reconcile:4242"
        assert event.occurred_at == datetime(2026, 3, 2, 9, 16, 3, 700_000, UTC)


@pytest.mark.parametrize(("form", "read"), CLOUDS.values(), ids=CLOUDS.keys())
def test_its_claim_check_is_followed(form: Any, read: Any) -> None:
    """On every cloud: to the body whose hash the pointer names, and to no other."""
    message = made()
    place = f"fake://store/{message.claim_key}"
    assert message.claim_key == f"claims/{reconciled_id(ID)}"
    pointer = message.as_pointer(place)
    assert json.loads(pointer.body)["sha256"] == event_id(message.body)
    event = read(form(pointer), keys=[KEY], fetch=lambda dataref: {place: message.body}[dataref])
    assert (event.body, event.verification) == (message.body, Verification.UNVERIFIABLE)
    with pytest.raises(EventError):
        read(form(pointer), keys=[KEY], fetch=lambda _: b"another")


def test_no_queue_minds_its_characters() -> None:
    """Whatever the log holds, the body is printable ASCII, which all three queues take as it is."""
    text = made(label="\0 \ud800 \ufffe", data={"id": 1, "x": "\x01"}).body.decode("ascii")
    assert text.isprintable()
