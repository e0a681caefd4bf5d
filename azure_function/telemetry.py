"""Logs as Application Insights gets them: one JSON object per line of the standard logging, which the worker passes on.

Alarms and the workbook count the lines, so there are no metrics beside them. The host keeps a line only if it comes
with the id of an invocation that is under way, and the worker knows that id on the invocation's own task or thread
alone. So what is said elsewhere (on a thread of ours, or while the instance starts) is gathered and written there.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from core.log import Level, LogEvent, Value

T = TypeVar("T")

RECEIVER: Final = "receiver"
REDRIVE: Final = "redrive"
WATCH: Final = "watch"
LOGGER: Final = "dastra_webhooks"
_LEVELS: Final = {
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
    Level.CRITICAL: logging.CRITICAL,
}
_MOST_EARLY: Final = 100

Line = tuple[int, str]
"""A level of the standard logging, and the text."""


class AzureLog:
    """The core's log port; ``service`` says which function speaks."""

    def __init__(self, service: str) -> None:
        self._service: Final = service
        self._logger: Final = logging.getLogger(LOGGER)
        self._logger.setLevel(logging.INFO)
        self._lock: Final = threading.Lock()
        self._early: list[Line] = []
        self._thread: Final = threading.local()

    def write(self, event: LogEvent, fields: Mapping[str, Value]) -> None:
        """One line, kept until :meth:`emit` unless this thread is an invocation's own."""
        line = json.dumps(
            {"level": event.level.value, "message": event.name, "service": self._service, **fields},
            separators=(",", ":"),
        )
        gathered: list[Line] | None = getattr(self._thread, "lines", None)
        if gathered is not None:
            gathered.append((_LEVELS[event.level], line))
            return
        with self._lock:
            if len(self._early) < _MOST_EARLY:
                self._early.append((_LEVELS[event.level], line))

    def count(self, event: LogEvent) -> None:
        """Nothing: Azure counts requests by status, and the sampled lines say ``seen``."""

    def gather(self, call: Callable[[], T], lines: list[Line]) -> T:
        """Run a call; what it says on this thread goes to ``lines``, whatever becomes of it."""
        self._thread.lines = lines
        try:
            return call()
        finally:
            self._thread.lines = None

    def emit(self, lines: list[Line]) -> None:
        """Write lines, those of the start before them. To be called on the invocation's own task or thread."""
        if self._early:
            with self._lock:
                lines, self._early = [*self._early, *lines], []
        for level, line in lines:
            self._logger.log(level, "%s", line)
