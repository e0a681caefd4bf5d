"""The example consumer, against real messages of the receiver on a real queue: complete, give back, dead-letter."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiver

from azure_function.blob_store import container_client
from azure_function.consumer import blob_fetch
from azure_function.places import StorePlace
from cli.doctor.sender import DoctorSender
from cli.local import azure_amqp as amqp
from cli.local.azure_broker import DEAD_LETTERS, Broker, Enqueued, _Queue
from cli.samples import sample
from core.event import RECONCILED_PREFIX, Event, EventError, Verification
from core.message import QueueMessage
from core.signature import SignatureKey
from tests import planted
from tests.contract.answers import ACCEPTED
from tests.contract.bypass import signed, sized
from tests.drivers import Platform
from tests.drivers.azure import AzureDriver
from tests.planted import KEY, OTHER_KEY
from tests.unit import samples

pytestmark = pytest.mark.emulator

KEYS: Final = (SignatureKey(KEY),)
QUEUE: Final = "events"
MANAGEMENT: Final = "/$management"


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


@contextmanager
def receiving(broker: Broker, queue: str, wait: float = 2) -> Iterator[ServiceBusReceiver]:
    """The SDK's receiver, which ends when nothing came for so many seconds; those of the work count."""
    with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver(queue, max_wait_time=wait) as receiver,
    ):
        yield receiver


def consume(example: Any, driver: AzureDriver, work: Callable[[Event], None], handled: set[str] | None = None) -> None:
    """Let the example take everything that is on the queue."""
    emulator = driver.platform.emulator
    place = StorePlace.parse(emulator.container_url(driver.name))
    store = container_client(place, lambda: pytest.fail("no identity is needed here"), 5, 2)
    with receiving(emulator.broker, driver.name) as receiver:
        example.consume(receiver, KEYS, blob_fetch(store), set() if handled is None else handled, work)


def put(broker: Broker, queue: str, *messages: ServiceBusMessage) -> None:
    """Send messages of a test's own."""
    with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_sender(queue) as sender,
    ):
        for message in messages:
            sender.send_messages(message)


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
    put(driver.platform.emulator.broker, driver.name, *bad)
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


def test_nothing_is_done_that_dastra_did_not_sign(example: Any, driver: AzureDriver) -> None:
    """What lacks its signature is a dead letter; what was rebuilt from Dastra's log is a hint and holds up no event."""
    assert driver.post(signed()) == ACCEPTED
    broker = driver.platform.emulator.broker
    (genuine,) = broker.messages(driver.name)
    body = genuine.message.body
    properties: dict[Any, Any] = dict(genuine.attributes)
    broker.purge(driver.name)
    forged = {name: value for name, value in properties.items() if name != "cloudEvents:signature"}
    # The hint has the genuine event's id, and comes first.
    hint = forged | {"cloudEvents:source": f"{RECONCILED_PREFIX}7"}
    sent = [ServiceBusMessage(body, application_properties=given) for given in (forged, hint, properties)]
    put(broker, driver.name, *sent)
    worked: list[Event] = []
    looked_up: list[Event] = []
    handled: set[str] = set()
    with receiving(broker, driver.name) as receiver:
        example.consume(receiver, KEYS, pytest.fail, handled, worked.append, looked_up.append)
    assert [event.source for event in looked_up] == [f"{RECONCILED_PREFIX}7"]
    assert [event.verification for event in worked] == [Verification.VALID]
    assert [found.attributes for found in broker.messages(driver.name + DEAD_LETTERS)] == [
        forged | {"DeadLetterReason": "unreadable", "DeadLetterErrorDescription": "signed with none of our keys"}
    ]
    assert not broker.messages(driver.name)


def test_samples_are_dropped(example: Any, driver: AzureDriver) -> None:
    """What the command line made up is completed and not handled, small or large."""
    for body in (sample().body, DoctorSender(KEY).large()):
        assert driver.post(signed(body)) == ACCEPTED
    consume(example, driver, lambda _: pytest.fail("handled"))
    assert not driver.platform.emulator.broker.messages(driver.name)
    assert not driver.platform.emulator.broker.messages(driver.name + DEAD_LETTERS)


class ManagedBroker(Broker):
    """The broker with a queue's management node, at which the SDK asks for a lock to be renewed.

    Source: "AMQP 1.0 in Microsoft Azure Service Bus: request-response-based operations", Message Renew Lock.

    Args:
        seconds: how long a lock is.
        renews: whether it is renewed, or lost when the SDK asks.
    """

    def __init__(self, seconds: float, *, renews: bool) -> None:
        super().__init__(lock_seconds=seconds)
        self.deliveries = 0
        self._seconds: Final = seconds
        self._renews: Final = renews
        self._until: Final[dict[bytes, float]] = {}

    def queue(self, address: str) -> _Queue | None:
        return _Queue() if address.endswith(MANAGEMENT) else super().queue(address)

    def lock(self, address: str) -> tuple[bytes, Enqueued, float] | None:
        taken = super().lock(address)
        self.deliveries += taken is not None
        return taken

    def unlock(self, address: str, token: bytes, reason: str | None = None, description: str = "") -> None:
        left = self._until.get(token, 0) - time.time()
        if reason is None and left > 0:
            self.later(left, lambda: self.unlock(address, token))
        else:
            super().unlock(address, token, reason, description)

    def put(self, address: str, message: amqp.Message, failed: int = 0) -> None:
        if not address.endswith(MANAGEMENT):
            super().put(address, message, failed)
            return
        until = time.time() + self._seconds
        tokens = [token.bytes_le for token in message.value["lock-tokens"]]
        said: dict[str, Any] = {"statusCode": amqp.Int(410), "errorCondition": "com.microsoft:message-lock-lost"}
        if self._renews:
            said = {"statusCode": amqp.Int(200)}
            self._until.update(dict.fromkeys(tokens, until))
        expirations = {"expirations": [amqp.Timestamp(int(until * 1000)) for _ in tokens]}
        answer = amqp.message(expirations, message.id, {**said, "statusDescription": "by the test"})
        for connection in self._connections:
            for link in list(connection._links.values()):
                if link.to_client and link.address == address:
                    connection._deliver(link, answer, b"answer", settled=True)


def as_sent(message: QueueMessage) -> ServiceBusMessage:
    """A message as the receiver puts it on the queue."""
    attributes: dict[Any, Any] = {f"cloudEvents:{name}": value for name, value in message.attributes.items()}
    return ServiceBusMessage(message.body, application_properties=attributes)


def not_settled(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the example logged of messages that it could not settle."""
    return [line for line in caplog.messages if "not settled" in line]


class Slow:
    """Takes longer than the lock at its first call, and then fails with an error or does not."""

    def __init__(self, seconds: float, error: Exception | None = None) -> None:
        self.calls = 0
        self._seconds: Final = seconds
        self._error: Final = error

    def __call__(self, _: object) -> None:
        self.calls += 1
        if self.calls == 1:
            time.sleep(self._seconds)
            if self._error is not None:
                raise self._error


@pytest.mark.parametrize("error", [None, RuntimeError("planted failure"), EventError("planted fault")], ids=ascii)
def test_a_lost_lock_costs_its_own_message_alone(
    example: Any, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it was to be completed, given back or buried: it comes again, and the next one comes as ever."""
    first, second = samples.message(), samples.message(samples.event(userId=2))
    worked: list[str] = []
    slow = Slow(1.5, error)

    def work(event: Event) -> None:
        slow(event)
        worked.append(event.id)

    with ManagedBroker(1.0, renews=False) as broker:
        broker.create_queue(QUEUE)
        put(broker, QUEUE, as_sent(first), as_sent(second))
        with caplog.at_level(logging.INFO), receiving(broker, QUEUE) as receiver:
            example.consume(receiver, KEYS, pytest.fail, set(), work)
        assert sorted(worked) == sorted([first.id, second.id])
        assert broker.deliveries == 3
        assert not broker.messages(QUEUE)
        assert not broker.messages(QUEUE + DEAD_LETTERS)
    (line,) = not_settled(caplog)
    assert line.endswith("MessageLockLostError")


def test_a_lock_holds_as_long_as_the_work(example: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Longer than the queue's own: the message is delivered once and completed."""
    message, work = samples.message(), Slow(4.0)
    with ManagedBroker(2.0, renews=True) as broker:
        broker.create_queue(QUEUE)
        put(broker, QUEUE, as_sent(message))
        with receiving(broker, QUEUE) as receiver:
            example.consume(receiver, KEYS, pytest.fail, set(), work)
        assert (work.calls, broker.deliveries) == (1, 1)
        assert not broker.messages(QUEUE)
    assert not not_settled(caplog)
