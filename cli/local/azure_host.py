"""The Functions host's part, played on this machine for the real Python worker (azure-functions-runtime, Python 3.13).

The host itself is not to be had as a package. What it does to a request before Python sees it follows its source
(azure-functions-host, October 2024: GrpcMessageConversionExtensions, DefaultHttpProxyService, GrpcWorkerChannel): a
classic function gets no body unless the request says a length, a streaming one gets the request itself, and a log line
without the id of an invocation that is under way is dropped.

Needs the standard library and the worker alone, so that a built bundle can be run where nothing else is installed:
``python -P cli/local/azure_host.py DIRECTORY`` answers requests that come as JSON lines on standard input. (Without
-P, the module ``azure.py`` beside this one would hide the SDK.)
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextvars
import importlib
import json
import logging
import re
import sys
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

T = TypeVar("T")
Pairs = Sequence[tuple[str, str]]

RUNTIME: Final = "azure_functions_runtime"
LOOPBACK: Final = "127.0.0.1"
_START_SECONDS: Final = 5.0
_HOP_BY_HOP: Final = frozenset({"connection", "content-length", "transfer-encoding", "expect", "x-ms-invocation-id"})
_invocation: Final[contextvars.ContextVar[str | None]] = contextvars.ContextVar("invocation", default=None)


class HostError(RuntimeError):
    """The worker did not take the function app, or an invocation failed; the text is the worker's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets, and what was logged meanwhile."""

    status: int
    headers: Pairs
    body: bytes
    lines: tuple[str, ...] = ()


class _Message:
    """A message between host and worker: keyword fields, those that are absent read as None."""

    KINDS: Final = ("string", "json", "bytes", "stream", "http", "int", "double")

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name[0].isupper():
            raise AttributeError(name)
        return None

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802 - protobuf's name
        return next((kind for kind in self.KINDS if kind in self.__dict__), None)


class _Protos:
    """Stands in for the generated protobuf module, which the worker is handed by its caller."""

    def __init__(self) -> None:
        self.StatusResult = type("StatusResult", (_Message,), {"Failure": 0, "Success": 1, "Cancelled": 2})
        self.BindingInfo = type("BindingInfo", (_Message,), {"undefined": 0, "in": 0, "out": 1, "inout": 2})

    def __getattr__(self, name: str) -> Any:
        made = type(name, (_Message,), {})
        setattr(self, name, made)
        return made


class Lines(logging.Handler):
    """What the worker passes on of the standard logging, by invocation; ``dropped`` is what the host would not keep.

    Args:
        worker: the worker's module.
        sink: is given every line, whatever the host would do with it.
    """

    def __init__(self, worker: Any, sink: Callable[[str], object] | None = None) -> None:
        super().__init__(logging.INFO)
        self._worker: Final = worker
        self._sink: Final = sink
        self._guard: Final = threading.Lock()
        self._lines: Final[dict[str, list[str]]] = {}
        self.dropped: Final[list[str]] = []

    def begin(self, invocation: str) -> None:
        """An invocation is under way."""
        with self._guard:
            self._lines[invocation] = []

    def end(self, invocation: str) -> tuple[str, ...]:
        """It is over; what it said."""
        with self._guard:
            return tuple(self._lines.pop(invocation, ()))

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        if record.name.startswith(("azure.functions", RUNTIME)):
            return  # the worker's own, which goes to Microsoft
        line = self.format(record)
        invocation = _invocation.get() or self._worker.invocation_id_cv.get()
        with self._guard:
            self._lines.get(invocation or "", self.dropped).append(line)
        if self._sink is not None:
            self._sink(line + "\n")


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the worker told it to the host."""

    name: str
    id: str
    bindings: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def trigger(self) -> Mapping[str, Any]:
        """The binding that starts it."""
        return next(binding for binding in self.bindings if str(binding["type"]).lower().endswith("trigger"))


class Host:
    """The host with one worker in this process, which takes one function app and no second one.

    Args:
        directory: where ``function_app.py`` and ``host.json`` are.
        logger: whose lines count, with those below it; all without a name.
        sink: is given every line.

    Raises:
        HostError: the worker does not take the function app.
    """

    def __init__(
        self, directory: Path, *, logger: str | None = None, sink: Callable[[str], object] | None = None
    ) -> None:
        self._worker: Final = importlib.import_module(RUNTIME)
        self._protos: Final = _Protos()
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._loop.run_forever, name="worker", daemon=True)
        self._thread.start()
        self.lines: Final = Lines(self._worker, sink)
        self._logger: Final = logging.getLogger(logger)
        self._logger.addHandler(self.lines)
        self._logger.setLevel(logging.INFO)
        host_json = directory / "host.json"
        settings = json.loads(host_json.read_text("utf-8")) if host_json.exists() else {}
        self.prefix: Final[str] = settings.get("extensions", {}).get("http", {}).get("routePrefix", "api")
        sys.path.insert(0, str(directory))
        self._worker.start_threadpool_executor()
        started = self._call("worker_init_request", capabilities={}, function_app_directory=str(directory))
        if started.result.status != 1:
            raise HostError(f"{started.result.exception.message}\n{started.result.exception.stack_trace}")
        self.capabilities: Final[Mapping[str, str]] = started.capabilities
        self.address: Final = urlsplit(self.capabilities.get("HttpUri", ""))
        found = self._call("functions_metadata_request").function_metadata_results or []
        self.functions: Final = {
            item.name: Function(item.name, item.function_id, tuple(map(json.loads, item.raw_bindings)))
            for item in found
        }
        for function in self.functions.values():
            self._call("function_load_request", function_id=function.id, metadata=_Message(name=function.name))
        if self.address.port:
            self._wait(self._listening())

    def close(self) -> None:
        """End the worker."""
        self._logger.removeHandler(self.lines)

        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._wait(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._worker.stop_threadpool_executor()

    @property
    def remembered(self) -> int:
        """How many invocations the worker's web half has not forgotten."""
        http_v2 = importlib.import_module(f"{RUNTIME}.http_v2")
        return len(http_v2.http_coordinator._context_references)  # noqa: SLF001 - the subject of a test

    def http(self, method: str, target: str, headers: Pairs, body: bytes, *, chunked: bool = False) -> Answer:
        """Send a request through the function whose route fits; 404 where none does."""
        path = unquote(urlsplit(target).path)
        for function in self.functions.values():
            trigger = function.trigger
            if trigger["type"] == "httpTrigger":
                pattern = _pattern(self.prefix, str(trigger.get("route") or function.name))
                if match := pattern.fullmatch(path):
                    parameters = {name: value for name, value in match.groupdict().items() if value is not None}
                    return self._wait(self._http(function, parameters, method, target, headers, body, chunked))
        return Answer(404, [], b"")

    def receive(self, method: str, target: str, headers: Pairs, body: bytes, *, chunked: bool = False) -> Answer:
        """As ``http``, for the first HTTP function there is, whatever the path."""
        function = next(found for found in self.functions.values() if found.trigger["type"] == "httpTrigger")
        return self._wait(self._http(function, {}, method, target, headers, body, chunked))

    def timer(self, name: str) -> tuple[str, ...]:
        """Run a timer function; what it logged.

        Raises:
            HostError: it failed.
        """
        function = self.functions[name]
        data = self._protos.TypedData(json=json.dumps({"IsPastDue": False, "Schedule": {"AdjustForDST": True}}))
        outcome, lines = self._wait(self._invoke(function, data))
        if outcome.result.status != 1:
            raise HostError(str(outcome.result.exception.message))
        return lines

    def without_request(self, seconds: float) -> str | None:
        """Invoke the HTTP function as when the request itself never comes; how it failed within so many seconds."""
        function = next(found for found in self.functions.values() if found.trigger["type"] == "httpTrigger")
        http = self._protos.RpcHttp(method="POST", url="http://x/", headers={}, query={}, params={})
        http.body = self._protos.TypedData()

        async def invoke() -> Any:
            return await asyncio.wait_for(self._invoke(function, self._protos.TypedData(http=http)), seconds)

        outcome, _ = self._wait(invoke())
        return str(outcome.result.exception.message) if outcome.result.status != 1 else None

    # -- on the worker's loop ------------------------------------------------------------------------------------------

    def _wait(self, action: Coroutine[Any, Any, T]) -> T:
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(action, self._loop)
        return future.result()

    def _call(self, name: str, **fields: Any) -> Any:
        return self._wait(self._request(name, **fields))

    async def _request(self, name: str, **fields: Any) -> Any:
        properties = {"host": LOOPBACK, "protos": self._protos}
        request = _Message(**{name: _Message(**fields)})
        return await getattr(self._worker, name)(_Message(request=request, properties=properties))

    async def _listening(self) -> None:
        """Wait until the worker's web server listens; the real host tries again, too."""
        ends_at = asyncio.get_running_loop().time() + _START_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection(self.address.hostname, self.address.port)
            except OSError:
                if asyncio.get_running_loop().time() > ends_at:
                    raise
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return

    async def _invoke(
        self, function: Function, data: Any, invocation: str | None = None
    ) -> tuple[Any, tuple[str, ...]]:
        invocation = invocation or str(uuid.uuid4())
        _invocation.set(invocation if _is_async(function) else None)
        self.lines.begin(invocation)
        parameter = _Message(name=function.trigger["name"], data=data)
        parameter.WhichOneof = lambda _: "data"  # type: ignore[method-assign]
        try:
            outcome = await self._request(
                "invocation_request",
                invocation_id=invocation,
                function_id=function.id,
                input_data=[parameter],
                trigger_metadata={},
                trace_context=_Message(trace_parent="", trace_state="", attributes={}),
                retry_context=_Message(retry_count=0, max_retry_count=0, exception=None),
            )
        finally:
            lines = self.lines.end(invocation)
        return outcome, lines

    async def _http(
        self,
        function: Function,
        parameters: Mapping[str, str],
        method: str,
        target: str,
        headers: Pairs,
        body: bytes,
        chunked: bool,
    ) -> Answer:
        joined: dict[str, str] = {"host": "localhost"}
        for name, value in headers:
            key = name.lower()
            if key == "host":
                joined[key] = value
            elif key not in _HOP_BY_HOP:
                joined[key] = f"{joined[key]}, {value}" if key in joined else value
        framing = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(len(body))}
        message = self._protos.RpcHttp(
            method=method,
            url=f"https://{joined['host']}{target}",
            headers={**joined, **framing},
            query={name: ",".join(values) for name, values in parse_qs(urlsplit(target).query).items()},
            params=dict(parameters),
            # Only where there is a length: this is what a chunked request loses.
            body=self._protos.TypedData(bytes=body) if body and not chunked else self._protos.TypedData(),
        )
        data = self._protos.TypedData(http=message)
        if not self.address.port:
            outcome, lines = await self._invoke(function, data)
            return _classic_answer(outcome, lines)
        invocation = str(uuid.uuid4())
        # The body goes to the worker's web server and not into the message.
        message.body = self._protos.TypedData()
        task = asyncio.get_running_loop().create_task(self._invoke(function, data, invocation))
        head = {**joined, **framing, "x-ms-invocation-id": invocation}
        answer = await self._forward(method, target, head, body, chunked)
        outcome, lines = await task
        if outcome.result.status != 1:
            return Answer(500, [], b"", lines)
        return Answer(answer.status, answer.headers, answer.body, lines)

    async def _forward(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, chunked: bool
    ) -> Answer:
        """Pass the request on to the worker's web server as it came."""
        reader, writer = await asyncio.open_connection(self.address.hostname, self.address.port)
        try:
            head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "connection": "close"}.items())
            writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
            sending = asyncio.get_running_loop().create_task(_send(writer, body, chunked))
            answer = await _read_answer(reader, method)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            return answer
        finally:
            writer.close()


async def _send(writer: asyncio.StreamWriter, body: bytes, chunked: bool) -> None:
    if not chunked:
        writer.write(body)
    else:
        size = max(1, -(-len(body) // 3))
        for at in range(0, len(body), size):
            piece = body[at : at + size]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _read_answer(reader: asyncio.StreamReader, method: str) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = [
        (name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:]) if name
    ]
    length = dict(pairs).get("content-length")
    body = b"" if method == "HEAD" else await (reader.readexactly(int(length)) if length else reader.read())
    return Answer(int(head[0].split()[1]), [pair for pair in pairs if pair[0] not in _HOP_BY_HOP], body)


def _classic_answer(outcome: Any, lines: tuple[str, ...]) -> Answer:
    if outcome.result.status != 1:
        return Answer(500, [], b"", lines)
    http = outcome.return_value.http
    kind = http.body.WhichOneof("data") if http.body is not None else None
    body = getattr(http.body, kind) if kind else b""
    headers = [(name.lower(), value) for name, value in http.headers.items()]
    return Answer(int(http.status_code), headers, body.encode() if isinstance(body, str) else body, lines)


def _is_async(function: Function) -> bool:
    """Whether the worker runs it on its loop: then the line's task has the id, else the thread."""
    return bool(function.trigger["type"] == "httpTrigger")


def _pattern(prefix: str, route: str) -> re.Pattern[str]:
    """A route of the HTTP trigger as a pattern for whole paths."""
    path = "/" + "/".join(part for part in (prefix, route) if part)
    path = re.sub(r"/\{\*(\w+)\}", r"(?:/(?P<\1>.*))?", path)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path), re.IGNORECASE)


def main() -> None:
    """Run a directory: a first line tells what was indexed, then one JSON line for each that comes."""
    host = Host(Path(sys.argv[1]).resolve())
    functions = {function.name: list(function.bindings) for function in host.functions.values()}
    print(json.dumps({"functions": functions, "streaming": bool(host.address.port)}), flush=True)  # noqa: T201
    for line in sys.stdin:
        print(json.dumps({**_obey(host, json.loads(line)), "dropped": host.lines.dropped}), flush=True)  # noqa: T201
    host.close()


def _obey(host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
    match asked:
        case {"timer": name}:
            return {"lines": list(host.timer(str(name)))}
        case {"without_request": seconds}:
            return {"failure": host.without_request(float(seconds))}
        case {"modules": names}:
            return {"modules": [name for name in names if name in sys.modules], "remembered": host.remembered}
    body = base64.b64decode(asked.get("body", ""))
    headers = [(str(name), str(value)) for name, value in asked["headers"]]
    chunked = bool(asked.get("chunked"))
    got = host.http(asked.get("method", "POST"), asked["target"], headers, body, chunked=chunked)
    encoded = base64.b64encode(got.body).decode()
    return {"status": got.status, "headers": dict(got.headers), "body": encoded, "lines": list(got.lines)}


if __name__ == "__main__":
    main()
