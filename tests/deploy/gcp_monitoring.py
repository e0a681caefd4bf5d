"""Cloud Monitoring on loopback, as far as the scripts of `infra/gcp` use it, for the real gcloud to talk to.

The shapes and the rules are those of the REST reference (v3, and v1 for dashboards): lists come in pages, a list of
channels is filtered here and other lists are not, and a channel that a policy names is deleted by force alone.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


@dataclass(slots=True)
class Monitoring:
    """What is there, by its name."""

    things: dict[str, Json] = field(default_factory=dict)
    url: str = ""
    _made: int = 0

    def of(self, kind: str) -> list[Json]:
        """The `alertPolicies`, `notificationChannels` or `dashboards`, in the order in which they were made."""
        return [thing for name, thing in self.things.items() if name.split("/")[2] == kind]

    def make(self, parent: str, content: Json) -> Json:
        """A new one, under a name that nobody chose."""
        self._made += 1
        name = f"{parent}/{1000 + self._made}"
        self.things[name] = {**content, "name": name}
        return self.things[name]

    def answer(self, method: str, target: str, body: Json) -> tuple[int, Json]:
        """Status and JSON for a request."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = re.sub(r"^/v\d/", "", parts.path)
        collection = path.count("/") == 2
        if collection and method == "POST":
            return 200, self.make(path, body)
        if collection:
            kind = path.split("/")[2]
            wanted = re.findall(r'([\w.]+)="([^"]*)"', query.get("filter", "")) if kind[0] == "n" else []
            found = [t for t in self.of(kind) if all(_at(t, where) == value for where, value in wanted)]
            size, start = int(query.get("pageSize", 100)), int(query.get("pageToken", 0))
            more = {"nextPageToken": str(start + size)} if start + size < len(found) else {}
            return 200, {kind: found[start : start + size], **more}
        if path not in self.things:
            return _refused(404, "NOT_FOUND")
        if method == "PATCH":
            self.things[path] = {**body, "name": path}
        if method == "DELETE":
            told = [policy for policy in self.of("alertPolicies") if path in policy.get("notificationChannels", ())]
            if told and query.get("force") not in {"true", "True"}:
                return _refused(400, "FAILED_PRECONDITION")
            for policy in told:
                policy["notificationChannels"].remove(path)
            del self.things[path]
            return 200, {}
        return 200, self.things[path]


def _at(thing: Json, where: str) -> Any:
    for name in where.split("."):
        thing = thing.get(name, {})
    return thing


def _refused(status: int, code: str) -> tuple[int, Json]:
    return status, {"error": {"code": status, "status": code, "message": "invented"}}


@contextmanager
def monitoring() -> Iterator[Monitoring]:
    """The API, empty, while the block runs."""
    found = Monitoring()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = found.answer(self.command, self.path, json.loads(body or "{}"))
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self.do_GET()

        def do_PATCH(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
