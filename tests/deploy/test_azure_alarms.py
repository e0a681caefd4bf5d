"""The alarms of `infra/azure` on log lines: their queries run, over rows as Azure Monitor would have them.

The queries are checked by Microsoft's own parser of Kusto and run by one that translates Kusto for DuckDB. Neither is
Azure Monitor; what it adds (how lines arrive there, how late) no test here can show.
"""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

MISSING: Final = "needs the test group's parsers and DuckDB: make setup"
for module in ("tree_sitter_bicep", "duckdb", "duckdb_kql"):
    pytest.importorskip(module, reason=MISSING)

import duckdb_kql  # noqa: E402 - after it is known to be there

from azure_function.telemetry import LOGGER, RECEIVER, AzureLog, Line  # noqa: E402
from core import log  # noqa: E402
from core.log import Level, LogEvent, Value, record  # noqa: E402
from scripts import azure_tools  # noqa: E402
from tests.deploy.azure import (  # noqa: E402
    BODY_MISSING,
    DEPLOYMENTS,
    EVENTS,
    deployment,
    named,
    queries,
    quoted_events,
    workbook,
    workbook_queries,
)

TABLES: Final = {
    "AppTraces": "(TimeGenerated: datetime, Message: string, SeverityLevel: int, Properties: dynamic)",
    "AppRequests": "(TimeGenerated: datetime, OperationName: string, ResultCode: string, Success: bool, "
    "DurationMs: real)",
}
"""The columns that queries use, with their types ("AppTraces" and "AppRequests" in Azure Monitor's table reference)."""

Row = tuple[datetime, str]
EMPTY: Final = {
    "spool_count": 0,
    "spool_oldest_seconds": 0,
    "quarantine_count": 0,
    "quarantine_oldest_seconds": 0,
    "expiring_count": 0,
}
GAUGES: Final = {"spooled", "quarantined", "expiring"}
UNCHECKED: Final = {"webhook_check_failed"}


class Sink(logging.Handler):
    """What the worker passes on to the host."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def line(event: LogEvent, **fields: Value) -> str:
    """One line as the receiver's own log port writes it."""
    port = AzureLog(RECEIVER)
    lines: list[Line] = []
    sink = Sink()
    logging.getLogger(LOGGER).addHandler(sink)
    try:
        port.gather(lambda: record(port, event, **fields), lines)
        port.emit(lines)
    finally:
        logging.getLogger(LOGGER).removeHandler(sink)
    return sink.texts[0]


QUIET: Final = (
    "Executing 'Functions.receive' (Reason='This function was programmatically called via the host APIs.')",
    line(log.REDRIVE, sent=0, failed=0, **EMPTY),
    line(log.ACCEPTED, status=200, duration_ms=12.5, listed=True),
    line(log.WEBHOOK_CHECK, count=2, errors=0, blocked=0),
)
"""Five minutes in which all is well."""
ANSWERED: Final = ("receive", "200", True)


class Workspace:
    """The two tables, and what the alarms make of them."""

    def __init__(self) -> None:
        self._db = duckdb_kql.connect()
        self._db.execute(
            "CREATE TABLE AppTraces (TimeGenerated TIMESTAMP, Message VARCHAR, SeverityLevel INTEGER, Properties JSON)"
        )
        self._db.execute(
            "CREATE TABLE AppRequests (TimeGenerated TIMESTAMP, OperationName VARCHAR, ResultCode VARCHAR, "
            "Success BOOLEAN, DurationMs DOUBLE)"
        )

    def add(self, *lines: str, ago: timedelta = timedelta(0)) -> None:
        """Log lines."""
        moment = (datetime.now(UTC) - ago).replace(tzinfo=None)
        self._db.executemany("INSERT INTO AppTraces VALUES (?, ?, 1, '{}')", [(moment, text) for text in lines])

    def add_request(self, operation: str, code: str, success: bool) -> None:
        """A request or a timer's run, as the host reports it."""
        moment = datetime.now(UTC).replace(tzinfo=None)
        self._db.execute("INSERT INTO AppRequests VALUES (?, ?, ?, ?, 12.5)", (moment, operation, code, success))

    def rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        """What a query finds."""
        found: Sequence[tuple[Any, ...]] = duckdb_kql.kql(self._db, query).fetchall()
        return found

    def alarms(self) -> set[str]:
        """The alarms that fire; `silence` after 48 hours."""
        return {name for name, query in queries(deployment("most")).items() if self.rows(query)}


@pytest.fixture
def workspace() -> Workspace:
    """Two empty tables."""
    return Workspace()


def test_a_quiet_time_alarms_nobody(workspace: Workspace) -> None:
    """With an event answered and a redrive run that found nothing, no alarm fires."""
    workspace.add(*QUIET)
    workspace.add_request(*ANSWERED)
    assert workspace.alarms() == set()


@pytest.mark.parametrize(
    ("lines", "fires"),
    [
        pytest.param([line(log.EVENT_LOST, status=503, duration_ms=20)], {"event_lost"}, id="lost"),
        pytest.param([line(log.NO_KEY, status=503, duration_ms=20)], {"event_lost"}, id="no key"),
        pytest.param([line(log.INTERNAL_ERROR, error="ValueError")], {"event_lost"}, id="fault"),
        pytest.param([line(log.BAD_SIGNATURE_LISTED, listed=True)], {"bad_signature"}, id="bad, listed"),
        pytest.param([line(log.BAD_SIGNATURE_UNLISTED, listed=False)], {"bad_signature_low"}, id="bad, elsewhere"),
        pytest.param([line(log.BAD_SIGNATURE_UNLISTED)], {"bad_signature_low"}, id="bad, address unknown"),
        pytest.param([line(log.UNLISTED_ADDRESS)], {"authentic_from_unlisted_address"}, id="unlisted"),
        pytest.param([line(log.TOO_LARGE, status=413)], {"too_large"}, id="too large"),
        pytest.param([line(LogEvent(BODY_MISSING, Level.ERROR), status=401)], {BODY_MISSING}, id="no body"),
        pytest.param([line(log.REFUSED, status=401)], set(), id="scanner"),
        pytest.param([line(log.SPOOLED, duration_ms=20)], set(), id="spooled, and redriven soon"),
        pytest.param([line(log.REDRIVE, **EMPTY | {"spool_oldest_seconds": 901})], {"spooled"}, id="stuck"),
        pytest.param([line(log.REDRIVE, **EMPTY | {"spool_oldest_seconds": 60})], set(), id="just spooled"),
        pytest.param([line(log.ACCEPTED, duration_ms=3001)] * 3, {"slow"}, id="slow"),
        pytest.param([line(log.ACCEPTED, duration_ms=2999)] * 3, set(), id="fast enough"),
        pytest.param([line(log.WEBHOOK_CHECK, count=2, errors=1, blocked=0)], {"webhook_errors"}, id="errors"),
        pytest.param(
            [line(log.WEBHOOK_CHECK, count=2, errors=6, blocked=1)], {"webhook_errors", "webhook_blocked"}, id="blocked"
        ),
        pytest.param([line(log.WEBHOOK_CHECK, count=2, errors=0, blocked=1)], {"webhook_blocked"}, id="blocked at 0"),
        pytest.param([line(log.WEBHOOK_CHECK_FAILED, error="http_503", during="api")], set(), id="one check failed"),
    ],
)
def test_one_line_is_enough(workspace: Workspace, lines: list[str], fires: set[str]) -> None:
    """In an otherwise quiet time each event raises its alarm and no other."""
    workspace.add(*QUIET, *lines)
    assert workspace.alarms() == fires


@pytest.mark.parametrize(("gauge", "alarm"), [("quarantine_count", "quarantined"), ("expiring_count", "expiring")])
def test_a_gauge_above_zero_alarms(workspace: Workspace, gauge: str, alarm: str) -> None:
    """What every run in the window finds alarms; once a run finds nothing, no longer."""
    workspace.add(line(log.ACCEPTED, duration_ms=5), line(log.WEBHOOK_CHECK, count=1, errors=0, blocked=0))
    for _ in range(3):
        workspace.add(line(log.REDRIVE, **EMPTY | {gauge: 2}))
    assert workspace.alarms() == {alarm}
    workspace.add(line(log.REDRIVE, **EMPTY))
    assert workspace.alarms() == set()


def test_no_redrive_run_is_as_bad_as_what_it_would_find(workspace: Workspace) -> None:
    """Missing gauges raise all three alarms, also when nothing at all was logged."""
    assert workspace.alarms() == GAUGES | UNCHECKED | {"silence"}
    workspace.add(line(log.ACCEPTED, duration_ms=5))
    assert workspace.alarms() == GAUGES | UNCHECKED


def test_no_check_that_read_alarms(workspace: Workspace) -> None:
    """Whether checks failed or none ran; what single webhooks have is no check. Once one reads, no longer."""
    workspace.add(QUIET[1], line(log.ACCEPTED, duration_ms=5))
    assert workspace.alarms() == UNCHECKED
    workspace.add(
        line(log.WEBHOOK_CHECK_FAILED, error="http_401", during="api", status=401),
        line(log.WEBHOOK_ERRORS, webhook_id="1", errors=1),
        line(log.WEBHOOK_BLOCKED, webhook_id="1", errors=1),
    )
    assert workspace.alarms() == UNCHECKED
    workspace.add(line(log.WEBHOOK_CHECK, count=1, errors=0, blocked=0))
    assert workspace.alarms() == set()


def test_the_check_is_searched_for_where_it_is_on() -> None:
    """And nowhere else; the windows are longer than a quarter of an hour, and late lines still count."""
    assert not {name for name in queries(deployment("least")) if name.startswith("webhook_")}
    made = deployment("checked")
    windows = {
        rule.name.removeprefix("test-"): rule.body["properties"]["windowSize"]
        for rule in made.of("Microsoft.Insights/scheduledQueryRules")
        if "webhook_" in rule.name
    }
    assert windows == {"webhook_errors": "PT30M", "webhook_blocked": "PT30M", "webhook_check_failed": "PT45M"}


def test_silence_counts_genuine_events_alone(workspace: Workspace) -> None:
    """A scanner's requests and redrive runs are no events, and neither is one from before."""
    workspace.add(line(log.REDRIVE, **EMPTY), line(log.REFUSED, status=401), line(log.BAD_SIGNATURE_UNLISTED))
    workspace.add(line(log.ACCEPTED, duration_ms=5), ago=timedelta(hours=49))
    assert "silence" in workspace.alarms()
    workspace.add(line(log.QUARANTINED, duration_ms=5), ago=timedelta(hours=47))
    assert "silence" not in workspace.alarms()


@pytest.mark.parametrize(
    ("request_", "fires"),
    [
        pytest.param(("receive", "500", False), True, id="crash"),
        pytest.param(("receive", "502", False), True, id="bad gateway"),
        pytest.param(("receive", "429", True), True, id="throttled"),
        pytest.param(("redrive", "0", False), True, id="failed run"),
        pytest.param(("redrive", "0", True), False, id="run"),
        pytest.param(("receive", "503", True), False, id="our own 503, which is event_lost"),
        pytest.param(("receive", "401", True), False, id="refused"),
    ],
)
def test_answers_of_the_platform_alarm(workspace: Workspace, request_: tuple[str, str, bool], fires: bool) -> None:
    """One answer that the platform made in the receiver's place is enough."""
    workspace.add(*QUIET)
    workspace.add_request(*ANSWERED)
    workspace.add_request(*request_)
    assert workspace.alarms() == ({"platform_error"} if fires else set())


def events_with(metric: str) -> set[str]:
    """The events that emit a metric."""
    events = [value for value in vars(log).values() if isinstance(value, LogEvent)]
    return {event.name for event in events if metric in {m.name for m in event.metrics}}


def test_queries_ask_for_the_events_that_the_metrics_count() -> None:
    """The alarms over several events name exactly those that the other clouds' metrics are made of."""
    asked = {name: set(quoted_events(query)) for name, query in queries(deployment("most")).items()}
    assert asked["event_lost"] == events_with("EventLost")
    assert asked["slow"] == asked["silence"] == events_with("Duration")


def test_the_receiver_writes_what_the_queries_read() -> None:
    """A line is one JSON object, with the event as message and the fields beside it."""
    read = json.loads(line(log.BAD_SIGNATURE_LISTED, listed=True, duration_ms=3.5))
    assert (read["message"], read["listed"], read["duration_ms"]) == ("bad_signature", True, 3.5)


def test_azures_own_event_is_known_here() -> None:
    """The event of the classic form has the name that its alarm asks for."""
    pytest.importorskip("azure.functions", reason="needs the packages of Azure: make setup")
    from azure_function.classic import BODY_MISSING as EVENT

    assert EVENT.name == BODY_MISSING
    assert quoted_events(queries(deployment("most"))[BODY_MISSING]) == [BODY_MISSING]


# ----------------------------------------------------------------------------------------------------------- the parser


def diagnosed(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """What Microsoft's parser finds wrong in queries; the tests skip where it is not installed."""
    if reason := azure_tools.KUSTO.missing():
        pytest.skip(reason)
    given = json.dumps({"tables": TABLES, "queries": texts})
    run = subprocess.run(azure_tools.command(), input=given, capture_output=True, text=True, check=True, timeout=100)
    faults: dict[str, list[str]] = json.loads(run.stdout)
    return {name: found for name, found in faults.items() if found}


def test_microsofts_parser_takes_every_query() -> None:
    """Names, functions and types are right in the alarms and in the workbook."""
    texts = {f"workbook: {name}": filled(query) for name, query in workbook_queries(deployment()).items()}
    for params in DEPLOYMENTS:
        texts |= {f"{params}: {name}": query for name, query in queries(deployment(params)).items()}
    assert diagnosed(texts) == {}


def test_microsofts_parser_notices_what_is_wrong() -> None:
    """A misspelt column, function and operator are each a fault."""
    faults = diagnosed(
        {
            "column": "AppTraces | where Mesage == ''",
            "function": "AppTraces | extend line = parsejson5(Message)",
            "operator": "AppTraces | summarise count()",
            "type": "AppTraces | where Message > 3",
        }
    )
    assert faults.keys() == {"column", "function", "operator", "type"}


# --------------------------------------------------------------------------------------------------------- the workbook


def filled(query: str) -> str:
    """A query of the workbook with the grain that the portal fills in for a day."""
    return query.replace("{range:grain}", "5m")


def test_the_workbook_names_what_there_is() -> None:
    """Tiles ask for events and fields that exist, of the resources that are deployed; every fault has its tile."""
    content = workbook(deployment())
    text = json.dumps(content)
    assert "<" not in text.replace("<=", "")
    asked = workbook_queries(deployment())
    assert [fault for name, query in asked.items() for fault in named(name, query)] == []
    shown = {event for query in asked.values() for event in quoted_events(query)}
    assert EVENTS - shown <= {"keys_loaded", "redrive_skipped"}
    ids = {resource.id for resource in deployment().resources}
    for item in content["items"]:
        for place in item["content"].get("crossComponentResources", []) + item["content"].get("resourceIds", []):
            assert place in ids


def test_the_workbooks_queries_find_what_was_logged(workspace: Workspace) -> None:
    """Each tile over the log shows something once such a line is there."""
    lines = [
        line(event, status=200, duration_ms=5, error="x", event_id="0" * 64, source_ip="192.0.2.1", key="0" * 12)
        for event in vars(log).values()
        if isinstance(event, LogEvent) and event is not log.REDRIVE
    ]
    workspace.add(*QUIET, *lines)
    workspace.add_request(*ANSWERED)
    for name, query in workbook_queries(deployment()).items():
        assert workspace.rows(filled(query)), name
