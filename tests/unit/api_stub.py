"""A server on loopback in the place of Dastra's API: real sockets, and every fault that a server can have on them.

What it answers follows Dastra's published API description (``WebHookUrlDto``); its values are invented.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests import planted

API_KEY: Final = planted.plant("invented-api-key-4d1f0c77", "an API key")
SIGNATURE_KEY: Final = planted.key("7d0f3f4e-52c1-4a0e-9f3a-d3c95f8f2a10")
"""Stands in every answer, as in Dastra's."""
PRIVATE: Final = planted.plant("https://receiver.example.org/dastra?token=planted", "a webhook's URL")

Behaviour = Callable[[socket.socket], None]


def webhook(id_: int = 4242, errors: int = 0, *, blocked: bool = False, **more: Any) -> dict[str, Any]:
    """A webhook as the API shows it."""
    return {
        "id": id_,
        "url": PRIVATE,
        "workSpaceId": 7,
        "workSpace": {"id": 7, "name": planted.MARKER},
        "subscribedEvents": ["DataSubjectCreation"],
        "signatureKey": SIGNATURE_KEY,
        "errorMessage": planted.MARKER if errors else None,
        "nbErrors": errors,
        "inError": blocked,
        "dateLastError": "2026-03-02T09:16:03.7" if errors else None,
        **more,
    }


def raw(data: bytes) -> Behaviour:
    """Send these bytes and end."""
    return lambda connection: connection.sendall(data)


def answers(status: int = 200, body: bytes | object = b"", *headers: tuple[str, str]) -> Behaviour:
    """A whole answer; what is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Invented", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return raw("\r\n".join([*lines, "", ""]).encode() + content)


def resets(connection: socket.socket) -> None:
    """Ends with a reset in place of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says_nothing(connection: socket.socket) -> None:
    """Reads, and stays silent until the other side goes."""
    with suppress(OSError):
        connection.recv(1)


def drips(connection: socket.socket) -> None:
    """A header that never ends, a byte at a time, each well within any wait for one."""
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)


def drips_its_body(connection: socket.socket) -> None:
    """The same after the headers."""
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.02)


def pours(connection: socket.socket) -> None:
    """A body without a length that never ends, as fast as it goes."""
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65_536)


@dataclass(slots=True)
class ApiStub:
    """Behaves as ``script`` says, one after the other, and as its last from then on.

    ``asked`` holds the target and the headers, in lower case, of each request.
    """

    url: str
    script: list[Behaviour] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def has(self, *webhooks: dict[str, Any]) -> None:
        """Answer with this list from now on."""
        self.script[:] = [answers(200, list(webhooks))]


@contextmanager
def api_stub(context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[ApiStub]:
    """A stub on a port of its own; in TLS with a context."""
    listener = socket.create_server(("127.0.0.1", 0))
    scheme = "https" if context else "http"
    stub = ApiStub(f"{scheme}://{host}:{listener.getsockname()[1]}")
    stub.has(webhook())
    thread = threading.Thread(target=_serve, args=(listener, stub, context), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _serve(listener: socket.socket, stub: ApiStub, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, stub, context), daemon=True).start()


def _answer(connection: socket.socket, stub: ApiStub, context: ssl.SSLContext | None) -> None:
    with suppress(OSError, ssl.SSLError):
        wrapped = context.wrap_socket(connection, server_side=True) if context else connection
        with wrapped:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = wrapped.recv(65_536)
                if not piece:
                    return
                head += piece
            lines = head.decode("latin-1").split("\r\n")
            headers = dict(_pairs(lines[1:]))
            stub.asked.append((lines[0].split(" ")[1], headers))
            behave = stub.script[0] if len(stub.script) == 1 else stub.script.pop(0)
            behave(wrapped)


def _pairs(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, found, value = line.partition(": ")
        if found:
            yield name.lower(), value
