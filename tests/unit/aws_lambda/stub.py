"""A server on loopback in the place of an AWS service: it keeps what it was asked and answers what a test tells it.

The emulator is for what AWS does; this is for what it does not do on request: errors by name, odd answers, silence.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``silent`` sends nothing until the server ends."""

    body: bytes = b"{}"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    silent: bool = False


@dataclass(slots=True)
class Stub:
    """Sends ``answer``, or what ``answers`` has for the operation that a request names.

    ``asked`` holds method, path, headers in lower case, and body of each request.
    """

    url: str
    answer: Answer = field(default_factory=Answer)
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ended: Final = threading.Event()
        self.stub: Final = Stub(f"http://127.0.0.1:{self.server_address[1]}")

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        stub = self.server.stub
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        stub.asked.append((self.command, self.path, headers, body))
        answer = stub.answers.get(headers.get("x-amz-target", "").rpartition(".")[2], stub.answer)
        if answer.silent:
            self.server.ended.wait(60)
            return
        self.send_response(answer.status)
        for name, value in (*answer.headers, ("Content-Length", str(len(answer.body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Tests look at what was asked, not at a log."""


@contextmanager
def stub_server() -> Iterator[Stub]:
    """A running stub."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.stub
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
