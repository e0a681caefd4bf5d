"""The worked example of several queues behind one receiver."""

from __future__ import annotations

from core.deadline import Deadline
from core.delivery import Delivery, Placed, Trace
from core.message import QueueMessage
from core.ports import PortError
from core.redrive import Redrive
from examples.routing_queue import RoutingQueue
from tests.fakes import FakeQueue, FakeStore, RecordingLog
from tests.unit import samples


def accept(delivery: Delivery, message: QueueMessage) -> Placed:
    """Deliver a message as the receiver does."""
    return delivery.accept(message, Deadline.start(6, 0), None, Trace())


def test_each_webhook_has_its_queue() -> None:
    """By the source; a webhook that nobody named, and an event without one, go to the queue for the others."""
    one, rest = FakeQueue(), FakeQueue()
    queue = RoutingQueue({"urn:dastra:webhook:1": one}, rest)
    for webhook in (1, 2, None):
        queue.send(samples.message(samples.event(webhookId=webhook)), 1)
    assert [message.attributes["source"] for message in one.messages] == ["urn:dastra:webhook:1"]
    assert [message.attributes["source"] for message in rest.messages] == [
        "urn:dastra:webhook:2",
        "urn:dastra:webhook:unknown",
    ]


def test_its_own_queue_says_what_it_takes() -> None:
    """An event that one queue takes whole is a claim check on another with a lower limit."""
    small, large = FakeQueue(most=10), FakeQueue()
    queue = RoutingQueue({"urn:dastra:webhook:1": small}, large)
    store = FakeStore()
    delivery = Delivery(queue, store, RecordingLog())
    for webhook in (1, 2):
        assert accept(delivery, samples.message(samples.event(webhookId=webhook))) is Placed.QUEUE
    assert small.messages[0].is_pointer
    assert not large.messages[0].is_pointer
    assert len(store.below("claims/")) == 1


def test_a_spooled_event_finds_its_queue_again() -> None:
    """What one queue did not take waits in the store, while the other goes on, and comes to the right one later."""

    def fail(_: QueueMessage) -> None:
        raise PortError("down")

    one, rest = FakeQueue(before=fail), FakeQueue()
    delivery = Delivery(RoutingQueue({"urn:dastra:webhook:1": one}, rest), FakeStore(), RecordingLog())
    assert accept(delivery, samples.message(samples.event(webhookId=1))) is Placed.SPOOL
    assert accept(delivery, samples.message(samples.event(webhookId=2))) is Placed.QUEUE
    one.before = None
    assert Redrive(delivery).run().sent == 1
    assert [message.attributes["source"] for message in one.messages] == ["urn:dastra:webhook:1"]
    assert len(rest.messages) == 1


def test_every_client_is_thrown_away_once() -> None:
    """After a time-out nobody can say whose it was; a queue that serves two webhooks is one queue."""
    one, rest = FakeQueue(), FakeQueue()
    RoutingQueue({"a": one, "b": one, "c": rest}, rest).discard()
    assert (one.discarded, rest.discarded) == (1, 1)


def test_each_queue_connects_once_while_the_instance_starts() -> None:
    """Those that can; a queue that stands under several names is told once."""

    class Connecting(FakeQueue):
        connected = 0

        def connect(self) -> None:
            self.connected += 1

    one, rest = Connecting(), FakeQueue()
    RoutingQueue({"urn:dastra:webhook:1": one, "urn:dastra:reconcile:1": one}, rest).connect()
    assert one.connected == 1
