from __future__ import annotations

import json
import sys
import threading
from typing import Any

import pytest

from core import log
from core.http import Headers
from core.log import LogEvent, record
from gcp_function.telemetry import CloudLog

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROJECT = "example-project"
EVENTS = [event for event in vars(log).values() if isinstance(event, LogEvent)]


def written(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line that was written."""
    output = capsys.readouterr().out
    assert output.endswith("\n")
    assert output.count("\n") == 1
    decoded: dict[str, Any] = json.loads(output)
    return decoded


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.name}-{event.level}")
def test_a_line_has_the_form_that_cloud_logging_reads(event: LogEvent, capsys: pytest.CaptureFixture[str]) -> None:
    """One object on one line: severity, the event's name as its message, the fields beside them as they are."""
    record(CloudLog("receiver", None), event, status=200, listed=True, duration_ms=1.5, source_ip="192.0.2.44")
    assert written(capsys) == {
        "severity": event.level.value,
        "message": event.name,
        "service": "receiver",
        "status": 200,
        "listed": True,
        "duration_ms": 1.5,
        "source_ip": "192.0.2.44",
    }


LINKED = {"logging.googleapis.com/trace": f"projects/{PROJECT}/traces/{TRACE}"}
SPANNED = LINKED | {"logging.googleapis.com/spanId": SPAN}
ON, OFF = ({"logging.googleapis.com/trace_sampled": sampled} for sampled in (True, False))
HEADERS: dict[str, tuple[list[tuple[str, str]], dict[str, Any]]] = {
    "w3c": ([("traceparent", f"00-{TRACE}-{SPAN}-01")], SPANNED | ON),
    "w3c unsampled": ([("Traceparent", f"00-{TRACE}-{SPAN}-00")], SPANNED | OFF),
    "google": ([("X-Cloud-Trace-Context", f"{TRACE}/{int(SPAN, 16)};o=1")], SPANNED | ON),
    "google without a span": ([("X-Cloud-Trace-Context", TRACE)], LINKED | OFF),
    "google in capitals": ([("X-Cloud-Trace-Context", f"{TRACE.upper()}/0;o=0")], LINKED | OFF),
    "both": (
        [("X-Cloud-Trace-Context", f"{'9' * 32}/1;o=0"), ("traceparent", f"00-{TRACE}-{SPAN}-01")],
        SPANNED | ON,
    ),
    "span too large": ([("X-Cloud-Trace-Context", f"{TRACE}/{1 << 64};o=1")], LINKED | ON),
    "none": ([], {}),
    "empty": ([("traceparent", ""), ("X-Cloud-Trace-Context", "")], {}),
    "zeros": ([("traceparent", f"00-{'0' * 32}-{SPAN}-01")], {}),
    "another version": ([("traceparent", f"ff-{TRACE}-{SPAN}-01")], {}),
    "text": ([("traceparent", "a\nb"), ("X-Cloud-Trace-Context", f"{TRACE}/x\n;o=1")], {}),
    "too long": ([("X-Cloud-Trace-Context", f"{TRACE}/{'1' * 5000};o=1")], {}),
    "letters outside ASCII": ([("X-Cloud-Trace-Context", f"{TRACE}/\u0663;o=1")], {}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_lines_are_linked_to_the_trace_of_their_request(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By W3C's header before Google's own; what is neither links to nothing and does not reach the log."""
    headers, expected = HEADERS[name]
    cloud_log = CloudLog("receiver", PROJECT)
    cloud_log.correlate(Headers(headers))
    record(cloud_log, log.ACCEPTED)
    line = written(capsys)
    assert {key: value for key, value in line.items() if key.startswith("logging.")} == expected


def test_a_request_does_not_inherit_the_trace_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Threads are used again, one request after another, and several at once."""
    cloud_log = CloudLog("receiver", PROJECT)
    cloud_log.correlate(Headers([("traceparent", f"00-{TRACE}-{SPAN}-01")]))
    thread = threading.Thread(target=cloud_log.write, args=(log.ACCEPTED, {}))
    thread.start()
    thread.join()
    assert "logging.googleapis.com/trace" not in written(capsys)
    cloud_log.correlate(Headers())
    record(cloud_log, log.ACCEPTED)
    assert "logging.googleapis.com/trace" not in written(capsys)


def test_without_a_project_there_is_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """A trace's name has its project in it."""
    cloud_log = CloudLog("receiver", None)
    cloud_log.correlate(Headers([("traceparent", f"00-{TRACE}-{SPAN}-01")]))
    record(cloud_log, log.ACCEPTED)
    assert "logging.googleapis.com/trace" not in written(capsys)


def test_lines_of_many_threads_do_not_run_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is whole, however many are written at once."""
    cloud_log = CloudLog("receiver", PROJECT)

    def write() -> None:
        for number in range(200):
            record(cloud_log, log.ACCEPTED, size=number)

    threads = [threading.Thread(target=write) for _ in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads interrupt each other wherever they can
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    lines = capsys.readouterr().out.splitlines()
    assert len([json.loads(line) for line in lines]) == 1600


def test_an_output_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing must not raise: an event is worth more than its line."""

    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    record(CloudLog("receiver", None), log.ACCEPTED)


def test_a_count_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics are made of lines; there is none to write."""
    CloudLog("receiver", None).count(log.REFUSED)
    assert capsys.readouterr().out == ""
