"""`doctor` asks before it alarms, looks from outside and inside, says what to do, and ends with the right code."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.exits import Exit
from cli.target import START
from core.http import ACCEPTED, QUARANTINED, Response
from tests import planted
from tests.cli.conftest import Invoke, Services
from tests.cli.helpers import PROGRAM, Run, clean_environment, program
from tests.doctor.servers import Came, good, raw, refused, serving

AsJson = Callable[..., Any]


def test_the_local_run_is_well(run: Run, as_json: AsJson) -> None:
    """Without arguments it examines the local run, with the run's own key: nothing fails, inside and outside."""
    said = as_json("doctor", "--gentle")
    assert said["good"] is True
    assert said["counts"]["fail"] == said["counts"]["warn"] == 0
    found = {check["id"]: check for check in said["checks"]}
    assert found["accepted"]["status"] == found["key"]["status"] == found["store"]["status"] == "pass"
    bodies = run.bodies()
    assert [hashlib.sha256(body.encode()).hexdigest() for body in bodies] == said["probes"]
    assert all(json.loads(body)["sample"] for body in bodies)


@pytest.mark.slow
def test_the_local_run_withstands_every_attack(run: Run, as_json: AsJson) -> None:
    """With every attack, wrong signatures too, nothing fails, and nothing but the genuine events reached the queue."""
    said = as_json("doctor")
    assert said["counts"]["fail"] == said["counts"]["warn"] == 0
    assert len(run.bodies()) == len(said["probes"])


def test_another_key_is_found_outside_and_inside(run: Run, as_json: AsJson) -> None:
    """A key that the deployment does not have fails the event and the row of the key, by fingerprints only."""
    said = as_json("doctor", "--gentle", "--within", "5", code=Exit.FAILED, DASTRA_SIGNATURE_KEYS=planted.OTHER_KEY)
    failed = {check["id"] for check in said["checks"] if check["status"] == "fail"}
    assert failed == {"accepted", "key"}
    assert run.bodies() == []


def test_a_failure_says_what_to_do(invoke: Invoke, key_file: Path) -> None:
    """A failing row shows what was seen and what to do, the last line counts, and the exit code is 1."""

    def answer(came: Came) -> Response:
        return good(came) if refused(came) else Response(204, b"")

    with serving(answer) as url:
        result = invoke("doctor", url, "--key-file", str(key_file), "--gentle")
    assert result.exit_code == Exit.FAILED
    assert "✗  A signed event gets exactly 200" in result.stdout
    assert "the answer is 204" in result.stdout
    assert "→ Dastra counts everything but 200 as an error" in result.stdout
    assert "1 failed" in result.stdout
    assert "Only from outside" in result.stderr


def test_it_asks_before_it_alarms(invoke: Invoke, key_file: Path) -> None:
    """Beyond this machine it names the alarms first; with nobody to ask nothing is sent, and --yes answers."""
    count = []

    def answer(came: Came) -> Response:
        count.append(came)
        return good(came)

    with serving(answer, host="127.1") as url:
        asked = invoke("doctor", url, "--key-file", str(key_file))
        assert asked.exit_code == Exit.NOT_CONFIRMED
        for name in ("bad_signature", "too_large", "authentic_from_unlisted_address"):
            assert name in asked.stderr
        assert count == []
        gentle = invoke("doctor", url, "--key-file", str(key_file), "--gentle")
        assert gentle.exit_code == Exit.NOT_CONFIRMED
        assert "bad_signature" not in gentle.stderr
        quiet = invoke("doctor", url, "--gentle", "--no-probe", "--json")
        assert json.loads(quiet.stdout)["probes"] == []
        said = invoke("doctor", url, "--key-file", str(key_file), "--yes", "--json")
    assert {check["id"] for check in json.loads(said.stdout)["checks"] if check["status"] == "fail"} == {"https"}


def test_what_quarantine_holds_of_it_is_dropped(run: Run, services: Services, invoke: Invoke) -> None:
    """Events of its own that quarantine holds are dropped afterwards; others stay."""
    other = "quarantine/20261124T000000000Z-" + "0" * 64
    services.put(other, b"{}")

    def answer(came: Came) -> Response:
        if refused(came):
            return good(came)
        services.put(f"quarantine/20261124T000000000Z-{hashlib.sha256(came.request.body).hexdigest()}", b"{}")
        return QUARANTINED

    with serving(answer) as url:
        result = invoke("doctor", url, "--local", "--gentle")
    assert result.exit_code == Exit.DONE
    assert "6 events of this run dropped from the quarantine." in result.stderr
    assert [record["key"] for record in run.get("stored")] == [other]


def test_without_anything_to_examine(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No URL and no local run is a usage error that says how to get either; so is what is no URL."""
    monkeypatch.chdir(tmp_path)
    result = invoke("doctor")
    assert result.exit_code == Exit.USAGE
    assert START in result.stderr
    assert invoke("doctor", "example.org").exit_code == Exit.USAGE


def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    """One Ctrl-C while an endpoint hangs ends it within a moment, with its code and without a traceback."""
    reached: list[bool] = []

    def hang(connection: socket.socket) -> None:
        connection.recv(65536)
        reached.append(True)
        connection.recv(65536)
        connection.recv(65536)

    with raw(hang) as url:
        process = subprocess.Popen(
            [PROGRAM, "doctor", url, "--gentle"],
            cwd=tmp_path,
            env=clean_environment(DASTRA_SIGNATURE_KEYS=planted.KEY),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while len(reached) < 2 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=5)
    assert process.returncode == Exit.INTERRUPTED
    assert b"Traceback" not in stderr


@pytest.mark.parametrize("columns", [60, 120])
def test_at_a_terminal_it_fits(tmp_path: Path, columns: int) -> None:
    """At a terminal no line is wider than it, with progress on the way and every part of the table named."""
    master, slave = pty.openpty()
    with serving() as url:
        process = subprocess.Popen(
            [PROGRAM, "doctor", url, "--gentle"],
            cwd=tmp_path,
            env=clean_environment(DASTRA_SIGNATURE_KEYS=planted.KEY, COLUMNS=str(columns), NO_COLOR="1"),
            stdin=slave,
            stdout=slave,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(slave)
        screen = b""
        while True:
            try:
                screen += os.read(master, 65536)
            except OSError:
                break
        assert process.wait(20) == 0
        os.close(master)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.decode()).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= columns
    for part in ("Network", "Genuine events", "Attacks", "What answers give away"):
        assert part in lines


def test_what_is_skipped_for_one_reason_is_one_row(invoke: Invoke) -> None:
    """Where a name does not resolve, the table is short: what could not be looked at is one row for a person."""
    result = invoke("doctor", "https://receiver.invalid/dastra", "--gentle", "--no-probe")
    assert result.exit_code == Exit.FAILED
    assert "· 22 checks" in " ".join(result.stdout.split())
    assert len(result.stdout.splitlines()) < 12
    said = invoke("doctor", "https://receiver.invalid/dastra", "--gentle", "--no-probe", "--json")
    assert json.loads(said.stdout)["counts"]["skipped"] == 22


def test_help_has_examples(tmp_path: Path) -> None:
    """--help shows examples to copy, and what is sent."""
    shown = program("doctor", "--help", folder=tmp_path).stdout.decode()
    assert "dastra-webhooks doctor https://example.org/dastra" in " ".join(shown.split())  # long paths are wrapped
    assert "--gentle" in shown


def test_an_event_that_everybody_gets_in_with(invoke: Invoke, key_file: Path) -> None:
    """What lets attacks through is said in the words that matter, with their names."""
    with serving(lambda _: ACCEPTED) as url:
        result = invoke("doctor", url, "--key-file", str(key_file), "--gentle")
    assert result.exit_code == Exit.FAILED
    assert "let through: " in result.stdout
    assert "take it down" in result.stdout
