"""The local Service Bus: what the official SDK and an independent AMQP library get of it, and the bytes themselves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.exceptions import MessageSizeExceededError
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.local import azure_amqp as amqp
from cli.local.azure_amqp import AmqpError, Described, Symbol, UInt, ULong, decode, encode
from cli.local.azure_broker import DEAD_LETTERS, Broker

pytestmark = pytest.mark.emulator

QUEUE: Final = "events"


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker with one queue."""
    with Broker() as running:
        running.create_queue(QUEUE)
        yield running


@pytest.fixture
def client(broker: Broker) -> Iterator[ServiceBusClient]:
    """The official SDK, synchronous."""
    with ServiceBusClient.from_connection_string(broker.connection_string, retry_total=0) as made:
        yield made


def send(client: ServiceBusClient, *messages: ServiceBusMessage) -> None:
    """Send with the SDK."""
    with client.get_queue_sender(QUEUE) as sender:
        for message in messages:
            sender.send_messages(message)


def test_the_sdk_receives_what_it_sent(broker: Broker, client: ServiceBusClient) -> None:
    """Body, properties and application properties both ways, large ones in several frames, in order."""
    sent = [
        ServiceBusMessage(
            bytes([n]) * size, message_id=f"m{n}", content_type="application/json", application_properties={"n": str(n)}
        )
        for n, size in enumerate((0, 1, 1000, 70_000, 200_000))
    ]
    send(client, *sent)
    assert [len(found.message.body) for found in broker.messages(QUEUE)] == [0, 1, 1000, 70_000, 200_000]
    with client.get_queue_receiver(QUEUE) as receiver:
        got = receiver.receive_messages(max_message_count=5, max_wait_time=5)
        while len(got) < 5:
            got += receiver.receive_messages(max_message_count=5, max_wait_time=5)
        assert [b"".join(m.body) for m in got] == [
            bytes([n]) * size for n, size in enumerate((0, 1, 1000, 70_000, 200_000))
        ]
        assert [m.message_id for m in got] == [f"m{n}" for n in range(5)]
        assert [m.content_type for m in got] == ["application/json"] * 5
        assert [m.application_properties for m in got] == [{b"n": str(n).encode()} for n in range(5)]
        assert [m.sequence_number for m in got] == sorted(m.sequence_number or 0 for m in got)
        for message in got:
            receiver.complete_message(message)
    assert not broker.messages(QUEUE)


def test_giving_back_and_dead_letters(broker: Broker, client: ServiceBusClient) -> None:
    """An abandoned message comes again with its count; a dead-lettered one is below the queue, with the reason."""
    send(client, ServiceBusMessage(b"body", message_id="m", application_properties={"a": "1"}))
    with client.get_queue_receiver(QUEUE) as receiver:
        (first,) = receiver.receive_messages(max_wait_time=5)
        receiver.abandon_message(first)
        (again,) = receiver.receive_messages(max_wait_time=5)
        assert (again.delivery_count, again.message_id) == (1, "m")
        receiver.dead_letter_message(again, reason="unreadable", error_description="not one of ours")
    assert not broker.messages(QUEUE)
    (dead,) = broker.messages(QUEUE + DEAD_LETTERS)
    assert dead.attributes == {
        "a": "1",
        "DeadLetterReason": "unreadable",
        "DeadLetterErrorDescription": "not one of ours",
    }
    with client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        (got,) = receiver.receive_messages(max_wait_time=5)
        assert (got.dead_letter_reason, b"".join(got.body)) == ("unreadable", b"body")
        receiver.complete_message(got)


def test_a_lock_ends_by_itself() -> None:
    """A receiver that dies keeps a message no longer than the lock; after ten deliveries it is a dead letter."""
    with Broker(lock_seconds=0.2) as broker:
        broker.create_queue(QUEUE)
        with ServiceBusClient.from_connection_string(broker.connection_string) as client:
            send(client, ServiceBusMessage(b"body"))
            with client.get_queue_receiver(QUEUE) as receiver:
                counts = [receiver.receive_messages(max_wait_time=5)[0].delivery_count for _ in range(10)]
            assert counts == list(range(10))
            with client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
                (dead,) = receiver.receive_messages(max_wait_time=5)
                assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"


def test_duplicates_and_sizes(broker: Broker, client: ServiceBusClient) -> None:
    """An id counts once where the queue says so; above the tier's limit the service says no."""
    send(client, ServiceBusMessage(b"1", message_id="m"), ServiceBusMessage(b"2", message_id="m"))
    assert [found.message.body for found in broker.messages(QUEUE)] == [b"1"]
    broker.create_queue(QUEUE, deduplicates=False)
    send(client, ServiceBusMessage(b"1", message_id="m"), ServiceBusMessage(b"2", message_id="m"))
    assert len(broker.messages(QUEUE)) == 2
    with pytest.raises(MessageSizeExceededError):
        send(client, ServiceBusMessage(b"x" * 262_144))


def test_looking_changes_nothing(broker: Broker, client: ServiceBusClient) -> None:
    """What is locked is shown too, and can still be completed."""
    send(client, ServiceBusMessage(b"1"), ServiceBusMessage(b"2"))
    with client.get_queue_receiver(QUEUE) as receiver:
        (first,) = receiver.receive_messages(max_message_count=1, max_wait_time=5)
        assert [found.message.body for found in broker.messages(QUEUE)] == [b"1", b"2"]
        receiver.complete_message(first)
    assert [found.message.body for found in broker.messages(QUEUE)] == [b"2"]
    with pytest.raises(LookupError, match="events"):
        broker.messages("another")


def test_receive_and_delete(broker: Broker, client: ServiceBusClient) -> None:
    """A receiver that settles nothing may take messages as well."""
    send(client, ServiceBusMessage(b"1"))
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with client.get_queue_receiver(QUEUE, receive_mode=mode) as receiver:
        assert [b"".join(m.body) for m in receiver.receive_messages(max_wait_time=5)] == [b"1"]


def test_an_independent_library_agrees(broker: Broker) -> None:
    """Qpid Proton, which shares no code with the SDK or with us, sends, receives and settles the same way."""
    why = "needs Qpid Proton, which has to be compiled: pip install python-qpid-proton"
    proton = pytest.importorskip("proton", reason=why)
    utils = pytest.importorskip("proton.utils", reason=why)
    connection = utils.BlockingConnection(f"amqp://{broker.address}", timeout=10, allowed_mechs="ANONYMOUS")
    try:
        sender = connection.create_sender(QUEUE)
        for number in range(3):
            sender.send(
                proton.Message(
                    id=f"p{number}", body=b"x" * 100_000, properties={"cloudEvents:id": str(number)}, inferred=True
                )
            )
        assert [found.attributes for found in broker.messages(QUEUE)] == [{"cloudEvents:id": str(n)} for n in range(3)]
        receiver = connection.create_receiver(QUEUE, credit=3)
        got = []
        for _ in range(3):
            message = receiver.receive(timeout=10)
            got.append((message.id, bytes(message.body), dict(message.properties)))
            receiver.accept()
        assert got == [(f"p{n}", b"x" * 100_000, {"cloudEvents:id": str(n)}) for n in range(3)]
    finally:
        connection.close()
    assert not broker.messages(QUEUE)


# -- the bytes ---------------------------------------------------------------------------------------------------------

_SIMPLE: Final[st.SearchStrategy[Any]] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=400),
    st.binary(max_size=400),
    st.uuids(),
    st.integers(0, 2**32 - 1).map(UInt),
    st.integers(0, 2**64 - 1).map(ULong),
    st.text(st.characters(max_codepoint=126, min_codepoint=33), max_size=300).map(Symbol),
)
_VALUES: Final = st.recursive(
    _SIMPLE,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=9), inner, max_size=5)),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(_VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    """Every value, nested too, and its type."""
    found = decode(encode(value))
    assert found == value
    assert type(found) is type(value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    """Bytes that are no AMQP raise one error and no other."""
    for read in (decode, amqp.read_message):
        try:
            read(data)
        except AmqpError:
            continue


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("40", None),
        ("5601", True),
        ("43", 0),
        ("44", 0),
        ("45", []),
        ("5205", 5),
        ("70000001ff", 511),
        ("55ff", -1),
        ("a103616263", "abc"),
        ("b10000000161", "a"),
        ("a003000102", b"\x00\x01\x02"),
        ("a304616d7170", "amqp"),
        ("c0030240" + "41", [None, True]),
        ("c10502a10161" + "41", {"a": True}),
        ("e00602a3" + "0161" + "0162", ["a", "b"]),
        ("005324" + "45", Described(ULong(0x24), [])),
        ("98" + "00" * 15 + "01", uuid.UUID(int=1)),
        ("83" + "0000018bcfe56800", 1700000000000),
    ],
)
def test_examples_of_the_standard(data: str, value: Any) -> None:
    """Hand-written encodings, after part 1 of the standard."""
    assert decode(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    "data", ["", "a1", "a105", "c0ff02", "99", "00", "c00202", "c1030141", "00" * 40 + "40", "a1" + "02" + "ffff"]
)
def test_broken_values(data: str) -> None:
    """Cut short, of another size than they say, unknown, nested without end, not UTF-8."""
    with pytest.raises(AmqpError):
        decode(bytes.fromhex(data))
