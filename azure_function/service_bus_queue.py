"""Service Bus as the queue: one AMQP connection per instance, through the SDK's asynchronous client.

The asynchronous one, since the synchronous sender is neither safe under threads nor bounded: it waits without end for a
peer that accepts and stays silent. Its loop runs on one thread; callers hand a message over and wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)

from azure_function.identity import AsyncToken
from azure_function.loop import LoopThread, StuckError
from azure_function.places import QueuePlace
from azure_function.sdk import port_error
from core.envelope import Envelope, EnvelopeError
from core.message import TYPE_PREFIX, UNCLASSIFIED, QueueMessage
from core.ports import PortError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.servicebus.aio import ServiceBusSender

Connect = Callable[[], ServiceBusClient]

PREFIX: Final = "cloudEvents:"
"""Of application properties (CloudEvents' AMQP binding, 3.1.3.1)."""
STANDARD_MAX_BYTES: Final = 262_144
"""A message of the Standard tier, properties included (Service Bus quotas). Premium's link says that it takes more."""
_OVERHEAD: Final = 512
"""More than all sections and system properties of a message take beside what is counted."""
_PER_ATTRIBUTE: Final = 10
"""Two AMQP strings, each with at most five bytes before it."""
_SOFT: Final = 0.95
"""Of the time: the rest is for whoever waits to hear of it."""
_OPEN_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 2.0
_IDLE_SECONDS: Final = 540.0
"""The service detaches a sender that was idle for ten minutes (its documentation); an older one is replaced before."""
_DOUBTFUL_SECONDS: Final = 60.0
"""After so long without a message the peer may be gone without a word: half of the time is left for another try."""
_LEAST_SECONDS: Final = 0.05
_GLANCE_SECONDS: Final = 0.02
_FINAL: Final = (
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)
"""Said by a service that is well: a second attempt at once would hear the same, on the same connection."""


def connector(place: QueuePlace, credential: Callable[[], TokenCredential]) -> Connect:
    """Makes the SDK's client: with a token over TLS, or in clear text for an emulator on this machine."""
    if place.local:
        from azure_function.local import queue_credential

        return lambda: ServiceBusClient(place.address, queue_credential(), use_tls=False, retry_total=0)
    token = AsyncToken(credential())
    return lambda: ServiceBusClient(place.address, token, retry_total=0)


class ServiceBusQueue:
    """A queue of a namespace.

    Args:
        connect: makes a client without I/O, on the loop's thread.
        queue: the queue's name.
        max_bytes: the largest message until the link has said what it takes.
    """

    def __init__(self, connect: Connect, queue: str, max_bytes: int = STANDARD_MAX_BYTES) -> None:
        self._connect: Final = connect
        self._queue: Final = queue
        self._max_bytes = max_bytes
        self._lock: Final = threading.Lock()
        self._line: _Line | None = None

    def connect(self) -> None:
        """Begin to open the connection, which takes half a second, and do not wait for it."""
        line = self._get()
        line.thread.start(line.open(_OPEN_SECONDS))

    def takes(self, message: QueueMessage) -> bool:
        """Whether Service Bus accepts a message of this size. A body may be any bytes."""
        attributes = sum(
            len(PREFIX) + len(name) + len(value.encode()) + _PER_ATTRIBUTE for name, value in message.attributes.items()
        )
        return len(message.body) + attributes + _OVERHEAD <= self._max_bytes

    def send(self, message: QueueMessage, timeout: float) -> None:
        """Send the message; Service Bus has stored it when this returns.

        Raises:
            PortError: it has not, or nobody knows.
        """
        line = self._get()
        try:
            line.thread.run(line.send(_as_amqp(message), timeout * _SOFT), timeout)
        except StuckError as error:
            self._forget(line)
            raise PortError("stuck_connection", timed_out=True) from error
        except Exception as error:
            raise port_error(error, (MessageSizeExceededError,)) from error

    def discard(self) -> None:
        """Nothing is left to do: a send that times out has cut its connection off itself, and only its own."""

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Cut the connection off and end its thread."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.thread.stop(seconds)

    def _get(self) -> _Line:
        line = self._line
        if line is None:
            with self._lock:
                if self._line is None:
                    self._line = _Line(self._connect, self._queue, self._learn)
                line = self._line
        return line

    def _forget(self, line: _Line) -> None:
        with self._lock:
            if self._line is line:
                self._line = None
        line.thread.stop()

    def _learn(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes


class _Line:
    """The connection. All but the constructor runs on the loop's thread."""

    def __init__(self, connect: Connect, queue: str, learn: Callable[[int], None]) -> None:
        self.thread: Final = LoopThread("service-bus")
        self._connect: Final = connect
        self._queue: Final = queue
        self._learn: Final = learn
        self._turn: Final = asyncio.Lock()
        self._client: ServiceBusClient | None = None
        self._sender: ServiceBusSender | None = None
        self._opened = False
        self._used_at = 0.0
        self._ending: Final[set[asyncio.Task[None]]] = set()

    async def open(self, seconds: float) -> None:
        """Open the link before there is anything to send."""
        with contextlib.suppress(Exception):  # the first message will find out
            async with self._turn:
                await self._bounded(self._make_ready(), seconds)

    async def send(self, message: ServiceBusMessage, seconds: float) -> None:
        """Send one message; the wait for those before it is part of the time."""
        ends_at = time.monotonic() + seconds
        async with asyncio.timeout(seconds):
            await self._turn.acquire()
        try:
            await self._send(message, ends_at)
        finally:
            self._turn.release()

    async def _send(self, message: ServiceBusMessage, ends_at: float) -> None:
        idle = time.monotonic() - self._used_at
        if self._opened and (idle > _IDLE_SECONDS or not self.thread.is_connected()):
            self._drop()
        left = ends_at - time.monotonic()
        doubtful = self._opened and idle > _DOUBTFUL_SECONDS
        try:
            await self._bounded(self._transfer(message), left / 2 if doubtful else left, hasty=True)
        except _FINAL:
            raise
        except Exception:
            # A broken connection shows itself in many ways; a new one is tried once.
            left = ends_at - time.monotonic()
            if left < _LEAST_SECONDS:
                raise
            await self._bounded(self._transfer(message), left)

    async def _transfer(self, message: ServiceBusMessage) -> None:
        sender = await self._make_ready()
        await sender.send_messages(message)
        self._used_at = time.monotonic()

    async def _make_ready(self) -> ServiceBusSender:
        if self._sender is None:
            self._client = self._connect()
            self._sender = self._client.get_queue_sender(self._queue)
        sender = self._sender
        if not self._opened:
            # Opens the link, and is the SDK's one way to ask how large a message it takes.
            self._learn((await sender.create_message_batch()).max_size_in_bytes)
            self._opened, self._used_at = True, time.monotonic()
        return sender

    async def _bounded(self, call: Coroutine[Any, Any, Any], seconds: float, *, hasty: bool = False) -> None:
        """Await a call of the SDK for so long, and let nobody use the connection again after it failed.

        In a task of its own: before the SDK tells of a failure, or obeys a cancellation, it closes what it has open,
        and that takes up to a second. A hasty caller does not wait to hear it, once the connection is gone.
        """
        task = asyncio.get_running_loop().create_task(call)
        try:
            await self._watch(task, seconds, hasty=hasty)
            task.result()
        except _FINAL:
            raise
        except BaseException:
            self._drop()
            self._leave(task)
            raise

    async def _watch(self, task: asyncio.Task[Any], seconds: float, *, hasty: bool) -> None:
        ends_at = time.monotonic() + seconds
        was_connected = False
        while not task.done():
            is_connected = self.thread.is_connected()
            left = ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if hasty and was_connected and not is_connected:
                raise ConnectionError
            was_connected = is_connected
            await asyncio.wait([task], timeout=min(left, _GLANCE_SECONDS) if hasty else left)

    def _drop(self) -> None:
        """Cut the connection off, and let the SDK end what it has running for it."""
        client, self._client, self._sender, self._opened = self._client, None, None, False
        self.thread.cut()
        if client is not None:
            self._leave(asyncio.get_running_loop().create_task(_close(client)), cancel=False)

    def _leave(self, task: asyncio.Task[Any], *, cancel: bool = True) -> None:
        """Let a task end by itself; nobody hears how."""
        if cancel:
            task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()


async def _close(client: ServiceBusClient) -> None:
    """Let the SDK end what it has running for a connection that is cut off already."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.close()


def _as_amqp(message: QueueMessage) -> ServiceBusMessage:
    return ServiceBusMessage(
        message.body,
        application_properties={PREFIX + name: value for name, value in message.attributes.items()},
        # Duplicate detection goes by it.
        message_id=message.id,
        content_type="application/json" if _is_json(message) else None,
    )


def _is_json(message: QueueMessage) -> bool:
    if message.is_pointer or message.attributes.get("type") != TYPE_PREFIX + UNCLASSIFIED:
        return True
    try:
        Envelope.parse(message.body)
    except EnvelopeError:
        return False
    return True
