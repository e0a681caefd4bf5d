"""Puts the parts together, once per instance."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from aws_lambda.events import NotHttpError, read_request, write_response
from aws_lambda.s3_store import S3Store
from aws_lambda.secret_keys import SecretKeys
from aws_lambda.sqs_queue import SqsQueue
from aws_lambda.telemetry import RECEIVER, REDRIVE, WATCH, PowertoolsLog
from core import http
from core.assembly import assemble
from core.delivery import Delivery
from core.keys import KeyRing, Keys, StaticKeys
from core.log import REFUSED, Log, record
from core.receiver import Receiver
from core.settings import Settings

Handler = Callable[[Any, Any], dict[str, Any]]

TRACE: Final = "_X_AMZN_TRACE_ID"
"""Where the runtime puts the trace header of each invocation (AWS Lambda, "Defined runtime environment variables")."""
WORKERS: Final = 4
"""Lambda sends one request at a time to an instance; the others are for calls that still hang from earlier ones."""


def queue(settings: Settings) -> SqsQueue:
    """SQS with time-outs that fit the queue's share of the budget."""
    return SqsQueue(settings.queue, settings.queue_budget_seconds, WORKERS)


def delivery(settings: Settings, sqs: SqsQueue, log: Log) -> Delivery:
    """The core's delivery with S3 as its store."""
    limits = settings.limits(WORKERS)
    return Delivery(sqs, S3Store(settings.store, limits.store_seconds, WORKERS), log, limits)


def receiver(settings: Settings, log: Log) -> Receiver:
    """The receiver, its queue client made and its keys asked for while the instance starts."""
    keys: Keys = (
        KeyRing(SecretKeys(settings.signature_keys_secret, settings.refresh_seconds), log)
        if settings.signature_keys_secret
        else StaticKeys(settings.signature_keys)
    )
    sqs = queue(settings)
    sqs.connect()
    return assemble(settings, delivery(settings, sqs, log), keys)


def webhook_handler(env: Mapping[str, str]) -> Handler:
    """The Lambda handler of the webhook.

    Raises:
        core.settings.SettingsError: the environment is not usable.
    """
    settings = Settings.from_env(env)
    log = PowertoolsLog(RECEIVER)
    parts = receiver(settings, log)

    def handler(event: Any, context: Any) -> dict[str, Any]:
        log.correlate(getattr(context, "aws_request_id", None))
        try:
            request = read_request(event, settings.trusted_proxy_hops, os.environ.get(TRACE))
        except NotHttpError:
            record(log, REFUSED, reason="not_an_http_event", status=http.BAD_REQUEST.status)
            return write_response(http.BAD_REQUEST, event)
        return write_response(parts.receive(request), event)

    return handler


def redrive_handler(env: Mapping[str, str]) -> Handler:
    """The Lambda handler of the schedule. The event may say ``{"limit": 100}``.

    Raises:
        core.settings.SettingsError: the environment is not usable.
    """
    from core.redrive import MOST_PER_RUN, Redrive  # nothing that the webhook's cold start should pay for

    settings = Settings.from_env(env)
    log = PowertoolsLog(REDRIVE)
    redrive = Redrive(delivery(settings, queue(settings), log))

    def handler(event: Any, context: Any) -> dict[str, Any]:
        log.correlate(getattr(context, "aws_request_id", None))
        report = redrive.run(limit=_limit(event) or MOST_PER_RUN)
        return {"sent": report.sent, "failed": report.failed, "skipped": report.skipped}

    return handler


def watch_handler(env: Mapping[str, str]) -> Handler:
    """The Lambda handler of the webhooks' check. It never raises: a check that could not read says so in the log.

    Raises:
        core.settings.SettingsError: the environment is not usable.
    """
    from core.watch import KEY_SECONDS, Watch  # nothing that the webhook's cold start should pay for
    from core.watch_settings import WatchSettings

    settings = WatchSettings.from_env(env)
    log = PowertoolsLog(WATCH)
    watch = Watch(settings, SecretKeys(settings.api_key_secret, KEY_SECONDS).text, log)

    def handler(event: Any, context: Any) -> dict[str, Any]:
        del event
        log.correlate(getattr(context, "aws_request_id", None))
        return watch.run().as_answer()

    return handler


def _limit(event: Any) -> int | None:
    limit = event.get("limit") if isinstance(event, Mapping) else None
    return limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0 else None
