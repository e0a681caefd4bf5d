"""The Makefile that `sam build` runs, with a script in place of the real one that writes down how it was started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.deploy.aws import ROOT

SCRIPT: Final = """
import json, os, pathlib, sys
found = {"arguments": sys.argv[1:], "libraries": os.environ.get("LD_LIBRARY_PATH")}
(pathlib.Path(sys.argv[-1]) / "found.json").write_text(json.dumps(found))
"""


def run(clone: Path, **environment: str) -> dict[str, Any]:
    """What the script saw when make was started from another folder, as SAM starts it."""
    if shutil.which("make") is None:
        pytest.skip("needs make (Debian: apt-get install make)")
    for folder in ("infra/aws", "scripts", "artifacts"):
        (clone / folder).mkdir(parents=True)
    makefile = Path(shutil.copy(ROOT / "infra/aws/Makefile", clone / "infra/aws"))
    (clone / "scripts/build_aws.py").write_text(SCRIPT, "utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LD_LIBRARY_PATH", "MAKE"))}
    subprocess.run(
        ["make", "--makefile", str(makefile), "build-Receiver"],
        cwd=clone.parent,
        env={**kept, **environment, "ARTIFACTS_DIR": str(clone / "artifacts")},
        check=True,
    )
    found: dict[str, Any] = json.loads((clone / "artifacts/found.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", ["clone", "a clone", "it's a  clone", "$HOME"])
def test_a_clone_may_lie_anywhere(tmp_path: Path, name: str) -> None:
    """Spaces, quotes and dollars in the path change nothing: the clone's own script gets the folder to fill."""
    assert run(tmp_path / name)["arguments"] == ["--stage", str(tmp_path / name / "artifacts")]


def bundle(folder: Path) -> Path:
    """A folder of libraries as PyInstaller makes it."""
    folder.mkdir(parents=True)
    (folder / "base_library.zip").touch()
    return folder


def test_the_libraries_of_sams_own_bundle_are_not_handed_on(tmp_path: Path) -> None:
    """The native SAM CLI puts its folder in front; the build gets what was set before, or nothing where nothing was."""
    dist = bundle(tmp_path / "aws sam cli/dist")
    assert run(tmp_path / "one", LD_LIBRARY_PATH=str(dist))["libraries"] is None
    assert run(tmp_path / "two", LD_LIBRARY_PATH=str(dist), LD_LIBRARY_PATH_ORIG="")["libraries"] is None
    leaked = {"LD_LIBRARY_PATH": f"{dist}:/opt/mine", "LD_LIBRARY_PATH_ORIG": "/opt/mine"}
    assert run(tmp_path / "three", **leaked)["libraries"] == "/opt/mine"


def test_a_users_own_libraries_stay(tmp_path: Path) -> None:
    """What no bundle put there is the user's, and their Python may need it."""
    own = tmp_path / "lib"
    own.mkdir()
    for number, value in enumerate((str(own), f"{own}:{bundle(tmp_path / 'dist')}")):
        assert run(tmp_path / str(number), LD_LIBRARY_PATH=value, LD_LIBRARY_PATH_ORIG="/other")["libraries"] == value
