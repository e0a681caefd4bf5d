"""Every log event, field and metric by name. Nothing here can carry a body, a key or a signature.

Each field has a pattern of its own; a value that does not fit is replaced, so that text from a sender cannot reach a
log by accident. Metrics have no label that comes from a sender.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

Value = str | int | float | bool


class Level(StrEnum):
    """Severities, as the standard library and the three clouds know them."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class Unit(StrEnum):
    """Units of metrics, in CloudWatch's spelling."""

    COUNT = "Count"
    SECONDS = "Seconds"
    MILLISECONDS = "Milliseconds"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that is emitted with a log event: the event's field of the name ``field``, else ``value``."""

    name: str
    unit: Unit = Unit.COUNT
    field: str | None = None
    value: float = 1.0


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Something that happened. ``name`` is the log line's message and what alarms are called after."""

    name: str
    level: Level
    metrics: tuple[Metric, ...] = ()


DURATION: Final = Metric("Duration", Unit.MILLISECONDS, "duration_ms")

ACCEPTED: Final = LogEvent("accepted", Level.INFO, (Metric("Accepted"), DURATION))
SPOOLED: Final = LogEvent("spooled", Level.WARNING, (Metric("Spooled"), DURATION))
QUARANTINED: Final = LogEvent("quarantined", Level.WARNING, (Metric("Quarantined"), DURATION))
EVENT_LOST: Final = LogEvent("event_lost", Level.CRITICAL, (Metric("EventLost"), DURATION))
NO_KEY: Final = LogEvent("no_key", Level.CRITICAL, (Metric("NoKey"), Metric("EventLost"), DURATION))
BAD_SIGNATURE_LISTED: Final = LogEvent("bad_signature", Level.ERROR, (Metric("BadSignatureFromListedAddress"),))
BAD_SIGNATURE_UNLISTED: Final = LogEvent("bad_signature", Level.WARNING, (Metric("BadSignatureFromUnlistedAddress"),))
TOO_LARGE: Final = LogEvent("too_large", Level.ERROR, (Metric("TooLarge"),))
REFUSED: Final = LogEvent("refused", Level.INFO, (Metric("Refused"),))
UNLISTED_ADDRESS: Final = LogEvent(
    "authentic_from_unlisted_address", Level.WARNING, (Metric("AuthenticFromUnlistedAddress"),)
)
INTERNAL_ERROR: Final = LogEvent("internal_error", Level.CRITICAL, (Metric("InternalError"), Metric("EventLost")))
QUEUE_FAILED: Final = LogEvent("queue_failed", Level.WARNING, (Metric("QueueFailed"),))
STORE_FAILED: Final = LogEvent("store_failed", Level.ERROR, (Metric("StoreFailed"),))
KEYS_FAILED: Final = LogEvent("keys_failed", Level.ERROR, (Metric("KeysFailed"),))
KEYS_LOADED: Final = LogEvent("keys_loaded", Level.INFO)
REDRIVE: Final = LogEvent(
    "redrive",
    Level.INFO,
    (
        Metric("Redriven", field="sent"),
        Metric("RedriveFailed", field="failed"),
        Metric("SpoolCount", field="spool_count"),
        Metric("SpoolOldestAge", Unit.SECONDS, "spool_oldest_seconds"),
        Metric("QuarantineCount", field="quarantine_count"),
        Metric("QuarantineOldestAge", Unit.SECONDS, "quarantine_oldest_seconds"),
        Metric("ExpiringCount", field="expiring_count"),
    ),
)
REDRIVE_SKIPPED: Final = LogEvent("redrive_skipped", Level.INFO)
WEBHOOK_CHECK: Final = LogEvent(
    "webhook_check",
    Level.INFO,
    (Metric("WebhookChecks"), Metric("WebhookErrors", field="errors"), Metric("WebhooksBlocked", field="blocked")),
)
WEBHOOK_ERRORS: Final = LogEvent("webhook_errors", Level.WARNING)
WEBHOOK_BLOCKED: Final = LogEvent("webhook_blocked", Level.CRITICAL)
# A check that failed is a data point too: an alarm on too few checks must not mistake it for one that is still to come.
WEBHOOK_CHECK_FAILED: Final = LogEvent(
    "webhook_check_failed", Level.ERROR, (Metric("WebhookCheckFailed"), Metric("WebhookChecks", value=0.0))
)

_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,80}", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{12}|[0-9a-f]{64}")
_ADDRESS: Final = re.compile(r"[0-9a-f.:]{2,45}")
_PLACE: Final = re.compile(r"[a-z]+/[0-9A-Za-z-]{1,100}", re.ASCII)

TEXT_FIELDS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "event_id": _HEX,
        "event_type": _TOKEN,
        "webhook_id": _TOKEN,
        "key": _HEX,
        "source_ip": _ADDRESS,
        "reason": _CODE,
        "error": _CODE,
        "during": _CODE,
        "at": _CODE,
        "place": _PLACE,
    }
)
"""Fields that hold text, each with the only form it can have. ``key`` is a fingerprint, ``place`` a key in the store,
``error`` a code or the name of an exception's class, ``at`` a module and line of our own code."""

NUMBER_FIELDS: Final = frozenset(
    {
        "status",
        "size",
        "duration_ms",
        "screen_ms",
        "keys_ms",
        "queue_ms",
        "store_ms",
        "listed",
        "claim_check",
        "count",
        "seen",
        "sent",
        "failed",
        "spool_count",
        "spool_oldest_seconds",
        "quarantine_count",
        "quarantine_oldest_seconds",
        "expiring_count",
        "errors",
        "blocked",
    }
)


class Log(Protocol):
    """The port through which the core speaks; each cloud writes its own structured form of the same names."""

    def write(self, event: LogEvent, fields: Mapping[str, Value]) -> None:
        """Write one line and the event's metrics. Must not raise."""

    def count(self, event: LogEvent) -> None:
        """Emit the event's counting metrics without a line. Must not raise."""


def record(log: Log, event: LogEvent, /, **fields: Value | None) -> None:
    """Write ``event`` with the fields that are not None, each checked against its form.

    Raises:
        KeyError: a field's name is not in the tables above: a mistake in our code, found by any test that runs it.
    """
    log.write(event, {name: _checked(name, value) for name, value in fields.items() if value is not None})


def _checked(name: str, value: Value) -> Value:
    pattern = TEXT_FIELDS.get(name)
    if pattern is not None:
        return value if isinstance(value, str) and pattern.fullmatch(value) else "(withheld)"
    if name not in NUMBER_FIELDS:
        raise KeyError(name)
    return value if isinstance(value, bool | int | float) else "(withheld)"


def metric_values(event: LogEvent, fields: Mapping[str, Value]) -> list[tuple[Metric, float]]:
    """The metrics of one log line with their values; a metric whose field is absent is left out."""
    return [
        (metric, metric.value if metric.field is None else float(fields[metric.field]))
        for metric in event.metrics
        if metric.field is None or metric.field in fields
    ]


def error_code(error: BaseException) -> str:
    """What of an exception may be logged: its class and, where one of ours carries it, its code. Never its message."""
    code = getattr(error, "code", None)
    return f"{type(error).__name__}.{code}" if isinstance(code, str) else type(error).__name__
