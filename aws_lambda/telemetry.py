"""Logs and metrics through Powertools: JSON lines, and metrics in CloudWatch's embedded metric format."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from typing import Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics

from core.log import Level, LogEvent, Metric, Value, metric_values

NAMESPACE: Final = "DastraWebhooks"
RECEIVER: Final = "receiver"
REDRIVE: Final = "redrive"
WATCH: Final = "watch"


class _Stdout(io.StringIO):
    """Standard output as it is at each write, which is where Powertools prints metrics: both go the same way."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


class PowertoolsLog:
    """The core's log port. ``service`` is the only dimension of the metrics, so that no sender can add one."""

    def __init__(self, service: str) -> None:
        self._service: Final = service
        # A stack of one's own, so that two deployments in an account do not raise each other's alarms.
        self._namespace: Final = os.environ.get("POWERTOOLS_METRICS_NAMESPACE") or NAMESPACE
        # The line's place in this file would be the same for every event.
        self._logger: Final = Logger(
            service=service, level="INFO", stream=_Stdout(), use_rfc3339=True, utc=True, location=None
        )
        self._write: Final = {
            Level.INFO: self._logger.info,
            Level.WARNING: self._logger.warning,
            Level.ERROR: self._logger.error,
            Level.CRITICAL: self._logger.critical,
        }

    def correlate(self, request_id: str | None) -> None:
        """Put the invocation's id on this thread's lines."""
        self._logger.thread_safe_append_keys(function_request_id=request_id)

    def write(self, event: LogEvent, fields: Mapping[str, Value]) -> None:
        """One JSON line, and one in embedded metric format where the event has metrics."""
        self._write[event.level](event.name, extra=dict(fields))
        self._emit(metric_values(event, fields))

    def count(self, event: LogEvent) -> None:
        """The metrics alone."""
        self._emit(metric_values(event, {}))

    def _emit(self, values: list[tuple[Metric, float]]) -> None:
        if not values:
            return
        # A set of its own for each line: the shared one would mix what concurrent requests count.
        metrics = EphemeralMetrics(namespace=self._namespace, service=self._service)
        for metric, value in values:
            metrics.add_metric(metric.name, metric.unit.value, value)
        metrics.flush_metrics()
