"""The environments of the fuzzer and of the mutation tool: made below build/tools, from locks of their own.

Neither is a part of the project's environment, since no test needs them.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.exits import CliError, Exit
from scripts import tool_env
from scripts.tool_env import ROOT


@dataclass(frozen=True, slots=True)
class Environment(tool_env.Environment):
    """An environment of ours. ``with_project``: on top of all that the project itself has."""

    with_project: bool = False

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin/python"


FUZZ: Final = Environment("fuzz", "reliability/tools", with_project=True)
MUTANTS: Final = Environment("mutants", "reliability/tools")


def make(environment: Environment) -> None:
    """Make it where it is not there yet.

    Raises:
        CliError: a package does not install.
    """
    if environment.is_ready():
        return
    try:
        if environment.with_project:
            _on_top_of_the_project(environment)
        else:
            tool_env.make(environment, Path(sys.executable))
    except subprocess.CalledProcessError as error:
        raise CliError(
            f"the environment {environment.name} could not be made: uv ended with status {error.returncode} (above).",
            "It comes from PyPI: is the network there? atheris has wheels for CPython 3.11 to 3.13 on Linux only.",
            Exit.FAILED,
        ) from error


def _on_top_of_the_project(environment: Environment) -> None:
    shutil.rmtree(environment.folder, ignore_errors=True)
    environment.folder.parent.mkdir(parents=True, exist_ok=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(environment.folder))
    project = environment.folder / "project.txt"
    _uv("export", "--quiet", "--locked", "--no-emit-project", "--output-file", str(project))
    words = ("pip", "sync", "--quiet", "--require-hashes", "--python", str(environment.python))
    _uv(*words, str(project), str(environment.lock))
    environment.stamp.write_text(hashlib.sha256(environment.lock.read_bytes()).hexdigest(), "utf-8")


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts/uv.py"), *arguments], check=True)  # noqa: S603 - our own words
