"""The program that finds uv, or fetches it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]


def test_standard_output_is_uvs_alone_even_when_it_is_fetched_first(tmp_path: Path) -> None:
    """The first `sam build` of a clone reads what uv prints; what pip says while it fetches uv must not stand there.

    Here pip has nowhere to fetch it from, says so, and says where it looked.
    """
    if find_spec("ensurepip") is None:
        pytest.skip("needs a Python with venv and pip (Debian: apt-get install python3-venv)")
    clone, empty = tmp_path / "clone", tmp_path / "empty"
    (clone / "scripts").mkdir(parents=True)
    empty.mkdir()
    shutil.copy(ROOT / "scripts/uv.py", clone / "scripts")
    shutil.copy(ROOT / "uv.lock", clone)
    ran = subprocess.run(
        [sys.executable, str(clone / "scripts/uv.py"), "--version"],
        env={**os.environ, "PATH": str(empty), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(empty)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "Looking in links" in ran.stderr
    assert "could not be installed" in ran.stderr
