"""`dastra-webhooks register`, against a local run and the stand-in of Dastra."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.dastra import probe
from cli.dastra.probe import Probed, put_away
from cli.output import Output
from cli.samples import event_types, sample
from cli.target import CLOUDS, Names, Target, load_cloud
from core.message import event_id
from core.ports import StoredObject
from core.records import QUARANTINE_PREFIX, record_key
from tests import planted
from tests.cli.conftest import Invoke, Services
from tests.cli.helpers import PROGRAM, Run, clean_environment, until
from tests.dastra.commands import AccountCommand
from tests.dastra.killing import Killed, Points
from tests.dastra.standin import API_KEY, Hook, Manner, Right, StandIn
from tests.dastra.troubles import Kind
from tests.dastra.wire import Reply, Wire
from tests.fakes import FakeStore

pytestmark = pytest.mark.emulator

WANTED = ("TaskCreation", "TaskEdit")
CHANGES = "POST|PUT|DELETE"


@pytest.fixture
def dastra() -> Iterator[StandIn]:
    """An account without webhooks."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def register(invoke: Invoke, run: Run, dastra: StandIn) -> AccountCommand:
    """The command, for the local run and the account, with the usual arguments."""
    return AccountCommand(invoke, dastra, "register", run.url, "--workspace", "1", "--events", ",".join(WANTED))


@pytest.fixture
def bare(invoke: Invoke, dastra: StandIn) -> AccountCommand:
    """The command without any argument."""
    return AccountCommand(invoke, dastra, "register")


def samples(run: Run) -> list[dict[str, Any]]:
    """The probes on the queue."""
    return [body for body in map(json.loads, run.bodies()) if "sample" in body]


def complete(dastra: StandIn, services: Services, url: str) -> Hook:
    """The one webhook, which must have its events, and its key first in the store before the one that was there."""
    [hook] = dastra.hooks.values()
    assert (hook.url, hook.workspace, tuple(hook.events)) == (url, 1, WANTED)
    assert services.secret == f"{hook.key},{planted.KEY}"
    return hook


def test_it_registers(register: AccountCommand, dastra: StandIn, services: Services, run: Run) -> None:
    """One webhook is created without events, its key stored, tried with a sample that says so, and then subscribed."""
    assert register.steps() == {"create": "done", "key": "done", "probe": "done", "events": "done"}
    complete(dastra, services, run.url)
    assert dastra.calls(CHANGES) == ["POST /v1/WebHookUrls", "PUT /v1/WebHookUrls/101"]
    [created] = [request for request in dastra.requests if request.method == "POST"]
    assert created.body["subscribedEvents"] == []
    assert len(samples(run)) == 1


def test_no_event_before_its_key(dastra: StandIn, services: Services, run: Run) -> None:
    """When the events are about to be subscribed, the key is in the store and the receiver has taken a sample."""
    held = dastra.trouble(Kind.HOLD, "PUT")
    command = [str(PROGRAM), "register", run.url, "--workspace", "1", "--events", ",".join(WANTED)]
    process = subprocess.Popen(
        command, cwd=run.folder, env=clean_environment(**dastra.environment), stdout=subprocess.DEVNULL
    )
    try:
        assert held.reached.wait(30)
        [hook] = dastra.hooks.values()
        assert hook.events == []
        assert services.secret == f"{hook.key},{planted.KEY}"
        assert len(samples(run)) == 1
        held.release()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)
    assert hook.events == list(WANTED)


def test_a_second_run_finds_the_first(register: AccountCommand, dastra: StandIn, services: Services, run: Run) -> None:
    """Run again it changes nothing in Dastra and in the store, and says of each step that it was done."""
    register.steps()
    secret, changes = services.secret, dastra.calls(CHANGES)
    assert register.steps() == {"create": "already", "key": "already", "probe": "done", "events": "already"}
    assert dastra.calls(CHANGES) == changes
    assert services.secret == secret
    said = register()
    assert "Webhook 101 is there for this URL and workspace." in said.stdout


@pytest.mark.parametrize("point", [1, 2, 3])
def test_a_run_goes_on_after_a_kill(
    register: AccountCommand,
    dastra: StandIn,
    services: Services,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    point: int,
) -> None:
    """Ended between any two steps, the next run does what is missing: one webhook, one key, all events."""
    points = Points(monkeypatch)
    points.kill_at(point)
    with pytest.raises(Killed):
        register()
    assert all(not hook.events or hook.key in services.secret for hook in dastra.hooks.values())
    points.kill_at(0)
    states = register.steps()
    assert states["create"] == "already"
    assert states["events"] == "done"
    complete(dastra, services, run.url)
    assert len(dastra.calls("POST")) == 1


def test_a_run_goes_on_after_a_real_kill(
    register: AccountCommand, dastra: StandIn, services: Services, run: Run
) -> None:
    """Killed for good while its webhook is being created, it is run again and finds that webhook."""
    held = dastra.trouble(Kind.HOLD, "POST")
    command = [str(PROGRAM), "register", run.url, "--workspace", "1", "--events", ",".join(WANTED)]
    process = subprocess.Popen(command, cwd=run.folder, env=clean_environment(**dastra.environment))
    try:
        assert held.reached.wait(30)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    held.release()
    assert until(lambda: bool(dastra.hooks))
    assert register.steps()["create"] == "already"
    complete(dastra, services, run.url)


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.HALF])
def test_a_lost_answer_makes_no_second_webhook(
    register: AccountCommand, dastra: StandIn, services: Services, run: Run, kind: Kind
) -> None:
    """Where the answer to the creation is lost, the webhook is looked for and found, in the same run."""
    dastra.trouble(kind, "POST")
    assert register.steps() == {"create": "done", "key": "done", "probe": "done", "events": "done"}
    complete(dastra, services, run.url)
    assert len(dastra.calls("POST")) == 1


def test_a_lost_creation_is_told(register: AccountCommand, dastra: StandIn) -> None:
    """Where the request itself was lost, the run ends and says that it may be run again."""
    dastra.trouble(Kind.RESET, "POST")
    result = register()
    assert result.exit_code == 4
    assert "may have been done" in result.stderr
    assert "Run the same command again" in result.stderr
    assert dastra.hooks == {}


def test_a_dry_run_changes_nothing(register: AccountCommand, dastra: StandIn, services: Services, run: Run) -> None:
    """--dry-run names the steps, before there is a webhook and when a part of it is done, and changes nothing."""
    names = ("create", "key", "probe", "events")
    assert register.steps("--dry-run") == dict.fromkeys(names, "would")
    dastra.add(run.url)
    assert register.steps("--dry-run") == dict.fromkeys(names, "would") | {"create": "already"}
    assert register("--dry-run", "--show-key").exit_code == 0
    assert dastra.calls(CHANGES) == []
    assert services.secret == planted.KEY
    assert run.bodies() == []


def test_events_are_added_and_never_taken_away(register: AccountCommand, dastra: StandIn, run: Run) -> None:
    """A webhook made by hand keeps its events, gets those that are missing, and its key goes into the store."""
    hook = dastra.add(run.url.replace("127.0.0.1", "127.0.0.1"), events=("UserLogin", "TaskEdit"))
    assert register.steps()["create"] == "already"
    assert hook.events == ["UserLogin", "TaskEdit", "TaskCreation"]


def test_all_events(bare: AccountCommand, dastra: StandIn, run: Run) -> None:
    """--all subscribes every documented event type."""
    assert bare(run.url, "--workspace", "1", "--all").exit_code == 0
    [hook] = dastra.hooks.values()
    assert hook.events == list(event_types())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "--all"), (("--all", "--events", "TaskEdit"), "exclude"), (("--events", "Task Edit"), "no event type")],
    ids=["none", "both", "odd"],
)
def test_which_events_must_be_said(
    bare: AccountCommand, dastra: StandIn, arguments: tuple[str, ...], said: str
) -> None:
    """Without events, with both options, and with a name that is none, nothing begins."""
    result = bare("https://hooks.example.org/", "--workspace", "1", "--show-key", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert dastra.requests == []


def test_an_unknown_event_is_let_through(bare: AccountCommand, dastra: StandIn, run: Run) -> None:
    """A name that is not documented is warned of, with the one that was perhaps meant, and goes to Dastra."""
    dastra.manner = Manner(strict=False)
    result = bare(run.url, "--workspace", "1", "--events", "TaskCreated")
    assert result.exit_code == 0
    assert "TaskCreated is none of the event types" in result.stderr
    assert "Did you mean TaskCreation" in result.stderr
    [hook] = dastra.hooks.values()
    assert hook.events == ["TaskCreated"]


def test_a_refused_event_is_told(bare: AccountCommand, run: Run) -> None:
    """Where Dastra does not take an event type, its refusal is shown and the exit code says so."""
    result = bare(run.url, "--workspace", "1", "--events", "TaskCreated")
    assert result.exit_code == 4
    assert "subscribedEvents" in result.stderr


def test_a_silent_refusal_is_found(register: AccountCommand, dastra: StandIn) -> None:
    """Where Dastra says yes and subscribes nothing, the run does not end well."""
    dastra.route("PUT", r"/v1/WebHookUrls/(\d+)", lambda _: Reply())
    result = register()
    assert result.exit_code == 4
    assert "did not take TaskCreation, TaskEdit" in result.stderr


@pytest.mark.parametrize(
    ("status", "value", "said"),
    [
        (401, {"error": "unauthorized"}, "It does not know the key"),
        (403, {"error": "forbidden"}, "--no-probe"),
        (404, None, "is the URL complete"),
        (405, None, "no POST"),
        (200, {"status": "fine"}, "not as this receiver does"),
        (204, None, "answers 204"),
    ],
)
def test_a_url_that_does_not_take_the_key(
    bare: AccountCommand, dastra: StandIn, run: Run, status: int, value: object, said: str
) -> None:
    """Where something else answers at the URL, the reason is told and no event is subscribed."""
    other = Wire(0, lambda _: Reply(value, status))
    other.start()
    result = bare(f"{other.url}/hook", "--workspace", "1", "--all", "--wait", "0" if status == 401 else "60")
    other.stop()
    assert result.exit_code == 4
    assert said in result.stderr
    assert len(other.requests) == 1, "what no waiting changes is not waited for"
    [hook] = dastra.hooks.values()
    assert hook.events == []


def test_a_receiver_that_learns_the_key_late(bare: AccountCommand, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal at first is waited out: a new key takes its way."""
    monkeypatch.setattr(probe, "_PAUSES", (0.01,))
    answers = iter([Reply({}, 503), Reply({"error": "unauthorized"}, 401)])
    other = Wire(0, lambda _: next(answers, Reply({"status": "accepted"})))
    other.start()
    result = bare(other.url, "--workspace", "1", "--all")
    other.stop()
    assert result.exit_code == 0, result.stderr
    assert len(other.requests) == 3


def test_no_probe(register: AccountCommand, dastra: StandIn, run: Run) -> None:
    """--no-probe subscribes without posting anything to the receiver."""
    assert register.steps("--no-probe") == {"create": "done", "key": "done", "events": "done"}
    assert run.bodies() == []


def test_a_store_that_fails(register: AccountCommand, dastra: StandIn, services: Services, run: Run) -> None:
    """Where the secret store does not answer, no event is subscribed, and the next run goes on."""
    run.faults(keys="500")
    result = register()
    assert result.exit_code == 4
    [hook] = dastra.hooks.values()
    assert hook.events == []
    run.faults(keys="none")
    assert register.steps()["create"] == "already"
    complete(dastra, services, run.url)


def test_a_key_without_the_right(register: AccountCommand, dastra: StandIn, services: Services) -> None:
    """An API key that may not create webhooks ends the run with a code of its own, and nothing is changed."""
    dastra.rights[API_KEY] = Right(frozenset({"GET"}))
    result = register()
    assert result.exit_code == 8
    assert "may not create webhooks" in result.stderr
    assert services.secret == planted.KEY


def test_a_key_that_is_not_shown_again(
    register: AccountCommand, dastra: StandIn, services: Services, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Dastra shows a key only at the creation, one run is enough; after a kill the next one names the way out."""
    dastra.manner = Manner(shows_keys=False)
    points = Points(monkeypatch)
    points.kill_at(1)
    with pytest.raises(Killed):
        register()
    points.kill_at(0)
    result = register()
    assert result.exit_code == 1
    assert "dastra-webhooks rotate 101" in result.stderr
    dastra.hooks.clear()
    assert register.steps()["events"] == "done"


def test_two_of_one_url_are_warned_of(register: AccountCommand, dastra: StandIn, run: Run) -> None:
    """Of two webhooks for the URL the one with events is gone on with, and the other is named."""
    for events in ((), ("TaskEdit",), ()):
        dastra.add(run.url, events=events)
    dastra.add(run.url, workspace=2)
    result = register()
    assert result.exit_code == 0
    assert "there are 3 webhooks for this URL and workspace; 101, 103 may send" in result.stderr
    assert dastra.hooks[102].events == ["TaskEdit", "TaskCreation"]


def test_a_blocked_one_is_warned_of(register: AccountCommand, dastra: StandIn, run: Run) -> None:
    """A webhook that Dastra has blocked is said to be so, with what replaces it."""
    dastra.add(run.url, errors=5, blocked=True)
    assert "dastra-webhooks rotate 101" in register().stderr


def test_a_url_elsewhere_and_the_local_run(bare: AccountCommand, run: Run) -> None:
    """Where the local run would get the key of a URL that is not of this machine, that is warned of."""
    arguments = ("--workspace", "1", "--all", "--dry-run")
    assert "does the URL lead there?" in bare("https://hooks.example.org/", *arguments).stderr
    assert "lead there" not in bare(run.url, *arguments).stderr


def test_show_key(register: AccountCommand, dastra: StandIn, services: Services) -> None:
    """--show-key prints the key and stores nothing; no event is subscribed before the receiver takes it."""
    result = register.unchecked("--show-key")
    [hook] = dastra.hooks.values()
    assert result.exit_code == 1
    assert result.stdout.count(hook.key) == 1
    assert hook.key not in result.stderr
    assert (hook.events, services.secret) == ([], planted.KEY)
    services.secret = f"{hook.key},{planted.KEY}"
    again = register.unchecked("--show-key")
    assert again.exit_code == 0, again.stderr
    assert hook.key not in again.output
    assert hook.events == list(WANTED)


def test_show_key_as_json(register: AccountCommand, dastra: StandIn) -> None:
    """With --json the key is in the JSON, and nothing else is on stdout."""
    result = register.unchecked("--show-key", "--json")
    [hook] = dastra.hooks.values()
    assert json.loads(result.stdout)["signature_key"] == hook.key


def test_a_held_probe_is_put_away() -> None:
    """A probe that the receiver held, its address being off the list, is removed from quarantine; others stay."""
    event, store = sample(), FakeStore()
    mine = record_key(QUARANTINE_PREFIX, event_id(event.body), 1.0)
    other = record_key(QUARANTINE_PREFIX, event_id(b"other"), 2.0)
    for key in (mine, other):
        store.objects[key] = StoredObject(key, b"{}", {})
        store.modified[key] = datetime(2026, 3, 2, tzinfo=UTC)

    target = Target("invented", load_cloud(next(iter(CLOUDS))), Names())
    target.__dict__["store"] = store  # in the place of the one that is made when it is first used
    put_away(Probed("accepted", event), target, Output())
    assert list(store.objects) == [mine, other]
    put_away(Probed("quarantined", event), target, Output())
    assert list(store.objects) == [other]


def test_the_api_key_from_a_file(register: AccountCommand, dastra: StandIn, tmp_path: Path) -> None:
    """The key may come from a file; without any it is not asked for where nobody is."""
    path = tmp_path / "api-key.txt"
    path.write_text(f"{API_KEY}\n")
    path.chmod(0o600)
    assert register("--api-key-file", str(path), DASTRA_API_KEY="").exit_code == 0
    missing = register(DASTRA_API_KEY="")
    assert missing.exit_code == 2
    assert "DASTRA_API_KEY" in missing.stderr
    odd = register(DASTRA_API_KEY="two words")
    assert odd.exit_code == 2
    assert "two words" not in odd.output


def test_the_run_does_not_mind_the_api_key(run: Run) -> None:
    """The API key in the environment is no setting of the receiver's, so the local run starts with it."""
    script = "import os; from cli.commands.run import _settings; print(sorted(_settings(os.environ)))"
    told = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment(DASTRA_API_KEY=API_KEY, DASTRA_API_URL="http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"DASTRA_API", told.stdout) is None
