"""Finds the Python that the clouds run: 3.13, which a machine may have beside the one that runs the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
RUNTIME: Final = "3.13"


def find_python() -> Path | None:
    """A Python 3.13, found by running the candidates: a pyenv shim stands on PATH even where it leads nowhere."""
    for candidate in _candidates():
        try:
            run = subprocess.run(
                [candidate, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"],
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        version, _, executable = run.stdout.strip().partition(" ")
        if run.returncode == 0 and version == RUNTIME:
            return Path(executable)
    return None


def _candidates() -> Iterator[str]:
    yield sys.executable
    if named := os.environ.get("PYTHON313"):
        yield named
    yield f"python{RUNTIME}"
    for pyenv in _pyenvs():
        yield from sorted((str(path) for path in pyenv.glob(f"versions/{RUNTIME}*/bin/python")), reverse=True)
    command = [sys.executable, str(ROOT / "scripts/uv.py"), "python", "find", "--system", RUNTIME]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0 and found.stdout:
        yield found.stdout.splitlines()[0]


def _pyenvs() -> Iterator[Path]:
    """Where pyenv keeps its versions: where it is told to, and beside the shim that stands on PATH."""
    yield Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    shim = shutil.which(f"python{RUNTIME}")
    if shim and Path(shim).parent.name == "shims":
        yield Path(shim).parent.parent
