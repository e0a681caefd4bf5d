"""The Google Cloud driver: the real functions under functions-framework and gunicorn, on the wire on both sides.

gunicorn's worker runs on a thread of this process, with the configuration that the framework gives it, so that what
the functions print is captured and a deployment takes no time. The same under gunicorn's own master, in processes:
``tests/integration/test_gcp_server.py``.
"""

from __future__ import annotations

import dataclasses
import http.client
import io
import json
import os
import re
import signal
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from functions_framework import create_app
from functions_framework._http.gunicorn import GunicornApplication
from google.cloud.secretmanager_v1.types import Secret, SecretPayload
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from gunicorn.glogging import Logger
from gunicorn.sock import TCPSocket
from gunicorn.workers.gthread import ThreadWorker

from cli.local.faults import LOOPBACK, Fault, FaultProxy
from cli.local.gcp_emulator import PROJECT, GcpEmulator
from cli.local.gcp_faults import GrpcFaultProxy
from core import log as core_log
from core.addresses import address_key
from core.delivery import Delivery
from core.http import REFUSALS
from core.log import LogEvent, metric_values
from core.ports import PortError
from core.receiver import Receiver
from core.redrive import Redrive
from core.settings import Settings
from gcp_function import pubsub_queue, wiring
from gcp_function.gcs_store import SCHEME, storage_client
from gcp_function.pubsub_queue import PREFIX, publisher
from gcp_function.sdk import grpc_transport
from gcp_function.secret_keys import EMULATOR, secret_manager
from gcp_function.telemetry import CloudLog
from tests.drivers import (
    LISTED,
    Answer,
    Cloud,
    Driver,
    Duplicates,
    Front,
    HttpRequest,
    Mode,
    Platform,
    Port,
    Run,
    Sent,
    Stored,
    register,
)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

MAIN: Final = Path(wiring.__file__).with_name("main.py")
BALANCER: Final = "203.0.113.9"
_FRONTS: Final = {"cloud-run": 1, "load-balancer": 2}
"""Each way in with the number of its trusted hops."""
FRONTS: Final = tuple(Front(f"{name}-{form}", Duplicates.JOINED) for name in _FRONTS for form in ("length", "chunked"))
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_ADDED: Final = frozenset({"content-length", "connection", "date", "server", "transfer-encoding"})
"""What the server says besides the answer."""
_LINE: Final = 8000
_LINES: Final = 90
"""What gunicorn takes of headers, about: 8,190 bytes a line and 100 lines."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_METHOD: Final = re.compile(r"[A-Z]{3,20}")


# -- the server --------------------------------------------------------------------------------------------------------


class _Worker(ThreadWorker):
    """gunicorn's worker, less the signals, which belong to a main thread."""

    def init_signals(self) -> None:
        pass


class GcpServer:
    """One worker on two ports, each of which shows an application that can be exchanged."""

    def __init__(self) -> None:
        self.apps: Final[dict[str, Application]] = {}
        argv, sys.argv = sys.argv, sys.argv[:1]  # gunicorn reads it
        try:
            framework = GunicornApplication(self._dispatch, LOOPBACK, 0, False)  # type: ignore[no-untyped-call]
        finally:
            sys.argv = argv
        config, logger = framework.cfg, Logger(framework.cfg)
        sockets: list[Any] = [TCPSocket(address, config, logger) for address in [(LOOPBACK, 0)] * len(_FRONTS)]  # type: ignore[arg-type]
        self.ports: Final = {name: int(sock.getsockname()[1]) for name, sock in zip(_FRONTS, sockets, strict=True)}
        self._worker: Final = _Worker(1, os.getppid(), sockets, framework, 30, config, logger)
        self._thread: Final = threading.Thread(target=self._worker.init_process, name="gunicorn", daemon=True)
        self._thread.start()

    def _dispatch(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self.apps[environ["SERVER_PORT"]](environ, start_response)

    def close(self) -> None:
        """End the worker."""
        self._worker.handle_exit(signal.SIGTERM, None)
        self._thread.join(5)
        self._worker.tmp.close()


def forwarded(request: HttpRequest, name: str) -> list[tuple[str, str]]:
    """The headers after Google's front end, or its load balancer before that, appended what it saw."""
    headers = [(key, value) for key, value in request.headers if key.lower() not in _FRAMING]
    if request.client is None:
        return headers
    seen = request.client if name == "cloud-run" else f"{request.client}, {BALANCER}"
    for index in reversed(range(len(headers))):
        key, value = headers[index]
        if key.lower() == "x-forwarded-for":
            headers[index] = (key, f"{value}, {seen}" if value.strip() else seen)
            return headers
    return [*headers, ("X-Forwarded-For", seen)]


def _bytes(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _passes_the_server(request: HttpRequest, headers: Sequence[tuple[str, str]]) -> bool:
    """Whether gunicorn takes it: it refuses what is too long, or no HTTP, by itself, as Google's front end does."""
    return (
        _METHOD.fullmatch(request.method) is not None
        and request.method != "CONNECT"
        and len(headers) < _LINES
        and all(len(name) + len(_bytes(value)) < _LINE for name, value in headers)
        and all(_CONTROL.search(value) is None for _, value in headers)
    )


def over_http(port: int, request: HttpRequest, headers: Sequence[tuple[str, str]], *, chunked: bool) -> Answer:
    """Send a request to a port on loopback."""
    started = time.monotonic()
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        target = quote(request.path, safe="/%?=._-~") + (f"?{request.query}" if request.query else "")
        connection.putrequest(request.method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, _bytes(value))
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        else:
            connection.putheader("Content-Length", str(len(request.body)))
        pieces = [request.body[at : at + 60_000] for at in range(0, len(request.body), 60_000)]
        connection.endheaders(iter(pieces), encode_chunked=chunked)
        response = connection.getresponse()
        body = response.read()
        return _answer(request, response.status, response.getheaders(), body, time.monotonic() - started)
    finally:
        connection.close()


def over_wsgi(app: Application, request: HttpRequest, headers: Sequence[tuple[str, str]]) -> Answer:
    """Put a request before the application as gunicorn would: for what gunicorn itself does not let through."""
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode().decode("latin-1"),
        "QUERY_STRING": request.query,
        "SERVER_NAME": LOOPBACK,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": LOOPBACK,
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        text = _bytes(value).decode("latin-1").strip(" \t")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    started = time.monotonic()
    head: list[Any] = []

    def start_response(status: str, answered: list[tuple[str, str]], *_: object) -> None:
        head.extend((int(status[:3]), answered))

    result = app(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        if close := getattr(result, "close", None):
            close()
    return _answer(request, head[0], head[1], body, time.monotonic() - started)


def _answer(
    request: HttpRequest, status: int, headers: Sequence[tuple[str, str]], body: bytes, seconds: float
) -> Answer:
    found = {name.lower(): value for name, value in headers}
    if request.method == "HEAD" and not body and status in REFUSALS:
        # HTTP sends none here; its length says that it is the one of the status.
        body = REFUSALS[status].body
    assert int(found["content-length"]) == len(body)
    return Answer(status, {name: value for name, value in found.items() if name not in _ADDED}, body, seconds)


# -- the deployment ----------------------------------------------------------------------------------------------------


class GcpDriver:
    """A topic, a bucket and a secret of their own behind the platform's fault proxies."""

    queue_limit = 1_048_576
    """Pub/Sub takes ten times as much, more than the receiver takes: lowered, so that the tables have claim checks."""

    def __init__(self, platform: GcpPlatform, name: str, patch: pytest.MonkeyPatch) -> None:
        self._platform: Final = platform
        self._patch: Final = patch
        self.topic: Final = f"projects/{PROJECT}/topics/{name}"
        self.subscription: Final = f"projects/{PROJECT}/subscriptions/{name}"
        self.secret: Final = f"projects/{PROJECT}/secrets/{name}"
        self.bucket: Final = name
        platform.publisher.create_topic(name=self.topic)
        platform.subscriber.create_subscription(name=self.subscription, topic=self.topic, ack_deadline_seconds=600)
        platform.storage.create_bucket(name)
        platform.secrets.create_secret(
            parent=f"projects/{PROJECT}", secret_id=name, secret=Secret(replication={"automatic": {}})
        )
        self._making: Final = threading.Lock()
        self._seen: list[Sent] = []
        self.received: list[Any] = []
        """The same messages as ``pull`` returned them."""
        self._settings: Mapping[str, str] = {}
        self.apps: dict[str, Application] = {}
        patch.setattr(pubsub_queue, "MAX_BYTES", self.queue_limit)

    def build(
        self, settings: Mapping[str, str] | None = None, *, keys: Sequence[str] | None = None, rest: float | None = None
    ) -> None:
        """As the protocol says: one instance behind each way in, since their numbers of hops differ."""
        named = {
            "QUEUE": self.topic,
            "STORE": self.bucket,
            "SOURCE_IP_ALLOWLIST": LISTED,
            **({"SIGNATURE_KEYS": " ".join(keys)} if keys else {"SIGNATURE_KEYS_SECRET": self.secret}),
            **(settings or {}),
        }
        self._settings = {f"DASTRA_{name}": value for name, value in named.items()}
        self._patch.setattr(wiring, "delivery", _DELIVERY if rest is None else _with_rest(rest))
        for name, hops in _FRONTS.items():
            made: list[wiring.Instance] = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(wiring, "Instance", _recorded(made))
                app = self._app("receive", {"DASTRA_TRUSTED_PROXY_HOPS": str(hops), **self._settings})
            # What its first request would do; the tables break things after the start.
            made[0].enter(time.time())
            self.apps[name] = self._platform.server.apps[str(self._platform.server.ports[name])] = app

    def _app(self, target: str, settings: Mapping[str, str]) -> Application:
        # Two redrives at once are two instances with an environment of their own; here they share one.
        with self._making, pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("DASTRA_")]:
                patch.delenv(name)
            for name, value in settings.items():
                patch.setenv(name, value)
            app: Application = create_app(target, str(MAIN), "http")  # type: ignore[no-untyped-call]
            return app

    def post(self, request: HttpRequest, front: Front | None = None) -> Answer:
        """As the protocol says."""
        name, _, form = (front or FRONTS[0]).name.rpartition("-")
        assert self.apps, "build() first"
        headers = forwarded(request, name)
        if not _passes_the_server(request, headers):
            return over_wsgi(self.apps[name], request, headers)
        return over_http(self._platform.server.ports[name], request, headers, chunked=form == "chunked")

    def messages(self) -> list[Sent]:
        """As the protocol says."""
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of return_immediately, which is what is wanted
                received = self._platform.subscriber.pull(
                    request={"subscription": self.subscription, "max_messages": 100, "return_immediately": True}
                ).received_messages
            if not received:
                return self._seen
            self._platform.subscriber.acknowledge(
                subscription=self.subscription, ack_ids=[found.ack_id for found in received]
            )
            for found in received:
                self.received.append(found)
                self._seen.append(self._read(found.message))

    def _read(self, message: Any) -> Sent:
        attributes = {}
        for name, value in message.attributes.items():
            assert name.startswith(PREFIX)
            attributes[name.removeprefix(PREFIX)] = value
        body = bytes(message.data)
        place = attributes.get("dataref")
        if place is None:
            return Sent(body, attributes, claimed=False)
        assert json.loads(body)["dataref"] == place
        key = place.removeprefix(f"{SCHEME}{self.bucket}/")
        return Sent(self._blob(key).download_as_bytes(), attributes, claimed=True)

    def _blob(self, key: str) -> Any:
        return self._platform.storage.bucket(self.bucket).blob(key)

    def stored(self, prefix: str) -> list[Stored]:
        """As the protocol says."""
        return [
            Stored(blob.name, blob.download_as_bytes(), blob.metadata or {})
            for blob in self._platform.storage.bucket(self.bucket).list_blobs(prefix=prefix)
        ]

    def plant(self, key: str, body: bytes, metadata: Mapping[str, str]) -> None:
        """As the protocol says."""
        blob = self._blob(key)
        blob.metadata = dict(metadata)
        blob.upload_from_string(body, content_type="application/octet-stream")

    def put_keys(self, *keys: str) -> None:
        """As the protocol says."""
        self.put_secret(json.dumps(keys))

    def put_secret(self, text: str) -> None:
        """As the protocol says."""
        payload = SecretPayload(data=text.encode())
        self._platform.secrets.add_secret_version(parent=self.secret, payload=payload)

    def fault(self, port: Port, mode: Mode, times: int | None = None) -> None:
        """As the protocol says."""
        self._platform.proxies[port].set(Fault(mode.value), times)

    def slow(self, seconds: float) -> None:
        """As the protocol says."""
        for proxy in self._platform.proxies.values():
            proxy.slow_seconds = seconds

    def lift(self) -> None:
        """As the protocol says."""
        for proxy in self._platform.proxies.values():
            proxy.set(Fault.NONE)

    def requests(self, port: Port) -> int:
        """As the protocol says."""
        return self._platform.proxies[port].requests

    def redrive(self, limit: int | None = None) -> Run:
        """As the protocol says."""
        body = b"{}" if limit is None else json.dumps({"limit": limit}).encode()
        answer = over_wsgi(self._app("redrive", self._settings), HttpRequest(body), ())
        if answer.status != http.client.OK:
            raise PortError("unavailable")
        return Run(**json.loads(answer.body))

    def watch(self, settings: Mapping[str, str]) -> Mapping[str, str | int]:
        """As the protocol says."""
        ours = {f"DASTRA_{name}": value for name, value in {"API_KEY_SECRET": self.secret, **settings}.items()}
        answer = over_wsgi(self._app("watch", {**self._settings, **ours}), HttpRequest(b"{}"), ())
        assert answer.status == http.client.OK
        found: Mapping[str, str | int] = json.loads(answer.body)
        return found

    def accept(self, entry: str) -> None:
        """As the protocol says."""
        self.plant(address_key(entry), b"", {})

    def release(self, key: str, *, vouched: bool) -> None:
        """As the protocol says."""
        settings = Settings.from_env(self._settings)
        Redrive(wiring.delivery(settings, CloudLog("release", None))).release(key, vouched=vouched)

    def metrics(self, output: str) -> list[Mapping[str, float]]:
        """As the protocol says: what log-based metrics make of the lines."""
        found: list[Mapping[str, float]] = []
        for line in output.splitlines():
            if not line.startswith('{"severity"'):
                continue
            decoded = json.loads(line)
            values = metric_values(_event(decoded), decoded)
            if values:
                found.append({metric.name: value for metric, value in values})
        return found

    def reset(self) -> None:
        """As the protocol says."""
        self.lift()
        self.messages()
        self._seen, self.received = [], []
        for blob in self._platform.storage.bucket(self.bucket).list_blobs():
            blob.delete()


def _event(line: Mapping[str, Any]) -> LogEvent:
    """Which event a line is, as the filter of a log-based metric tells it."""
    events = [event for event in vars(core_log).values() if isinstance(event, LogEvent)]
    return next(event for event in events if event.name == line["message"] and event.level.value == line["severity"])


def _recorded(made: list[wiring.Instance]) -> type[wiring.Instance]:
    class Recorded(wiring.Instance):
        def __init__(self, make: Callable[[], Receiver]) -> None:
            super().__init__(make)
            made.append(self)

    return Recorded


_DELIVERY: Final = wiring.delivery


def _with_rest(seconds: float) -> Callable[..., Delivery]:
    def delivery(*args: Any) -> Delivery:
        parts = _DELIVERY(*args)
        limits = dataclasses.replace(parts.limits, rest_seconds=seconds)
        return Delivery(parts.queue, parts.store, parts.log, limits)

    return delivery


class GcpPlatform:
    """The emulators with a fault proxy in front of each; tests look inside past the proxies."""

    def __init__(self, emulator: GcpEmulator, stack: ExitStack) -> None:
        self.emulator: Final = emulator
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PUBSUB_EMULATOR_HOST", emulator.pubsub)
            patch.setenv("STORAGE_EMULATOR_HOST", emulator.storage)
            patch.setenv(EMULATOR, emulator.secrets)
            self.publisher: Final = publisher()
            self.secrets: Final = secret_manager()
            self.storage: Final[Any] = storage_client(4)
        self.subscriber: Final = SubscriberClient(transport=grpc_transport(SubscriberGrpcTransport, emulator.pubsub))
        for close in (self.publisher.transport.close, self.subscriber.transport.close, self.secrets.transport.close):
            stack.callback(close)
        stack.callback(self.storage.close)
        ports = {Port.QUEUE: emulator.pubsub, Port.KEYS: emulator.secrets}
        self.proxies: Final[dict[Port, FaultProxy]] = {
            port: GrpcFaultProxy(int(address.rpartition(":")[2])).start() for port, address in ports.items()
        }
        self.proxies[Port.STORE] = FaultProxy(int(emulator.storage.rpartition(":")[2])).start()
        for proxy in self.proxies.values():
            stack.callback(proxy.close)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("THREADS", str(wiring.WORKERS))
            self.server: Final = GcpServer()
        stack.callback(self.server.close)

    @contextmanager
    def deploy(self) -> Iterator[Driver]:
        """As the protocol says."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            driver = GcpDriver(self, f"contract-{uuid.uuid4().hex}", patch)
            try:
                yield driver
            finally:
                driver.lift()
                driver.slow(1.0)

    def environment(self) -> dict[str, str]:
        """What the libraries of the receiver under test read."""
        return {
            "PUBSUB_EMULATOR_HOST": self.proxies[Port.QUEUE].url.removeprefix("http://"),
            "STORAGE_EMULATOR_HOST": self.proxies[Port.STORE].url,
            EMULATOR: self.proxies[Port.KEYS].url.removeprefix("http://"),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }


@contextmanager
def start() -> Iterator[Platform]:
    """The emulators, Google's own Pub/Sub where it is installed, with their proxies and the server."""
    with ExitStack() as stack:
        yield GcpPlatform(stack.enter_context(GcpEmulator()), stack)


register(Cloud("gcp", FRONTS, start))
