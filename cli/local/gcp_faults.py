"""The fault proxy for gRPC: the same faults, told by the same names, on HTTP/2 in clear text.

It reads frames (RFC 9113, 4.1) to see where a call begins and its answer ends; what it does not break passes as it
came. What it says itself is written out by hand, since header compression keeps a state for each connection and a
literal that enters no table leaves it alone (RFC 7541, 6.2.2).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from typing import Final

from cli.local.faults import DRIP_SECONDS, Fault, FaultProxy

_PREFACE: Final = 24
_HEAD: Final = 9
_DATA, _HEADERS, _GOAWAY = 0x0, 0x1, 0x7
_END_STREAM, _END_HEADERS = 0x1, 0x4
_CUT: Final = frozenset({Fault.CUT, Fault.CUT_HALF})
_STATUSES: Final = {
    Fault.ERROR_500: (13, "INTERNAL"),
    Fault.ERROR_503: (14, "UNAVAILABLE"),
    Fault.THROTTLED: (8, "RESOURCE_EXHAUSTED"),
}
"""Status codes: gRPC's own list. Pub/Sub says RESOURCE_EXHAUSTED where a quota is used up (its error codes)."""


@dataclass(frozen=True, slots=True)
class _Frame:
    kind: int
    flags: int
    stream: int
    raw: bytes


@dataclass(slots=True)
class _Conversation:
    """One connection's state. ``sending`` is held while a frame goes to the client, so that none is torn."""

    client: socket.socket
    upstream: socket.socket
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: int = 0
    faults: dict[int, Fault] = field(default_factory=dict)
    left: bool = False
    """The client was told to go: nothing that begins now is passed on."""


class GrpcFaultProxy(FaultProxy):
    """As its base, for gRPC. A fault that only a call can meet lets the connection itself come up.

    ``Fault.SILENT`` meets a new connection at once, which then counts as one request.
    """

    @property
    def address(self) -> str:
        """Where a client connects, ``127.0.0.1:PORT``."""
        return self.url.removeprefix("http://")

    async def _converse(self, client: socket.socket) -> None:
        """Serve one connection. An exception or a held fault ends it with a reset."""
        upstream: socket.socket | None = None
        down: asyncio.Task[None] | None = None
        try:
            if self.mode is Fault.SILENT:
                self._take()
                await _for_ever()
            upstream = await self._connect(None)
            talk = _Conversation(client, upstream)
            reader = _Reader(client)
            await _send(upstream, await reader.take(_PREFACE))
            down = asyncio.create_task(self._answer(talk))
            while True:
                reading = asyncio.ensure_future(reader.frame())
                try:
                    await asyncio.wait({reading, down}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not reading.cancel():
                        # Looked at, or asyncio reports what nobody heard, such as a client that is gone.
                        reading.exception()
                if not reading.done() or reading.cancelled():
                    await down
                    return
                await self._ask(talk, await reading, reader, down)
        except asyncio.IncompleteReadError:
            return
        finally:
            if down is not None:
                down.cancel()
                await asyncio.gather(down, return_exceptions=True)
            if upstream is not None:
                upstream.close()

    async def _ask(self, talk: _Conversation, frame: _Frame, reader: _Reader, down: asyncio.Task[None]) -> None:
        """Pass one frame of the client on, or meet its call with the fault that is on."""
        if frame.kind == _HEADERS and frame.stream > talk.last:
            talk.last = frame.stream
            if talk.left:
                return
            fault = self._take()
            match fault:
                case Fault.NONE:
                    pass
                case Fault.SLOW | Fault.CUT | Fault.CUT_HALF:
                    talk.faults[frame.stream] = fault
                case Fault.ERROR_500 | Fault.ERROR_503 | Fault.THROTTLED:
                    talk.faults[frame.stream] = fault
                    talk.left = True
                    async with talk.sending:
                        await _send(talk.client, _refusal(fault, frame.stream))
                    return
                case Fault.HANGING | Fault.SILENT | Fault.DRIPPING:
                    async with talk.sending:
                        down.cancel()
                    if fault is Fault.HANGING:
                        while True:
                            await reader.frame()
                    if fault is Fault.DRIPPING:
                        await _drip(talk.client, frame.stream)
                    await _for_ever()
                case Fault.RESET | Fault.REFUSED:
                    raise ConnectionResetError
        if frame.stream and (
            talk.faults.get(frame.stream) in _STATUSES or (talk.left and frame.stream > max(talk.faults))
        ):
            return  # the upstream never heard of it
        await _send(talk.upstream, frame.raw)

    async def _answer(self, talk: _Conversation) -> None:
        """Pass the upstream's frames to the client, and hold or cut the answers that a fault is for."""
        reader = _Reader(talk.upstream)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                frame = await reader.frame()
                fault = talk.faults.get(frame.stream)
                if fault is Fault.SLOW:
                    del talk.faults[frame.stream]
                    await asyncio.sleep(self.slow_seconds)
                if fault in _CUT and frame.kind in (_DATA, _HEADERS):
                    if fault is Fault.CUT_HALF:
                        half = frame.raw if frame.kind == _HEADERS else frame.raw[: len(frame.raw) // 2]
                        await _send(talk.client, half)
                        if frame.kind == _HEADERS and not frame.flags & _END_STREAM:
                            continue
                        return
                    if frame.flags & _END_STREAM:
                        return
                    continue
                async with talk.sending:
                    await _send(talk.client, frame.raw)


class _Reader:
    """Reads frames. A read that is cancelled loses nothing."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self._data = b""

    async def take(self, size: int) -> bytes:
        """The next bytes; IncompleteReadError when the connection ends before."""
        await self._fill(size)
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    async def frame(self) -> _Frame:
        """The next frame."""
        await self._fill(_HEAD)
        length = int.from_bytes(self._data[:3])
        await self._fill(_HEAD + length)
        raw, self._data = self._data[: _HEAD + length], self._data[_HEAD + length :]
        return _Frame(raw[3], raw[4], int.from_bytes(raw[5:9]) & 0x7FFFFFFF, raw)

    async def _fill(self, size: int) -> None:
        while len(self._data) < size:
            await _readable(self._sock)
            piece = self._sock.recv(1 << 16)
            if not piece:
                raise asyncio.IncompleteReadError(self._data, size)
            self._data += piece


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _literal(name: str, value: str) -> bytes:
    """A header that enters no table (RFC 7541, 6.2.2); both texts are shorter than 127 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


_START: Final = b"\x88" + _literal("content-type", "application/grpc")
"""``:status: 200``, the eighth entry of the static table, and what every gRPC answer says."""


def _refusal(fault: Fault, stream: int) -> bytes:
    """A whole answer that is only a status, and a word to the client that no call after this one is taken here."""
    code, name = _STATUSES[fault]
    trailers = _START + _literal("grpc-status", str(code)) + _literal("grpc-message", f"the fault proxy says {name}")
    answer = _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, trailers)
    return answer + _frame(_GOAWAY, 0, 0, stream.to_bytes(4) + bytes(4))


async def _drip(client: socket.socket, stream: int) -> None:
    await _send(client, _frame(_HEADERS, _END_HEADERS, stream, _START))
    # A message of a gigabyte begins, and comes a byte at a time.
    await _send(client, _frame(_DATA, 0, stream, b"\0" + (1 << 30).to_bytes(4)))
    while True:
        await asyncio.sleep(DRIP_SECONDS)
        await _send(client, _frame(_DATA, 0, stream, b" "))


async def _send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(sock, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(sock)


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
