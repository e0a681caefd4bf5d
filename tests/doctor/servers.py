"""Endpoints for the doctor to examine: a good one from the real screening, and ways in which others are bad."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import Receive, Scope, Send

from core.http import ACCEPTED, QUARANTINED, REFUSALS, TOO_LARGE, Headers, Request, Response
from core.screening import Accepted, Policy, Quarantined, Refused, SourceIpMode, screen
from core.signature import SignatureKey
from core.source_ip import AllowList
from tests.planted import KEY

LIMIT: Final = 4 * 1024 * 1024
_POLICY: Final = Policy(SourceIpMode.OFF, AllowList.parse(""), LIMIT, 0)


@dataclass(frozen=True, slots=True)
class Came:
    """A request as the endpoint got it, the number of it, and the query."""

    request: Request
    number: int
    query: str


Answer = Callable[[Came], Response]


def good(came: Came) -> Response:
    """What the receiver answers, by its own core."""
    outcome = screen(came.request, (SignatureKey(KEY),), _POLICY, time.time())
    match outcome:
        case Accepted():
            return ACCEPTED
        case Quarantined():
            return QUARANTINED
        case Refused(status):
            return REFUSALS[status]


def refused(came: Came) -> bool:
    """Whether a good endpoint refuses it."""
    return good(came).status >= 400


def with_body(response: Response, body: bytes) -> Response:
    """The answer with another body."""
    return replace(response, body=body)


def with_header(response: Response, name: str, value: str) -> Response:
    """The answer with one more header."""
    return replace(response, headers=(*response.headers, (name, value)))


@dataclass(slots=True)
class _App:
    answer: Answer
    limit: int | None
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        length = next((value for name, value in headers if name == "content-length"), "0")
        with self.lock:
            self.count += 1
            number = self.count
        if self.limit is not None and int(length) > self.limit and scope["method"] == "POST":
            response = TOO_LARGE
        else:
            body = await _read(receive)
            came = Came(
                Request(scope["method"], Headers(headers), body, "192.0.2.44"), number, scope["query_string"].decode()
            )
            response = await asyncio.get_running_loop().run_in_executor(None, self.answer, came)
        shown = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        shown.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": shown})
        await send({"type": "http.response.body", "body": response.body})


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message: Mapping[str, Any] = await receive()
        body += bytes(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return body


@contextmanager
def serving(
    answer: Answer = good, *, limit: int | None = LIMIT, certificate: Path | None = None, host: str = "127.0.0.1"
) -> Iterator[str]:
    """An endpoint on loopback while the block runs; its URL. ``certificate`` is a PEM file with its key in it."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    config = uvicorn.Config(
        _App(answer, limit),
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield f"{'https' if certificate else 'http'}://{host}:{sock.getsockname()[1]}/dastra"
    finally:
        server.should_exit = True
        thread.join(5)
        sock.close()


@contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does to each connection what ``talk`` does, and hangs up; its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    over = threading.Event()

    def one(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            with suppress(OSError):
                talk(connection)

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/dastra"
    finally:
        over.set()
        listener.close()
