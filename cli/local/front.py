"""HTTP on loopback in front of an entry point: the platform's part, played on this machine.

Requests pass as they came: any method, any path but `/_local/`, the body's bytes untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, Protocol, TypeVar

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from cli.exits import CliError, Exit
from cli.local.faults import LOOPBACK

T = TypeVar("T")

LOCAL_PATH: Final = b"/_local/"
_THREADS: Final = 64
"""Requests that the entry point works on at once; further ones wait, as for a platform that starts instances."""
_GRACE_SECONDS: Final = 1
_DRAINED: Final = 64 * 1024 * 1024
_HOP_BY_HOP: Final = frozenset({b"connection", b"date", b"server", b"transfer-encoding", b"content-length"})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came: header names in lower case, values as sent, the body without its chunks."""

    method: str
    path: bytes
    """As it was sent, percent signs and all."""
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    client: str
    received_at: float
    """Seconds since the epoch."""
    client_port: int = 0
    """By which a sender on this machine knows its own requests again."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer to send."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class EntryPoint(Protocol):
    """A cloud's entry point behind its platform's front; see ``cli.local.cloud.LocalCloud``."""

    most_bytes: int

    def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request."""

    def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
        """Answer a request whose body is too large."""


class Threads:
    """Runs blocking calls for coroutines, on daemon threads: a call that hangs must not hold up the end."""

    def __init__(self, most: int, name: str) -> None:
        self._most: Final = most
        self._name: Final = name
        self._jobs: Final[SimpleQueue[Callable[[], None]]] = SimpleQueue()
        self._lock: Final = threading.Lock()
        self._started = 0
        self._busy = 0

    async def run(self, call: Callable[[], T]) -> T:
        """The result of ``call``, or its exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - handed to the one who waits
                settle: Callable[[], None] = _settler(future, error=error)
            else:
                settle = _settler(future, result)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle)

        with self._lock:
            self._busy += 1
            if self._busy > self._started < self._most:
                self._started += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        self._jobs.put(job)
        return await future

    def _work(self) -> None:
        while True:
            self._jobs.get()()
            with self._lock:
                self._busy -= 1


def _settler(
    future: asyncio.Future[T], result: T | None = None, error: BaseException | None = None
) -> Callable[[], None]:
    def settle() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    return settle


class Front:
    """The ASGI application: `/_local/` to the controls, everything else to the entry point."""

    def __init__(self, entry_point: EntryPoint, controls: ASGIApp) -> None:
        self._entry_point: Final = entry_point
        self._controls: Final = controls
        self._threads: Final = Threads(_THREADS, "request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if scope["raw_path"].startswith(LOCAL_PATH):
            await self._controls(scope, receive, send)
            return
        received_at = time.time()
        most = self._entry_point.most_bytes
        body, size = await _read(receive, most)
        request = HttpRequest(
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            scope["headers"],
            body,
            scope["client"][0],
            received_at,
            scope["client"][1],
        )
        if size > most:
            answer = await self._threads.run(lambda: self._entry_point.turn_away(request, size))
        else:
            answer = await self._threads.run(lambda: self._entry_point(request))
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        headers = [header for header in headers if header[0] not in _HOP_BY_HOP]
        headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


async def _read(receive: Receive, most: int) -> tuple[bytes, int]:
    """The whole body and its size; no body when it is larger than ``most``.

    A larger one is read to its end all the same: a sender may look for the answer only after it wrote everything.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= most:
            pieces.append(piece)
        if size > _DRAINED or not message.get("more_body", False):
            break
    return b"".join(pieces) if size <= most else b"", size


def listen(port: int) -> socket.socket:
    """A socket on a loopback port, 0 for a free one.

    Raises:
        CliError: the port is taken or not ours to take.
    """
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((LOOPBACK, port))
        sock.listen(1024)
    except PermissionError:
        sock.close()
        raise CliError(
            f"port {port} is not yours to take.", "Choose one above 1023: make run PORT=8081", Exit.BUSY
        ) from None
    except OSError as error:
        sock.close()
        raise CliError(
            f"port {port} is taken ({(error.strerror or str(error)).lower()}).",
            f"Choose another: make run PORT={port + 1}, or dastra-webhooks run --port {port + 1}\n"
            f"Who has it: ss -tlnp 'sport = :{port}'",
            Exit.BUSY,
        ) from None
    return sock


class Server:
    """Serves an application on one socket, on a thread of its own, while the `with` block runs."""

    def __init__(self, app: ASGIApp, sock: socket.socket) -> None:
        self._sock: Final = sock
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            # The client's address is the socket's, whatever a header says.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server: Final = uvicorn.Server(config)
        self._thread: Final = threading.Thread(target=self._serve, name="http", daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_GRACE_SECONDS + 2)
        self._sock.close()

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._sock]))
