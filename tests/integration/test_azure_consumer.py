"""The example consumer, against real messages of the receiver on a real queue: complete, give back, dead-letter."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from azure_function.blob_store import container_client
from azure_function.consumer import blob_fetch
from azure_function.places import StorePlace
from cli.local.azure_broker import DEAD_LETTERS
from core.event import Event, Verification
from core.signature import SignatureKey
from tests import planted
from tests.contract.answers import ACCEPTED
from tests.contract.bypass import signed, sized
from tests.drivers import Platform
from tests.drivers.azure import AzureDriver
from tests.planted import KEY, OTHER_KEY

pytestmark = pytest.mark.emulator

KEYS: Final = (SignatureKey(KEY),)


@pytest.fixture(scope="module")
def example() -> Any:
    """The example, as a program of its own."""
    path = Path(__file__).parents[2] / "examples" / "azure_consumer.py"
    spec = importlib.util.spec_from_file_location("azure_consumer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def driver(platform_of: Callable[[str], Platform]) -> Iterator[AzureDriver]:
    """A deployment whose receiver has accepted what the tests post."""
    with platform_of("azure").deploy() as deployed:
        assert isinstance(deployed, AzureDriver)
        deployed.build(keys=[KEY])
        yield deployed


def consume(example: Any, driver: AzureDriver, work: Callable[[Event], None], handled: set[str] | None = None) -> None:
    """Let the example take everything that is on the queue."""
    emulator = driver.platform.emulator
    place = StorePlace.parse(emulator.container_url(driver.name))
    store = container_client(place, lambda: pytest.fail("no identity is needed here"), 5, 2)
    with (
        ServiceBusClient.from_connection_string(emulator.broker.connection_string) as client,
        client.get_queue_receiver(driver.name, max_wait_time=2) as receiver,
    ):
        example.consume(receiver, KEYS, blob_fetch(store), set() if handled is None else handled, work)


def test_events_are_read_handled_once_and_completed(example: Any, driver: AzureDriver) -> None:
    """Plain ones, a claim check, a repeated one: each is handled once, its signature checked; the queue is empty."""
    requests = [signed(), signed(sized(driver.queue_limit)), signed()]
    for request in (*requests, requests[0]):
        assert driver.post(request) == ACCEPTED
    seen: list[Event] = []
    consume(example, driver, seen.append)
    assert sorted(event.body for event in seen) == sorted(request.body for request in requests)
    assert {event.verification for event in seen} == {Verification.VALID}
    assert not driver.platform.emulator.broker.messages(driver.name)
    assert not driver.platform.emulator.broker.messages(driver.name + DEAD_LETTERS)


def test_what_cannot_be_read_goes_to_the_dead_letters(
    example: Any, driver: AzureDriver, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody else's message, a changed one, one signed with another key, a pointer elsewhere: each with a reason."""
    assert driver.post(signed()) == ACCEPTED
    (genuine,) = driver.platform.emulator.broker.messages(driver.name)
    properties: dict[Any, Any] = dict(genuine.attributes)
    body = genuine.message.body
    elsewhere = "http://127.0.0.1:1/devstoreaccount1/another/claims/abc"
    pointer = f'{{"dataref":"{elsewhere}","sha256":"{"0" * 64}","size":1}}'.encode()
    bad = [
        ServiceBusMessage(b"hello"),
        ServiceBusMessage(body + b" ", application_properties=properties),
        ServiceBusMessage(
            body, application_properties=properties | {"cloudEvents:signature": planted.signature(body, OTHER_KEY)}
        ),
        ServiceBusMessage(pointer, application_properties=properties | {"cloudEvents:dataref": elsewhere}),
    ]
    with (
        ServiceBusClient.from_connection_string(driver.platform.emulator.broker.connection_string) as client,
        client.get_queue_sender(driver.name) as sender,
    ):
        for message in bad:
            sender.send_messages(message)
    seen: list[Event] = []
    with caplog.at_level(logging.INFO):
        consume(example, driver, seen.append)
    assert [event.body for event in seen] == [body]
    dead = driver.platform.emulator.broker.messages(driver.name + DEAD_LETTERS)
    assert [found.attributes["DeadLetterReason"] for found in dead] == ["unreadable"] * 4
    assert not driver.platform.emulator.broker.messages(driver.name)


def test_what_could_not_be_handled_comes_again(example: Any, driver: AzureDriver) -> None:
    """A failure of the consumer's own gives the message back; the next time it is handled."""
    request = signed()
    assert driver.post(request) == ACCEPTED
    calls: list[str] = []

    def work(event: Event) -> None:
        calls.append(event.id)
        if len(calls) == 1:
            raise RuntimeError("planted failure")

    consume(example, driver, work)
    assert len(calls) == 2
    assert len(set(calls)) == 1
    assert not driver.platform.emulator.broker.messages(driver.name)
    assert not driver.platform.emulator.broker.messages(driver.name + DEAD_LETTERS)
