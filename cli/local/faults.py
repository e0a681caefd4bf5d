"""A proxy that breaks on demand: what a queue, a store or a key source looks like when it fails, on the wire.

It exists because no published package switches refused connections, silent and dripping servers and lost replies on
and off under connections that are already open (microburst lacks the first three; mitmproxy is heavy, toxiproxy is
not a Python package).

HTTP/1.1 in clear text only. h11 finds where a message ends; the bytes that pass are the bytes that came.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import threading
from collections.abc import Collection, Coroutine
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import h11

LOOPBACK = "127.0.0.1"
DRIP_SECONDS = 0.5


class Fault(StrEnum):
    """What the proxy does to a request. A request keeps the mode that was on when it arrived."""

    NONE = "none"
    """Forwards, unchanged."""
    REFUSED = "refused"
    """Nobody listens: connects are refused. Open connections are closed, requests under way with them."""
    RESET = "reset"
    """Resets the connection (RST) when a request begins to arrive."""
    SILENT = "silent"
    """Accepts, and never reads nor answers."""
    HANGING = "hanging"
    """Reads the request and never answers."""
    DRIPPING = "dripping"
    """Starts a valid answer, then sends one byte every `DRIP_SECONDS`, for ever: no pause is long, no answer ends."""
    ERROR_500 = "500"
    """Answers 500 in the words of the service asked; nothing is forwarded."""
    ERROR_503 = "503"
    """Answers 503 in the words of the service asked; nothing is forwarded."""
    THROTTLED = "throttled"
    """Answers as an AWS service does that throttles; nothing is forwarded."""
    SLOW = "slow"
    """Forwards, and holds the answer for `slow_seconds`."""
    CUT = "cut"
    """Forwards, reads the whole answer and closes without sending any of it: done, but nobody was told."""
    CUT_HALF = "cut-half"
    """As `CUT`, after half of the answer: half of its body, or of its head if it has no body."""


_BEFORE_READING = frozenset({Fault.RESET, Fault.SILENT})
_HELD = frozenset({Fault.SILENT, Fault.HANGING, Fault.DRIPPING})
_CUT = frozenset({Fault.CUT, Fault.CUT_HALF})

# Status and code by protocol. Sources: the "Common errors" page of the SQS API, "Error responses" of the S3 API;
# 403 for SQS's query protocol is what botocore's retry table expects.
_REFUSALS = {
    "json": {
        Fault.ERROR_500: (500, "InternalFailure"),
        Fault.ERROR_503: (503, "ServiceUnavailable"),
        Fault.THROTTLED: (400, "ThrottlingException"),
    },
    "query": {
        Fault.ERROR_500: (500, "InternalFailure"),
        Fault.ERROR_503: (503, "ServiceUnavailable"),
        Fault.THROTTLED: (403, "RequestThrottled"),
    },
    "s3": {
        Fault.ERROR_500: (500, "InternalError"),
        Fault.ERROR_503: (503, "ServiceUnavailable"),
        Fault.THROTTLED: (503, "SlowDown"),
    },
}


def reserve_port(port: int = 0) -> tuple[int, socket.socket]:
    """Return a loopback port (a free one for 0) and the socket that keeps it from others until it is closed.

    The socket is bound and does not listen, so connects are refused; whoever binds the port with SO_REUSEADDR can
    listen on it meanwhile. Only Linux allows that; elsewhere the socket comes back closed, and the port is a guess.
    Raises OSError when the port is taken.
    """
    holder = socket.socket()
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((LOOPBACK, port))
        found = int(holder.getsockname()[1])
    except OSError:
        holder.close()
        raise
    if sys.platform != "linux":
        holder.close()
    return found, holder


class FaultProxy:
    """A proxy on 127.0.0.1 in front of one upstream, on one daemon thread of its own.

    All methods are synchronous, may be called from any thread, and have taken effect when they return.
    `upstream_port` and `upstream_host` say where to forward; `port` where to listen (0: a free one);
    `slow_seconds` how long `Fault.SLOW` holds an answer (it may be changed at any time).
    """

    def __init__(
        self, upstream_port: int, *, upstream_host: str = LOOPBACK, port: int = 0, slow_seconds: float = 1.0
    ) -> None:
        self.slow_seconds = slow_seconds
        self._upstream = (upstream_host, upstream_port)
        self._family = socket.AF_INET
        self._address: Any = self._upstream
        self._port = port
        self._mode = Fault.NONE
        self._times: int | None = None
        self._taken = 0
        self._requests = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._holder: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[asyncio.Task[None]] = set()

    # -- control, from any thread --------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen. Raises OSError when the port is taken or the upstream's name does not resolve."""
        if self._thread is not None:
            raise RuntimeError("the proxy was already started")
        # Resolved here, once: the event loop would start a second thread for it.
        self._family, _, _, _, self._address = socket.getaddrinfo(*self._upstream, type=socket.SOCK_STREAM)[0]
        self._port, self._holder = reserve_port(self._port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fault-proxy-{self._port}", daemon=True)
        self._thread.start()
        try:
            self._call(self._switch(self._mode, self._times))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Close every connection and the port, and end the thread. A second call does nothing."""
        if self._loop is None or self._thread is None or self._loop.is_closed():
            return
        self._call(self._drop(self._tasks, listen=False))
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
        """The port it listens on; raises RuntimeError before `start`."""
        if self._thread is None:
            raise RuntimeError("the proxy has no port before start()")
        return self._port

    @property
    def url(self) -> str:
        """Where a client connects, for example `http://127.0.0.1:41234`."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def requests(self) -> int:
        """Requests that arrived since the start, whatever became of them. Refused connects cannot be counted."""
        return self._requests

    @property
    def mode(self) -> Fault:
        """The mode that the next request meets. Setting it is `set(mode)`."""
        return self._mode

    @mode.setter
    def mode(self, mode: Fault) -> None:
        self.set(mode)

    def set(self, mode: Fault, times: int | None = None) -> None:
        """Switch the mode for the next `times` requests (None: for good), then back to `Fault.NONE`.

        Open connections follow. Requests that a silent, hanging or dripping mode still holds are reset now.
        Raises ValueError for a count below 1, or with `Fault.REFUSED`, whose connects nobody can count.
        """
        if times is not None and (times < 1 or mode is Fault.REFUSED):
            raise ValueError(f"{mode} cannot be set for {times} requests")
        if self._thread is None:
            self._mode, self._times = mode, times
        else:
            self._call(self._switch(mode, times))

    def _call(self, action: Coroutine[Any, Any, None]) -> None:
        if self._loop is None or self._loop.is_closed():
            action.close()
            raise RuntimeError("the proxy does not run")
        asyncio.run_coroutine_threadsafe(action, self._loop).result()

    # -- everything below runs on the proxy's thread ---------------------------------------------------------------

    async def _switch(self, mode: Fault, times: int | None) -> None:
        self._mode, self._times, self._taken = mode, times, 0
        refused = mode is Fault.REFUSED
        await self._drop(self._tasks if refused else self._held, listen=not refused)

    async def _drop(self, tasks: Collection[asyncio.Task[None]], *, listen: bool) -> None:
        loop = asyncio.get_running_loop()
        if self._listener is not None and not listen:
            loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task in (dropped := list(tasks)):
            task.cancel()
        await asyncio.gather(*dropped, return_exceptions=True)
        if self._listener is None and listen:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, self._port))
                listener.listen(128)
            except OSError:
                listener.close()
                raise
            listener.setblocking(False)
            loop.add_reader(listener, self._accept, listener)
            self._listener = listener

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # it hung up while it queued
            return
        _prepare(client)
        task = asyncio.get_running_loop().create_task(self._converse(client))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(done, client))

    def _forget(self, task: asyncio.Task[None], client: socket.socket) -> None:
        # Here and not in the task: a task that is cancelled before its first step runs none of its own code.
        if task in self._held or (not task.cancelled() and task.exception() is not None):
            _reset(client)
        client.close()
        self._tasks.discard(task)
        self._held.discard(task)
        if not task.cancelled() and not isinstance(task.exception(), OSError | h11.RemoteProtocolError | None):
            task.result()  # our own mistake: the loop reports it

    def _take(self) -> Fault:
        """Count one request and say what happens to it."""
        fault = self._mode
        self._requests += 1
        self._taken += 1
        if self._times is not None and self._taken >= self._times:
            self._mode, self._times = Fault.NONE, None
        if fault in _HELD and (task := asyncio.current_task()) is not None:
            self._held.add(task)
        return fault

    async def _converse(self, client: socket.socket) -> None:
        """Serve one connection, request after request. An exception or a held fault ends it with a reset."""
        upstream: socket.socket | None = None
        left = b""
        try:
            while True:
                if not left:
                    await _readable(client)
                    if not client.recv(1, socket.MSG_PEEK):
                        return
                if self._mode in _BEFORE_READING:
                    fault = self._take()
                    if fault is Fault.SILENT:
                        await _for_ever()
                    raise ConnectionResetError
                request = _Message(client, h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16), left)
                head, raw = await request.piece()
                if not isinstance(head, h11.Request):
                    return  # closed between the first byte of a head and its last
                stays = True
                match fault := self._take():
                    case Fault.NONE | Fault.SLOW | Fault.CUT | Fault.CUT_HALF:
                        upstream = await self._connect(upstream)
                        stays = await self._forward(request, head, raw, upstream, fault)
                    case Fault.ERROR_500 | Fault.ERROR_503 | Fault.THROTTLED:
                        answer = _refusal(fault, head, self._taken)
                        await request.drain()
                        await _send(client, answer)
                    case Fault.HANGING:
                        await request.drain()
                        await _for_ever()
                    case Fault.DRIPPING:
                        await request.drain()
                        await _drip(client, head)
                    case Fault.SILENT:
                        await _for_ever()
                    case Fault.RESET | Fault.REFUSED:
                        raise ConnectionResetError
                if not stays or not request.reusable:
                    return
                left = request.left
        finally:
            if upstream is not None:
                upstream.close()

    async def _connect(self, upstream: socket.socket | None) -> socket.socket:
        """Return a live connection to the upstream: the one given, unless it was closed meanwhile."""
        if upstream is not None:
            try:
                upstream.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return upstream
            except OSError:
                pass
            upstream.close()
        upstream = socket.socket(self._family)
        try:
            _prepare(upstream)
            await asyncio.get_running_loop().sock_connect(upstream, self._address)
        except BaseException:
            upstream.close()
            raise
        return upstream

    async def _forward(
        self, request: _Message, head: h11.Request, raw: bytes, upstream: socket.socket, fault: Fault
    ) -> bool:
        """Pass one request up and its answer down; say whether the connection can serve another."""
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 16)
        # h11 must know the method to know where the answer ends; what it would send is not used.
        parser.send(h11.Request(method=head.method, target=head.target, headers=[("host", "upstream")]))
        answer = _Message(upstream, parser)
        await _send(upstream, raw)
        upload = asyncio.get_running_loop().create_task(_upload(request, upstream))
        kept: list[tuple[h11.Event, bytes]] = []
        try:
            while True:
                event, raw = await answer.piece()
                if fault is Fault.SLOW and isinstance(event, h11.Response):
                    await asyncio.sleep(self.slow_seconds)
                if fault not in _CUT or isinstance(event, h11.InformationalResponse):
                    await _send(request.sock, raw)
                else:
                    kept.append((event, raw))
                if isinstance(event, h11.EndOfMessage):
                    break
            if fault is Fault.CUT_HALF:
                top = kept[0][1]
                body = b"".join(piece for _, piece in kept[1:])
                await _send(request.sock, top + body[: len(body) // 2] if body else top[: len(top) // 2])
            # An answer that came before the whole request leaves the rest of the request in the way of the next.
            await asyncio.wait([upload], timeout=0.1)
            return not kept and upload.done() and answer.reusable
        finally:
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)


class _Message:
    """One HTTP message on its way through: h11 says where it ends, the bytes stay as they came."""

    def __init__(self, sock: socket.socket, parser: h11.Connection, data: bytes = b"") -> None:
        self.sock = sock
        self._parser = parser
        self._pending = data
        if data:
            parser.receive_data(data)

    async def piece(self) -> tuple[h11.Event, bytes]:
        """Return the next event and the bytes it was made of; raises h11.RemoteProtocolError on what is not HTTP."""
        while True:
            event = self._parser.next_event()
            if isinstance(event, h11.Event):
                rest = self.left
                raw = self._pending[: len(self._pending) - len(rest)]
                self._pending = rest
                return event, raw
            if event is h11.PAUSED:
                raise h11.RemoteProtocolError("a switch of protocols cannot pass")
            data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
            self._parser.receive_data(data)
            self._pending += data

    async def drain(self) -> None:
        """Read to the end of the message, telling the sender to go on if it waits for that."""
        if self._parser.they_are_waiting_for_100_continue:
            await _send(self.sock, b"HTTP/1.1 100 Continue\r\n\r\n")
        while not isinstance((await self.piece())[0], h11.EndOfMessage):
            pass

    @property
    def left(self) -> bytes:
        """Bytes read beyond what was handed out."""
        return self._parser.trailing_data[0]

    @property
    def reusable(self) -> bool:
        """Whether the message is complete and its sender keeps the connection."""
        return self._parser.their_state is h11.DONE


async def _upload(request: _Message, upstream: socket.socket) -> None:
    try:
        while True:
            event, raw = await request.piece()
            await _send(upstream, raw)
            if isinstance(event, h11.EndOfMessage):
                return
    except (OSError, h11.RemoteProtocolError):
        upstream.shutdown(socket.SHUT_RDWR)  # ends the wait for an answer, too


async def _drip(client: socket.socket, head: h11.Request) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    # An answer to HEAD ends with its head, so there the head itself must not end.
    await _send(client, start + (b"X-Drip: " if head.method == b"HEAD" else b"Content-Length: 1073741824\r\n\r\n"))
    while True:
        await asyncio.sleep(DRIP_SECONDS)
        await _send(client, b" ")


def _refusal(fault: Fault, head: h11.Request, turn: int) -> bytes:
    """Return the whole error answer in the protocol of the service that the request is for."""
    headers = {name: value.decode("latin-1") for name, value in head.headers}
    target, kind = headers.get(b"x-amz-target", ""), headers.get(b"content-type", "")
    sqs = target.startswith("AmazonSQS.")
    protocol = "json" if target else "query" if kind.startswith("application/x-www-form-urlencoded") else "s3"
    status, code = _REFUSALS[protocol][fault]
    if sqs and fault is Fault.THROTTLED and turn % 2 == 0:
        code = "RequestThrottled"  # SQS knows this code of its own beside the common one: they take turns
    message = f"The fault proxy says {fault}."
    fields = [f"x-amzn-RequestId: {turn}"]
    if protocol == "json":
        body = json.dumps({"__type": f"com.amazonaws.sqs#{code}" if sqs else code, "message": message})
        fields += [f"Content-Type: {kind or 'application/x-amz-json-1.0'}", f"x-amzn-errortype: {code}"]
        if sqs:
            fields.append(f"x-amzn-query-error: {code};{'Sender' if status < 500 else 'Receiver'}")
    else:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{turn}</RequestId></Error>"
        if protocol == "query":
            body = f"<ErrorResponse>{body}<RequestId>{turn}</RequestId></ErrorResponse>"
        fields.append("Content-Type: application/xml")
    fields.append(f"Content-Length: {len(body)}")
    start = "\r\n".join([f"HTTP/1.1 {status} {code}", *fields, "", ""])
    return (start if head.method == b"HEAD" else start + body).encode()


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def _send(sock: socket.socket, data: bytes) -> None:
    if data:
        await asyncio.get_running_loop().sock_sendall(sock, data)


async def _readable(sock: socket.socket) -> None:
    """Wait until there is something to read, without reading it: what is not read survives a cancellation."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(sock, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(sock)


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
