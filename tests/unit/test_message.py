"""The message contract: body, id, attributes, claim check."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from types import MappingProxyType

import pytest

from core.envelope import Envelope
from core.message import ATTRIBUTE_NAMES, QueueMessage, event_id, plain_token, rfc3339
from tests.unit.samples import event, message, signature

BODY = event()
SIGNATURE = signature(BODY)
TRACEPARENT = "00-1f0c2d3e4b5a69788796a5b4c3d2e1f0-0a1b2c3d4e5f6071-01"


def of_event(body: bytes = BODY, *, traceparent: str | None = None, unlisted: bool = False) -> QueueMessage:
    """The message of a body that is an envelope."""
    return QueueMessage.of_event(body, Envelope.parse(body), SIGNATURE, traceparent=traceparent, unlisted=unlisted)


def test_the_id_is_the_sha256_of_the_signed_bytes() -> None:
    """In hex, as other tools print it, and one byte makes another event."""
    # printf '{"a":1}' | sha256sum
    assert event_id(b'{"a":1}') == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert event_id(b'{"a":1}\n') != event_id(b'{"a":1}')


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("TaskCreation", "TaskCreation"),
        ("4242", "4242"),
        ("a-b_C9", "a-b_C9"),
        ("x", "x"),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("", None),
        (None, None),
        ("a b", None),
        ("a.b", None),
        ("a:b", None),
        ("a/b", None),
        ("é", None),
        ("\u0661", None),
        ("a\n", None),
        ("\na", None),
        ("a\0", None),
        ("\ud800", None),
    ],
    ids=ascii,
)
def test_a_plain_token_is_1_to_64_of_the_safe_characters(text: str | None, token: str | None) -> None:
    """Whatever could need quoting in a URN or a log is none."""
    assert plain_token(text) == token


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 3, 2, 9, 16, 3, tzinfo=UTC), "2026-03-02T09:16:03Z"),
        (datetime(2026, 3, 2, 9, 16, 3, 700_000, UTC), "2026-03-02T09:16:03.700000Z"),
        (datetime(2026, 3, 2, 9, 16, 3, 1, UTC), "2026-03-02T09:16:03.000001Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_written_as_rfc_3339_has_it(time: datetime, text: str) -> None:
    """With four digits of year and `Z`."""
    assert rfc3339(time) == text


def test_a_message_carries_the_signed_bytes_and_the_contract_s_attributes() -> None:
    """Exactly these; what says nothing is left out."""
    sent = QueueMessage.of_event(BODY, Envelope.parse(BODY), SIGNATURE)
    assert sent.body == BODY
    assert sent.id == hashlib.sha256(BODY).hexdigest()
    assert sent.attributes == {
        "specversion": "1.0",
        "id": sent.id,
        "source": "urn:dastra:webhook:4242",
        "type": "eu.dastra.TaskCreation",
        "time": "2026-03-02T12:00:00Z",
        "signature": SIGNATURE,
    }
    assert not sent.is_pointer


@pytest.mark.parametrize(
    ("fields", "source", "type_"),
    [
        ({"webhookId": ...}, "urn:dastra:webhook:unknown", "eu.dastra.TaskCreation"),
        ({"webhookId": None}, "urn:dastra:webhook:unknown", "eu.dastra.TaskCreation"),
        ({"webhookId": "a:b"}, "urn:dastra:webhook:unknown", "eu.dastra.TaskCreation"),
        ({"webhookId": "x" * 64}, "urn:dastra:webhook:" + "x" * 64, "eu.dastra.TaskCreation"),
        ({"webhookId": "x" * 65}, "urn:dastra:webhook:unknown", "eu.dastra.TaskCreation"),
        ({"webhookId": 0}, "urn:dastra:webhook:0", "eu.dastra.TaskCreation"),
        ({"eventType": ...}, "urn:dastra:webhook:4242", "eu.dastra.unclassified"),
        ({"eventType": ""}, "urn:dastra:webhook:4242", "eu.dastra.unclassified"),
        ({"eventType": "Tâche"}, "urn:dastra:webhook:4242", "eu.dastra.unclassified"),
        ({"eventType": "two words"}, "urn:dastra:webhook:4242", "eu.dastra.unclassified"),
        ({"eventType": 12}, "urn:dastra:webhook:4242", "eu.dastra.12"),
        ({"eventType": "SomethingNew"}, "urn:dastra:webhook:4242", "eu.dastra.SomethingNew"),
    ],
    ids=repr,
)
def test_source_and_type_come_from_the_envelope_where_it_has_plain_ones(
    fields: dict[str, object], source: str, type_: str
) -> None:
    """Else `unknown` and `unclassified`; a type nobody knows is carried as it is."""
    attributes = of_event(event(**fields)).attributes
    assert (attributes["source"], attributes["type"]) == (source, type_)


@pytest.mark.parametrize("date", [..., None, "", "yesterday", 5])
def test_a_time_that_cannot_be_read_is_left_out(date: object) -> None:
    """No attribute at all, and the message goes all the same."""
    assert "time" not in of_event(event(date=date)).attributes


@pytest.mark.parametrize("flags", ["00", "01", "ff"])
@pytest.mark.parametrize("version", ["00", "01", "fe"])
def test_a_trace_context_of_w3c_form_is_passed_on(version: str, flags: str) -> None:
    """Also of a later version."""
    traceparent = f"{version}{TRACEPARENT[2:-2]}{flags}"
    assert of_event(traceparent=traceparent).attributes["traceparent"] == traceparent


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "x",
        "ff" + TRACEPARENT[2:],
        "00-" + "0" * 32 + "-0a1b2c3d4e5f6071-01",
        "00-1f0c2d3e4b5a69788796a5b4c3d2e1f0-" + "0" * 16 + "-01",
        TRACEPARENT.upper(),
        TRACEPARENT + "-00",
        TRACEPARENT + "\n",
        " " + TRACEPARENT,
        TRACEPARENT[:-1],
        TRACEPARENT.replace("-", "_"),
        TRACEPARENT.replace("1f", "\u0661f"),
        f"{TRACEPARENT},{TRACEPARENT}",
    ],
    ids=ascii,
)
def test_anything_else_is_no_trace_context(traceparent: str | None) -> None:
    """A caller's text reaches the queue in this one form or not at all."""
    assert "traceparent" not in of_event(traceparent=traceparent).attributes


def test_a_body_that_is_no_envelope_has_a_message_too() -> None:
    """A person may release it: same id, `unknown`, `unclassified`, no time."""
    sent = QueueMessage.of_unreadable(b"[1]", "sig", traceparent=TRACEPARENT, unlisted=True)
    assert sent.body == b"[1]"
    assert sent.attributes == {
        "specversion": "1.0",
        "id": event_id(b"[1]"),
        "source": "urn:dastra:webhook:unknown",
        "type": "eu.dastra.unclassified",
        "signature": "sig",
        "traceparent": TRACEPARENT,
        "sourceipcheck": "unlisted",
    }
    assert set(QueueMessage.of_unreadable(b"", "sig").attributes) == {
        "specversion",
        "id",
        "source",
        "type",
        "signature",
    }


def test_the_fullest_message_leaves_a_fork_one_of_the_ten_attributes_of_sqs() -> None:
    """Nine names, in the order of the table, each value 1 to 1,024 bytes of printable ASCII."""
    body = event(webhookId="w" * 64, eventType="t" * 64, date="9999-12-31T23:59:59.9999999")
    fullest = of_event(body, traceparent=TRACEPARENT, unlisted=True).as_pointer("s3://bucket/claims/" + event_id(body))
    assert fullest.attributes.keys() == set(ATTRIBUTE_NAMES)
    assert len(ATTRIBUTE_NAMES) == 9
    for value in fullest.attributes.values():
        assert 1 <= len(value) <= 1024
        assert value.isascii()
        assert value.isprintable()


def test_a_pointer_names_place_hash_and_size_of_the_body() -> None:
    """In JSON, and the attributes stay, with the place as one more."""
    whole = message()
    pointer = whole.as_pointer("fake://store/claims/1")
    expected = {"dataref": "fake://store/claims/1", "sha256": whole.id, "size": len(whole.body)}
    assert json.loads(pointer.body) == expected
    assert b" " not in pointer.body
    assert pointer.id == whole.id
    assert pointer.attributes == {**whole.attributes, "dataref": "fake://store/claims/1"}
    assert pointer.is_pointer
    assert "dataref" not in whole.attributes


def test_the_same_event_has_the_same_place_for_its_claim() -> None:
    """The place follows from the id, so a claim that is stored twice is stored once."""
    assert message().claim_key == f"claims/{message().id}" == message().as_pointer("x").claim_key


def test_a_vouched_message_loses_the_mark_and_nothing_else() -> None:
    """Once a person accepted the address, the consumer need not be told; a message without the mark stays equal."""
    marked = message(unlisted=True)
    assert marked.attributes["sourceipcheck"] == "unlisted"
    assert marked.vouched() == message()
    assert message().vouched() == message()


@pytest.mark.parametrize("sent", [message(), message().as_pointer("x"), message().vouched()])
def test_a_message_cannot_be_changed(sent: QueueMessage) -> None:
    """Neither a field nor an attribute."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        sent.id = "other"  # type: ignore[misc]
    assert isinstance(sent.attributes, MappingProxyType)
