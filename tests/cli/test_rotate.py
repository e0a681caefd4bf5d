"""`dastra-webhooks rotate`, against a local run and the stand-in of Dastra."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from itertools import count

import pytest

from cli.dastra.replacing import Replacing
from cli.dastra.rotation import Rotation
from core.signature import SignatureKey
from tests import planted
from tests.cli.conftest import Invoke, Services
from tests.cli.helpers import PROGRAM, Run, clean_environment
from tests.dastra.commands import AccountCommand
from tests.dastra.killing import Killed, Points
from tests.dastra.standin import Hook, Manner, StandIn
from tests.dastra.troubles import Kind

pytestmark = pytest.mark.emulator

EVENTS = ("TaskCreation", "TaskEdit")
CHANGES = "POST|PUT|DELETE"
SETTLE = "0.3"
STEPS = ("create", "key", "probe", "events", "delete", "remove")


@pytest.fixture
def dastra() -> Iterator[StandIn]:
    """An account."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def rotate(invoke: Invoke, dastra: StandIn, run: Run) -> AccountCommand:
    """The command, for the local run and the account; the waits are as short as a test can be."""
    return AccountCommand(invoke, dastra, "rotate", "--yes", "--settle", SETTLE)


@pytest.fixture
def old(dastra: StandIn, services: Services, run: Run) -> Hook:
    """A webhook that sends, its key in the store before another one."""
    hook = dastra.add(run.url, events=EVENTS)
    services.secret = f"{hook.key},{planted.KEY}"
    return hook


def replaced(dastra: StandIn, services: Services, old: Hook) -> Hook:
    """The new webhook, which must be the only one, have the events, and its key in the place of the old one's."""
    [new] = dastra.hooks.values()
    assert new.id != old.id
    assert (new.url, new.workspace, sorted(new.events)) == (old.url, old.workspace, sorted(old.events))
    assert services.secret == f"{new.key},{planted.KEY}"
    return new


def test_it_rotates(rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook) -> None:
    """A new webhook takes the place of the old one, in Dastra and in the store, and nothing else is left behind."""
    assert rotate.steps() == dict.fromkeys(STEPS, "done")
    new = replaced(dastra, services, old)
    assert dastra.calls(CHANGES) == [
        "POST /v1/WebHookUrls",
        f"PUT /v1/WebHookUrls/{new.id}",
        f"DELETE /v1/WebHookUrls/{old.id}",
    ]
    assert services.keys_below("rotations/") == []


def test_both_send_for_a_while(rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook) -> None:
    """Both send for the time given before the old webhook is deleted; its key stays for as long again."""
    held = dastra.trouble(Kind.SLOW, "DELETE", seconds=0.0)
    rotate.steps("--settle", "0.5")
    assert held.reached.is_set()
    [put] = [request for request in dastra.requests if request.method == "PUT"]
    [delete] = [request for request in dastra.requests if request.method == "DELETE"]
    assert delete.at - put.at >= 0.5
    last = dastra.requests[-1]  # whether another webhook has the key is asked just before it goes
    assert last.at - delete.at >= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("point", range(1, 10))
def test_it_goes_on_after_a_kill(
    rotate: AccountCommand,
    dastra: StandIn,
    services: Services,
    old: Hook,
    monkeypatch: pytest.MonkeyPatch,
    point: int,
) -> None:
    """Ended at any point, every event still has a webhook whose key is in the store; the next run ends the rotation."""
    points = Points(monkeypatch)
    points.kill_at(point)
    with pytest.raises(Killed):
        rotate(str(old.id), "--settle", "0.01")
    sending = [hook for hook in dastra.hooks.values() if hook.events]
    assert {name for hook in sending for name in hook.events} == set(EVENTS)
    assert all(hook.key in services.secret for hook in sending)
    points.kill_at(0)
    rotate.steps(str(old.id), "--settle", "0.01")
    replaced(dastra, services, old)
    assert len(dastra.calls("POST")) == 1
    assert services.keys_below("rotations/") == []


def test_the_kills_reach_everything(
    rotate: AccountCommand, old: Hook, monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    """A rotation passes as many points as the test above ends it at, so that none is left out."""
    points = Points(monkeypatch)
    rotate.steps("--settle", "0.01")
    assert points.passed == 9


def test_it_goes_on_after_kill_upon_kill(
    rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended again and again, each time a little later, it comes to its end all the same, with one new webhook."""
    points = Points(monkeypatch)
    for point in count(1):
        points.kill_at(point)
        try:
            assert rotate(str(old.id), "--settle", "0.01").exit_code == 0
        except Killed:
            continue
        break
    replaced(dastra, services, old)
    assert len(dastra.calls("POST")) == 1


def test_it_goes_on_after_a_real_kill(
    rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook, run: Run
) -> None:
    """Killed for good while the old webhook is being deleted, it is run again, knows what it was at, and ends."""
    held = dastra.trouble(Kind.HOLD, "DELETE")
    command = [str(PROGRAM), "rotate", "--yes", "--settle", "0.1"]
    process = subprocess.Popen(
        command, cwd=run.folder, env=clean_environment(**dastra.environment), stdout=subprocess.DEVNULL
    )
    try:
        assert held.reached.wait(30)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    held.release()
    rotate.steps()
    replaced(dastra, services, old)


def test_keep_old(rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook) -> None:
    """--keep-old leaves the old key; the same command without it removes it later."""
    assert rotate.steps("--keep-old")["delete"] == "done"
    [new] = dastra.hooks.values()
    assert services.secret == f"{new.key},{old.key},{planted.KEY}"
    assert rotate.steps(str(old.id)) == {"create": "already", "delete": "already", "remove": "done"}
    replaced(dastra, services, old)


def test_a_dry_run_changes_nothing(
    rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--dry-run names the steps, at the start and in the middle, and changes nothing."""
    assert rotate.steps("--dry-run") == dict.fromkeys(STEPS, "would")
    assert dastra.calls(CHANGES) == []
    points = Points(monkeypatch)
    points.kill_at(6)
    with pytest.raises(Killed):
        rotate("--settle", "0.01")
    points.kill_at(0)
    before = (dastra.calls(CHANGES), services.secret, services.keys_below("rotations/"))
    assert rotate.steps(str(old.id), "--dry-run") == {
        **dict.fromkeys(("create", "key", "events"), "already"),
        **dict.fromkeys(("probe", "delete", "remove"), "would"),
    }
    assert (dastra.calls(CHANGES), services.secret, services.keys_below("rotations/")) == before


def test_it_asks_first(invoke: Invoke, dastra: StandIn, old: Hook, run: Run) -> None:
    """Without --yes and with nobody there nothing is done; a wait shorter than Dastra's own is named as a danger."""
    result = invoke("rotate", "--settle", "10", **dastra.environment)
    assert result.exit_code == 6
    assert f"Replace webhook {old.id}" in result.stderr
    assert "10 s is less than the 130 s" in result.stderr
    assert "less than" not in invoke("rotate", **dastra.environment).stderr
    assert dastra.calls(CHANGES) == []


def test_which_one_must_be_said(rotate: AccountCommand, dastra: StandIn, run: Run) -> None:
    """Without a webhook there is nothing to rotate; of two one must be named; one that is not there is told."""
    assert rotate().exit_code == 5
    for path in ("a?code=secret", "b"):
        dastra.add(run.url + path)
    result = rotate()
    assert result.exit_code == 2
    assert "101" in result.stderr
    assert "102" in result.stderr
    assert "secret" not in result.stderr
    assert rotate("103").exit_code == 5


def test_a_blocked_one_is_not_waited_for(
    rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook that Dastra has blocked sends nothing that could be late, so only its key is waited for."""
    old.blocked, old.errors = True, 5
    paused: list[str] = []
    monkeypatch.setattr(Replacing, "_pause", lambda _self, why, _seconds: paused.append(why))
    rotate.steps("--settle", "99")
    assert paused == ["The old key stays for what is on its way"]
    replaced(dastra, services, old)


def test_events_added_meanwhile_come_along(
    rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody subscribes the old webhook to during the wait, the new one has before the old one goes."""
    paused: list[str] = []

    def pause(_self: Replacing, why: str, _seconds: float) -> None:
        if not paused:
            old.events.append("UserLogin")
        paused.append(why)

    monkeypatch.setattr(Replacing, "_pause", pause)
    rotate.steps()
    assert "UserLogin" in replaced(dastra, services, old).events
    assert len(paused) == 3, "both must send anew for as long"


def test_a_receiver_that_does_not_take_the_key(rotate: AccountCommand, dastra: StandIn, services: Services) -> None:
    """Where the URL is not this deployment's, the old webhook stays and goes on sending."""
    old = dastra.add(f"{dastra.url}/elsewhere", events=EVENTS)
    result = rotate("--wait", "0")
    assert result.exit_code == 4
    assert old.id in dastra.hooks
    assert [hook.events for hook in dastra.hooks.values() if hook is not old] == [[]]


def test_a_key_that_is_not_shown(rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook) -> None:
    """Where Dastra does not show the old key, all keys stay, and that is said."""
    dastra.manner = Manner(shows_keys=False)
    result = rotate()
    assert result.exit_code == 0
    assert "all keys stay" in result.stderr
    [new] = dastra.hooks.values()
    assert services.secret == f"{new.key},{old.key},{planted.KEY}"


def test_a_key_of_another_webhook_stays(rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook) -> None:
    """A key that another webhook has too is not removed."""
    dastra.add("https://hooks.example.org/", key=old.key)
    result = rotate(str(old.id))
    assert result.exit_code == 0
    assert "another webhook's" in result.stderr
    assert old.key in services.secret


def test_a_second_webhook_is_left_alone(
    rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook, run: Run
) -> None:
    """Another webhook that sends to the same URL is not taken for the new one: it keeps its events and its key."""
    other = dastra.add(run.url, events=("UserLogin",))
    services.secret = f"{old.key},{other.key}"
    assert rotate.steps(str(old.id))["create"] == "done"
    assert (sorted(dastra.hooks), other.events) == ([other.id, other.id + 1], ["UserLogin"])
    assert services.secret == f"{dastra.hooks[other.id + 1].key},{other.key}"


def test_of_all_workspaces(rotate: AccountCommand, dastra: StandIn, services: Services, run: Run) -> None:
    """A webhook of all workspaces is replaced by one of all workspaces."""
    old = dastra.add(run.url, workspace=None, events=EVENTS)
    services.secret = f"{old.key},{planted.KEY}"
    rotate.steps()
    assert replaced(dastra, services, old).workspace is None


def test_a_new_one_that_is_gone(rotate: AccountCommand, dastra: StandIn, old: Hook) -> None:
    """Where somebody deleted the new webhook after the old one was gone, that is told, and what makes another."""
    rotate.steps("--keep-old")
    dastra.hooks.clear()
    result = rotate(str(old.id))
    assert result.exit_code == 5
    assert "dastra-webhooks register" in result.stderr


def test_what_is_noted_holds_no_key(rotate: AccountCommand, services: Services, old: Hook) -> None:
    """The note in the store names webhooks, times and the old key's fingerprint."""
    rotate.steps("--keep-old")
    [name] = services.keys_below("rotations/")
    assert name == f"rotations/{old.id}.json"
    body = services.get(name)
    assert planted.found_in(body.decode()) == []
    noted = Rotation.read(body)
    assert (noted.old, noted.old_key) == (old.id, SignatureKey(old.key).fingerprint)
    assert noted.both_since is not None
    assert noted.deleted_at is not None
    assert noted.both_since < noted.deleted_at


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"old":1}', b"\xff"])
def test_a_note_that_is_none(
    rotate: AccountCommand, dastra: StandIn, services: Services, old: Hook, body: bytes
) -> None:
    """A note that cannot be read counts as none."""
    services.put(f"rotations/{old.id}.json", body)
    rotate.steps()
    replaced(dastra, services, old)
