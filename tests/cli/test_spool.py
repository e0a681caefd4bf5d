"""`spool` shows what waits for the queue, and redrives it through the same core as the schedule."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from cli.exits import Exit
from core.records import LEASE_KEY
from tests import planted
from tests.cli.conftest import Invoke, Services
from tests.cli.helpers import Run

AsJson = Callable[..., Any]


def spool(run: Run, count: int = 1) -> list[bytes]:
    """Have events spooled, by a queue that answers 500: unlike one that hangs, it is asked again at once."""
    bodies = [planted.body() for _ in range(count)]
    run.faults(queue="500")
    for body in bodies:
        assert run.post(body).json() == {"status": "spooled"}
    run.faults(queue="none")
    return bodies


def test_an_empty_spool(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """Nothing spooled is said in words, and as an empty list; redriving it is no failure."""
    assert "Nothing is in the spool." in invoke("spool", "list").stdout
    assert as_json("spool", "list") == []
    assert as_json("spool", "redrive") == {"sent": 0, "failed": 0, "left": 0, "skipped": False}


def test_the_list(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """Spooled events are listed, oldest first, without their bodies."""
    spool(run, 2)
    result = invoke("spool", "list")
    assert result.stdout.count("queue_failed") == 2
    assert planted.MARKER not in result.stdout
    stamps = [event["stored_at"] for event in as_json("spool", "list")]
    assert stamps == sorted(stamps)
    assert len(as_json("spool", "list", "--limit", "1")) == 1


def test_redrive_puts_all_of_it_on_the_queue(run: Run, invoke: Invoke) -> None:
    """Every spooled event ends on the queue with its exact bytes, and the spool is empty."""
    bodies = spool(run, 5)
    result = invoke("spool", "redrive")
    assert result.exit_code == Exit.DONE
    assert "5 sent, 0 failed, 0 left in the spool." in result.stdout
    assert run.bodies() == [body.decode() for body in bodies]
    assert run.get("stored") == []


def test_a_limit_leaves_the_newer_ones(run: Run, as_json: AsJson) -> None:
    """`--limit` sends the oldest and says how many are left."""
    bodies = spool(run, 3)
    assert as_json("spool", "redrive", "--limit", "2") == {"sent": 2, "failed": 0, "left": 1, "skipped": False}
    assert run.bodies() == [body.decode() for body in bodies[:2]]


def test_a_queue_that_still_fails(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """When the queue fails the events stay, the run gives up after three, and the exit code is 1."""
    spool(run, 5)
    run.faults(queue="500")
    result = invoke("spool", "redrive")
    assert result.exit_code == Exit.FAILED
    assert "0 sent, 3 failed, 5 left in the spool." in result.stdout
    assert "nothing is lost" in result.stderr
    assert as_json("spool", "redrive", code=Exit.FAILED)["left"] == 5


def test_another_redrive_is_respected(run: Run, services: Services, invoke: Invoke) -> None:
    """While another run holds the lease nothing is sent, and the exit code says busy."""
    spool(run)
    services.put(LEASE_KEY, json.dumps({"until": time.time() + 60}).encode())
    result = invoke("spool", "redrive")
    assert result.exit_code == Exit.BUSY
    assert "another redrive is at work" in result.stderr
    assert run.bodies() == []


def test_the_json_of_a_redrive_that_was_skipped(run: Run, services: Services, as_json: AsJson) -> None:
    """JSON says that it was skipped, also when the exit code is not 0."""
    spool(run)
    services.put(LEASE_KEY, json.dumps({"until": time.time() + 60}).encode())
    said = as_json("spool", "redrive", code=Exit.BUSY)
    assert (said["sent"], said["left"], said["skipped"]) == (0, 1, True)


def test_a_limit_of_nothing(invoke: Invoke) -> None:
    """A limit below one is a usage error."""
    assert invoke("spool", "redrive", "--limit", "0").exit_code == Exit.USAGE


def test_a_store_that_fails(run: Run, invoke: Invoke) -> None:
    """A store that does not answer has an exit code of its own."""
    run.faults(store="500")
    for command in ("list", "redrive"):
        assert invoke("spool", command).exit_code == Exit.UNREACHABLE


@pytest.mark.parametrize("size", [300_000, 1_200_000])
def test_large_events_come_back_whole(run: Run, as_json: AsJson, size: int) -> None:
    """An event that needs a claim check is spooled as a pointer and redriven to the same bytes."""
    body = planted.body(data={"pad": "x" * size})
    run.faults(queue="500")
    assert run.post(body).json() == {"status": "spooled"}
    [stored] = run.get("stored")
    assert stored["body"] == body.decode()
    run.faults(queue="none")
    assert as_json("spool", "redrive")["sent"] == 1
    assert run.bodies() == [body.decode()]
