"""What Azure's front end and the Functions host make of a request, and functions called without the worker.

For Pythons that the worker does not run on, and for tests that make many instances in one process, of which the worker
takes one. The worker itself is in ``azure_host.py``.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from azure.functions import HttpRequest as ClassicRequest
from azure.functions import HttpResponse as ClassicResponse
from starlette.requests import Request as WebRequest
from starlette.responses import Response as WebResponse

from cli.local.azure_host import Answer

T = TypeVar("T")
Pairs = Sequence[tuple[str, str]]
Receive = Callable[..., Awaitable[WebResponse | ClassicResponse]]

HOST: Final = "func-local.azurewebsites.net"
_PORT: Final = 51234
_PIECES: Final = 3
_TRANSPORT: Final = frozenset({"content-length", "date", "server", "connection", "transfer-encoding"})
_invocation: Final[contextvars.ContextVar[list[str] | None]] = contextvars.ContextVar("lines", default=None)


def seen(headers: Pairs, client: str | None, *, size: int, chunked: bool) -> list[tuple[str, str]]:
    """The headers that reach the worker, names in lower case.

    Azure's front end appends the address it saw, with its port, to ``X-Forwarded-For``. What occurs several times is
    joined on the way through the host. Sources: App Service's page on its HTTP headers; azure-functions-host.
    """
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if key not in _TRANSPORT and (key != "x-forwarded-for" or value.strip()):
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
    if client is not None:
        shown = f"[{client}]:{_PORT}" if ":" in client else f"{client}:{_PORT}"
        before = joined.get("x-forwarded-for")
        joined |= {"x-forwarded-for": f"{before}, {shown}" if before else shown, "client-ip": shown}
    joined = {"host": HOST, **joined, "disguised-host": HOST, "x-forwarded-proto": "https"}
    joined |= {"transfer-encoding": "chunked"} if chunked else {"content-length": str(size)}
    return list(joined.items())


def web_request(method: str, target: str, headers: Pairs, body: bytes) -> WebRequest:
    """What the worker's web server hands to the streaming form; the body comes in pieces."""
    url = urlsplit(target)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(url.path),
        "raw_path": url.path.encode("utf-8", "surrogatepass"),
        "query_string": url.query.encode("utf-8", "surrogatepass"),
        "headers": [(name.encode("latin-1", "replace"), _wire(value)) for name, value in headers],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 40001),
    }
    size = max(1, -(-len(body) // _PIECES))
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": piece, "more_body": number + 1 < len(pieces)}
        for number, piece in enumerate(pieces)
    ]

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    return WebRequest(scope, receive)


def classic_request(method: str, target: str, headers: Pairs, body: bytes) -> ClassicRequest:
    """What the worker hands to the classic form: no body unless there is a length."""
    chunked = any(name == "transfer-encoding" for name, _ in headers)
    return ClassicRequest(
        method=method,
        url=f"https://{HOST}{target}",
        headers=dict(headers),
        params={},
        route_params={},
        body=b"" if chunked else body,
    )


def _wire(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


class Lines(logging.Handler):
    """Gathers what an invocation says; what is said outside of one the host would drop."""

    def __init__(self, sink: Callable[[str], object] | None = None) -> None:
        super().__init__(logging.INFO)
        self._sink: Final = sink
        self.dropped: Final[list[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        line = self.format(record)
        lines = _invocation.get()
        if lines is None:
            self.dropped.append(line)
        else:
            lines.append(line)
        if self._sink is not None:
            self._sink(line + "\n")


class Direct:
    """Calls an HTTP function as the worker does, on a loop that plays the worker's. Safe from any thread."""

    def __init__(self) -> None:
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._loop.run_forever, name="worker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, receive: Receive, request: WebRequest | ClassicRequest) -> Answer:
        """The answer of a function to a request."""

        async def invoke() -> Answer:
            lines: list[str] = []
            _invocation.set(lines)
            response = await receive(request)
            return _answer(response, tuple(lines))

        return self._wait(invoke())

    def _wait(self, action: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(action, self._loop)
        return future.result()


def _answer(response: WebResponse | ClassicResponse, lines: tuple[str, ...]) -> Answer:
    if isinstance(response, WebResponse):
        status, body, headers = response.status_code, bytes(response.body), dict(response.headers)
    else:
        status, body, headers = response.status_code, response.get_body(), dict(response.headers)
    kept = [(name.lower(), value) for name, value in headers.items() if name.lower() not in _TRANSPORT]
    return Answer(status, kept, body, lines)
