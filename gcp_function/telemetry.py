"""Logs in Cloud Logging's structured form: one line of JSON on standard output each.

Google makes metrics of the lines (log-based metrics over ``jsonPayload``), so there is none to emit beside them.
Special fields: "Structured logging" and "Linking log entries" in Cloud Logging's documentation.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

from core.http import Headers
from core.log import LogEvent, Value

RECEIVER: Final = "receiver"
REDRIVE: Final = "redrive"
_TRACE: Final = "logging.googleapis.com/trace"
_SPAN: Final = "logging.googleapis.com/spanId"
_SAMPLED: Final = "logging.googleapis.com/trace_sampled"

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})")
_CLOUD_TRACE: Final = re.compile(r"([0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=([01]))?", re.IGNORECASE | re.ASCII)

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
    if match := _TRACEPARENT.fullmatch(headers.get("traceparent") or ""):
        trace, span, sampled = match[1], match[2], bool(int(match[3], 16) & 1)
    elif match := _CLOUD_TRACE.fullmatch(headers.get("x-cloud-trace-context") or ""):
        number = int(match[2] or 0)
        trace, span, sampled = match[1].lower(), f"{number:016x}" if 0 < number < 1 << 64 else "", match[3] == "1"
    else:
        return {}
    return {
        _TRACE: f"projects/{project}/traces/{trace}",
        **({_SPAN: span} if span else {}),
        _SAMPLED: sampled,
    }
