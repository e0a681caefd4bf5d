"""Puts the parts together, once per process, when its first request comes."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import flask

from core import http
from core.assembly import assemble
from core.deadline import Deadline, process_age
from core.delivery import Delivery
from core.keys import KeyRing, Keys, StaticKeys
from core.log import REFUSED, STORE_FAILED, Log, record
from core.ports import PortError
from core.receiver import Receiver
from core.settings import PREFIX, Settings, SettingsError, shown
from gcp_function.gcs_store import GcsStore
from gcp_function.http import LateError, UnreadableError, read_request, write_response
from gcp_function.pubsub_queue import PubsubQueue
from gcp_function.sdk import Lazy
from gcp_function.telemetry import RECEIVER, REDRIVE, CloudLog

if TYPE_CHECKING:
    from core.redrive import Redrive

Function = Callable[[flask.Request], flask.Response]

WORKERS: Final = 16
"""Requests that an instance works on at once: the same number as its threads (``THREADS``) and its concurrency."""
ALLOCATOR: Final = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "262144"}
"""What a deployment tells the C library, which reads it before Python starts: few heaps, large blocks outside them."""
_WAITED_SECONDS: Final = 2.0
_SECONDS: Final = 5.0
_TOPIC: Final = re.compile(r"projects/([^/\s]+)/topics/[^/\s]+")
SECRET: Final = re.compile(r"projects/[^/\s]+/secrets/[^/\s]+(?:/versions/[^/\s]+)?")
VALID_SECRET: Final = "valid: projects/PROJECT/secrets/SECRET"  # noqa: S105 - what a secret's name looks like
_IMPORTED_AT: Final = time.time()
_STARTED_AT: Final = _IMPORTED_AT - process_age()
"""When this instance was started, in seconds since the epoch. Taken here, since this is imported before the server
forks, and the age of a forked process is only its own."""


def read_settings(env: Mapping[str, str]) -> Settings:
    """The settings, their names in Google Cloud's notation.

    Raises:
        SettingsError: the environment is not usable.
    """
    settings = Settings.from_env(env)
    faults = []
    if not _TOPIC.fullmatch(settings.queue):
        faults.append(f"{PREFIX}QUEUE is {shown(settings.queue)}: valid: a topic's path, projects/PROJECT/topics/TOPIC")
    if settings.signature_keys_secret and not SECRET.fullmatch(settings.signature_keys_secret):
        # What stands there may be the key itself, so it is not shown.
        faults.append(f"{PREFIX}SIGNATURE_KEYS_SECRET is no secret's resource name: {VALID_SECRET}")
    if faults:
        raise SettingsError(faults)
    return settings


def project_of(settings: Settings) -> str | None:
    """The project whose traces the log lines are linked to: the one that is set, else the topic's."""
    match = _TOPIC.fullmatch(settings.queue)
    return os.environ.get("GOOGLE_CLOUD_PROJECT") or (match[1] if match else None)


def delivery(settings: Settings, log: Log) -> Delivery:
    """The core's delivery with Pub/Sub and Cloud Storage."""
    return Delivery(PubsubQueue(settings.queue), GcsStore(settings.store, WORKERS), log, settings.limits(WORKERS))


def known_keys(settings: Settings, log: Log) -> Keys:
    """The keys; Secret Manager's client is imported only where it is used."""
    if not settings.signature_keys_secret:
        return StaticKeys(settings.signature_keys)
    from gcp_function.secret_keys import SecretKeys

    return KeyRing(SecretKeys(settings.signature_keys_secret), log)


def receiver(settings: Settings, log: Log, keys: Keys) -> Receiver:
    """The receiver, its keys asked for."""
    return assemble(settings, delivery(settings, log), keys)


class Instance:
    """The receiver of this process, made by the first request, while others that came as early wait for it."""

    def __init__(self, make: Callable[[], Receiver]) -> None:
        self._make: Final = make
        self._making: Final = threading.Lock()
        self._receiver: Receiver | None = None

    def enter(self, arrived_at: float) -> tuple[Receiver, float]:
        """The receiver, and since when this request has been waiting, in seconds since the epoch."""
        if self._receiver is not None:
            return self._receiver, arrived_at
        with self._making:
            if self._receiver is None:
                self._receiver = self._make()
        # A request that comes as soon as the instance is ready is the one that it was started for.
        started_for_it = arrived_at - _IMPORTED_AT < _WAITED_SECONDS
        return self._receiver, _STARTED_AT if started_for_it else arrived_at


def webhook_function(env: Mapping[str, str]) -> Function:
    """The HTTP function of the webhook. Makes no thread and no connection: the server forks after this.

    Raises:
        core.settings.SettingsError: the environment is not usable.
    """
    settings = read_settings(env)
    log = CloudLog(RECEIVER, project_of(settings))
    keys = known_keys(settings, log)
    instance = Instance(lambda: receiver(settings, log, keys))

    def unreadable(incoming: flask.Request, answer: http.Response, reason: str) -> flask.Response:
        record(log, REFUSED, reason=reason, status=answer.status)
        return write_response(answer, incoming, unreadable=True)

    def receive(incoming: flask.Request) -> flask.Response:
        arrived_at = time.time()
        log.correlate(http.Headers(incoming.headers.items()))
        parts, received_at = instance.enter(arrived_at)
        deadline = Deadline.start(settings.time_budget_seconds, time.time() - received_at)
        try:
            request = read_request(
                incoming,
                trusted_proxy_hops=settings.trusted_proxy_hops,
                max_body_bytes=settings.max_body_bytes,
                received_at=received_at,
                ends_at=deadline.ends_at,
            )
        except LateError:
            return unreadable(incoming, http.UNAUTHORIZED, "late_body")
        except UnreadableError:
            return unreadable(incoming, http.BAD_REQUEST, "unreadable_body")
        return write_response(parts.receive(request), incoming)

    return receive


def redrive_function(env: Mapping[str, str]) -> Function:
    """The HTTP function of the schedule, which may post ``{"limit": 100}``. Who may call it, Cloud Run decides.

    Raises:
        core.settings.SettingsError: the environment is not usable.
    """
    settings = read_settings(env)
    log = CloudLog(REDRIVE, project_of(settings))

    def make() -> Redrive:
        from core.redrive import Redrive  # nothing that the webhook's cold start should pay for

        return Redrive(delivery(settings, log))

    runner = Lazy(make)

    def redrive(incoming: flask.Request) -> flask.Response:
        log.correlate(http.Headers(incoming.headers.items()))
        if incoming.method != "POST":
            return write_response(http.METHOD_NOT_ALLOWED, incoming)
        try:
            limit = _limit(incoming)
            run = runner.get(_SECONDS).run
            report = run() if limit is None else run(limit=limit)
        except PortError as error:  # without the gauges, whose absence alarms
            record(log, STORE_FAILED, during="redrive", error=error.code)
            return write_response(http.UNAVAILABLE, incoming)
        return flask.jsonify(sent=report.sent, failed=report.failed, skipped=report.skipped)

    return redrive


def _limit(incoming: flask.Request) -> int | None:
    if not 0 < (incoming.content_length or 0) <= 1024:
        return None
    body: Any = incoming.get_json(force=True, silent=True)
    limit = body.get("limit") if isinstance(body, dict) else None
    return limit if type(limit) is int and limit > 0 else None
