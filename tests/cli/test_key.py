"""`key` puts keys into the secret store, newest first, and never shows one."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.exits import Exit
from core.signature import SignatureKey
from tests import planted
from tests.cli.conftest import Invoke, Services
from tests.cli.helpers import PROGRAM, Run, clean_environment, until

AsJson = Callable[..., Any]

OLD = SignatureKey(planted.KEY).fingerprint
NEW = SignatureKey(planted.NEWER_KEY).fingerprint


def test_the_list_shows_fingerprints(run: Run, services: Services, invoke: Invoke, as_json: AsJson) -> None:
    """Keys are listed by fingerprint, newest first."""
    services.secret = f'["{planted.NEWER_KEY}", "{planted.KEY}"]'
    assert as_json("key", "list") == [{"fingerprint": NEW}, {"fingerprint": OLD}]
    assert [line.split()[0] for line in invoke("key", "list").stdout.splitlines()] == ["FINGERPRINT", NEW, OLD]


def test_add_keeps_the_old_behind_the_new(run: Run, services: Services, as_json: AsJson) -> None:
    """A rotation: the new key comes first, the old one still works, and events signed with either are accepted."""
    said = as_json("key", "set", "--add", DASTRA_SIGNATURE_KEYS=planted.NEWER_KEY)
    assert said == [{"fingerprint": NEW, "state": "added"}, {"fingerprint": OLD, "state": "kept"}]
    assert services.secret == f"{planted.NEWER_KEY},{planted.KEY}"
    for key in (planted.NEWER_KEY, planted.KEY):
        body = planted.body()
        assert run.post(body, planted.signature(body, key)).status_code == 200


def test_the_console_signs_with_the_key_that_is_there(run: Run, as_json: AsJson) -> None:
    """Its samples follow a change of keys; while the secret store is broken it goes on with the last key it saw."""

    def sent() -> str:
        before = len(run.get("console/requests")["requests"])
        answer = httpx.post(
            f"{run.url}_local/console/send",
            json={"event": "TaskCreation"},
            headers={"X-Dastra-Console": "1"},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 202
        assert until(lambda: len(run.get("console/requests")["requests"]) > before)
        assert until(lambda: run.get("console/requests")["requests"][0]["verdict"] is not None)
        return str(run.get("console/requests")["requests"][0]["verdict"])

    assert sent() == "accepted"
    as_json("key", "set", "--yes", DASTRA_SIGNATURE_KEYS=planted.NEWER_KEY)
    assert sent() == "accepted"
    run.faults(keys="500")
    assert sent() == "accepted"
    newest = run.get("console/requests")["requests"][0]["n"]
    assert NEW in [line.get("key") for line in run.get(f"console/requests/{newest}")["lines"]]


def test_adding_a_known_key_brings_it_to_the_front(run: Run, services: Services, as_json: AsJson) -> None:
    """A key is never there twice."""
    services.secret = f"{planted.NEWER_KEY},{planted.KEY}"
    as_json("key", "set", "--add", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert services.secret == f"{planted.KEY},{planted.NEWER_KEY}"


def test_replacing_a_key_takes_a_yes(run: Run, services: Services, invoke: Invoke, key_file: Path) -> None:
    """Setting a key that would remove another asks first, names what goes, and names --add; --yes does it."""
    key_file.write_text(planted.NEWER_KEY)
    result = invoke("key", "set", "--key-file", str(key_file))
    assert result.exit_code == Exit.NOT_CONFIRMED
    assert OLD in result.stderr
    assert "--add keeps it" in result.stderr
    assert services.secret == planted.KEY
    result = invoke("key", "set", "--key-file", str(key_file), "--yes")
    assert result.exit_code == Exit.DONE
    assert "removed" in result.stdout
    assert services.secret == planted.NEWER_KEY


def test_several_keys_at_once(run: Run, services: Services, as_json: AsJson) -> None:
    """Several webhooks have several keys, in any of the forms that a setting takes."""
    as_json("key", "set", "--yes", DASTRA_SIGNATURE_KEYS=f" {planted.NEWER_KEY} ;\n{planted.KEY}")
    assert services.secret == f"{planted.NEWER_KEY},{planted.KEY}"


def test_stdin_can_hold_the_key(run: Run, services: Services, invoke: Invoke) -> None:
    """`--key-file -` reads stdin, for a password manager's pipe."""
    assert invoke("key", "set", "--key-file", "-", "--add", stdin=planted.NEWER_KEY + "\n").exit_code == Exit.DONE
    assert services.secret.startswith(planted.NEWER_KEY)


@pytest.mark.parametrize(
    ("text", "said"),
    [("qxzjw-an-invented-key", "has 21 characters and is no GUID"), (planted.NEWER_KEY.upper(), "has capital letters")],
)
def test_an_odd_key_is_warned_about(run: Run, services: Services, invoke: Invoke, text: str, said: str) -> None:
    """Dastra's keys are GUIDs in lower case: another form works, with a word, since it is most likely a slip."""
    result = invoke("key", "set", "--add", DASTRA_SIGNATURE_KEYS=planted.key(text))
    assert result.exit_code == Exit.DONE
    assert said in result.stderr
    assert f" {text}" not in result.output


def test_a_secret_that_holds_no_key(run: Run, services: Services, invoke: Invoke, as_json: AsJson) -> None:
    """A value that is no key counts as none, with a warning, and is replaced without a question."""
    services.secret = "[]"
    assert "There is no key yet." in invoke("key", "list").stdout
    result = invoke("key", "set", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.DONE
    assert "the secret's present value is no key" in result.stderr


def test_a_secret_store_that_fails(run: Run, services: Services, invoke: Invoke) -> None:
    """A store that does not answer has an exit code of its own; the key was not stored."""
    run.faults(keys="500")
    for arguments in (["list"], ["set", "--add"]):
        result = invoke("key", *arguments, DASTRA_SIGNATURE_KEYS=planted.NEWER_KEY)
        assert result.exit_code == Exit.UNREACHABLE
        assert "the keys cannot be read" in result.stderr


def test_no_key_given(run: Run, services: Services, invoke: Invoke) -> None:
    """Without a key and without a terminal it says where a key can come from."""
    result = invoke("key", "set")
    assert result.exit_code == Exit.USAGE
    assert "nobody is there to ask" in result.stderr


def test_a_key_is_no_argument(run: Run, services: Services, invoke: Invoke) -> None:
    """A key on the command line would stay in the shell's history: there is no such argument."""
    assert invoke("key", "set", "11111111-2222-4333-8444-555555555555").exit_code == Exit.USAGE


def test_the_prompt_shows_nothing(run: Run, services: Services) -> None:
    """At a terminal the key is asked for without echo, a replacement is confirmed, and no key is on the screen."""
    screen = at_terminal(run, ["key", "set"], [("Validation key", planted.NEWER_KEY), ("[y/N]", "y")])
    assert NEW in screen
    assert "removed" in screen
    assert planted.NEWER_KEY not in screen
    assert services.secret == planted.NEWER_KEY


def test_a_no_changes_nothing(run: Run, services: Services) -> None:
    """Anything but yes at the question leaves the keys as they are."""
    screen = at_terminal(
        run, ["key", "set"], [("Validation key", planted.NEWER_KEY), ("[y/N]", "")], Exit.NOT_CONFIRMED
    )
    assert "nothing was done" in screen
    assert services.secret == planted.KEY


def at_terminal(run: Run, arguments: list[str], answers: list[tuple[str, str]], code: int = Exit.DONE) -> str:
    """Run a command at a terminal, answer its questions as they come, and return the whole screen."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        cwd=run.folder,
        env=clean_environment(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    screen = ""
    waiting = list(answers)
    try:
        while True:
            try:
                screen += os.read(master, 4096).decode()
            except OSError:  # the terminal closes with the last process
                break
            if waiting and waiting[0][0] in screen:
                os.write(master, (waiting.pop(0)[1] + "\n").encode())
    finally:
        os.close(master)
        assert process.wait(20) == code
    return screen
