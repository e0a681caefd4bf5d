"""Log lines for Application Insights: their form, and that the host keeps them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from azure_function.telemetry import LOGGER, RECEIVER, AzureLog, Line
from core import log as events
from core.log import record


class _Emitted(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str, str]] = []

    def emit(self, entry: logging.LogRecord) -> None:
        self.lines.append((entry.levelno, entry.name, self.format(entry)))


@pytest.fixture
def emitted() -> Iterator[_Emitted]:
    """What the worker's own handler would get."""
    handler, logger = _Emitted(), logging.getLogger(LOGGER)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_line_is_one_json_object_with_the_cores_names(emitted: _Emitted) -> None:
    """The whole message is the object, as the alarms parse it; the level is the standard library's."""
    log = AzureLog(RECEIVER)
    lines: list[Line] = []
    log.gather(lambda: record(log, events.EVENT_LOST, status=503, event_id="0" * 64, listed=True), lines)
    log.emit(lines)
    ((level, name, text),) = emitted.lines
    assert (level, name) == (logging.CRITICAL, "dastra_webhooks")
    assert json.loads(text) == {
        "level": "CRITICAL",
        "message": "event_lost",
        "service": "receiver",
        "status": 503,
        "event_id": "0" * 64,
        "listed": True,
    }


def test_nothing_is_written_off_the_invocations_own_thread(emitted: _Emitted) -> None:
    """A thread of ours writes nothing itself, since the host would drop it: its lines are handed over."""
    log = AzureLog(RECEIVER)
    lines: list[Line] = []
    thread = threading.Thread(target=lambda: log.gather(lambda: record(log, events.ACCEPTED, status=200), lines))
    thread.start()
    thread.join()
    assert not emitted.lines
    assert [json.loads(text)["message"] for _, text in lines] == ["accepted"]


def test_what_is_said_during_the_start_comes_with_the_first_invocation(emitted: _Emitted) -> None:
    """Once, before the invocation's own lines, and not without bound."""
    log = AzureLog(RECEIVER)
    for _ in range(1000):
        record(log, events.KEYS_FAILED, error="hard_timeout")
    lines: list[Line] = []
    log.gather(lambda: record(log, events.NO_KEY, status=503), lines)
    log.emit(lines)
    log.emit([])
    assert len(emitted.lines) == 101
    assert json.loads(emitted.lines[-1][2])["message"] == "no_key"


def test_lines_survive_a_call_that_raises(emitted: _Emitted) -> None:
    """What was said before is written all the same."""
    log = AzureLog(RECEIVER)
    lines: list[Line] = []

    def call() -> None:
        record(log, events.STORE_FAILED, error="x")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        log.gather(call, lines)
    log.emit(lines)
    assert len(emitted.lines) == 1


def test_counting_writes_nothing(emitted: _Emitted) -> None:
    """Scanners cost no line each: Azure counts requests itself."""
    log = AzureLog(RECEIVER)
    log.count(events.REFUSED)
    log.emit([])
    assert not emitted.lines


def test_a_percent_sign_is_a_percent_sign(emitted: _Emitted) -> None:
    """A field's text is no format."""
    log = AzureLog(RECEIVER)
    log.emit([(logging.INFO, '{"a":"100%s"}')])
    assert emitted.lines[0][2] == '{"a":"100%s"}'
