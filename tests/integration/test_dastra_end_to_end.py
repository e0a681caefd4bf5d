"""Registering, watching, testing and rotating while events flow: a local run, the program, and the stand-in of Dastra.

The stand-in signs each event with the key that Dastra would use at the time, posts it late, and counts every answer but
200. Nothing may be refused at any moment, and what happened once the events were subscribed must be on the queue.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.commands.run import CLOUDS
from core.signature import SignatureKey
from tests import planted
from tests.cli.helpers import PROGRAM, Run, clean_environment, program, running
from tests.dastra import described
from tests.dastra.standin import Manner, StandIn
from tests.dastra.troubles import Kind

pytestmark = pytest.mark.emulator

FIRST, *OTHERS = CLOUDS
EVENTS = ("TaskCreation", "TaskEdit", "DataSubjectCreation")
LATE = 0.4
"""Seconds between an event and its delivery."""
SETTLE = 1.5
"""What the rotation waits for: longer than that, as its default is longer than Dastra's two minutes."""


@contextmanager
def flowing(dastra: StandIn, every: float = 0.05) -> Iterator[None]:
    """Things happen in the account all the while; at the end everything is delivered."""
    ended = threading.Event()

    def flow() -> None:
        for event_type in itertools.cycle((*EVENTS, "UserLogin")):
            if ended.wait(every):
                return
            dastra.happen(event_type)

    thread = threading.Thread(target=flow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)
    dastra.settle(30)


class Account:
    """The program, as a person uses it."""

    def __init__(self, run: Run, dastra: StandIn, url: str = "") -> None:
        self._run = run
        self._environment = clean_environment(**dastra.environment | ({"DASTRA_API_URL": url} if url else {}))

    def __call__(self, *arguments: str) -> Any:
        """Run a command with --json; what it printed, parsed."""
        done = program(*arguments, "--json", folder=self._run.folder, environment=self._environment)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command and do not wait for it."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self._run.folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def register(account: Account, run: Run) -> None:
    """Register the run for the events."""
    done = account("register", run.url, "--workspace", "1", "--events", ",".join(EVENTS))
    assert {step["state"] for step in done["steps"]} == {"done"}


def nothing_missed(dastra: StandIn, run: Run, since: int) -> None:
    """Nothing was refused; what happened since then was delivered, and what was delivered is on the queue."""
    assert dastra.refused() == []
    wanted = {happening.id for happening in dastra.happened[since:] if happening.event_type in EVENTS}
    delivered = {delivery.happening for delivery in dastra.deliveries}
    assert len(wanted) >= 10, "too little happened to prove anything"
    assert wanted <= delivered
    queued = set(run.bodies())
    assert {delivery.body.decode() for delivery in dastra.deliveries} <= queued


def everything(account: Account, dastra: StandIn, run: Run) -> None:
    """All four commands, while events flow."""
    with flowing(dastra):
        register(account, run)
        since = len(dastra.happened)
        [before] = account("status")
        assert (before["state"], before["events"]) == ("ok", list(EVENTS))
        assert account("test", "UserLogin")["outcome"] == "queue"
        done = account("rotate", "--yes", "--settle", str(SETTLE))
        assert {step["state"] for step in done["steps"]} == {"done"}
        [after] = account("status")
        assert (after["state"], after["events"]) == ("ok", list(EVENTS))
        assert after["id"] != before["id"]
        assert account("test", "UserLogin", "--webhook", str(after["id"]))["outcome"] == "queue"
    nothing_missed(dastra, run, since)
    senders = {delivery.hook for delivery in dastra.deliveries}
    assert senders == {before["id"], after["id"]}, "both sent in their time"
    present = [key["fingerprint"] for key in account("key", "list")]
    assert present == [SignatureKey(dastra.hooks[after["id"]].key).fingerprint, SignatureKey(planted.KEY).fingerprint]


@pytest.mark.parametrize("cloud", [FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_all_commands_while_events_flow(tmp_path: Path, cloud: str) -> None:
    """register, status, test and rotate work on each cloud's local run, and no event is refused or lost."""
    options = ("--cloud", cloud, "--redrive-every", "0")
    with running(tmp_path, *options, DASTRA_SIGNATURE_KEYS=planted.KEY) as run, StandIn(Manner(delay=LATE)) as dastra:
        everything(Account(run, dastra), dastra, run)


@pytest.mark.slow
def test_all_commands_as_described(tmp_path: Path) -> None:
    """The same, with every request and every answer held against Dastra's own API description on its way."""
    with (
        running(tmp_path, "--cloud", FIRST, "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as run,
        StandIn(Manner(delay=LATE, zones=True)) as dastra,
        described.serving(dastra.url) as url,
    ):
        everything(Account(run, dastra, url), dastra, run)


@pytest.mark.slow
def test_killed_rotations_while_events_flow(tmp_path: Path) -> None:
    """A rotation that is killed in each of its requests to Dastra and run again refuses and loses nothing either."""
    with (
        running(tmp_path, "--cloud", FIRST, "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as run,
        StandIn(Manner(delay=LATE)) as dastra,
    ):
        account = Account(run, dastra)
        with flowing(dastra):
            register(account, run)
            since = len(dastra.happened)
            [old] = list(dastra.hooks)
            for method in ("POST", "PUT", "DELETE"):
                held = dastra.trouble(Kind.HOLD, method)
                process = account.start("rotate", str(old), "--yes", "--settle", str(SETTLE))
                try:
                    assert held.reached.wait(60)
                finally:
                    process.send_signal(signal.SIGKILL)
                    process.wait(10)
                held.release()
            account("rotate", str(old), "--yes", "--settle", str(SETTLE))
            assert [hook.events for hook in dastra.hooks.values()] == [list(EVENTS)]
        nothing_missed(dastra, run, since)
