"""The Azure driver: the real functions in this process, the official SDKs on the wire, AMQP and HTTP at their ends."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final, Protocol

import pytest

from azure_function import classic, streaming, wiring
from azure_function import watch as azure_watch
from azure_function.service_bus_queue import PREFIX, STANDARD_MAX_BYTES
from azure_function.telemetry import LOGGER, RECEIVER, AzureLog
from cli.local.azure_broker import Enqueued
from cli.local.azure_emulator import AzureEmulator
from cli.local.azure_front import Direct, Receive, classic_request, seen, web_request
from cli.local.faults import Fault
from core import log as core_log
from core.addresses import address_key
from core.delivery import Delivery
from core.log import Log, LogEvent, metric_values
from core.redrive import Redrive
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

_LINK_SECONDS: Final = 5.0

STREAMING: Final = Front("streaming-length", Duplicates.JOINED)
CHUNKED: Final = Front("streaming-chunked", Duplicates.JOINED)
CLASSIC: Final = Front("classic", Duplicates.JOINED)
"""The form that is not the usual one; its tests are its own."""
CLASSIC_CHUNKED: Final = Front("classic-chunked", Duplicates.JOINED)
FRONTS: Final = (STREAMING, CHUNKED)


# -- the deployment ----------------------------------------------------------------------------------------------------


class AzureDriver:
    """A queue, a container and a secret of their own behind the platform's faults."""

    queue_limit = STANDARD_MAX_BYTES

    def __init__(self, platform: AzurePlatform, name: str) -> None:
        self.name: Final = name
        self.trace_parent = ""
        """What the host says about the trace of an invocation."""
        self.platform: Final = platform
        self._emulator: Final = platform.emulator
        # A test of the contract sends the same event twice and looks for both.
        self._emulator.create(name, deduplicates=False)
        self._settings: Mapping[str, str] = {}
        self.instance: wiring.Instance | None = None
        self._forms: dict[str, tuple[Receive, bool]] = {}
        self._close: Callable[[], None] = lambda: None

    def build(
        self, settings: Mapping[str, str] | None = None, *, keys: Sequence[str] | None = None, rest: float | None = None
    ) -> None:
        """As the protocol says."""
        self.close()
        secret = {"SIGNATURE_KEYS_SECRET": self._emulator.secret_url(self.name)}
        named = {
            "QUEUE": self._emulator.queue_address(self.name),
            "STORE": self._emulator.container_url(self.name),
            "SOURCE_IP_ALLOWLIST": LISTED,
            **({"SIGNATURE_KEYS": " ".join(keys)} if keys else secret),
            **(settings or {}),
        }
        self._settings = {f"DASTRA_{name}": value for name, value in named.items()}
        with pytest.MonkeyPatch.context() as patch:
            if rest is not None:
                patch.setattr(wiring.Instance, "delivery", _with_rest(rest))
            self.instance = wiring.instance(self._settings)
            log = AzureLog(RECEIVER)
            webhook = self.instance.webhook(log)
        as_streaming, as_classic = streaming.function(webhook), classic.function(webhook, log)
        self._forms = {
            STREAMING.name: (as_streaming, False),
            CHUNKED.name: (as_streaming, True),
            CLASSIC.name: (as_classic, False),
            CLASSIC_CHUNKED.name: (as_classic, True),
        }
        built = self.instance

        def close() -> None:
            webhook.close()
            built.close()

        self._close = close
        self._wait_for_the_link()

    def _wait_for_the_link(self) -> None:
        """As on the platform, where an instance has begun to connect before its first request."""
        if self._emulator.broker.mode in (Fault.NONE, Fault.SLOW) and self.instance is not None:
            deadline = time.monotonic() + _LINK_SECONDS
            line = self.instance.queue._get()
            while not line._opened and time.monotonic() < deadline:
                time.sleep(0.005)

    def close(self) -> None:
        """End the instance."""
        self._close()
        self._close = lambda: None

    def post(self, request: HttpRequest, front: Front | None = None) -> Answer:
        """As the protocol says."""
        front = front or FRONTS[0]
        form, chunked = self._forms[front.name]
        context = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=self.trace_parent))
        receive = functools.partial(form, context=context)
        target = f"{request.path}?{request.query}" if request.query else request.path
        headers = seen(request.headers, request.client, size=len(request.body), chunked=chunked)
        make = classic_request if front in (CLASSIC, CLASSIC_CHUNKED) else web_request
        started = time.monotonic()
        got = self.platform.direct.call(receive, make(request.method, target, headers, request.body))
        return Answer(got.status, dict(got.headers), got.body, time.monotonic() - started)

    def messages(self) -> list[Sent]:
        """As the protocol says."""
        return [self._read(found) for found in self._emulator.broker.messages(self.name)]

    def _read(self, found: Enqueued) -> Sent:
        attributes = {}
        for name, value in found.attributes.items():
            assert name.startswith(PREFIX)
            assert type(value) is str
            attributes[name.removeprefix(PREFIX)] = value
        assert found.message.id == attributes["id"]
        body = found.message.body
        place = attributes.get("dataref")
        if place is None:
            return Sent(body, attributes, claimed=False)
        assert json.loads(body)["dataref"] == place
        key = place.removeprefix(self._emulator.container_url(self.name) + "/")
        (blob,) = self._emulator.services.blobs(self.name, key)
        return Sent(blob.body, attributes, claimed=True)

    def stored(self, prefix: str) -> list[Stored]:
        """As the protocol says."""
        blobs = self._emulator.services.blobs(self.name, prefix)
        return [Stored(blob.name, blob.body, blob.metadata) for blob in blobs]

    def plant(self, key: str, body: bytes, metadata: Mapping[str, str]) -> None:
        """As the protocol says."""
        self._emulator.services.put_blob(self.name, key, body, metadata)

    def put_keys(self, *keys: str) -> None:
        """As the protocol says."""
        self.put_secret(json.dumps(keys))

    def put_secret(self, text: str) -> None:
        """As the protocol says."""
        self._emulator.services.set_secret(self.name, text)

    def fault(self, port: Port, mode: Mode, times: int | None = None) -> None:
        """As the protocol says."""
        self.platform.breakable[port].set(Fault(mode.value), times)

    def slow(self, seconds: float) -> None:
        """As the protocol says."""
        for breakable in self.platform.breakable.values():
            breakable.slow_seconds = seconds

    def lift(self) -> None:
        """As the protocol says."""
        for breakable in self.platform.breakable.values():
            breakable.set(Fault.NONE)

    def requests(self, port: Port) -> int:
        """As the protocol says."""
        emulator = self._emulator
        return {
            Port.QUEUE: emulator.broker.transfers,
            Port.STORE: emulator.store.requests,
            Port.KEYS: emulator.vault.requests,
        }[port]

    def redrive(self, limit: int | None = None) -> Run:
        """As the protocol says."""
        parts = wiring.instance(self._settings)
        try:
            report = parts.redrive()(limit)
        finally:
            parts.close()
        return Run(report.sent, report.failed, report.skipped)

    def watch(self, settings: Mapping[str, str]) -> Mapping[str, str | int]:
        """As the protocol says."""
        secret = {"API_KEY_SECRET": self._emulator.secret_url(self.name)}
        ours = {f"DASTRA_{name}": value for name, value in {**secret, **settings}.items()}
        return azure_watch.watch({**self._settings, **ours})().as_answer()

    def accept(self, entry: str) -> None:
        """As the protocol says."""
        self.plant(address_key(entry), b"", {})

    def release(self, key: str, *, vouched: bool) -> None:
        """As the protocol says."""
        parts = wiring.instance(self._settings)
        try:
            Redrive(parts.delivery(AzureLog("release"))).release(key, vouched=vouched)
        finally:
            parts.close()

    def metrics(self, output: str) -> list[Mapping[str, float]]:
        """As the protocol says: the metrics of an event are those that its log line stands for."""
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [
            {metric.name: value for metric, value in metric_values(event, line)}
            for line in lines
            if (event := _event(line)) is not None
        ]

    def reset(self) -> None:
        """As the protocol says."""
        self.lift()
        self._emulator.broker.purge(self.name)
        self._emulator.services.create_container(self.name)


def _event(line: Mapping[str, Any]) -> LogEvent | None:
    known = [found for found in vars(core_log).values() if isinstance(found, LogEvent)]
    fits = [event for event in known if (event.name, event.level.value) == (line.get("message"), line.get("level"))]
    return fits[0] if fits else None


def _with_rest(seconds: float) -> Callable[..., Delivery]:
    make = wiring.Instance.delivery

    def delivery(self: wiring.Instance, log: Log, *, patience: float = 0.0) -> Delivery:
        parts = make(self, log, patience=patience)
        limits = dataclasses.replace(parts.limits, rest_seconds=seconds)
        return Delivery(parts.queue, parts.store, parts.log, limits)

    return delivery


class _Printing(logging.Handler):
    """Prints what the worker would pass on."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record) + "\n")


class Breakable(Protocol):
    """What can be made to fail."""

    slow_seconds: float

    def set(self, mode: Fault, times: int | None = None) -> None:
        """Switch the fault."""


class AzurePlatform:
    """The emulators, and what calls the functions in the worker's place."""

    def __init__(self, emulator: AzureEmulator) -> None:
        self.emulator: Final = emulator
        self.breakable: Final[Mapping[Port, Breakable]] = {
            Port.QUEUE: emulator.broker,
            Port.STORE: emulator.store,
            Port.KEYS: emulator.vault,
        }
        self.direct: Final = Direct()

    @contextmanager
    def deploy(self) -> Iterator[Driver]:
        """As the protocol says."""
        driver = AzureDriver(self, f"contract-{uuid.uuid4().hex}")
        handler, logger = _Printing(), logging.getLogger(LOGGER)
        logger.addHandler(handler)
        try:
            yield driver
        finally:
            logger.removeHandler(handler)
            driver.close()
            driver.lift()
            driver.slow(1.0)

    def close(self) -> None:
        """End what was started here."""
        self.direct.close()


@contextmanager
def start() -> Iterator[Platform]:
    """The emulators."""
    with AzureEmulator() as emulator:
        platform = AzurePlatform(emulator)
        try:
            yield platform
        finally:
            platform.close()


register(Cloud("azure", FRONTS, start))
