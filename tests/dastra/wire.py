"""HTTP for the stand-in: routes, and sockets that can be made to misbehave."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.dastra.troubles import Kind, Trouble, Troubles

_WEB_PAGE: Final = b"<!DOCTYPE html><html><body>Sign in to the proxy</body></html>"
_DRIP_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Request:
    """A request: its path's groups are in ``found``, its body is decoded JSON or None."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any = None
    found: tuple[str, ...] = ()
    at: float = field(default_factory=time.monotonic)
    """When it came, in seconds of a clock that only goes forward."""

    def one(self, name: str) -> str | None:
        """A parameter's first value."""
        return self.query.get(name, [None])[0]


@dataclass(frozen=True)
class Reply:
    """An answer; ``value`` goes out as JSON, None as an empty body."""

    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, title: str, **errors: list[str]) -> Reply:
    """A problem report, as ASP.NET writes it."""
    return Reply({"title": title, "status": status} | ({"errors": errors} if errors else {}), status)


Route = Callable[[Request], Reply]


class Wire:
    """A server on 127.0.0.1 while the `with` block runs.

    ``admit`` looks at every request first, and answers it itself where it returns something.
    """

    def __init__(self, port: int, admit: Callable[[Request], Reply | None]) -> None:
        self.troubles: Final = Troubles()
        self.requests: Final[list[Request]] = []
        self._admit: Final = admit
        self._routes: Final[list[tuple[str, re.Pattern[str], Route]]] = []
        self._ended: Final = threading.Event()
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with suppress(ConnectionError):
                    super().handle_one_request()

            def do_GET(self) -> None:
                wire._serve(self)

            do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 - the server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's name
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that hung up

        self._server: Final = Server(("127.0.0.1", port), Handler)
        self.url: Final = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread: Final = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="dastra-stand-in", daemon=True
        )

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more; whatever is held or drips ends."""
        self._ended.set()
        self.troubles.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def route(self, method: str, path: str, route: Route) -> None:
        """Answer a method and a path, a regular expression for the whole of it. The latest of two wins."""
        self._routes.insert(0, (method, re.compile(path), route))

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        decoded = json.loads(body) if body else None
        request = Request(handler.command, parts.path, parse_qs(parts.query), headers, decoded)
        self.requests.append(request)
        trouble = self.troubles.strike(request.method, request.path)
        match trouble.kind if trouble else None:
            case Kind.RESET:
                _reset(handler)
            case Kind.PAGE:
                _write(handler, 200, _WEB_PAGE, {"Content-Type": "text/html"})
            case Kind.STATUS if trouble:
                _write(handler, trouble.status, _encoded(trouble.value), trouble.headers)
            case _:
                if trouble and trouble.kind is Kind.HOLD:
                    trouble.go_on.wait(60)
                reply = self._reply(request)
                self._answer(handler, reply, trouble)

    def _reply(self, request: Request) -> Reply:
        if (refused := self._admit(request)) is not None:
            return refused
        allowed = set()
        for method, path, route in self._routes:
            if match := path.fullmatch(request.path):
                if method == request.method:
                    return route(replace(request, found=match.groups()))
                allowed.add(method)
        return Reply(None, 405 if allowed else 404)

    def _answer(self, handler: BaseHTTPRequestHandler, reply: Reply, trouble: Trouble | None) -> None:
        body = _encoded(reply.value)
        match trouble.kind if trouble else None:
            case Kind.LOST:
                _reset(handler)
            case Kind.HALF:
                _write(handler, reply.status, body[: len(body) // 2], reply.headers, length=max(1, len(body)))
                _reset(handler)
            case Kind.CUT:
                _write(handler, reply.status, body[: len(body) // 2], reply.headers)
            case Kind.DRIP:
                _write(handler, reply.status, b"", reply.headers, length=1_000_000)
                while not self._ended.wait(_DRIP_SECONDS):
                    handler.wfile.write(b" ")
            case Kind.SLOW if trouble:
                self._ended.wait(trouble.seconds)
                _write(handler, reply.status, body, reply.headers)
            case _:
                _write(handler, reply.status, body, reply.headers)


def _encoded(value: object) -> bytes:
    return b"" if value is None else json.dumps(value, ensure_ascii=False).encode()


def _write(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str], *, length: int | None = None
) -> None:
    handler.send_response(status)
    kind = {"Content-Type": "application/json; charset=utf-8"} if body or length else {}
    for name, value in (kind | dict(headers)).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def _reset(handler: BaseHTTPRequestHandler) -> None:
    """Close with RST."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RD)
    handler.connection.close()
