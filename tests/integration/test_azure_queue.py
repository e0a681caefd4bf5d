"""Service Bus through the official SDK, over real AMQP, against a broker that fails in every way that one can.

A send returns only if the message is on the queue; else it raises, within its time, and what is left behind (threads,
connections) is bounded.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusReceiveMode

from azure_function import service_bus_queue as module
from azure_function.local import queue_credential
from azure_function.places import QueuePlace
from azure_function.service_bus_queue import PREFIX, STANDARD_MAX_BYTES, Connect, ServiceBusQueue, connector
from cli.local.azure_broker import Broker
from cli.local.faults import LOOPBACK, Fault
from core.envelope import Envelope
from core.message import QueueMessage
from core.ports import PortError
from tests import planted

pytestmark = pytest.mark.emulator

QUEUE: Final = "events"
SLACK: Final = 1.5


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker with one queue that detects duplicates."""
    with Broker(slow_seconds=0.3) as running:
        running.create_queue(QUEUE)
        yield running


@pytest.fixture
def queue(broker: Broker) -> Iterator[ServiceBusQueue]:
    """A queue client as the function app makes it."""
    made = ServiceBusQueue(_connect(broker), QUEUE)
    yield made
    made.close()


def _connect(broker: Broker) -> Connect:
    return connector(QueuePlace.parse(f"{broker.address}/{QUEUE}"), lambda: pytest.fail("no identity is needed here"))


def message(body: bytes | None = None) -> QueueMessage:
    """The message of an invented event."""
    body = planted.body() if body is None else body
    return QueueMessage.of_event(body, Envelope.parse(body), planted.signature(body))


def bodies(broker: Broker) -> list[bytes]:
    """What is on the queue."""
    return [found.message.body for found in broker.messages(QUEUE)]


def failure(call: Callable[[], None]) -> tuple[PortError, float]:
    """How a send failed, and after how many seconds."""
    started = time.monotonic()
    with pytest.raises(PortError) as caught:
        call()
    return caught.value, time.monotonic() - started


def test_a_message_arrives_as_it_was_made(broker: Broker, queue: ServiceBusQueue) -> None:
    """Bytes, id, content type and every attribute, read with the official SDK at the other end."""
    sent = message()
    queue.send(sent, 5)
    with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver(QUEUE, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver,
    ):
        (got,) = receiver.receive_messages(max_wait_time=5)
    assert b"".join(got.body) == sent.body
    assert got.message_id == sent.id
    assert got.content_type == "application/json"
    assert got.application_properties == {
        (PREFIX + name).encode(): value.encode() for name, value in sent.attributes.items()
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\xff\xfe", b"\xed\xa0\x80", bytes(range(256)) * 700],
    ids=["empty", "not-utf-8", "surrogate", "every-byte"],
)
def test_a_body_may_be_any_bytes(broker: Broker, queue: ServiceBusQueue, body: bytes) -> None:
    """What other queues refuse goes through unchanged, and is not called JSON."""
    sent = QueueMessage.of_unreadable(body, planted.signature(body))
    assert queue.takes(sent)
    queue.send(sent, 5)
    (found,) = broker.messages(QUEUE)
    assert (found.message.body, found.message.content_type) == (body, None)


def test_the_largest_message_that_is_taken_goes_and_the_next_is_not_taken(
    broker: Broker, queue: ServiceBusQueue
) -> None:
    """What ``takes`` allows, the service accepts; so the bound that it works out is none too low."""
    empty = message(planted.body(pad=""))
    room = STANDARD_MAX_BYTES - sum(len(PREFIX + name) + len(value) for name, value in empty.attributes.items())
    low, high = 0, room
    while low + 1 < high:  # the longest body that is taken
        middle = (low + high) // 2
        low, high = (
            (middle, high) if queue.takes(QueueMessage(empty.id, b"x" * middle, empty.attributes)) else (low, middle)
        )
    largest = QueueMessage(empty.id, b"x" * low, empty.attributes)
    assert queue.takes(largest)
    queue.send(largest, 5)
    assert bodies(broker) == [largest.body]
    assert low > room - 2048


def test_a_message_above_the_limit_is_refused_for_ever(broker: Broker, queue: ServiceBusQueue) -> None:
    """The service's own refusal by size is permanent, on a connection that is used on."""
    large = QueueMessage("id", b"x" * STANDARD_MAX_BYTES, {"specversion": "1.0"})
    error, _ = failure(lambda: queue.send(large, 5))
    assert (error.code, error.permanent, error.timed_out) == ("MessageSizeExceededError", True, False)
    queue.send(message(), 5)
    assert broker.accepted_connections == 1


def test_a_larger_tier_is_learnt_from_the_link() -> None:
    """On Premium, whose link says so, larger messages are taken without a setting; before the link is open, not yet."""
    with Broker(max_bytes=1_048_576) as broker:
        broker.create_queue(QUEUE)
        queue = ServiceBusQueue(_connect(broker), QUEUE)
        try:
            large = message(planted.body(pad="x" * 600_000))
            assert not queue.takes(large)
            queue.send(message(), 5)
            assert queue.takes(large)
            queue.send(large, 5)
            assert large.body in bodies(broker)
        finally:
            queue.close()


def test_sixty_four_at_once_share_one_connection(broker: Broker, queue: ServiceBusQueue) -> None:
    """The SDK's sender bears neither threads nor concurrent coroutines; here every send of 64 threads arrives once."""
    messages = [message() for _ in range(64)]
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda sent: queue.send(sent, 10), messages))
    assert sorted(bodies(broker)) == sorted(sent.body for sent in messages)
    assert broker.accepted_connections == 1


def test_the_connection_is_begun_before_the_first_message(broker: Broker, queue: ServiceBusQueue) -> None:
    """``connect`` returns at once and opens the link, so that the first event does not pay for it."""
    started = time.monotonic()
    queue.connect()
    assert time.monotonic() - started < 0.4
    deadline = time.monotonic() + 10
    while not broker.tokens and time.monotonic() < deadline:
        time.sleep(0.02)
    queue.send(message(), 5)
    assert (broker.accepted_connections, len(bodies(broker))) == (1, 1)


# -- faults ------------------------------------------------------------------------------------------------------------

QUICK: Final = (
    Fault.REFUSED,
    Fault.RESET,
    Fault.ERROR_500,
    Fault.ERROR_503,
    Fault.THROTTLED,
    Fault.CUT,
    Fault.CUT_HALF,
)
NEVER: Final = (Fault.SILENT, Fault.HANGING, Fault.DRIPPING)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("fault", QUICK)
def test_what_fails_at_once_is_told_at_once(broker: Broker, queue: ServiceBusQueue, fault: Fault, warm: bool) -> None:
    """Refused, reset, closed, cut or said no: an error well before the time is over, and the next send goes."""
    if warm:
        queue.send(message(), 5)
    broker.set(fault)
    error, seconds = failure(lambda: queue.send(message(), 5))
    assert seconds < 4
    assert not error.timed_out
    assert not error.permanent
    broker.set(Fault.NONE)
    after = message()
    queue.send(after, 5)
    assert after.body in bodies(broker)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("fault", NEVER)
def test_what_never_answers_is_given_up_in_time(
    broker: Broker, queue: ServiceBusQueue, fault: Fault, warm: bool
) -> None:
    """A peer that stays silent, hangs or drips costs what was allowed; the next send has a new connection."""
    if warm:
        queue.send(message(), 5)
    before = broker.accepted_connections
    broker.set(fault)
    error, seconds = failure(lambda: queue.send(message(), 1.0))
    assert error.timed_out
    assert seconds < 1.0 + SLACK
    broker.set(Fault.NONE)
    after = message()
    queue.send(after, 5)
    assert after.body in bodies(broker)
    assert broker.accepted_connections > before


def test_a_connection_that_hung_once_is_not_used_again(broker: Broker, queue: ServiceBusQueue) -> None:
    """The service is well and one connection of it hangs: the next send does not wait behind the lost one."""
    queue.send(message(), 5)
    broker.set(Fault.HANGING, times=1)
    error, _ = failure(lambda: queue.send(message(), 0.5))
    assert error.timed_out
    after = message()
    queue.send(after, 5)
    assert after.body in bodies(broker)
    assert broker.accepted_connections == 2


def test_a_slow_acknowledgement_is_waited_for(broker: Broker, queue: ServiceBusQueue) -> None:
    """Late and in time is accepted, on the same connection."""
    broker.set(Fault.SLOW)
    queue.send(message(), 3)
    queue.send(message(), 3)
    assert (len(bodies(broker)), broker.accepted_connections) == (2, 1)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("com.microsoft:server-busy", "ServiceBusServerBusyError"),
        ("amqp:resource-limit-exceeded", "ServiceBusQuotaExceededError"),
        ("com.microsoft:entity-disabled", "MessagingEntityDisabledError"),
        ("amqp:unauthorized-access", "ServiceBusAuthorizationError"),
    ],
)
def test_the_services_own_refusals_are_told_by_name(
    broker: Broker, queue: ServiceBusQueue, condition: str, code: str
) -> None:
    """Busy, full, disabled, not allowed: the name is told, it is no time-out, and nothing is lost by it for ever."""
    queue.send(message(), 5)
    broker.refuse(condition)
    error, seconds = failure(lambda: queue.send(message(), 5))
    assert (error.code, error.timed_out, error.permanent) == (code, False, False)
    assert seconds < 4
    broker.set(Fault.NONE)
    queue.send(message(), 5)


def test_a_queue_that_is_not_there(broker: Broker) -> None:
    """A wrong name is told as such."""
    queue = ServiceBusQueue(_connect(broker), "another")
    try:
        error, _ = failure(lambda: queue.send(message(), 5))
        assert error.code == "MessagingEntityNotFoundError"
    finally:
        queue.close()


def test_a_wrong_key_is_told_as_such(broker: Broker) -> None:
    """Who is not let in hears it within the time."""
    with Broker(verify=lambda kind, token: False) as strict:
        strict.create_queue(QUEUE)
        queue = ServiceBusQueue(_connect(strict), QUEUE)
        try:
            error, _ = failure(lambda: queue.send(message(), 5))
            assert error.code == "ServiceBusAuthenticationError"
        finally:
            queue.close()


@pytest.mark.parametrize("cut", ["detach", "disconnect"])
def test_a_connection_lost_while_idle_costs_no_event(broker: Broker, queue: ServiceBusQueue, cut: str) -> None:
    """The service detached the link, or the connection is gone: the very next send goes, on a second one."""
    queue.send(message(), 5)
    getattr(broker, cut)()
    time.sleep(0.2)
    after = message()
    queue.send(after, 5)
    assert after.body in bodies(broker)


def test_a_broker_that_was_away_is_used_again(broker: Broker, queue: ServiceBusQueue) -> None:
    """Down and up on the same port: errors in between, sends before and after, and what was on the queue still is."""
    first, second = message(), message()
    queue.send(first, 5)
    broker.stop_listening()
    for _ in range(3):
        error, seconds = failure(lambda: queue.send(message(), 5))
        assert not error.timed_out
        assert seconds < 4
    broker.listen()
    queue.send(second, 5)
    assert bodies(broker) == [first.body, second.body]


def test_a_peer_that_died_without_a_word_costs_half_the_time(
    broker: Broker, queue: ServiceBusQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a quiet minute the old connection gets half of the time, so that a new one can still take the event."""
    monkeypatch.setattr(module, "_DOUBTFUL_SECONDS", 0.05)
    queue.send(message(), 5)
    time.sleep(0.1)
    broker.set(Fault.HANGING, times=1)
    after = message()
    started = time.monotonic()
    queue.send(after, 4)
    assert 1.5 < time.monotonic() - started < 4
    assert after.body in bodies(broker)


def test_an_old_idle_connection_is_replaced_before_it_is_used(
    broker: Broker, queue: ServiceBusQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service detaches after ten idle minutes; a sender nearly that old is not tried first."""
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.05)
    queue.send(message(), 5)
    time.sleep(0.1)
    queue.send(message(), 5)
    assert broker.accepted_connections == 2


def test_the_wait_for_ones_turn_is_part_of_the_time(broker: Broker, queue: ServiceBusQueue) -> None:
    """While one send hangs, those behind it give up in their own time, and cut nobody's connection off."""
    queue.send(message(), 5)
    broker.slow_seconds = 1.0
    broker.set(Fault.SLOW)
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(queue.send, message(), 4)
        time.sleep(0.2)
        error, seconds = failure(lambda: queue.send(message(), 0.4))
        assert error.timed_out
        assert seconds < 0.4 + SLACK
        long.result()
    assert broker.accepted_connections == 1


def test_a_repeated_message_is_one_message(broker: Broker, queue: ServiceBusQueue) -> None:
    """A send that was cut off after the queue took it may be repeated: duplicate detection knows the id."""
    sent = message()
    broker.set(Fault.CUT, times=1)
    queue.send(sent, 5)  # its own second attempt
    queue.send(sent, 5)
    assert bodies(broker) == [sent.body]
    assert broker.duplicates == 2


# -- what is left behind -----------------------------------------------------------------------------------------------


def _connected_to(port: int) -> int:
    """How many of this machine's connections lead to a port, from Linux's own table."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    established = [line.split()[2] for line in lines if line.split()[3] == "01"]
    return sum(int(remote.rpartition(":")[2], 16) == port for remote in established)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux: looks at its table of connections")
@pytest.mark.parametrize("fault", NEVER)
def test_connections_and_threads_do_not_pile_up(broker: Broker, queue: ServiceBusQueue, fault: Fault) -> None:
    """Fifty sends that are given up leave the one thread behind, and at most the connection of the last."""
    queue.send(message(), 5)
    broker.set(fault)
    failure(lambda: queue.send(message(), 0.1))
    threads = threading.active_count()
    for _ in range(50):
        failure(lambda: queue.send(message(), 0.1))
    assert threading.active_count() <= threads
    deadline = time.monotonic() + 5
    while _connected_to(broker.port) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _connected_to(broker.port) <= 1


def test_a_name_that_leads_nowhere_is_given_up_in_time() -> None:
    """A peer that never completes the TCP handshake costs the time allowed: its backlog is full."""
    with socket.socket() as full:
        full.bind((LOOPBACK, 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((LOOPBACK, port))
        place = QueuePlace.parse(f"{LOOPBACK}:{port}/{QUEUE}")
        queue = ServiceBusQueue(connector(place, lambda: pytest.fail("no identity is needed here")), QUEUE)
        try:
            error, seconds = failure(lambda: queue.send(message(), 0.8))
            assert error.timed_out
            assert seconds < 0.8 + SLACK
        finally:
            queue.close()
            for filler in fillers:
                filler.close()


def test_closing_ends_the_thread_and_the_connection(broker: Broker) -> None:
    """Nothing of a closed queue stays."""
    before = set(threading.enumerate())
    queue = ServiceBusQueue(_connect(broker), QUEUE)
    queue.send(message(), 5)
    own = set(threading.enumerate()) - before
    assert "service-bus" in [thread.name for thread in own]
    queue.close()
    assert not own & set(threading.enumerate())
    deadline = time.monotonic() + 5
    while broker.open_connections > 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert broker.open_connections == 0


def test_the_emulators_key_is_the_only_credential_in_clear_text(broker: Broker) -> None:
    """On this machine the SDK signs with the key that every emulator has; the broker checks the signature."""
    assert queue_credential().named_key.name in broker.connection_string
    queue = ServiceBusQueue(_connect(broker), QUEUE)
    try:
        queue.send(message(), 5)
        assert len(broker.tokens) == 1
    finally:
        queue.close()
