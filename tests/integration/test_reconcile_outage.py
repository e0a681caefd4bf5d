"""The whole story on every cloud: queue and store are down, events get 503, and afterwards they are brought back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cli.commands.run import CLOUDS
from core.reconciled import reconciled_id
from tests import planted
from tests.cli.helpers import Run, clean_environment, program, running
from tests.dastra.logs import Log
from tests.dastra.standin import API_KEY, StandIn
from tests.log_check import check

pytestmark = pytest.mark.emulator

TOO_LARGE = 10_100_000
"""More bytes than any queue takes."""
EVENTS = ("DataSubjectCreation", "TaskEdit", "ProcessingModification")


@pytest.fixture(scope="module", params=list(CLOUDS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A local run of each cloud."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = ("--cloud", request.param, "--redrive-every", "0")
    with running(folder, *settings, DASTRA_SIGNATURE_KEYS=planted.KEY) as started:
        yield started


def reconcile(run: Run, dastra: StandIn, *options: str, code: int = 0) -> str:
    """Run the command over the last hour, as a person would in another terminal; what it says on stdout."""
    until = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    environment = clean_environment(
        DASTRA_API_URL=dastra.url, DASTRA_API_KEY=API_KEY, XDG_STATE_HOME=str(run.folder / "state")
    )
    arguments = ("reconcile", "--since", "1h", "--until", until, *options)
    ended = program(*arguments, folder=run.folder, environment=environment)
    assert ended.returncode == code, ended.stderr.decode()
    check(ended.stdout.decode() + ended.stderr.decode())
    return ended.stdout.decode()


def test_events_of_an_outage_are_brought_back(run: Run) -> None:
    """Exactly the events that got 503, and those that Dastra then no longer sent, are on the queue afterwards, once.

    The log has an entry for every event. Some arrived, one is in the spool, some are on objects that others are on too.
    """
    with StandIn() as dastra:
        Log().plug(dastra)
        hook = dastra.add(run.url, 1, EVENTS, key=planted.KEY)
        arrived = [dastra.happen(EVENTS[number % 3], id=number) for number in range(12)]
        dastra.settle()
        run.faults(queue="500")
        spooled = dastra.happen("TaskEdit", id="spooled")
        dastra.settle()
        assert dastra.refused() == []

        run.faults(queue="refused", store="refused")
        lost = [dastra.happen(EVENTS[number % 3], id=100 + number) for number in range(5)]
        dastra.settle(60)
        assert {delivery.status for delivery in dastra.refused()} == {503}
        assert hook.blocked
        lost += [dastra.happen(EVENTS[number % 3], id=200 + number) for number in range(3)]
        dastra.happen("UserLogin", id=17)
        run.faults(queue="none", store="none")

        before = run.get("messages")
        (run.folder / "handled.jsonl").write_text("".join(json.dumps(message) + "\n" for message in before))
        shown = json.loads(reconcile(run, dastra, "--arrived", "handled.jsonl", "--json"))
        assert shown["counts"] == {"arrived": 13, "missing": 8, "ambiguous": 0, "sent": 0, "gone": 0}
        assert {row["log_id"] for row in shown["missing"]} == {event.id for event in lost}
        assert run.get("messages") == before

        said = reconcile(run, dastra, "--arrived", "handled.jsonl", "--send", "--yes")
        assert "8 sent, 0 failed, 0 gone" in said
        again = json.loads(reconcile(run, dastra, "--arrived", "handled.jsonl", "--send", "--yes", "--json"))
        assert again["counts"] == {"arrived": 13, "missing": 0, "ambiguous": 0, "sent": 8, "gone": 0}

        new = run.get("messages")[len(before) :]
        assert sorted(message["id"] for message in new) == sorted(reconciled_id(event.id) for event in lost)
        by_id = {reconciled_id(event.id): event for event in lost}
        for message in new:
            attributes = {
                name.rpartition(":")[2].removeprefix("ce-"): text for name, text in message["attributes"].items()
            }
            happened = by_id[message["id"]]
            assert attributes["source"] == f"urn:dastra:reconcile:{hook.id}"
            assert attributes["type"] == f"eu.dastra.{happened.event_type}"
            assert "signature" not in attributes
            envelope = json.loads(message["body"])
            assert envelope["data"] == happened.data
            assert (envelope["webhookId"], envelope["eventType"]) == (hook.id, happened.event_type)
        assert len(arrived) == 12
        assert spooled.id not in {row["log_id"] for row in shown["missing"]}


@pytest.mark.slow
def test_a_large_one_is_a_claim_check(run: Run) -> None:
    """What the queue does not take goes through the store, and once a consumer has it, it counts as arrived."""
    with StandIn() as dastra:
        Log().plug(dastra)
        dastra.add(run.url, 1, EVENTS, key=planted.KEY, blocked=True)
        large = dastra.happen("TaskEdit", id="large", pad="x" * TOO_LARGE)
        said = json.loads(reconcile(run, dastra, "--send", "--yes", "--json"))
        assert said["sending"] == {"sent": 1, "failed": 0, "gone": 0}
        message = next(found for found in run.get("messages") if found["id"] == reconciled_id(large.id))
        assert json.loads(message["body"])["data"] == large.data
        assert any(name.endswith("dataref") for name in message["attributes"])

        (run.folder / "had.jsonl").write_text(json.dumps(message))
        again = json.loads(reconcile(run, dastra, "--arrived", "had.jsonl", "--state", "other", "--json"))
        assert again["counts"]["arrived"] == 1
