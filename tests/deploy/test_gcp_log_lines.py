"""The filters of the log-based metrics, over the lines that the function really writes.

The filters are read by a small reader of the part of Cloud Logging's query language that they use. It is not Google's:
what it cannot show is how Google reads a filter, only that names, fields and values are those of the lines.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from core import log
from core.log import LogEvent, Value, record
from gcp_function.telemetry import CloudLog
from tests.deploy.gcp import NAME, PROJECT, Json, definitions

EVENTS = [event for event in vars(log).values() if isinstance(event, LogEvent)]
SEVERITIES = ["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]
TOKENS = re.compile(r'\s*(AND\b|OR\b|[()]|=~|>=|=|:|"(?:[^"\\]|\\.)*"|[\w.]+)')
Test = Callable[[Json], bool]


class Query:
    """Comparisons joined by AND and OR; AND binds more closely; the values of one field may stand in brackets."""

    def __init__(self, text: str) -> None:
        self._tokens = TOKENS.findall(text)
        assert TOKENS.sub("", text).strip() == "", f"not understood: {text}"
        self.matches: Test = self._either()
        assert not self._tokens, f"left over: {self._tokens}"

    def _either(self) -> Test:
        tests = [self._all()]
        while self._tokens and self._tokens[0] == "OR":
            self._tokens.pop(0)
            tests.append(self._all())
        return lambda entry: any(test(entry) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._tokens and self._tokens[0] == "AND":
            self._tokens.pop(0)
            tests.append(self._one())
        return lambda entry: all(test(entry) for test in tests)

    def _one(self) -> Test:
        token = self._tokens.pop(0)
        if token == "(":
            test = self._either()
            assert self._tokens.pop(0) == ")"
            return test
        operator = self._tokens.pop(0)
        values = [self._tokens.pop(0)]
        if values == ["("]:
            values = []
            while True:
                values.append(self._tokens.pop(0))
                if self._tokens.pop(0) == ")":
                    break
        return lambda entry: any(compared(found(entry, token), operator, value) for value in values)


def found(entry: Json, path: str) -> Any:
    """A field of an entry, or None."""
    value: Any = entry
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def compared(value: Any, operator: str, text: str) -> bool:
    """As the language compares; a field that is absent matches nothing."""
    wanted: Any = json.loads(text) if text[0] == '"' or text in {"true", "false"} or text.isdigit() else text
    if value is None:
        return False
    match operator:
        case "=":
            return type(value) is type(wanted) and value == wanted
        case ":":
            return str(wanted).lower() in str(value).lower()
        case "=~":
            return re.search(str(wanted), str(value)) is not None
        case ">=" if wanted in SEVERITIES:
            return SEVERITIES.index(value) >= SEVERITIES.index(wanted)
        case ">=":
            return bool(value >= wanted)
        case _:
            raise AssertionError(operator)


def entry(
    event: LogEvent, capsys: pytest.CaptureFixture[str], fields: dict[str, Value], service: str = "receive"
) -> Json:
    """What Cloud Logging makes of a line that the function's own log port writes."""
    capsys.readouterr()
    record(CloudLog("receiver", PROJECT), event, **fields)
    payload = json.loads(capsys.readouterr().out)
    severity = payload.pop("severity")
    resource = {"type": "cloud_run_revision", "labels": {"service_name": f"{NAME}-{service}"}}
    return {"severity": severity, "jsonPayload": payload, "resource": resource}


def counted(line: Json) -> set[str]:
    """The metrics that an entry adds to."""
    return {name for name, metric in definitions("metrics").items() if Query(metric["filter"]).matches(line)}


ACCEPTED: dict[str, Value] = {"status": 200, "duration_ms": 12.5, "size": 2000}
GAUGES: dict[str, Value] = {
    "spool_count": 3,
    "spool_oldest_seconds": 901,
    "quarantine_count": 1,
    "quarantine_oldest_seconds": 60,
    "expiring_count": 0,
}


@pytest.mark.parametrize(
    ("event", "fields", "metrics"),
    [
        (log.ACCEPTED, ACCEPTED, {"outcomes", "genuine", "duration_ms"}),
        (log.SPOOLED, ACCEPTED, {"outcomes", "genuine", "duration_ms"}),
        (log.QUARANTINED, ACCEPTED, {"outcomes", "genuine", "duration_ms"}),
        (log.EVENT_LOST, {"status": 503, "duration_ms": 6000}, {"outcomes", "event_lost", "duration_ms"}),
        (log.NO_KEY, {"status": 503, "duration_ms": 3}, {"outcomes", "event_lost", "duration_ms"}),
        (log.INTERNAL_ERROR, {"error": "KeyError"}, {"event_lost"}),
        (log.BAD_SIGNATURE_LISTED, {"status": 401, "listed": True}, {"outcomes", "bad_signature_high"}),
        (log.BAD_SIGNATURE_UNLISTED, {"status": 401, "listed": False}, {"outcomes", "bad_signature_low"}),
        (log.TOO_LARGE, {"status": 413, "listed": False}, {"outcomes", "too_large"}),
        (log.UNLISTED_ADDRESS, {"source_ip": "192.0.2.1"}, {"authentic_from_unlisted_address"}),
        (log.REFUSED, {"status": 401, "seen": 1}, set()),
        (log.QUEUE_FAILED, {"error": "x"}, set()),
        (log.KEYS_FAILED, {"error": "x"}, set()),
    ],
    ids=lambda value: value.name + value.level if isinstance(value, LogEvent) else "",
)
def test_a_line_adds_to_its_metrics_and_no_other(
    event: LogEvent, fields: dict[str, Value], metrics: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line of the receiver, as the function writes it, is counted where it belongs."""
    assert counted(entry(event, capsys, fields)) == metrics


def test_the_redrives_line_feeds_every_gauge(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, five numbers, each taken out of the field of its name; and the same line of the receiver feeds none."""
    line = entry(log.REDRIVE, capsys, GAUGES, "redrive")
    assert counted(line) == {*GAUGES, "redrive_runs"}
    for name, value in GAUGES.items():
        path = definitions("metrics")[name]["valueExtractor"].removeprefix("EXTRACT(").removesuffix(")")
        assert found(line, path) == value
    assert counted(entry(log.REDRIVE, capsys, GAUGES)) == set()


CHECKED: dict[str, Value] = {"count": 2, "errors": 3, "blocked": 1}


@pytest.mark.parametrize(
    ("event", "fields", "metrics"),
    [
        (log.WEBHOOK_CHECK, CHECKED, {"webhook_checks", "webhook_errors", "webhook_blocked"}),
        (log.WEBHOOK_ERRORS, {"webhook_id": "1", "errors": 3}, set()),
        (log.WEBHOOK_BLOCKED, {"webhook_id": "1", "errors": 3}, set()),
        (log.WEBHOOK_CHECK_FAILED, {"error": "http_401", "during": "api", "status": 401}, {"webhook_check_failed"}),
    ],
    ids=lambda value: value.name if isinstance(value, LogEvent) else "",
)
def test_the_checks_lines_feed_its_metrics(
    event: LogEvent, fields: dict[str, Value], metrics: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of the whole check is counted, those of single webhooks tell their numbers; no other service counts."""
    line = entry(event, capsys, fields, "watch")
    assert counted(line) == metrics
    for name, field in {"webhook_errors": "errors", "webhook_blocked": "blocked"}.items():
        if name in metrics:
            path = definitions("metrics")[name]["valueExtractor"].removeprefix("EXTRACT(").removesuffix(")")
            assert found(line, path) == fields[field]
    assert counted(entry(event, capsys, fields)) == set()


def test_another_deployment_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The service's name decides."""
    line = entry(log.EVENT_LOST, capsys, {"status": 503})
    line["resource"]["labels"]["service_name"] = "another-receive"
    assert counted(line) == set()


def request(status: int, text: str | None = None) -> Json:
    """An entry of Cloud Run's request log."""
    return {
        "logName": f"projects/{PROJECT}/logs/run.googleapis.com%2Frequests",
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": f"{NAME}-receive"}},
        "httpRequest": {"status": status},
        "severity": "WARNING",
        **({"textPayload": text} if text else {}),
    }


NOT_LET_IN = "The request was not authenticated. Either allow unauthenticated invocations or set the proper header."


@pytest.mark.parametrize(
    ("status", "text", "alarms"),
    [
        (200, None, False),
        (401, None, False),  # ours
        (403, None, False),  # ours
        (413, None, False),
        (403, NOT_LET_IN, True),
        (401, NOT_LET_IN, True),
        (429, "The request was aborted because there was no available instance.", True),
        (500, None, True),
        (503, None, True),
        (504, None, True),
    ],
)
def test_what_the_platform_answers_is_told_from_our_refusals(status: int, text: str | None, alarms: bool) -> None:
    """429, 5xx and who was not let in alarm; our own 401, 403 and 413 do not."""
    assert counted(request(status, text)) == ({"platform_error"} if alarms else set())


@pytest.mark.parametrize(
    ("method", "resource", "alarms"),
    [
        ("google.pubsub.v1.Subscriber.DeleteSubscription", f"projects/{PROJECT}/subscriptions/{NAME}-events", True),
        (
            "google.pubsub.v1.Subscriber.DeleteSubscription",
            f"projects/{PROJECT}/subscriptions/{NAME}-dead-letters",
            True,
        ),
        ("google.pubsub.v1.Publisher.DetachSubscription", f"projects/{PROJECT}/subscriptions/{NAME}-events", True),
        ("google.pubsub.v1.Publisher.DeleteTopic", f"projects/{PROJECT}/topics/{NAME}-events", True),
        ("google.pubsub.v1.Subscriber.DeleteSubscription", f"projects/{PROJECT}/subscriptions/another", False),
        ("google.pubsub.v1.Subscriber.UpdateSubscription", f"projects/{PROJECT}/subscriptions/{NAME}-events", False),
    ],
)
def test_a_subscription_that_goes_is_told(method: str, resource: str, alarms: bool) -> None:
    """Method names are those of Pub/Sub's audit log."""
    line = {
        "logName": f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2Factivity",
        "protoPayload": {"serviceName": "pubsub.googleapis.com", "methodName": method, "resourceName": resource},
    }
    assert counted(line) == ({"subscription_removed"} if alarms else set())


@pytest.mark.parametrize(("severity", "alarms"), [("INFO", False), ("ERROR", True)])
def test_a_failed_schedule_is_told(severity: str, alarms: bool) -> None:
    """Cloud Scheduler logs each attempt under the job's id."""
    for job, metric in (("redrive", "redrive_failed"), ("watch", "webhook_check_failed")):
        resource = {"type": "cloud_scheduler_job", "labels": {"job_id": f"{NAME}-{job}"}}
        assert counted({"severity": severity, "resource": resource}) == ({metric} if alarms else set())


def test_every_event_of_the_core_is_looked_at() -> None:
    """An event that comes to the core later fails here until somebody has decided what it raises."""
    assert {event.name for event in EVENTS} == {
        "accepted",
        "spooled",
        "quarantined",
        "event_lost",
        "no_key",
        "bad_signature",
        "too_large",
        "refused",
        "authentic_from_unlisted_address",
        "internal_error",
        "queue_failed",
        "store_failed",
        "keys_failed",
        "keys_loaded",
        "redrive",
        "redrive_skipped",
        "webhook_check",
        "webhook_errors",
        "webhook_blocked",
        "webhook_check_failed",
    }
