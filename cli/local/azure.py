"""Azure on this machine: the real functions before an emulated Service Bus, Blob Storage and Key Vault.

In the real Python worker where this Python is one that it runs on (3.13), else called directly.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from azure_function import wiring
from azure_function.service_bus_queue import PREFIX as ATTRIBUTE_PREFIX
from azure_function.telemetry import LOGGER
from cli.exits import CliError
from cli.local import azurite
from cli.local.azure_emulator import CONTAINER, QUEUE, SECRET, AzureEmulator
from cli.local.azure_front import Direct, Lines, classic_request, seen, web_request
from cli.local.azure_host import RUNTIME, Answer, Host, HostError
from cli.local.cloud import Depths, Handled, Watch, body_as_json
from cli.local.faults import FaultProxy
from cli.local.front import HttpAnswer, HttpRequest
from cli.local.journal import Journal
from core.message import ATTRIBUTE_NAMES
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX
from core.settings import PREFIX

MOST_BYTES: Final = 100 * 1024 * 1024
"""What the host lets through as one request (``FUNCTIONS_REQUEST_BODY_SIZE_LIMIT``)."""
_TITLE: Final = (
    "The receiver is up, as on Azure: the real functions in the real worker,\n"
    "with an emulated Service Bus, Blob Storage and Key Vault."
)
_TITLE_WITHOUT: Final = (
    "The receiver is up, as on Azure: the real functions (Python 3.13 would\n"
    "run the worker, too), with emulated Service Bus, blobs and Key Vault."
)
_TOO_LARGE: Final = HttpAnswer(413, [], b"")
_APP: Final = Path(wiring.__file__).with_name("function_app.py")


class LocalAzure:
    """A deployment on this machine while the ``with`` block runs. It changes this process's environment for good.

    Args:
        settings: the user's own ``DASTRA_`` settings, without those that name keys, queue and store.
        keys: the signature keys' text, as it goes into the emulated secret.
        journal: where the functions' output goes.
        watch: is told of every request; called on the request's thread.
        worker: whether the functions run in the real worker; None for where it can.
    """

    most_bytes: int = MOST_BYTES
    title: str = ""

    def __init__(
        self, settings: Mapping[str, str], keys: str, journal: Journal, watch: Watch, *, worker: bool | None = None
    ) -> None:
        self._settings: Final = settings
        self._keys: Final = keys
        self._journal: Final = journal
        self._watch: Final = watch
        self._worker: Final = importlib.util.find_spec(RUNTIME) is not None if worker is None else worker
        self._stack = ExitStack()
        self.faults: dict[str, FaultProxy] = {}
        """What can break each service, by the name that the controls use."""
        self.environment: dict[str, str] = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        """What another process's SDK needs: the names of the parts say the rest."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._emulator = emulator = stack.enter_context(AzureEmulator(blobs=azurite.find()))
            emulator.create(QUEUE)
            emulator.services.set_secret(SECRET, self._keys)
            self.queue: str = emulator.queue_address(QUEUE)
            self.store: str = emulator.container_url(CONTAINER)
            self.secret: str = emulator.secret_url(SECRET)
            # The broker switches as the proxies do.
            self.faults = {
                "queue": cast(FaultProxy, emulator.broker),
                "store": emulator.store,
                "keys": emulator.vault,
            }
            os.environ.update(self.environment)
            logger = logging.getLogger(LOGGER)
            logger.propagate = False
            stack.callback(setattr, logger, "propagate", True)
            self._receive = self._in_worker(stack) if self._worker else self._directly(stack)
            self.title = _TITLE if self._worker else _TITLE_WITHOUT
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request through the function, as the Functions host does."""
        started = time.monotonic()
        with self._journal.gather() as lines:
            try:
                got = self._receive(request)
            except HostError as error:  # what the host does with a function that fails
                self._journal.write(f"{error}\n")
                got = Answer(500, [], b"")
            # The lines were written on another thread; here they are gathered.
            for line in got.lines:
                lines.extend(_parsed(line))
        answer = HttpAnswer(got.status, got.headers, got.body)
        self._watch(Handled(request, len(request.body), answer, (time.monotonic() - started) * 1000, tuple(lines)))
        return answer

    def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
        """As the host does before a function sees anything."""
        self._watch(Handled(request, size, _TOO_LARGE, (time.time() - request.received_at) * 1000))
        return _TOO_LARGE

    def redrive(self) -> dict[str, Any]:
        """Run the redrive once, as a new instance would: without memory of an earlier run's time-outs.

        Raises:
            core.ports.PortError: the store does not answer.
        """
        parts = wiring.instance(self._environment())
        try:
            report = parts.redrive()(None)
        finally:
            parts.close()
        return {"sent": report.sent, "failed": report.failed, "skipped": report.skipped}

    def messages(self) -> list[dict[str, Any]]:
        """Every message on the queue, oldest first, none touched; claim checks followed."""
        found = []
        for item in self._emulator.broker.messages(QUEUE):
            attributes = {name: str(value) for name, value in item.attributes.items()}
            body = self._follow(attributes.get(f"{ATTRIBUTE_PREFIX}dataref"), item.message.body)
            id_ = attributes.get(f"{ATTRIBUTE_PREFIX}id", str(item.message.id))
            found.append({"id": id_, "attributes": attributes, **body_as_json(body)})
        return found

    def stored(self) -> list[dict[str, Any]]:
        """Every event in spool and quarantine, oldest first; claim checks followed."""
        return [record for prefix in (SPOOL_PREFIX, QUARANTINE_PREFIX) for record in self._records(prefix)]

    def depths(self) -> Depths:
        """How much is where."""
        blobs = self._emulator.blobs
        spool, quarantine = (
            tuple(blob.name for blob in blobs(CONTAINER, prefix)) for prefix in (SPOOL_PREFIX, QUARANTINE_PREFIX)
        )
        return Depths(len(self._emulator.broker.messages(QUEUE)), spool, quarantine)

    def _records(self, prefix: str) -> Iterator[dict[str, Any]]:
        for blob in self._emulator.blobs(CONTAINER, prefix):
            attributes = {name: blob.metadata[name] for name in ATTRIBUTE_NAMES if name in blob.metadata}
            yield {
                "key": blob.name,
                "reason": blob.metadata.get("reason"),
                "address": blob.metadata.get("address"),
                "attributes": attributes,
                **body_as_json(self._follow(attributes.get("dataref"), blob.body)),
            }

    def _follow(self, dataref: str | None, body: bytes) -> bytes:
        """The body that a claim check points at; the pointer itself where nothing is there."""
        if dataref is None:
            return body
        name = dataref.removeprefix(f"{self.store}/")
        return next((blob.body for blob in self._emulator.blobs(CONTAINER, name) if blob.name == name), body)

    def _environment(self) -> dict[str, str]:
        return {
            **self._settings,
            f"{PREFIX}QUEUE": self.queue,
            f"{PREFIX}STORE": self.store,
            f"{PREFIX}SIGNATURE_KEYS_SECRET": self.secret,
            **{name: value for name in (wiring.FORM,) if (value := os.environ.get(name))},
        }

    def _in_worker(self, stack: ExitStack) -> Callable[[HttpRequest], Answer]:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dastra-webhooks-")))
        shutil.copy(_APP, directory / _APP.name)
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            del os.environ[name]
        os.environ.update(self._environment())
        try:
            host = Host(directory, logger=LOGGER, sink=self._journal.write)
        except HostError as error:
            raise CliError("the Python worker did not take the function app.", str(error)) from error
        stack.callback(host.close)

        def receive(request: HttpRequest) -> Answer:
            headers, chunked = _as_seen(request)
            return host.receive(request.method, _target(request), headers, request.body, chunked=chunked)

        return receive

    def _directly(self, stack: ExitStack) -> Callable[[HttpRequest], Answer]:
        lines = Lines(self._journal.write)
        logger = logging.getLogger(LOGGER)
        logger.addHandler(lines)
        stack.callback(logger.removeHandler, lines)
        direct = Direct()
        stack.callback(direct.close)
        env = self._environment()
        app = wiring.function_app(env)
        (function,) = [found for found in app.get_functions() if found.get_function_name() == "receive"]
        call = function.get_user_function()
        make = classic_request if wiring.http_form(env) == "classic" else web_request

        def receive(request: HttpRequest) -> Answer:
            headers, _ = _as_seen(request)
            return direct.call(call, make(request.method, _target(request), headers, request.body))

        return receive


def _as_seen(request: HttpRequest) -> tuple[list[tuple[str, str]], bool]:
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers]
    chunked = any(name == "transfer-encoding" for name, _ in pairs)
    return seen(pairs, request.client, size=len(request.body), chunked=chunked), chunked


def _target(request: HttpRequest) -> str:
    path, query = request.path.decode("latin-1"), request.query.decode("latin-1")
    return f"{path}?{query}" if query else path


def _parsed(line: str) -> Iterator[Mapping[str, Any]]:
    try:
        found = json.loads(line)
    except ValueError:
        return
    if isinstance(found, dict):
        yield found


start = LocalAzure
"""What `cli.commands.run` looks for."""
