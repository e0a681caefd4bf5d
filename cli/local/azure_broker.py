"""A Service Bus namespace on loopback, over real AMQP 1.0, that breaks on demand.

Queues with peek-lock, duplicate detection, dead letters and the size limit of the Standard tier, for the official SDK:
Microsoft's emulator is a container, and no stock broker answers the ``$cbs`` node that the SDK always asks.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import struct
import threading
import time
import urllib.parse
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from cli.local import azure_amqp as amqp
from cli.local.azure_amqp import (
    AmqpError,
    Described,
    Frame,
    Int,
    Message,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)
from cli.local.faults import DRIP_SECONDS, LOOPBACK, Fault, reserve_port

T = TypeVar("T")

KEY_NAME: Final = "RootManageSharedAccessKey"
KEY: Final = "SAS_KEY_VALUE"
"""What Microsoft's own emulator uses: a constant that everybody knows."""
MAX_BYTES: Final = 262_144
"""A message of the Standard tier, properties included (Service Bus quotas)."""
DEAD_LETTERS: Final = "/$deadletterqueue"
_CBS: Final = "$cbs"
_FRAME_BYTES: Final = 65_536
_CREDIT: Final = 1000
_WINDOW: Final = 2**31 - 1
_LOCK_SECONDS: Final = 60.0
_MOST_DELIVERIES: Final = 10
_DEDUPLICATION_SECONDS: Final = 600.0
_HELD: Final = frozenset({Fault.SILENT, Fault.HANGING, Fault.DRIPPING})

REFUSALS: Final[Mapping[Fault, tuple[str, str]]] = {
    Fault.ERROR_500: ("amqp:internal-error", "The service was unable to process the request."),
    Fault.THROTTLED: ("com.microsoft:server-busy", "The request was terminated because the namespace is throttled."),
}
"""How the service refuses one message. Sources: "AMQP errors" of the Service Bus documentation."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A message as it lies on a queue. Looking at it changed nothing."""

    message: Message
    sequence: int
    enqueued_at: float
    """Seconds since the epoch."""
    failed_deliveries: int

    @property
    def attributes(self) -> dict[str, Any]:
        """The application properties."""
        return dict(self.message.application)


@dataclass(slots=True)
class _Queue:
    waiting: deque[Enqueued] = field(default_factory=deque)
    locked: dict[bytes, tuple[Enqueued, float]] = field(default_factory=dict)
    seen: dict[Any, float] = field(default_factory=dict)
    deduplicates: bool = True


class Broker:
    """A namespace on 127.0.0.1, on one daemon thread of its own.

    All methods may be called from any thread and have taken effect when they return. Queues exist once they are made
    with :meth:`create_queue`; each has its dead letters at ``<name>/$deadletterqueue``.

    Args:
        port: where to listen; 0 takes a free one.
        max_bytes: the largest message it takes, as the SDK encodes it.
        lock_seconds: how long a received message is nobody else's.
        slow_seconds: how long ``Fault.SLOW`` holds an acknowledgement; may be changed at any time.
        tls: a context makes it speak TLS; then its port must be the SDK's own.
        verify: whether a token is good: is given its type and text. Without it signatures with the known key are.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        max_bytes: int = MAX_BYTES,
        lock_seconds: float = _LOCK_SECONDS,
        slow_seconds: float = 1.0,
        tls: Any = None,
        verify: Callable[[str, str], bool] | None = None,
    ) -> None:
        self.slow_seconds = slow_seconds
        self.transfers = 0
        """Messages that came for a queue, whatever became of them."""
        self.accepted_connections = 0
        self.duplicates = 0
        self.tokens: list[str] = []
        """The type of every token that was put."""
        self._max_bytes: Final = max_bytes
        self._lock_seconds: Final = lock_seconds
        self._tls: Final = tls
        self._verify: Final = verify or _signed_with_the_known_key
        self._port = port
        self._mode = Fault.NONE
        self._times: int | None = None
        self._refusal: tuple[str, str] | None = None
        self._queues: dict[str, _Queue] = {}
        self._sequence = 0
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._holder: socket.socket | None = None
        self._loop: Final = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None

    # -- control, from any thread --------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen. Raises OSError when the port is taken."""
        self._port, self._holder = reserve_port(self._port)
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"broker-{self._port}", daemon=True)
        self._thread.start()
        try:
            self._call(self._listen())
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Close every connection and the port, and end the thread. A second call does nothing."""
        if self._thread is None or self._loop.is_closed():
            return
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._holder is not None:
            self._holder.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def address(self) -> str:
        """Where a client connects, ``127.0.0.1:41234``."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def connection_string(self) -> str:
        """What a client of an emulator takes."""
        return (
            f"Endpoint=sb://{self.address};SharedAccessKeyName={KEY_NAME};SharedAccessKey={KEY};"
            "UseDevelopmentEmulator=true;"
        )

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return self._call(self._count())

    @property
    def mode(self) -> Fault:
        """The fault that the next message meets."""
        return self._mode

    def set(self, mode: Fault, times: int | None = None) -> None:
        """Switch the fault for the next ``times`` messages (None: for good).

        Connections that a silent, hanging or dripping mode still holds are reset.
        """
        self._call(self._switch(mode, times, None))

    def refuse(self, condition: str, description: str = "refused by the test", times: int | None = None) -> None:
        """Refuse messages with an error condition of Service Bus."""
        self._call(self._switch(Fault.ERROR_500, times, (condition, description)))

    def detach(self, condition: str = "amqp:link:detach-forced") -> None:
        """Detach every link of every sender, as the service does after ten idle minutes."""
        self._call(self._detach_all(condition))

    def disconnect(self) -> None:
        """Reset every connection and go on listening."""
        self._call(self._drop())

    def stop_listening(self) -> None:
        """As when the service is down: connections are reset and further ones refused, until :meth:`listen`."""
        self._call(self._switch(Fault.REFUSED, None, None))

    def listen(self) -> None:
        """The service is up again; what was on its queues still is."""
        self._call(self._switch(Fault.NONE, None, None))

    def create_queue(self, name: str, *, deduplicates: bool = True) -> None:
        """Make a queue, or empty one that is there."""
        name = name.lower()

        async def make() -> None:
            self._queues[name] = _Queue(deduplicates=deduplicates)
            self._queues[name + DEAD_LETTERS] = _Queue(deduplicates=False)

        self._call(make())

    def messages(self, queue: str) -> list[Enqueued]:
        """Every message of a queue, oldest first, those that are locked included, and change none of them.

        Raises LookupError, naming the queues there are, when there is no such queue.
        """

        async def look() -> list[Enqueued]:
            found = self._queues.get(queue)
            if found is None:
                raise LookupError(f"no queue {queue!r} among {sorted(self._queues)}")
            return sorted(
                (*found.waiting, *(item for item, _ in found.locked.values())), key=lambda item: item.sequence
            )

        return self._call(look())

    def purge(self, queue: str) -> None:
        """Take every message off a queue and forget which ids it has seen."""

        async def empty() -> None:
            self._queues[queue] = _Queue(deduplicates=self._queues[queue].deduplicates)

        self._call(empty())

    def _call(self, action: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            action.close()
            raise RuntimeError("the broker does not run")
        return asyncio.run_coroutine_threadsafe(action, self._loop).result()

    # -- everything below runs on the broker's thread ------------------------------------------------------------------

    async def _count(self) -> int:
        return len(self._connections)

    async def _listen(self) -> None:
        if self._server is None:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, self._port))
            except OSError:
                listener.close()
                raise
            self._server = await asyncio.start_server(self._converse, sock=listener, ssl=self._tls, backlog=128)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _end(self) -> None:
        await self._stop_listening()
        await self._drop()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drop(self, *, held_only: bool = False) -> None:
        for connection in list(self._connections):
            if connection.held or not held_only:
                connection.abort()

    async def _switch(self, mode: Fault, times: int | None, refusal: tuple[str, str] | None) -> None:
        self._mode, self._times, self._refusal = mode, times, refusal
        if mode is Fault.REFUSED:
            await self._stop_listening()
            await self._drop()
        else:
            await self._drop(held_only=True)
            await self._listen()

    async def _detach_all(self, condition: str) -> None:
        for connection in list(self._connections):
            connection.detach_senders(condition)

    def take(self) -> Fault:
        """Count one message, and say what happens to it."""
        fault = self._mode
        self.transfers += 1
        if self._times is not None:
            self._times -= 1
            if self._times <= 0:
                self._mode, self._times = Fault.NONE, None
        return fault

    def refusal(self, fault: Fault) -> tuple[str, str] | None:
        """The condition with which a message is refused under a fault, if it is."""
        return self._refusal if self._refusal is not None and fault is Fault.ERROR_500 else REFUSALS.get(fault)

    def good(self, kind: str, token: str) -> bool:
        """Whether a token lets its bearer in."""
        self.tokens.append(kind)
        return self._verify(kind, token)

    def queue(self, address: str) -> _Queue | None:
        """The queue at an address, if there is one."""
        return self._queues.get(address)

    @property
    def max_bytes(self) -> int:
        """The largest message."""
        return self._max_bytes

    def put(self, address: str, message: Message, failed: int = 0) -> None:
        """Put a message on a queue, unless one of its id was there in the last ten minutes."""
        queue, now = self._queues[address], time.time()
        if queue.deduplicates and message.id is not None and not failed:
            if now - queue.seen.get(message.id, 0.0) < _DEDUPLICATION_SECONDS:
                self.duplicates += 1
                return
            queue.seen[message.id] = now
        self._sequence += 1
        queue.waiting.append(Enqueued(message, self._sequence, now, failed))
        for connection in list(self._connections):
            connection.pump(address)

    def lock(self, address: str) -> tuple[bytes, Enqueued, float] | None:
        """Take the next message of a queue for one receiver: its lock token, the message, and until when."""
        queue = self._queues.get(address)
        if queue is None or not queue.waiting:
            return None
        item, token = queue.waiting.popleft(), uuid.uuid4().bytes_le
        until = time.time() + self._lock_seconds
        queue.locked[token] = (item, until)
        self._loop.call_later(self._lock_seconds, self.unlock, address, token)
        return token, item, until

    def complete(self, address: str, token: bytes) -> None:
        """A receiver is done with a message."""
        if (queue := self._queues.get(address)) is not None:
            queue.locked.pop(token, None)

    def unlock(self, address: str, token: bytes, reason: str | None = None, description: str = "") -> None:
        """A receiver gave a message back, or its lock is over; with a reason it goes to the dead letters."""
        queue = self._queues.get(address)
        found = queue.locked.pop(token, None) if queue is not None else None
        if queue is None or found is None:
            return
        item, _ = found
        failed = item.failed_deliveries + 1
        if reason is None and failed >= _MOST_DELIVERIES:
            reason, description = "MaxDeliveryCountExceeded", f"It was delivered {failed} times."
        if reason is not None:
            more = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
            self.put(address.removesuffix(DEAD_LETTERS) + DEAD_LETTERS, item.message.with_application(more))
            return
        queue.waiting.appendleft(Enqueued(item.message, item.sequence, item.enqueued_at, failed))
        for connection in list(self._connections):
            connection.pump(address)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Do something after a while."""
        self._loop.call_later(seconds, call)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted_connections += 1
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.serve()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, AmqpError, KeyError, IndexError):
            pass  # the peer is gone, or what it says is not AMQP
        finally:
            self._connections.discard(connection)
            connection.abort()


@dataclass(slots=True)
class _Link:
    handle: int
    channel: int
    address: str
    to_client: bool
    credit: int = 0
    sent: int = 0
    partial: bytearray = field(default_factory=bytearray)
    first: Frame | None = None


class _Connection:
    """One client."""

    def __init__(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._broker: Final = broker
        self._reader: Final = reader
        self._writer: Final = writer
        self._links: dict[tuple[int, int], _Link] = {}
        self._unsettled: dict[int, tuple[_Link, bytes]] = {}
        self._delivery = 0
        self._received = 0
        self._frame_bytes = _FRAME_BYTES
        self.held = False
        """A fault holds it: what it waits for never comes."""
        self._gone: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Reset the connection."""
        sock = self._writer.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        if not self._gone.done():
            self._gone.set_result(None)

    def _send(self, performative: int, fields: Sequence[Any], channel: int, payload: bytes = b"") -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(Frame(performative, fields, channel, payload).encode())

    async def _frame(self) -> Frame | None:
        """The next frame, None for an empty one."""
        length, skipped, channel = amqp.read_head(await self._reader.readexactly(amqp.FRAME_HEAD))
        body = (await self._reader.readexactly(length))[skipped:]
        return amqp.read_body(body, channel) if body else None

    async def _hold(self) -> None:
        """Say nothing any more, and read nothing."""
        self.held = True
        await self._gone
        raise ConnectionResetError

    async def _drip(self) -> None:
        """Keep the line alive byte by byte, with empty frames, and say nothing else."""
        self.held = True
        at = 0
        while not self._gone.done():
            await asyncio.wait([self._gone], timeout=DRIP_SECONDS)
            self._writer.write(amqp.EMPTY_FRAME[at : at + 1])
            at = (at + 1) % amqp.FRAME_HEAD
        raise ConnectionResetError

    # -- the conversation ----------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Answer until the peer closes."""
        header = await self._reader.readexactly(len(amqp.HEADER))
        if self._broker.mode is Fault.SILENT:
            self._broker.take()
            await self._hold()
        if self._broker.mode is Fault.RESET:
            self._broker.take()
            return
        if header == amqp.SASL_HEADER:
            await self._sasl()
            header = await self._reader.readexactly(len(amqp.HEADER))
        if header != amqp.HEADER:
            return
        self._writer.write(amqp.HEADER)
        while True:
            frame = await self._frame()
            if self._broker.mode is Fault.SILENT:
                self._broker.take()
                await self._hold()
            if frame is None:
                self._writer.write(amqp.EMPTY_FRAME)
                continue
            if not await self._answer(frame):
                return

    async def _sasl(self) -> None:
        self._writer.write(amqp.SASL_HEADER)
        mechanisms = Frame(amqp.SASL_MECHANISMS, [amqp.Array(("MSSBCBS", "ANONYMOUS", "EXTERNAL"))])
        self._writer.write(mechanisms.encode(amqp.FRAME_SASL))
        await self._frame()
        self._writer.write(Frame(amqp.SASL_OUTCOME, [UByte(0)]).encode(amqp.FRAME_SASL))

    async def _answer(self, frame: Frame) -> bool:
        channel = frame.channel
        match frame.performative:
            case amqp.OPEN:
                self._frame_bytes = max(512, min(_FRAME_BYTES, int(frame.get(2, _FRAME_BYTES))))
                fields = ["local-broker", None, UInt(_FRAME_BYTES), UShort(255), UInt(240_000)]
                self._send(amqp.OPEN, fields, channel)
            case amqp.BEGIN:
                fields = [UShort(channel), UInt(0), UInt(_WINDOW), UInt(_WINDOW), UInt(255)]
                self._send(amqp.BEGIN, fields, channel)
            case amqp.ATTACH:
                self._attach(frame)
            case amqp.FLOW:
                self._flow(frame)
            case amqp.TRANSFER:
                await self._transfer(frame)
            case amqp.DISPOSITION:
                self._disposition(frame)
            case amqp.DETACH:
                link = self._links.pop((channel, int(frame.get(0))), None)
                if link is not None:
                    self._send(amqp.DETACH, [UInt(link.handle), True], channel)
            case amqp.END:
                self._send(amqp.END, [], channel)
            case amqp.CLOSE:
                self._send(amqp.CLOSE, [], channel)
                await self._writer.drain()
                self._writer.close()
                return False
        return True

    def _attach(self, frame: Frame) -> None:
        name, handle, to_client = frame.get(0), int(frame.get(1)), bool(frame.get(2))
        source, target = frame.get(5), frame.get(6)
        address = _address(source if to_client else target)
        known = address == _CBS or self._broker.queue(address) is not None
        fields: list[Any] = [name, UInt(handle), not to_client, frame.get(3, UByte(2)), frame.get(4, UByte(0))]
        if not known:
            # A refused link is attached with no ends and then detached (part 2, 2.6.3).
            self._send(amqp.ATTACH, [*fields, None, None, None, None, UInt(0)], frame.channel)
            why = amqp.error("amqp:not-found", f"The messaging entity '{address}' could not be found.")
            self._send(amqp.DETACH, [UInt(handle), True, why], frame.channel)
            return
        link = _Link(handle, frame.channel, address, to_client, _CREDIT)
        self._links[frame.channel, handle] = link
        first_count = UInt(0) if to_client else None
        fields += [source, target, None, None, first_count, ULong(self._broker.max_bytes)]
        self._send(amqp.ATTACH, fields, frame.channel)
        if to_client:
            link.credit = 0
        else:
            self._grant(link)

    def _grant(self, link: _Link) -> None:
        link.credit = _CREDIT
        window = [UInt(self._received), UInt(_WINDOW), UInt(self._delivery), UInt(_WINDOW)]
        self._send(amqp.FLOW, [*window, UInt(link.handle), UInt(link.sent), UInt(_CREDIT)], link.channel)

    def _flow(self, frame: Frame) -> None:
        link = self._links.get((frame.channel, int(frame.get(4, -1))))
        if link is None or not link.to_client:
            return
        link.credit = int(frame.get(5, 0)) + int(frame.get(6, 0)) - link.sent
        self.pump(link.address)
        if frame.get(8, False):  # drain: what is not used is given back
            link.sent += max(0, link.credit)
            link.credit = 0
            window = [UInt(self._received), UInt(_WINDOW), UInt(self._delivery), UInt(_WINDOW)]
            self._send(amqp.FLOW, [*window, UInt(link.handle), UInt(link.sent), UInt(0), UInt(0), True], link.channel)

    def detach_senders(self, condition: str) -> None:
        """Detach the links on which the client sends."""
        for key, link in list(self._links.items()):
            if not link.to_client and link.address != _CBS:
                del self._links[key]
                why = amqp.error(condition, "The link is force detached: IdleTimerExpired: 00:10:00.")
                self._send(amqp.DETACH, [UInt(link.handle), True, why], link.channel)

    # -- from the client -----------------------------------------------------------------------------------------------

    async def _transfer(self, frame: Frame) -> None:
        link = self._links.get((frame.channel, int(frame.get(0))))
        self._received += 1
        if link is None or link.to_client:
            return
        if link.first is None:
            link.first = frame
        link.partial += frame.payload
        if frame.get(5, False):  # more
            return
        first, data = link.first, bytes(link.partial)
        link.first, link.partial = None, bytearray()
        link.sent += 1
        link.credit -= 1
        if link.credit < _CREDIT // 2:
            self._grant(link)
        if link.address == _CBS:
            self._token(frame.channel, first, data)
        else:
            await self._message(link, first, data)

    def _token(self, channel: int, first: Frame, data: bytes) -> None:
        asked = amqp.read_message(data)
        good = self._broker.good(str(asked.application.get("type")), str(asked.value))
        self._settle(channel, first, Described(ULong(amqp.ACCEPTED), []))
        status = {
            "status-code": Int(202 if good else 401),
            "status-description": "Accepted" if good else "Unauthorized",
        }
        for link in self._links.values():
            if link.to_client and link.address == _CBS:
                self._deliver(link, amqp.message(None, asked.id, status), uuid.uuid4().bytes_le, settled=True)

    async def _message(self, link: _Link, first: Frame, data: bytes) -> None:
        fault = self._broker.take()
        refusal = self._broker.refusal(fault)
        if refusal is None and len(data) > self._broker.max_bytes:
            size = f"The message of {len(data)} bytes exceeds the limit ({self._broker.max_bytes} bytes)."
            refusal = ("amqp:link:message-size-exceeded", size)
        if refusal is not None:
            self._settle(link.channel, first, Described(ULong(amqp.REJECTED), [amqp.error(*refusal)]))
            return
        match fault:
            case Fault.RESET | Fault.REFUSED:
                raise ConnectionResetError
            case Fault.HANGING | Fault.SILENT:
                await self._hold()
            case Fault.DRIPPING:
                await self._drip()
            case Fault.ERROR_503:
                why = amqp.error("amqp:connection:forced", "The service is shutting down.")
                self._send(amqp.CLOSE, [why], 0)
                await self._writer.drain()
                raise ConnectionResetError
            case _:
                self._broker.put(link.address, amqp.read_message(data))
        accepted = Described(ULong(amqp.ACCEPTED), [])
        if fault is Fault.SLOW:
            self._broker.later(self._broker.slow_seconds, lambda: self._settle(link.channel, first, accepted))
        elif fault is Fault.CUT:
            raise ConnectionResetError
        elif fault is Fault.CUT_HALF:
            half = Frame(amqp.DISPOSITION, self._settled(first, accepted), link.channel).encode()
            self._writer.write(half[: len(half) // 2])
            await self._writer.drain()
            self._writer.close()
            raise ConnectionResetError
        else:
            self._settle(link.channel, first, accepted)

    @staticmethod
    def _settled(first: Frame, state: Described) -> list[Any]:
        delivery = UInt(int(first.get(1)))
        return [True, delivery, delivery, True, state]

    def _settle(self, channel: int, first: Frame, state: Described) -> None:
        if not first.get(4, False):  # not settled by the sender already
            self._send(amqp.DISPOSITION, self._settled(first, state), channel)

    # -- to the client -------------------------------------------------------------------------------------------------

    def pump(self, address: str) -> None:
        """Deliver what waits on a queue to the links that have credit."""
        for link in list(self._links.values()):
            while link.to_client and link.address == address and link.credit > 0:
                taken = self._broker.lock(address)
                if taken is None:
                    return
                token, item, until = taken
                annotations = {
                    Symbol("x-opt-sequence-number"): item.sequence,
                    Symbol("x-opt-enqueued-time"): Timestamp(int(item.enqueued_at * 1000)),
                    Symbol("x-opt-locked-until"): Timestamp(int(until * 1000)),
                    Symbol("x-opt-message-state"): Int(0),
                }
                self._deliver(link, item.message.delivered(item.failed_deliveries, annotations), token)

    def _deliver(self, link: _Link, data: bytes, tag: bytes, *, settled: bool = False) -> None:
        delivery, self._delivery = self._delivery, self._delivery + 1
        link.credit -= 1
        link.sent += 1
        if not settled:
            self._unsettled[delivery] = (link, tag)
        room = max(128, self._frame_bytes - 256)  # for the head of a transfer
        pieces = [data[at : at + room] for at in range(0, len(data), room)] or [b""]
        for number, piece in enumerate(pieces):
            more = number + 1 < len(pieces)
            head = [UInt(delivery), tag, UInt(0)] if number == 0 else [None, None, None]
            self._send(amqp.TRANSFER, [UInt(link.handle), *head, settled, more], link.channel, piece)

    def _disposition(self, frame: Frame) -> None:
        first = int(frame.get(1))
        last = int(frame.get(2, first))
        state = frame.get(4)
        for delivery in range(first, min(last, first + 10_000) + 1):
            known = self._unsettled.get(delivery)
            if known is None or not isinstance(state, Described):
                continue
            del self._unsettled[delivery]
            link, token = known
            match int(state.descriptor):
                case amqp.ACCEPTED:
                    self._broker.complete(link.address, token)
                case amqp.REJECTED:
                    reason, description = _dead_letter(state)
                    self._broker.unlock(link.address, token, reason, description)
                case _:
                    self._broker.unlock(link.address, token)
        if not frame.get(3, False) and isinstance(state, Described):
            # The outcome comes back as it was applied; an error in it would mean that it was not.
            applied = Described(state.descriptor, [])
            self._send(amqp.DISPOSITION, [False, UInt(first), UInt(last), True, applied], frame.channel)


def _address(end: Any) -> str:
    """A node's address, from a source or a target: the SDK writes whole URLs. Names have no case in Service Bus."""
    fields = end.value if isinstance(end, Described) and isinstance(end.value, list) else []
    text = str(fields[0]) if fields and fields[0] is not None else ""
    return (urllib.parse.urlsplit(text).path.lstrip("/") if "://" in text else text).lower()


def _dead_letter(state: Described) -> tuple[str, str]:
    why = state.value[0] if state.value else None
    fields = why.value if isinstance(why, Described) else []
    info = {str(name): value for name, value in fields[2].items()} if len(fields) > 2 and fields[2] else {}
    return str(info.get("DeadLetterReason") or ""), str(info.get("DeadLetterErrorDescription") or "")


def _signed_with_the_known_key(kind: str, token: str) -> bool:
    """Whether a shared access signature is of the key above and not over ("SAS token" of the documentation)."""
    del kind  # the SDK says "jwt" of both kinds
    given = urllib.parse.parse_qs(token.partition(" ")[2])
    try:
        resource, expires, signature = given["sr"][0], given["se"][0], given["sig"][0]
        text = f"{urllib.parse.quote_plus(resource)}\n{expires}".encode()
        wanted = base64.b64encode(hmac.digest(KEY.encode(), text, hashlib.sha256)).decode()
        return hmac.compare_digest(wanted, signature) and int(expires) > time.time()
    except (KeyError, ValueError):
        return False
