"""`reconcile` as a person meets it: what it shows, asks and refuses, and that it shows nothing personal."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli.exits import Exit
from core.reconciled import reconciled_id
from tests import planted
from tests.cli.conftest import Invoke, Services
from tests.cli.helpers import Run, elsewhere
from tests.dastra.logs import Log, entry, entry_of, stamp
from tests.dastra.standin import API_KEY, StandIn
from tests.dastra.troubles import Kind

Call = Callable[..., Result]
EVENTS = ("DataSubjectCreation", "TaskEdit")
AGO = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)


@pytest.fixture
def dastra(run: Run) -> Iterator[StandIn]:
    """An account with one webhook, to the local run."""
    with StandIn() as standing:
        standing.add(run.url, 1, EVENTS)
        yield standing


@pytest.fixture
def log(dastra: StandIn) -> Log:
    """The account's log."""
    return Log().plug(dastra)


@pytest.fixture
def call(invoke: Invoke, dastra: StandIn, tmp_path: Path) -> Call:
    """Calls `reconcile` over the last hour; its state is gone after the test."""

    def reconcile(*options: str, code: int = Exit.DONE, **environment: str) -> Result:
        settings = {"DASTRA_API_URL": dastra.url, "DASTRA_API_KEY": API_KEY, "XDG_STATE_HOME": str(tmp_path / "state")}
        since = () if "--since" in options else ("--since", "1h")
        result = invoke("reconcile", *since, *options, **{**settings, **environment})
        assert result.exit_code == code, result.output
        assert planted.found_in(result.output) == []
        return result

    return reconcile


@pytest.fixture
def as_json(call: Call) -> Callable[..., Any]:
    """The same with --json, parsed."""
    return lambda *options, **more: json.loads(call(*options, "--json", **more).stdout)


def logged(number: int, seconds: float = 0, **fields: Any) -> dict[str, Any]:
    """An entry of half an hour ago, its id this test's alone: Service Bus drops a message whose id it has seen."""
    test, _, _ = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")
    id_ = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{test} {number}"))
    return entry(number, **{"id": id_, "date": stamp(AGO + timedelta(seconds=seconds)), **fields})


def record(number: int, seconds: float = 0, **fields: Any) -> str:
    """A consumer's record of the event of that entry."""
    time = (AGO + timedelta(seconds=seconds)).isoformat()
    return json.dumps({"type": "DataSubjectCreation", "object": 10_000 + number, "time": time, **fields}) + "\n"


def test_a_dry_run_by_default(run: Run, log: Log, call: Call) -> None:
    """What is missing is shown with date, type, object and entry, and nothing is sent."""
    log.add(logged(1), logged(2, channel="TaskEdit"))
    result = call()
    lines = [line.split() for line in result.stdout.splitlines()]
    date, clock = AGO.strftime("%Y-%m-%d %H:%M:%S").split()
    assert [date, clock, "DataSubjectCreation", "10001", logged(1)["id"]] in lines
    assert [date, clock, "TaskEdit", "10002", logged(2)["id"]] in lines
    assert ["missing", "2"] in lines
    assert "add --send" in result.stderr
    assert "Inferred, not documented" in result.stderr
    assert run.bodies() == []


def test_nothing_missing(log: Log, call: Call, tmp_path: Path) -> None:
    """It is said in a line, without warnings and without a table."""
    log.add(logged(1))
    (tmp_path / "had").write_text(record(1))
    result = call("--arrived", str(tmp_path / "had"))
    assert ["missing", "0"] in [line.split() for line in result.stdout.splitlines()]
    assert "LOG ENTRY" not in result.stdout
    assert "Warning" not in result.stderr
    assert "Inferred" not in result.stderr


def test_it_asks_before_it_sends(run: Run, log: Log, call: Call) -> None:
    """Where nobody can answer, --yes is needed, and until then nothing is sent."""
    log.add(logged(1))
    result = call("--send", code=Exit.NOT_CONFIRMED)
    assert "Send 1 event to the queue of the local run" in result.stderr
    assert run.bodies() == []
    assert "1 sent, 0 failed" in call("--send", "--yes").stdout
    [message] = run.get("messages")
    assert message["id"] == reconciled_id(logged(1)["id"])


def test_sent_once(run: Run, log: Log, call: Call, as_json: Callable[..., Any]) -> None:
    """A second run sends nothing, over whatever window; a third after more happened sends what is new."""
    log.add(logged(1))
    call("--send", "--yes")
    assert as_json("--since", "2h", "--send", "--yes")["counts"] == {
        "arrived": 0,
        "missing": 0,
        "ambiguous": 0,
        "sent": 1,
        "gone": 0,
    }
    log.add(logged(2))
    assert as_json("--send", "--yes")["sending"] == {"sent": 1, "failed": 0, "gone": 0}
    assert len(run.bodies()) == 2


def test_what_the_store_has_is_set_aside(run: Run, log: Log, as_json: Callable[..., Any]) -> None:
    """Spooled and quarantined events have arrived, a claim check followed to what it points at."""
    date = stamp(AGO)
    bodies = [planted.body(date=date, data={"id": number}) for number in range(3)]
    large = planted.body(date=date, data={"id": 9, "pad": "x" * 1_200_000})
    run.faults(queue="500")
    for body in (bodies[0], large):
        assert run.post(body).json() == {"status": "spooled"}
    run.faults(queue="none")
    held = run.post(planted.MARKER.encode())
    assert held.json() == {"status": "quarantined"}
    log.add(*(entry_of(body) for body in (*bodies, large)))
    said = as_json()
    assert said["arrivals"] == {"spool": 2, "quarantine": 1}
    assert said["counts"] == {"arrived": 2, "missing": 2, "ambiguous": 0, "sent": 0, "gone": 0}
    assert {row["object"] for row in said["missing"]} == {"1", "2"}


def test_what_is_held_for_its_address_has_arrived(run: Run, log: Log, as_json: Callable[..., Any]) -> None:
    """An event from an unlisted address is in quarantine, and not missing."""
    import httpx

    body = planted.body(date=stamp(AGO), data={"id": 4})
    transport = httpx.HTTPTransport(local_address=elsewhere())
    with httpx.Client(transport=transport, trust_env=False) as client:
        headers = {"Dastra-Signature": planted.signature(body), "Content-Type": "application/json"}
        assert client.post(run.url, content=body, headers=headers).json() == {"status": "quarantined"}
    log.add(entry_of(body))
    assert as_json()["counts"]["arrived"] == 1


def test_what_the_store_has_and_cannot_be_read(services: Services, log: Log, call: Call) -> None:
    """An object that is no record is told of."""
    services.put("spool/20260302T091603000Z-x", b"x")
    log.add(logged(1))
    assert "1 object in spool and quarantine cannot be read" in call().stderr


def test_what_is_ambiguous(run: Run, log: Log, call: Call, as_json: Callable[..., Any], tmp_path: Path) -> None:
    """It is listed with the reason, left when all else is sent, with an exit code that says so; named, it is sent."""
    log.add(logged(1), logged(2, 5, refId="10001"), logged(3))
    path = tmp_path / "had"
    path.write_text(record(1, 2))
    options = ("--arrived", str(path))
    result = call(*options)
    assert "Ambiguous, and not sent unless you name them" in result.stdout
    assert "2 of them: several events of this type on this object" in result.stderr
    result = call(*options, "--send", "--yes", code=Exit.FAILED)
    assert "2 entries are ambiguous and were left" in result.stderr
    assert len(run.bodies()) == 1
    one = logged(2)["id"]
    assert as_json(*options, "--send", "--yes", "--also", one, code=Exit.FAILED)["sending"]["sent"] == 1
    assert {message["id"] for message in run.get("messages")} == {reconciled_id(one), reconciled_id(logged(3)["id"])}


def test_a_tolerance(log: Log, as_json: Callable[..., Any], tmp_path: Path) -> None:
    """How far dates may be apart is the person's choice, and how far they were is told."""
    log.add(logged(1), logged(2))
    path = tmp_path / "had"
    path.write_text(record(1, 100) + record(2, 1))
    wide = as_json("--arrived", str(path))
    assert (wide["counts"]["arrived"], wide["widest_difference_seconds"]) == (2, 100)
    narrow = as_json("--arrived", str(path), "--tolerance", "10")
    assert (narrow["counts"]["arrived"], narrow["widest_difference_seconds"]) == (1, 1)


def test_warnings(log: Log, call: Call) -> None:
    """Without records, and where events may still be on their way, the dry run says what that means."""
    log.add(logged(1))
    result = call("--until", "now")
    assert "no --arrived file is given" in result.stderr
    assert "less than 5 minutes ago" in result.stderr
    assert "less than 5 minutes ago" not in call().stderr


def test_many(log: Log, call: Call, as_json: Callable[..., Any]) -> None:
    """A long list is cut and says how to see all; JSON has all of it."""
    log.add(*(logged(number) for number in range(8)))
    result = call("--limit", "3")
    assert result.stdout.count("DataSubjectCreation") == 3
    assert "5 more; --limit 8 shows them all." in result.stderr
    assert len(as_json()["missing"]) == 8


def test_one_that_is_purged_before_it_is_sent(run: Run, log: Log, call: Call) -> None:
    """It is told as gone, and the others are sent."""
    log.add(logged(1), logged(2), logged(3))
    reads = log.pages

    def purge(page: int) -> None:
        # The plan takes three requests at most, and then the sending begins.
        if page == reads + 4:
            log.remove([logged(2)["id"]])

    log.before = purge
    result = call("--send", "--yes", code=Exit.FAILED)
    assert "2 sent, 0 failed, 1 gone from the log." in result.stdout
    assert f"{logged(2)['id']}: the log no longer has it" in result.stderr
    assert len(run.bodies()) == 2


def test_a_queue_that_refuses(run: Run, log: Log, call: Call) -> None:
    """After three failures in a row the queue is left alone; all is sent by the same command later."""
    log.add(*(logged(number) for number in range(6)))
    run.faults(queue="500")
    result = call("--send", "--yes", code=Exit.FAILED)
    assert "0 sent, 3 failed" in result.stdout
    assert "Run the same command again" in result.stderr
    run.faults(queue="none")
    assert "6 sent, 0 failed" in call("--send", "--yes").stdout
    assert len(run.bodies()) == 6


def test_a_store_that_does_not_answer(run: Run, log: Log, call: Call) -> None:
    """Without the store nobody knows what arrived: nothing is shown and nothing sent."""
    log.add(logged(1))
    run.faults(store="500")
    result = call("--send", "--yes", code=Exit.UNREACHABLE)
    assert "the store cannot be listed" in result.stderr
    assert run.bodies() == []


@pytest.mark.parametrize(
    ("kind", "more", "code", "said"),
    [
        (Kind.STATUS, {"status": 401}, Exit.REFUSED, "does not know this API key"),
        (Kind.STATUS, {"status": 403}, Exit.REFUSED, "may not read the log"),
        (Kind.STATUS, {"status": 429, "headers": {"Retry-After": "999"}}, Exit.UNREACHABLE, "wait 999 s"),
        (Kind.CUT, {}, Exit.UNREACHABLE, "no JSON"),
    ],
)
def test_an_api_that_refuses_in_mid_page(
    dastra: StandIn, log: Log, call: Call, kind: Kind, more: dict[str, Any], code: Exit, said: str
) -> None:
    """It is said what is wrong and that what was read is kept; the same command goes on from there."""
    log.add(*(logged(number, number) for number in range(20)))
    dastra.trouble(kind, path="/v1/Logs", skip=3, **more)
    result = call("--page-size", "5", code=code)
    assert said in result.stderr
    assert "Run the same command again to go on from there." in result.stderr
    assert result.stdout == ""
    result = call("--page-size", "5")
    assert "Going on with the run of" in result.stderr
    assert "entries in the log  20" in result.stdout


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Kind.STATUS, {"status": 429, "headers": {"Retry-After": "1"}}),
        (Kind.STATUS, {"status": 500}),
        (Kind.HALF, {}),
    ],
)
def test_what_passes_is_waited_for(dastra: StandIn, log: Log, call: Call, kind: Kind, more: dict[str, Any]) -> None:
    """A trouble in mid-page, while reading and while sending, costs time and no event."""
    log.add(*(logged(number, number) for number in range(20)))
    for skip in (2, 7):
        dastra.trouble(kind, path="/v1/Logs", skip=skip, **more)
    assert "20 sent, 0 failed, 0 gone" in call("--page-size", "6", "--send", "--yes").stdout


def test_a_run_that_was_interrupted_is_not_gone_on_with_for_ever(dastra: StandIn, log: Log, call: Call) -> None:
    """--fresh starts over, and so does another window."""
    log.add(*(logged(number, number) for number in range(20)))
    dastra.trouble(Kind.STATUS, path="/v1/Logs", skip=2, status=403)
    call("--page-size", "5", code=Exit.REFUSED)
    assert "Going on" not in call("--since", "2h").stderr
    dastra.trouble(Kind.STATUS, path="/v1/Logs", skip=2, status=403)
    call("--page-size", "5", code=Exit.REFUSED)
    result = call("--fresh")
    assert "Going on" not in result.stderr
    assert "entries in the log  20" in result.stdout


def test_a_dry_run_that_ended_is_over(log: Log, as_json: Callable[..., Any]) -> None:
    """The next one reads the log as it is then."""
    log.add(logged(1))
    assert as_json()["counts"]["missing"] == 1
    log.add(logged(2))
    assert as_json()["counts"]["missing"] == 2


# Which webhook


def test_several_webhooks(dastra: StandIn, run: Run, log: Log, call: Call, as_json: Callable[..., Any]) -> None:
    """They are listed, and one is to be chosen; its events and its workspace are what is read."""
    other = dastra.add(run.url, 2, ("TaskEdit",))
    log.add(logged(1, channel="TaskEdit", workSpaceId=2), logged(2, workSpaceId=2), logged(3, channel="TaskEdit"))
    result = call(code=Exit.USAGE)
    assert f"--webhook {other.id}" in result.stderr
    said = as_json("--webhook", str(other.id))
    assert [row["log_id"] for row in said["missing"]] == [logged(1)["id"]]


def test_no_webhook(dastra: StandIn, call: Call) -> None:
    """None at all, none of that id, one without events: each is said with what to do."""
    hook = next(iter(dastra.hooks.values()))
    hook.events.clear()
    assert "no events subscribed" in call(code=Exit.USAGE).stderr
    assert "nothing at /v1/WebHookUrls/77" in call("--webhook", "77", code=Exit.NOT_FOUND).stderr
    dastra.hooks.clear()
    assert "has no webhook" in call(code=Exit.NOT_FOUND).stderr


def test_a_webhook_of_all_workspaces(dastra: StandIn, run: Run, log: Log, as_json: Callable[..., Any]) -> None:
    """The log of all of them is read."""
    next(iter(dastra.hooks.values())).workspace = None
    log.add(logged(1, workSpaceId=1), logged(2, workSpaceId=2))
    assert as_json()["counts"]["missing"] == 2
