"""A reconcile that is killed, again and again, loses nothing; and what it repeats is what was under way at the kill."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from cli.exits import Exit
from core.reconciled import reconciled_id
from tests import planted
from tests.cli import helpers
from tests.cli.helpers import Run, clean_environment, running, until
from tests.dastra.logs import Log
from tests.dastra.standin import API_KEY, Happening, StandIn
from tests.dastra.troubles import Kind

pytestmark = pytest.mark.emulator

COUNT: Final = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A local run."""
    with running(tmp_path_factory.mktemp("kill"), "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as started:
        yield started


@pytest.fixture
def dastra(run: Run) -> Iterator[StandIn]:
    """An account whose webhook is blocked: nothing arrives."""
    run.faults(queue="none")
    with StandIn() as standing:
        Log().plug(standing)
        standing.add(run.url, 1, ("TaskEdit",), key=planted.KEY, blocked=True)
        yield standing


def start(run: Run, dastra: StandIn, until_: str) -> subprocess.Popen[str]:
    """Start the command; always the very same one."""
    options = ("--since", "1h", "--until", until_, "--send", "--yes", "--page-size", "10")
    return subprocess.Popen(
        [helpers.PROGRAM, "reconcile", *options],
        cwd=run.folder,
        env=clean_environment(
            DASTRA_API_URL=dastra.url, DASTRA_API_KEY=API_KEY, XDG_STATE_HOME=str(run.folder / "state")
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """At once, and without a word of farewell."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


class Queue:
    """What has come onto the queue since this was made."""

    def __init__(self, run: Run) -> None:
        self._run: Final = run
        self._before: Final = len(run.get("messages"))

    def bodies(self) -> dict[str, list[str]]:
        """The messages' bodies by their ids."""
        found: dict[str, list[str]] = {}
        for message in self._run.get("messages")[self._before :]:
            found.setdefault(message["id"], []).append(message["body"])
        return found

    def count(self) -> int:
        """How many messages."""
        return len(self._run.get("messages")) - self._before


def end() -> str:
    """The end of a window with what happens in this test."""
    return (datetime.now(UTC) + timedelta(minutes=5)).isoformat()


def happen(dastra: StandIn, count: int = COUNT) -> list[Happening]:
    """Events that nobody receives."""
    return [dastra.happen("TaskEdit", id=number) for number in range(count)]


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_killed_at_random_while_sending(run: Run, dastra: StandIn, times: int) -> None:
    """Each event is on the queue in the end; each kill repeats at most one, with the same id and the same bytes."""
    queue = Queue(run)
    # So many that the last kill still finds something to send, however fast the machine is.
    expected = {reconciled_id(event.id) for event in happen(dastra, COUNT + 12 * times)}
    chance, window = random.Random(20261124), end()
    kills = 0
    while True:
        before = queue.count()
        process = start(run, dastra, window)
        wanted = before + chance.randint(1, 2)
        while process.poll() is None and kills < times:
            if queue.count() >= wanted:
                time.sleep(chance.uniform(0, 0.02))
                break
        if process.poll() is None and kills < times:
            kill(process)
            kills += 1
            continue
        # Hundreds of events, one after the other, on a machine that may be crowded.
        said, complaint = process.communicate(timeout=300)
        assert process.returncode == 0, complaint
        assert "0 failed" in said
        break
    assert kills == times
    found = queue.bodies()
    assert found.keys() == expected
    repeated = Counter({id_: len(bodies) - 1 for id_, bodies in found.items() if len(bodies) > 1})
    assert repeated.total() <= kills
    assert all(len(set(bodies)) == 1 for bodies in found.values())


def test_killed_before_it_knew_that_it_was_sent(run: Run, dastra: StandIn) -> None:
    """The queue has it, and its answer has not come: that one alone is sent again, with the same id and bytes.

    The run that goes on says so. Service Bus knows the id, and drops the repetition.
    """
    queue = Queue(run)
    expected = {reconciled_id(event.id) for event in happen(dastra)}
    window = end()
    run.faults(queue="slow")
    process = start(run, dastra, window)
    assert until(lambda: queue.count() == 1, 60)
    kill(process)
    run.faults(queue="none")
    [uncertain] = queue.bodies()
    process = start(run, dastra, window)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    assert "1 message may be on the queue already" in complaint
    found = queue.bodies()
    assert found.keys() == expected
    repeated = {} if run.state()["cloud"] == "azure" else {uncertain: 2}
    assert {id_: len(bodies) for id_, bodies in found.items() if len(bodies) > 1} == repeated
    assert len(set(found[uncertain])) == 1


def test_killed_while_reading(run: Run, dastra: StandIn) -> None:
    """What was read is not read again, nothing was sent, and the next run ends it."""
    queue = Queue(run)
    expected = {reconciled_id(event.id) for event in happen(dastra)}
    window = end()
    held = dastra.trouble(Kind.HOLD, path="/v1/Logs", skip=4)
    process = start(run, dastra, window)
    assert held.reached.wait(60)
    kill(process)
    held.release()
    assert queue.bodies() == {}
    asked = len(dastra.calls(path="/v1/Logs"))

    process = start(run, dastra, window)
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    assert "Going on with the run of" in complaint
    assert f"{COUNT} sent" in said
    starts = [request.one("start") for request in dastra.requests if request.path == "/v1/Logs"]
    assert starts[asked] > starts[0]  # type: ignore[operator]
    assert {id_: len(bodies) for id_, bodies in queue.bodies().items()} == dict.fromkeys(expected, 1)


def test_stopped_by_a_person(run: Run, dastra: StandIn) -> None:
    """Ctrl-C ends it with its exit code and a word on how to go on, and the next run does."""
    queue = Queue(run)
    expected = {reconciled_id(event.id) for event in happen(dastra)}
    window = end()
    process = start(run, dastra, window)
    assert until(lambda: queue.count() > 2, 60)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=20)
    assert process.returncode == Exit.INTERRUPTED
    assert "Traceback" not in complaint
    assert "Run the same command again" in complaint
    process = start(run, dastra, window)
    assert process.communicate(timeout=60)[1] is not None
    assert process.returncode == 0
    found = queue.bodies()
    assert found.keys() == expected
    assert sum(map(len, found.values())) <= COUNT + 1
