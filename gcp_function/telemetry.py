"""Logs in Cloud Logging's structured form: one line of JSON on standard output each.

Google makes metrics of the lines (log-based metrics over ``jsonPayload``), so there is none to emit beside them.
Special fields: "Structured logging" and "Linking log entries" in Cloud Logging's documentation.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

from core.http import Headers
from core.log import LogEvent, Value
from core.trace import CLOUD_HEADER, HEADER, from_cloud_trace, from_w3c

RECEIVER: Final = "receiver"
REDRIVE: Final = "redrive"
WATCH: Final = "watch"
_TRACE: Final = "logging.googleapis.com/trace"
_SPAN: Final = "logging.googleapis.com/spanId"
_SAMPLED: Final = "logging.googleapis.com/trace_sampled"

_correlation: Final[ContextVar[Mapping[str, Value]]] = ContextVar("correlation")


class CloudLog:
    """The core's log port.

    Args:
        service: which function speaks.
        project: whose traces the lines belong to; without it they are linked to none.
    """

    def __init__(self, service: str, project: str | None) -> None:
        self._service: Final = service
        self._project: Final = project
        self._lock: Final = threading.Lock()

    def correlate(self, headers: Headers) -> None:
        """Link this request's lines to the trace that its headers name, W3C's before Google's own."""
        _correlation.set(_trace(headers, self._project) if self._project else {})

    def write(self, event: LogEvent, fields: Mapping[str, Value]) -> None:
        """One JSON line."""
        line = json.dumps(
            {
                "severity": event.level.value,
                "message": event.name,
                "service": self._service,
                **fields,
                **_correlation.get({}),
            },
            separators=(",", ":"),
        )
        try:
            # One piece, or lines of concurrent requests would run into each other.
            with self._lock:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
        except (OSError, ValueError):  # nobody reads any more, and an event must not be lost for that
            pass

    def count(self, event: LogEvent) -> None:
        """Nothing: Cloud Run counts requests by status, and the sampled lines say ``seen``."""


def _trace(headers: Headers, project: str) -> dict[str, Value]:
    found = from_w3c(headers.get(HEADER)) or from_cloud_trace(headers.get(CLOUD_HEADER))
    if found is None:
        return {}
    return {
        _TRACE: f"projects/{project}/traces/{found.trace_id}",
        **({_SPAN: found.span_id} if found.span_id else {}),
        _SAMPLED: found.sampled,
    }
