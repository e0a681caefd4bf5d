"""`dastra-webhooks test`, against a local run and the stand-in of Dastra: its sample is followed to where it went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.dastra.following import Seen
from tests import planted
from tests.cli.conftest import Invoke, Services
from tests.cli.helpers import Run, elsewhere
from tests.dastra.commands import AccountCommand
from tests.dastra.standin import Hook, Manner, StandIn
from tests.dastra.wire import Reply, Wire

pytestmark = pytest.mark.emulator


@pytest.fixture
def dastra() -> Iterator[StandIn]:
    """An account."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def ask(invoke: Invoke, dastra: StandIn, run: Run) -> AccountCommand:
    """The command, for the account, where the local run is."""
    return AccountCommand(invoke, dastra, "test", "TaskEdit")


@pytest.fixture
def hook(dastra: StandIn, services: Services, run: Run) -> Hook:
    """A webhook whose key the receiver has."""
    hook = dastra.add(run.url)
    services.secret = f"{hook.key},{planted.KEY}"
    return hook


@pytest.fixture
def deployment(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """What names the local run's parts as those of a deployment: no local run is found, so its queue cannot be seen."""
    state: dict[str, Any] = run.state()
    monkeypatch.chdir(tmp_path)
    names = {"DASTRA_QUEUE": "queue", "DASTRA_STORE": "store", "DASTRA_SIGNATURE_KEYS_SECRET": "secret"}
    return {**{name: str(state[part]) for name, part in names.items()}, **state["env"]}


def test_it_is_followed_to_the_queue(ask: AccountCommand, hook: Hook, run: Run) -> None:
    """Dastra's sample arrives on the local run's queue, and its attributes are shown, without the signature."""
    outcome = ask.json()
    assert outcome["outcome"] == "queue"
    assert outcome["webhook"] == hook.id
    assert outcome["attributes"]["type"] == "eu.dastra.TaskEdit"
    assert outcome["attributes"]["source"] == f"urn:dastra:webhook:{hook.id}"
    assert "signature" not in outcome["attributes"]
    said = ask().stdout
    assert "It is on the queue" in said
    assert "eu.dastra.TaskEdit" in said
    assert len(run.bodies()) == 2


@pytest.mark.parametrize(
    ("manner", "asked"),
    [
        (Manner(), ["GET /v1/WebHookUrls/test/101/TaskEdit"]),
        (
            Manner(tests_by_webhook=False),
            ["GET /v1/WebHookUrls/test/101/TaskEdit", "POST /v1/WebHookUrls/test"],
        ),
        (
            Manner(tests_by_webhook=False, tests_by_payload=False, tests_by_event=True),
            [
                "GET /v1/WebHookUrls/test/101/TaskEdit",
                "POST /v1/WebHookUrls/test",
                "GET /v1/WebHookUrls/test/TaskEdit",
            ],
        ),
    ],
    ids=["by-webhook", "by-payload", "of-2021"],
)
def test_the_endpoints_of_the_years(
    ask: AccountCommand, dastra: StandIn, hook: Hook, manner: Manner, asked: list[str]
) -> None:
    """The endpoint with the webhook's id is asked first, then the others, until one is there."""
    dastra.manner = manner
    assert ask.json()["outcome"] == "queue"
    assert dastra.calls(path=".*/test.*") == asked


def test_no_endpoint_at_all(ask: AccountCommand, dastra: StandIn, hook: Hook) -> None:
    """Where Dastra has none of them any more, its own button is named."""
    dastra.manner = Manner(tests_by_webhook=False, tests_by_payload=False)
    result = ask()
    assert result.exit_code == 5
    assert "Send a test webhook" in result.stderr


def test_a_refused_sample(ask: AccountCommand, dastra: StandIn, run: Run) -> None:
    """Where the receiver does not know the key, Dastra's count of errors tells, before anything else could."""
    dastra.add(run.url)
    assert ask.json(code=1) | {"attributes": None} == {
        "event_type": "TaskEdit",
        "webhook": 101,
        "outcome": "refused",
        "said": "Response status code 401",
        "attributes": None,
    }


def test_a_sample_that_goes_elsewhere(ask: AccountCommand, dastra: StandIn) -> None:
    """What another server takes never comes to the local run, which is said when the time is up."""
    other = Wire(0, lambda _: Reply({}))
    other.start()
    dastra.add(other.url)
    assert ask.json("--wait", "0.5", code=1)["outcome"] == "unseen"
    result = ask("--wait", "0")
    other.stop()
    assert "lead to the local run" in result.stderr


def test_an_older_event_is_not_taken_for_it(ask: AccountCommand, dastra: StandIn, hook: Hook, run: Run) -> None:
    """An event of the same type that was there before, and one of another webhook, are not the sample."""
    hook.events = ["TaskEdit"]
    dastra.happen("TaskEdit")
    dastra.settle()
    assert len(run.bodies()) == 1
    other = Wire(0, lambda _: Reply({}))
    other.start()
    hook.url = other.url
    assert ask.json("--wait", "0.5", code=1)["outcome"] == "unseen"
    other.stop()


@pytest.mark.parametrize(
    ("type_", "source", "its_own"),
    [
        ("eu.dastra.TaskEdit", "urn:dastra:webhook:17", True),
        ("eu.dastra.TaskEdit", "urn:dastra:webhook:18", False),
        ("eu.dastra.TaskCreation", "urn:dastra:webhook:17", False),
        ("eu.dastra.TaskEdit", "urn:dastra:reconcile:17", False),
    ],
)
def test_only_its_own_event_counts(type_: str, source: str, its_own: bool) -> None:
    """What arrives meanwhile of another type or from another webhook is not the sample."""
    assert Seen("queue", {"type": type_, "source": source}).is_of(17, "TaskEdit") is its_own


def test_a_spooled_sample(ask: AccountCommand, hook: Hook, run: Run) -> None:
    """Where the queue fails, the sample is found in the spool, and what shows the spool is named."""
    run.faults(queue="500")
    assert ask.json()["outcome"] == "spool"
    assert "spool list" in ask().stderr


@pytest.mark.parametrize("seen_from", ["local", "deployed"])
def test_a_held_sample(
    invoke: Invoke, run: Run, services: Services, request: pytest.FixtureRequest, seen_from: str
) -> None:
    """A sample from an address off the list is found in quarantine, of a deployment too; the next command is named."""
    environment = request.getfixturevalue("deployment") if seen_from == "deployed" else {}
    with StandIn(source=elsewhere()) as dastra:
        hook = dastra.add(run.url)
        services.secret = f"{hook.key},{planted.KEY}"
        ask = AccountCommand(invoke, dastra, "test", "TaskEdit")
        assert ask.json(**environment)["outcome"] == "quarantine"
        result = ask(**environment)
        assert "unlisted_address" in result.stdout
        assert "dastra-webhooks addresses" in result.stderr


def test_a_deployed_queue_cannot_be_seen(ask: AccountCommand, hook: Hook, deployment: dict[str, str], run: Run) -> None:
    """Of a deployment it is said what is concluded and what cannot be seen; nothing is taken from its queue."""
    result = ask("--wait", "0.5", **deployment)
    assert result.exit_code == 0
    assert "Dastra counted no error, and nothing is held or spooled" in result.stdout
    assert "cannot be seen from here without taking it from your consumers" in result.stderr
    assert len(run.bodies()) == 1


def test_without_a_deployment(
    ask: AccountCommand, dastra: StandIn, hook: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without any deployment only Dastra's count is looked at; one that was named must be there."""
    monkeypatch.chdir(tmp_path)
    assert "all that can be seen without a deployment" in ask("--wait", "0").stdout
    assert ask("--local").exit_code == 3


def test_which_webhook(ask: AccountCommand, dastra: StandIn, services: Services, run: Run) -> None:
    """Of several webhooks one must be named; one that is not there is told, and so is that there is none."""
    assert ask().exit_code == 5
    hooks = [dastra.add(f"{run.url}?code=secret-{number}") for number in range(2)]
    services.secret = ",".join(hook.key for hook in hooks)
    result = ask()
    assert result.exit_code == 2
    assert "102" in result.stderr
    assert "secret" not in result.output
    assert ask("--webhook", "103").exit_code == 5
    assert ask.json("--webhook", "102")["webhook"] == 102


def test_a_blocked_webhook_is_warned_of(ask: AccountCommand, hook: Hook) -> None:
    """Before asking it is said that the webhook is blocked."""
    hook.blocked = True
    assert "is blocked by Dastra" in ask().stderr


def test_an_undocumented_event(invoke: Invoke, dastra: StandIn, hook: Hook) -> None:
    """An event type that is not documented is warned of and tried."""
    assert "none of the event types" in AccountCommand(invoke, dastra, "test", "TaskEdited")().stderr
