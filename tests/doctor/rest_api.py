"""A management API on loopback: answers each path with what stands there, in the shapes of the vendors' references."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a token that nobody else has"


@dataclass(slots=True)
class Api:
    """What stands where; a number is an error's status, and with a word the reason in Google's details.

    ``asked`` are the paths that were asked for, ``billed`` whom Google was told to bill them to.
    """

    answers: dict[str, Any]
    url: str = ""
    asked: list[tuple[str, Mapping[str, list[str]]]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    billed: list[str | None] = field(default_factory=list)

    def answer(self, target: str, authorization: str | None, body: bytes) -> tuple[int, Any]:
        """Status and JSON for a request."""
        parts = urlsplit(target)
        self.asked.append((parts.path, parse_qs(parts.query)))
        if body:
            self.bodies.append(json.loads(body))
        if authorization != f"Bearer {TOKEN}":
            return 401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}}
        found = self.answers.get(parts.path, 404)
        if callable(found):
            found = found(json.loads(body) if body else parse_qs(parts.query))
        reason = ""
        if isinstance(found, tuple):
            found, reason = found
        if isinstance(found, int):
            status = {403: "PERMISSION_DENIED", 404: "NOT_FOUND"}.get(found, "INTERNAL")
            error: dict[str, Any] = {"code": found, "message": "a text that may quote anything", "status": status}
            if reason:
                error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
            return found, {"error": error}
        return 200, found


@contextmanager
def serving_api(answers: dict[str, Any]) -> Iterator[Api]:
    """The API while the block runs."""
    api = Api(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            api.billed.append(self.headers.get("x-goog-user-project"))
            status, found = api.answer(self.path, self.headers.get("Authorization"), body)
            said = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
