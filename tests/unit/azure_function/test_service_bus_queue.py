"""What stands in a message for Service Bus, and how large it is; without a connection."""

from __future__ import annotations

from typing import Any

import pytest
from azure.servicebus._pyamqp._encode import encode_payload
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport
from hypothesis import given, settings
from hypothesis import strategies as st

from azure_function.service_bus_queue import STANDARD_MAX_BYTES, ServiceBusQueue, _as_amqp
from core.envelope import Envelope
from core.message import ATTRIBUTE_NAMES, QueueMessage
from tests.unit import samples

PRINTABLE = st.characters(min_codepoint=0x20, exclude_categories=("C", "Zl", "Zp"))


def queue(max_bytes: int = STANDARD_MAX_BYTES) -> ServiceBusQueue:
    """A queue that is never connected."""
    return ServiceBusQueue(lambda: pytest.fail("no connection is needed"), "events", max_bytes)


def encoded(message: QueueMessage) -> bytes:
    """The bytes that the SDK puts on the wire."""
    amqp: Any = PyamqpTransport.to_outgoing_amqp_message(_as_amqp(message).raw_amqp_message)
    return bytes(encode_payload(bytearray(), amqp))


def test_a_message_is_a_cloud_event_of_the_amqp_binding() -> None:
    """Attributes as application properties with the binding's prefix, the id as message id, the body as it is."""
    event = samples.message()
    made = _as_amqp(event)
    assert made.application_properties == {f"cloudEvents:{name}": value for name, value in event.attributes.items()}
    assert (made.message_id, made.content_type) == (event.id, "application/json")
    assert b"".join(made.raw_amqp_message.body) == event.body


def test_a_pointer_is_json_too() -> None:
    """A claim check's body is the pointer, with the event's own id."""
    event = samples.message()
    made = _as_amqp(event.as_pointer("https://example.blob.core.windows.net/events/claims/x"))
    assert (made.message_id, made.content_type) == (event.id, "application/json")


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"{}", "application/json"), (b'{"a":1}', "application/json"), (b"[]", None), (b"\xff", None), (b"", None)],
)
def test_only_what_is_json_is_called_so(body: bytes, expected: str | None) -> None:
    """An event without a type may still be JSON; what a person released from quarantine may not."""
    try:
        event = QueueMessage.of_event(body, Envelope.parse(body), samples.signature(body))
    except ValueError:
        event = QueueMessage.of_unreadable(body, samples.signature(body))
    assert _as_amqp(event).content_type == expected


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 70_000),
    attributes=st.dictionaries(
        st.sampled_from(ATTRIBUTE_NAMES), st.text(PRINTABLE, min_size=1, max_size=1024), max_size=len(ATTRIBUTE_NAMES)
    ),
)
def test_what_is_counted_is_never_less_than_what_is_sent(size: int, attributes: dict[str, str]) -> None:
    """Whatever the attributes, a message that counts as small enough is small enough on the wire, and by a little."""
    event = QueueMessage("0" * 64, b"x" * size, attributes)
    wire = len(encoded(event))
    assert queue(wire + 700).takes(event)
    assert not queue(wire - 1).takes(event)


@pytest.mark.parametrize("body", [b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80"])
def test_any_bytes_are_taken(body: bytes) -> None:
    """AMQP carries a body as bytes, so none is refused for its characters, nor for being empty."""
    assert queue().takes(QueueMessage("id", body, {"specversion": "1.0"}))


def test_the_limit_of_the_standard_tier_is_the_first_one() -> None:
    """256 KiB, properties included, until a link says otherwise."""
    assert STANDARD_MAX_BYTES == 256 * 1024
    assert not queue().takes(QueueMessage("id", b"x" * STANDARD_MAX_BYTES, {}))
    assert queue().takes(QueueMessage("id", b"x" * (STANDARD_MAX_BYTES - 1024), {}))


def test_discarding_leaves_the_connection_to_those_who_use_it() -> None:
    """A send that times out has cut its own connection; the core's word for it comes late and cuts nobody else's."""
    made = queue()
    made.discard()
    made.close()
