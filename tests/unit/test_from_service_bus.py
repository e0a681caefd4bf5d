"""Reading a Service Bus message as a consumer, in both forms in which Python gets one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

from core.event import Event, EventError, Verification
from core.message import QueueMessage
from tests.unit import samples

KEYS = (samples.KEY,)


def received(message: QueueMessage, **changes: Any) -> Any:
    """As the SDK returns it: names and values as UTF-8, the body as the sections it came in."""
    properties = {f"cloudEvents:{name}".encode(): value.encode() for name, value in message.attributes.items()}
    half = len(message.body) // 2
    sections: Iterable[bytes] = iter([message.body[:half], message.body[half:]])
    return SimpleNamespace(**{"body": sections, "application_properties": properties, **changes})


class Triggered(func.ServiceBusMessage):
    """As a Functions trigger hands it over."""

    def __init__(self, message: QueueMessage) -> None:
        self._message = message

    def get_body(self) -> bytes:
        return self._message.body

    @property
    def application_properties(self) -> dict[str, Any]:
        return {f"cloudEvents:{name}": value for name, value in self._message.attributes.items()}


Triggered.__abstractmethods__ = frozenset()  # the rest of what such a message has is of no interest here


def test_a_received_message_is_the_event() -> None:
    """Id, type, envelope and bytes, and the signature holds."""
    message = samples.message()
    event = Event.from_service_bus(received(message), keys=KEYS)
    assert (event.id, event.type, event.body) == (message.id, "TaskCreation", message.body)
    assert event.verification is Verification.VALID
    assert event.envelope is not None


def test_a_triggered_message_is_the_same_event() -> None:
    """The two forms of one message give one event."""
    message = samples.message()
    assert Event.from_service_bus(Triggered(message), keys=KEYS) == Event.from_service_bus(received(message), keys=KEYS)


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_", "CLOUDEVENTS:"])
def test_the_bindings_prefixes_are_read(prefix: str) -> None:
    """A colon as we write it, and the underscore that the binding allows."""
    message = samples.message()
    properties = {f"{prefix}{name}": value for name, value in message.attributes.items()}
    assert Event.from_service_bus(received(message, application_properties=properties)).id == message.id


def test_a_claim_check_is_followed() -> None:
    """Through ``fetch``, and only with it."""
    message = samples.message()
    pointer = message.as_pointer("https://example.blob.core.windows.net/events/claims/x")
    asked: list[str] = []

    def fetch(dataref: str) -> bytes:
        asked.append(dataref)
        return message.body

    assert Event.from_service_bus(received(pointer), keys=KEYS, fetch=fetch).body == message.body
    assert asked == [pointer.attributes["dataref"]]
    with pytest.raises(EventError, match="fetch"):
        Event.from_service_bus(received(pointer))


@pytest.mark.parametrize(
    "changes",
    [
        {"application_properties": None},
        {"application_properties": {}},
        {"application_properties": {b"\xff": b"\xff", 7: 8}},
        {"body": None},
        {"body": iter([{"a": "map"}])},
        {"body": iter([b"another body"])},
        {"body": "\ud800"},
    ],
    ids=["no-properties", "empty", "odd-properties", "no-body", "value-body", "changed", "surrogate"],
)
def test_what_is_no_event_of_ours_is_an_event_error(changes: Mapping[str, Any]) -> None:
    """Whoever can write to the queue cannot make a consumer fail in another way."""
    with pytest.raises(EventError):
        Event.from_service_bus(received(samples.message(), **changes))
