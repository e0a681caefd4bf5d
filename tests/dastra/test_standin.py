"""The stand-in does what Dastra is known to do, so that the tests that lean on it mean something."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from core.signature import SignatureKey, matching_key, read_signature
from tests import planted
from tests.cli.helpers import clean_environment
from tests.dastra.standin import API_KEY, LIMIT, Manner, StandIn
from tests.dastra.wire import Reply, Wire


@pytest.fixture
def receiver() -> Iterator[Wire]:
    """Somebody who takes everything."""
    wire = Wire(0, lambda _: Reply({"status": "accepted"}))
    wire.start()
    yield wire
    wire.stop()


def test_it_posts_to_those_who_subscribed(receiver: Wire) -> None:
    """An event goes to its workspace's webhooks and those of all workspaces that have its type, each signed."""
    with StandIn() as dastra:
        mine = dastra.add(f"{receiver.url}/mine", 1, ("TaskEdit",))
        everybody = dastra.add(f"{receiver.url}/all", None, ("TaskEdit", "UserLogin"))
        dastra.add(f"{receiver.url}/other-workspace", 2, ("TaskEdit",))
        dastra.add(f"{receiver.url}/other-event", 1, ("UserLogin",))
        dastra.happen("TaskEdit")
        dastra.settle()
        assert sorted(request.path for request in receiver.requests) == ["/all", "/mine"]
        for delivery in dastra.deliveries:
            hook = mine if delivery.hook == mine.id else everybody
            body = json.loads(delivery.body)
            assert (body["webhookId"], body["eventType"], body["signatureUrl"]) == (hook.id, "TaskEdit", hook.url)
        for request in receiver.requests:
            key = SignatureKey(mine.key if request.path == "/mine" else everybody.key)
            digest = read_signature([request.headers["dastra-signature"]])
            bodies = [delivery.body for delivery in dastra.deliveries]
            assert isinstance(digest, bytes)
            assert any(matching_key(body, digest, [key]) for body in bodies)


def test_it_counts_errors_and_blocks(receiver: Wire) -> None:
    """Every answer but 200 is an error; after five the webhook is sent nothing more, also after a change."""
    answers = iter([Reply(None, status) for status in (204, 500, 401, 302, 429)])
    refusing = Wire(0, lambda _: next(answers))
    refusing.start()
    with StandIn() as dastra, httpx.Client(headers={"X-API-Key": API_KEY}, trust_env=False) as client:
        hook = dastra.add(refusing.url, 1, ("TaskEdit",))
        for count in range(1, LIMIT + 1):
            assert not hook.blocked
            dastra.happen("TaskEdit")
            dastra.settle()
            assert hook.errors == count
        assert hook.blocked
        hook.url = receiver.url
        client.put(
            f"{dastra.url}/v1/WebHookUrls/{hook.id}", json={"url": receiver.url, "subscribedEvents": ["TaskEdit"]}
        )
        dastra.happen("TaskEdit")
        dastra.settle()
    refusing.stop()
    assert receiver.requests == []


@pytest.mark.parametrize("drops", [True, False])
def test_what_becomes_of_late_events(receiver: Wire, drops: bool) -> None:
    """An event that is late for a webhook that was deleted meanwhile goes with it, or is posted, as the manner says."""
    with StandIn(Manner(delay=0.2, drops_on_delete=drops)) as dastra:
        hook = dastra.add(receiver.url, 1, ("TaskEdit",))
        dastra.happen("TaskEdit")
        del dastra.hooks[hook.id]
        dastra.settle()
    assert len(receiver.requests) == (0 if drops else 1)


def test_it_runs_by_hand() -> None:
    """`python -m tests.dastra` prints what to export, and answers there."""
    command = [sys.executable, "-m", "tests.dastra", "--port", "0"]
    process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"export DASTRA_API_URL=(\S+) DASTRA_API_KEY=(\S+)\n", line)
        assert match is not None, planted.masked(line)
        answer = httpx.get(f"{match[1]}/v1/WebHookUrls", headers={"X-API-Key": match[2]}, trust_env=False)
        assert answer.json() == []
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
