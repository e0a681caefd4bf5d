"""Several queues behind one receiver: a queue that passes each message to the queue of its webhook.

For Dastra, a webhook belongs to one workspace or to all, so the webhook's id says whose event it is. Each cloud's
``wiring.py`` makes the one queue of ``Delivery``; give it this one instead:

    RoutingQueue({"urn:dastra:webhook:1041": SqsQueue(url_a, …)}, otherwise=SqsQueue(url_b, …))

What was spooled finds the same way later, since the attributes are stored with it. A reconciled event has the source
``urn:dastra:reconcile:1041``: map that as well. The command line makes a queue of its own (``docs/forking.md``). A
queue that hangs is left alone for 15 seconds together with its neighbours, whose events wait in the store for that
time; where that is too much, let the cloud do the routing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.message import QueueMessage
from core.ports import Queue


class RoutingQueue:
    """Queues by the ``source`` of their messages, and one for all other messages."""

    def __init__(self, queues: Mapping[str, Queue], otherwise: Queue) -> None:
        self._queues: Final = dict(queues)
        self._otherwise: Final = otherwise

    def connect(self) -> None:
        """Let each queue connect that can do so while the instance starts."""
        for queue in self._all():
            if connect := getattr(queue, "connect", None):
                connect()

    def takes(self, message: QueueMessage) -> bool:
        """Whether the message's own queue accepts it."""
        return self._for(message).takes(message)

    def send(self, message: QueueMessage, timeout: float) -> None:
        """Send the message to its queue.

        Raises:
            PortError: as that queue does.
        """
        self._for(message).send(message, timeout)

    def discard(self) -> None:
        """Throw every client away."""
        for queue in self._all():
            queue.discard()

    def _all(self) -> list[Queue]:
        return list({id(queue): queue for queue in (*self._queues.values(), self._otherwise)}.values())

    def _for(self, message: QueueMessage) -> Queue:
        return self._queues.get(message.attributes["source"], self._otherwise)
