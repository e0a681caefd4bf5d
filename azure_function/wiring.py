"""Puts the parts together, once per instance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from azure.functions import AuthLevel, FunctionApp, TimerRequest

from azure_function import allocator
from azure_function.blob_store import BlobStore
from azure_function.identity import managed_identity
from azure_function.places import Places
from azure_function.sdk import QUIET
from azure_function.service_bus_queue import ServiceBusQueue, connector
from azure_function.telemetry import RECEIVER, REDRIVE, AzureLog, Line
from azure_function.webhook import Webhook
from core.assembly import assemble
from core.delivery import Delivery
from core.keys import KeyRing, Keys, StaticKeys
from core.log import STORE_FAILED, Log, record
from core.ports import PortError
from core.receiver import Receiver
from core.settings import Settings, SettingsError, watches

if TYPE_CHECKING:
    from core.redrive import RedriveReport

WORKERS: Final = 16
"""Requests that an instance works on at once: the same number as the concurrency that is deployed."""
FORM: Final = "HTTP_FORM"
FORMS: Final = ("streaming", "classic")
SCHEDULE: Final = "0 */5 * * * *"
"""Every five minutes (NCRONTAB: the first field is the seconds)."""
WATCH_SCHEDULE: Final = "0 */15 * * * *"
"""Every quarter of an hour."""
_REDRIVE_SECONDS: Final = 5.0
"""What the redrive allows for a message: no sender waits for it."""


@dataclass(slots=True, eq=False)
class Instance:
    """Everything of one instance. Webhook and redrive share queue and store, so that there is one connection."""

    settings: Settings
    places: Places
    queue: ServiceBusQueue
    store: BlobStore

    def delivery(self, log: Log, *, patience: float = 0.0) -> Delivery:
        """The core's delivery with Service Bus and Blob Storage; ``patience`` is what a call may take at least."""
        limits = self.settings.limits(WORKERS)
        seconds = (max(limits.queue_seconds, patience), max(limits.store_seconds, patience))
        return Delivery(
            self.queue, self.store, log, replace(limits, queue_seconds=seconds[0], store_seconds=seconds[1])
        )

    def keys(self, log: Log) -> Keys:
        """The keys; Key Vault's library is imported only where it is used."""
        if self.places.secret is None:
            return StaticKeys(self.settings.signature_keys)
        from azure_function.vault_keys import VaultKeys

        return KeyRing(VaultKeys(self.places.secret, managed_identity, self.settings.refresh_seconds), log)

    def receiver(self, log: Log) -> Receiver:
        """The receiver, its connection begun and its keys asked for while the instance starts."""
        self.queue.connect()
        return assemble(self.settings, self.delivery(log), self.keys(log))

    def webhook(self, log: AzureLog, started_at: float | None = None) -> Webhook:
        """The receiver as the HTTP function calls it."""
        return Webhook(self.receiver(log), self.settings, log, WORKERS, started_at, self.store.warm)

    def redrive(self) -> Callable[[int | None], RedriveReport]:
        """What the timer runs: puts the spool back, at most so many events, and emits the gauges.

        It raises PortError when the store does not answer: then there are no gauges, and their absence alarms.
        """
        from core.redrive import MOST_PER_RUN, Redrive  # nothing that the webhook's cold start should pay for

        log = AzureLog(REDRIVE)
        runner = Redrive(self.delivery(log, patience=_REDRIVE_SECONDS))

        def run(limit: int | None = None) -> RedriveReport:
            lines: list[Line] = []
            try:
                return log.gather(lambda: _logged(lambda: runner.run(limit=limit or MOST_PER_RUN), log), lines)
            finally:
                log.emit(lines)

        return run

    def close(self) -> None:
        """End the connection."""
        self.queue.close()


def _logged(run: Callable[[], RedriveReport], log: Log) -> RedriveReport:
    try:
        return run()
    except PortError as error:
        record(log, STORE_FAILED, during="redrive", error=error.code)
        raise


def instance(env: Mapping[str, str]) -> Instance:
    """The parts, without any I/O.

    Raises:
        core.settings.SettingsError: the environment is not usable.
    """
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    settings = Settings.from_env(env)
    places = Places.of(settings)
    queue = ServiceBusQueue(connector(places.queue, managed_identity), places.queue.queue)
    store = BlobStore(places.store, managed_identity, settings.limits(WORKERS).store_seconds, WORKERS)
    return Instance(settings, places, queue, store)


def http_form(env: Mapping[str, str]) -> str:
    """In which form the HTTP function is registered.

    Raises:
        core.settings.SettingsError: the value is none.
    """
    form = env.get(FORM, "").strip() or FORMS[0]
    if form not in FORMS:
        raise SettingsError([f"{FORM} is {form!r}: valid: {', '.join(FORMS)}"])
    return form


def function_app(env: Mapping[str, str], started_at: float | None = None) -> FunctionApp:
    """The function app: ``receive`` for every path and method, ``redrive`` on its schedule, ``watch`` where it is on.

    The signature is the authentication, so the host asks for no key of its own.

    Raises:
        core.settings.SettingsError: the environment is not usable.
    """
    allocator.settle()
    form = http_form(env)
    parts = instance(env)
    log = AzureLog(RECEIVER)
    webhook = parts.webhook(log, started_at)
    app = FunctionApp(http_auth_level=AuthLevel.ANONYMOUS)
    if form == "classic":
        from azure_function import classic

        receive: Callable[..., object] = classic.function(webhook, log)
    else:
        from azure_function import streaming

        receive = streaming.function(webhook)
    app.function_name("receive")(app.route(route="{*path}")(receive))
    run: list[Callable[[int | None], RedriveReport]] = []

    def redrive(timer: TimerRequest) -> None:
        del timer
        if not run:
            run.append(parts.redrive())
        run[0](None)

    timer = app.timer_trigger(schedule=SCHEDULE, arg_name="timer", run_on_startup=False, use_monitor=True)
    app.function_name("redrive")(timer(redrive))
    if watches(env):
        _add_watch(app, env)
    return app


def _add_watch(app: FunctionApp, env: Mapping[str, str]) -> None:
    """Register the check of the webhooks; nothing of it is imported before its first run."""
    run: list[Callable[[], object]] = []

    def watch(timer: TimerRequest) -> None:
        del timer
        if not run:
            from azure_function.watch import watch as make

            run.append(make(env))
        run[0]()

    timer = app.timer_trigger(schedule=WATCH_SCHEDULE, arg_name="timer", run_on_startup=False, use_monitor=True)
    app.function_name("watch")(timer(watch))
