"""The `make` commands of the documentation, run in a copy that shares this project's environment."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.test_commands import REGISTRY, SHOWN
from tests.forking.project import ROOT, copy, environment, run

NAMED = [entry for entry in REGISTRY["ran"] if "make" in entry]


def shown(kind: str) -> list[str]:
    """The commands of the pages whose entry is of this kind; what is run in place of a long one."""
    found: list[str] = []
    for entry in NAMED:
        fitting = [command.text for command in SHOWN if re.fullmatch(entry["text"], command.text)]
        if entry["make"] == kind and fitting:
            found += [entry["instead"]] if "instead" in entry else fitting
    return list(dict.fromkeys(found))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy. Its environment is ours by reference and stamped as ready, so that no target changes it."""
    if shutil.which("make") is None:
        pytest.skip("needs make (Debian: apt-get install make)")
    folder = copy(tmp_path / "clone")
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(ROOT / ".venv" / name)
    (folder / ".venv/.ready").touch()
    return folder


def make(folder: Path, command: str, seconds: float) -> None:
    """Run one, as a shell would."""
    done = run(folder, "bash", "-c", command, env=environment(), seconds=seconds)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="needs the environment that `make setup` makes")
def test_a_quick_target(checkout: Path) -> None:
    """Each ends well; `make clean` comes last, since it removes what the others need."""
    for command in sorted(["make", *shown("quick")], key=lambda command: command == "make clean"):
        make(checkout, command, 100)


@pytest.mark.slow
@pytest.mark.parametrize("command", shown("slow"))
def test_a_slow_target(checkout: Path, command: str) -> None:
    """Each ends well."""
    make(checkout, command, 110)


@pytest.mark.slow
def test_the_benchmarks_start(checkout: Path) -> None:
    """What `make bench` runs once its chart's package is installed, for the shortest of its groups.

    It may end with 1, which is a missed goal: what a crowded machine measures says nothing about the code.
    """
    make(checkout, ".venv/bin/python -m benchmarks --only screening || (($? == 1))", 110)
    rows = json.loads((checkout / "build/bench.json").read_text("utf-8"))
    assert [row["goal"] for row in rows] == [2.0, 3.0]
