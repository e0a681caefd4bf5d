"""The state file leads to a run that is up and is the user's own, and to nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cli.local.state import FILE, FOLDER, RunState, find_run, started_at


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory in which a run could have been started."""
    (tmp_path / FOLDER).mkdir()
    return tmp_path


@pytest.fixture
def state() -> RunState:
    """The state of a run whose process is this one."""
    env = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:4000"}
    return RunState(os.getpid(), started_at(os.getpid()), "http://127.0.0.1:8080/", "aws", "q", "s", "k", "log", env)


def test_a_run_is_found(folder: Path, state: RunState) -> None:
    """What was written is read back, in that directory and below it; only the owner can read the file."""
    path = state.write(folder / FOLDER)
    assert path.stat().st_mode & 0o777 == 0o600
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    assert find_run(folder) == find_run(below) == state


def test_a_removed_run_is_gone(folder: Path, state: RunState) -> None:
    """A run removes its own file, and not the one of a later run."""
    state.write(folder / FOLDER)
    replace(state, pid=1).remove(folder / FOLDER)
    assert find_run(folder) == state
    state.remove(folder / FOLDER)
    assert find_run(folder) is None


def test_a_dead_process_is_no_run(folder: Path, state: RunState) -> None:
    """A process that ended, somebody else's, and another one with the same number do not count."""
    for other in (replace(state, pid=2**22 + 1), replace(state, started=1)):
        other.write(folder / FOLDER)
        assert find_run(folder) is None


def test_a_file_that_others_can_write_is_not_read(folder: Path, state: RunState) -> None:
    """Whoever can write the file could have keys sent to a place of theirs."""
    state.write(folder / FOLDER).chmod(0o622)
    assert find_run(folder) is None


@pytest.mark.parametrize(
    "change", [{"url": "http://192.0.2.1/"}, {"env": {"AWS_ENDPOINT_URL_SQS": "https://evil.example"}}]
)
def test_only_loopback_counts(folder: Path, state: RunState, change: dict[str, object]) -> None:
    """No address in the file may lead off this machine."""
    state.write(folder / FOLDER)
    path = folder / FOLDER / FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert find_run(folder) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": 1, "more": 2}', "\x00"])
def test_a_broken_file_is_no_run(folder: Path, content: str) -> None:
    """What is not a state file is passed over."""
    path = folder / FOLDER / FILE
    path.write_text(content)
    path.chmod(0o600)
    assert find_run(folder) is None
