"""A copy of this project that a test may cut, and programs run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent


def files() -> list[str]:
    """What git knows here or would take, and is there."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: the rules are about the files that git knows")
    run = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return sorted(path for path in set(run.stdout.rstrip("\0").split("\0")) if (ROOT / path).is_file())


def environment(**more: str) -> dict[str, str]:
    """The environment for a program in a copy: our uv on its path, nothing of ours that names a deployment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DASTRA_", "COV_", "GIT_"))}
    # coverage's own subprocess hook would measure the copy as if it were the project.
    kept.pop("COVERAGE_PROCESS_START", None)
    kept.pop("COVERAGE_PROCESS_CONFIG", None)
    path = os.pathsep.join([str(ROOT / ".tools/bin"), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1", **more}


def copy(target: Path) -> Path:
    """Copy what git knows, as a repository with one commit."""
    for path in files():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target / path)
    git(target, "init", "--quiet")
    git(target, "add", "--all")
    git(target, "-c", "user.name=Invented", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "All")
    return target


def git(folder: Path, *arguments: str) -> str:
    """Run git; what it printed."""
    command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True).stdout


def run(
    folder: Path, *command: str, said: str = "", env: Mapping[str, str] | None = None, seconds: float = 100
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, to its end."""
    return subprocess.run(
        command,
        cwd=folder,
        input=said,
        env=env or environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def keep(folder: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run a copy's `scripts/keep.py`."""
    return run(folder, sys.executable, "scripts/keep.py", *arguments, said=said)
