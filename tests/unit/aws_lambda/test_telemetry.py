"""Log lines and metrics as CloudWatch reads them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from aws_lambda.telemetry import NAMESPACE, RECEIVER, REDRIVE, PowertoolsLog
from core import log
from core.log import LogEvent, record

_services = count()


@pytest.fixture
def service() -> str:
    """A name of its own for each test: loggers of one name share their state."""
    return f"test-{next(_services)}"


@pytest.fixture
def spoken(service: str, capsys: pytest.CaptureFixture[str]) -> Iterator[PowertoolsLog]:
    """A log that writes to standard output; nothing goes to standard error."""
    made = PowertoolsLog(service)
    made.correlate(None)  # another test of this process may have put its invocation's id there
    yield made
    assert capsys.readouterr().err == ""


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed, one JSON object for each line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a text in which threads printed: an object is whole, its line end may come after the next."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        found, end = decoder.raw_decode(text)
        yield found
        text = text[end:]


def metrics(line: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """Names, units and values of a line in embedded metric format."""
    [directive] = line["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: (metric["Unit"], *line[metric["Name"]]) for metric in directive["Metrics"]}


def test_an_event_is_one_json_line_and_one_of_metrics(
    spoken: PowertoolsLog, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Name, level, time in UTC, service and the fields as they are; and the event's metrics with their values."""
    record(spoken, log.SPOOLED, status=200, duration_ms=12.5, listed=True, source_ip="192.0.2.1", reason=None)
    line, emitted = lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("timestamp"))
    assert line == {
        "level": "WARNING",
        "message": "spooled",
        "service": service,
        "function_request_id": None,
        "status": 200,
        "duration_ms": 12.5,
        "listed": True,
        "source_ip": "192.0.2.1",
    } or line == {
        "level": "WARNING",
        "message": "spooled",
        "service": service,
        "status": 200,
        "duration_ms": 12.5,
        "listed": True,
        "source_ip": "192.0.2.1",
    }
    assert metrics(emitted) == {"Spooled": ("Count", 1.0), "Duration": ("Milliseconds", 12.5)}


@pytest.mark.parametrize(
    "event",
    [log.ACCEPTED, log.SPOOLED, log.STORE_FAILED, log.EVENT_LOST],
    ids=lambda event: event.level.value,
)
def test_every_level_is_written(event: LogEvent, spoken: PowertoolsLog, capsys: pytest.CaptureFixture[str]) -> None:
    """Under its name."""
    record(spoken, event)
    line = lines(capsys)[0]
    assert (line["level"], line["message"]) == (event.level.value, event.name)


def test_metrics_have_one_dimension_and_nothing_of_a_sender(
    spoken: PowertoolsLog, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the line says, the metric line has the service, the values and nothing else."""
    record(spoken, log.ACCEPTED, event_type="TaskCreation", source_ip="192.0.2.1", duration_ms=1)
    emitted = lines(capsys)[1]
    [directive] = emitted.pop("_aws")["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE == "DastraWebhooks"
    assert directive["Dimensions"] == [["service"]]
    assert emitted == {"service": service, "Accepted": [1.0], "Duration": [1.0]}


def test_an_event_without_metrics_is_one_line(spoken: PowertoolsLog, capsys: pytest.CaptureFixture[str]) -> None:
    """No empty set of metrics."""
    record(spoken, log.KEYS_LOADED, count=2)
    [line] = lines(capsys)
    assert (line["message"], line["count"]) == ("keys_loaded", 2)
    spoken.count(log.KEYS_LOADED)
    assert lines(capsys) == []


def test_a_count_is_metrics_without_a_line(spoken: PowertoolsLog, capsys: pytest.CaptureFixture[str]) -> None:
    """For what is sampled in the log."""
    spoken.count(log.REFUSED)
    spoken.count(log.ACCEPTED)
    refused, accepted = lines(capsys)
    assert metrics(refused) == {"Refused": ("Count", 1.0)}
    assert metrics(accepted) == {"Accepted": ("Count", 1.0)}


def test_gauges_are_emitted_with_their_units(spoken: PowertoolsLog, capsys: pytest.CaptureFixture[str]) -> None:
    """Zero included: missing data alarms."""
    record(spoken, log.REDRIVE, sent=0, failed=0, spool_count=3, spool_oldest_seconds=60)
    assert metrics(lines(capsys)[1]) == {
        "Redriven": ("Count", 0.0),
        "RedriveFailed": ("Count", 0.0),
        "SpoolCount": ("Count", 3.0),
        "SpoolOldestAge": ("Seconds", 60.0),
    }


def test_lines_carry_the_invocation_s_id(spoken: PowertoolsLog, capsys: pytest.CaptureFixture[str]) -> None:
    """The latest; none outside of an invocation."""
    spoken.correlate("00000000-0000-4000-8000-000000000001")
    record(spoken, log.KEYS_LOADED)
    spoken.correlate("00000000-0000-4000-8000-000000000002")
    record(spoken, log.KEYS_LOADED)
    spoken.correlate(None)
    record(spoken, log.KEYS_LOADED)
    ids = [line.get("function_request_id") for line in lines(capsys)]
    assert ids == ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", None]


def test_concurrent_requests_mix_neither_ids_nor_metrics(
    spoken: PowertoolsLog, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line has its own thread's id, each set of metrics one count."""
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(30)
        spoken.correlate(f"id-{number}")
        for _ in range(20):
            record(spoken, log.ACCEPTED, size=number, duration_ms=number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    printed = list(objects(capsys.readouterr().out))
    written = [line for line in printed if "message" in line]
    assert len(written) == 160
    assert all(line["function_request_id"] == f"id-{line['size']}" for line in written)
    emitted = [metrics(line) for line in printed if "_aws" in line]
    assert len(emitted) == 160
    assert all(values["Accepted"] == ("Count", 1.0) and len(values["Duration"]) == 2 for values in emitted)


def test_a_stack_may_have_a_namespace_of_its_own(
    service: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that two deployments in an account do not raise each other's alarms; set to nothing it is not set."""
    for value, namespace in (("Mine", "Mine"), ("", NAMESPACE)):
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", value)
        PowertoolsLog(service).count(log.REFUSED)
        [line] = lines(capsys)
        assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == namespace


def test_the_two_functions_have_services_of_their_own() -> None:
    """Alarms are built on them."""
    assert (RECEIVER, REDRIVE) == ("receiver", "redrive")
