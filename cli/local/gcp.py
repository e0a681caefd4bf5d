"""Google Cloud on this machine: the real functions under functions-framework before emulated services."""

from __future__ import annotations

import io
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote_to_bytes

from functions_framework import create_app
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.secretmanager_v1.types import Secret, SecretPayload
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from cli.exits import CliError
from cli.local.cloud import Depths, Handled, Watch, body_as_json
from cli.local.faults import FaultProxy
from cli.local.front import HttpAnswer, HttpRequest
from cli.local.gcp_emulator import INSTALL, PROJECT, EmulatorError, GcpEmulator, Names
from cli.local.gcp_faults import GrpcFaultProxy
from cli.local.journal import Journal
from core.event import EventError
from core.http import UNAVAILABLE
from core.message import ATTRIBUTE_NAMES
from core.ports import PortError
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX
from core.settings import PREFIX
from gcp_function import wiring
from gcp_function.consumer import gcs_fetch
from gcp_function.gcs_store import storage_client
from gcp_function.pubsub_queue import PREFIX as ATTRIBUTE_PREFIX
from gcp_function.pubsub_queue import publisher
from gcp_function.sdk import grpc_transport
from gcp_function.secret_keys import EMULATOR, secret_manager

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

MOST_BYTES: Final = 32 * 1024 * 1024
"""What Cloud Run takes as one request over HTTP/1 (its quotas)."""
_MAIN: Final = Path(wiring.__file__).with_name("main.py")
_WATCHED: Final = f"projects/{PROJECT}/subscriptions/dastra-webhooks-console"
"""A subscription of our own, so that looking takes nothing from the one that a consumer would have."""
_SECONDS: Final = 5.0
_TOO_LARGE: Final = HttpAnswer(
    413, [("Content-Type", "text/html; charset=UTF-8")], b"<title>Error 413 (Request Entity Too Large)</title>"
)
_ADDED: Final = frozenset({"connection", "content-length", "transfer-encoding", "x-forwarded-for"})
"""Headers that the platform's front end writes itself."""


class LocalGcp:
    """A deployment on this machine while the `with` block runs. It changes this process's environment for good.

    Args:
        settings: the user's own ``DASTRA_`` settings, without those that name keys, queue and store.
        keys: the signature keys' text, as it goes into the emulated secret.
        journal: where the functions' output goes; it must be ``sys.stdout`` already.
        watch: is told of every request; called on the request's thread.
        google_pubsub: whether Pub/Sub is Google's own emulator; None for where it is installed.
    """

    most_bytes: int = MOST_BYTES
    title: str = ""

    def __init__(
        self,
        settings: Mapping[str, str],
        keys: str,
        journal: Journal,
        watch: Watch,
        *,
        google_pubsub: bool | None = None,
    ) -> None:
        self._settings: Final = settings
        self._keys: Final = keys
        self._journal: Final = journal
        self._watch: Final = watch
        self._google_pubsub: Final = google_pubsub
        self._stack = ExitStack()
        self._making: Final = threading.Lock()
        self._looking: Final = threading.Lock()
        self._seen: list[dict[str, Any]] = []
        names = Names()
        self.queue: str = names.topic
        self.store: str = names.bucket
        self.secret: str = names.secret
        self._subscription: Final = names.subscription
        self.faults: dict[str, FaultProxy] = {}
        """The proxy in front of each service, by the name that the controls use."""
        self.environment: dict[str, str] = {}
        """What another process's libraries need to reach the emulated services, faults included."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                emulator = stack.enter_context(GcpEmulator(google_pubsub=self._google_pubsub))
            except EmulatorError as error:
                raise CliError("the emulated Google Cloud did not start.", str(error)) from error
            pubsub = "Google's own Pub/Sub emulator" if emulator.is_google else "a stand-in for Pub/Sub"
            self.title = (
                "The receiver is up, as on Google Cloud: the real function, with\n"
                f"{pubsub}, an emulated bucket and secret."
            )
            if not emulator.is_google:
                self._journal.write(f"Google's Pub/Sub emulator is not installed: {INSTALL}\n")
            for name, address in {"queue": emulator.pubsub, "keys": emulator.secrets}.items():
                self.faults[name] = stack.enter_context(GrpcFaultProxy(_port(address)))
            self.faults["store"] = stack.enter_context(FaultProxy(_port(emulator.storage)))
            self._provision(emulator, stack)
            self.environment = {
                "PUBSUB_EMULATOR_HOST": self.faults["queue"].url.removeprefix("http://"),
                "STORAGE_EMULATOR_HOST": self.faults["store"].url,
                EMULATOR: self.faults["keys"].url.removeprefix("http://"),
                "GOOGLE_CLOUD_PROJECT": PROJECT,
                "NO_PROXY": "127.0.0.1,localhost",
                "no_proxy": "127.0.0.1,localhost",
            }
            os.environ.update(self.environment)
            self._app = self._make("receive")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request through the function, as Cloud Run does."""
        started = time.monotonic()
        with self._journal.gather() as lines:
            answer = _call(self._app, _environ(request, self._journal))
        self._watch(Handled(request, len(request.body), answer, (time.monotonic() - started) * 1000, tuple(lines)))
        return answer

    def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
        """As Google's front end does before a function sees anything."""
        self._watch(Handled(request, size, _TOO_LARGE, (time.time() - request.received_at) * 1000))
        return _TOO_LARGE

    def redrive(self) -> dict[str, Any]:
        """Run the redrive function once, as a new instance would: without memory of an earlier run's time-outs.

        Raises:
            core.ports.PortError: the store does not answer.
        """
        request = HttpRequest("POST", b"/", b"", (), b"", "127.0.0.1", time.time())
        answer = _call(self._make("redrive"), _environ(request, self._journal))
        if answer.status == UNAVAILABLE.status:
            raise PortError("store_failed")
        report: dict[str, Any] = json.loads(answer.body)
        return report

    def messages(self) -> list[dict[str, Any]]:
        """Every message on the queue, oldest first, none touched; claim checks followed."""
        with self._looking:
            self._look()
            return list(self._seen)

    def stored(self) -> list[dict[str, Any]]:
        """Every event in spool and quarantine, oldest first; claim checks followed."""
        return [record for prefix in (SPOOL_PREFIX, QUARANTINE_PREFIX) for record in self._records(prefix)]

    def depths(self) -> Depths:
        """How much is where."""
        with self._looking:
            self._look()
            queued = len(self._seen)
        bucket = self._storage.bucket(self.store)
        spool, quarantine = (
            tuple(blob.name for blob in bucket.list_blobs(prefix=prefix, timeout=_SECONDS))
            for prefix in (SPOOL_PREFIX, QUARANTINE_PREFIX)
        )
        return Depths(queued, spool, quarantine)

    def _look(self) -> None:
        while received := self._pull():
            self._seen += map(self._shown, received)

    def _records(self, prefix: str) -> Iterator[dict[str, Any]]:
        for blob in self._storage.bucket(self.store).list_blobs(prefix=prefix, timeout=_SECONDS):
            try:
                body = bytes(blob.download_as_bytes(timeout=_SECONDS))
            except GoogleAPICallError:  # it went on meanwhile
                continue
            metadata = blob.metadata or {}
            attributes = {name: metadata[name] for name in ATTRIBUTE_NAMES if name in metadata}
            yield {
                "key": blob.name,
                "reason": metadata.get("reason"),
                "address": metadata.get("address"),
                "attributes": attributes,
                **body_as_json(self._follow(attributes.get("dataref"), body)),
            }

    def _pull(self) -> list[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of return_immediately, which is what is wanted
            received = self._subscriber.pull(
                request={"subscription": _WATCHED, "max_messages": 100, "return_immediately": True},
                timeout=_SECONDS,
                retry=None,
            ).received_messages
        if received:
            self._subscriber.acknowledge(
                subscription=_WATCHED, ack_ids=[found.ack_id for found in received], timeout=_SECONDS, retry=None
            )
        return [found.message for found in received]

    def _shown(self, message: Any) -> dict[str, Any]:
        attributes = {name: message.attributes[name] for name in sorted(message.attributes)}
        body = self._follow(attributes.get(f"{ATTRIBUTE_PREFIX}dataref"), bytes(message.data))
        id_ = attributes.get(f"{ATTRIBUTE_PREFIX}id", message.message_id)
        return {"id": id_, "attributes": attributes, **body_as_json(body)}

    def _follow(self, dataref: str | None, body: bytes) -> bytes:
        """The body that a claim check points at; the pointer itself where nothing is there."""
        if dataref is None:
            return body
        with suppress(EventError, GoogleAPICallError):
            return gcs_fetch(self._storage, self.store)(dataref)
        return body

    def _provision(self, emulator: GcpEmulator, stack: ExitStack) -> None:
        """Make what a deployment has; our own clients go past the proxies."""
        os.environ["PUBSUB_EMULATOR_HOST"] = emulator.pubsub
        os.environ["STORAGE_EMULATOR_HOST"] = emulator.storage
        os.environ[EMULATOR] = emulator.secrets
        self._storage: Any = storage_client(4)
        stack.callback(self._storage.close)
        self._storage.create_bucket(self.store)
        topics, secrets = publisher(), secret_manager()
        self._subscriber = SubscriberClient(transport=grpc_transport(SubscriberGrpcTransport, emulator.pubsub))
        for client in (topics, secrets, self._subscriber):
            stack.callback(client.transport.close)
        topics.create_topic(name=self.queue)
        for subscription in (self._subscription, _WATCHED):
            self._subscriber.create_subscription(name=subscription, topic=self.queue, ack_deadline_seconds=60)
        secrets.create_secret(
            parent=f"projects/{PROJECT}",
            secret_id=self.secret.rpartition("/")[2],
            secret=Secret(replication={"automatic": {}}),
        )
        secrets.add_secret_version(parent=self.secret, payload=SecretPayload(data=self._keys.encode()))

    def _make(self, target: str) -> Application:
        """A function under the framework; its module reads the environment when it is imported."""
        wanted = {
            **self._settings,
            f"{PREFIX}QUEUE": self.queue,
            f"{PREFIX}STORE": self.store,
            f"{PREFIX}SIGNATURE_KEYS_SECRET": self.secret,
        }
        with self._making:
            own = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}
            os.environ.update(wanted)
            try:
                app: Application = create_app(target, str(_MAIN), "http")  # type: ignore[no-untyped-call]
            finally:
                for name in wanted:
                    del os.environ[name]
                os.environ.update(own)
            return app


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _environ(request: HttpRequest, errors: Journal) -> Environ:
    """The request as Google's front end passes it and gunicorn hands it to an application (PEP 3333)."""
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "169.254.1.1",
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": errors,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in _ADDED or "_" in name:
            continue
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["HTTP_X_FORWARDED_FOR"] = request.client
    environ["HTTP_X_FORWARDED_PROTO"] = "https"
    return environ


def _call(app: Application, environ: Environ) -> HttpAnswer:
    head: list[Any] = []
    result = app(environ, lambda status, headers, *_: head.extend((int(status[:3]), headers)))
    try:
        body = b"".join(result)
    finally:
        if close := getattr(result, "close", None):
            close()
    return HttpAnswer(head[0], head[1], body)


start = LocalGcp
"""What `cli.commands.run` looks for."""
