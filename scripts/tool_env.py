"""Environments of tools that the project uses and does not import: each below build/tools, from a lock with hashes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.python313 import RUNTIME  # noqa: E402 - after the path is set

PLACE: Final = ROOT / "build" / "tools"


@dataclass(frozen=True, slots=True)
class Environment:
    """One of them, with its lock in the folder ``locks``, below the project.

    ``lambda_python`` says that it runs what Lambda runs, and so needs the same Python. ``newest`` is the last day, as
    YYYY-MM-DD, whose releases its lock may hold; None for no limit.
    """

    name: str
    locks: str
    lambda_python: bool = False
    newest: str | None = None

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        return PLACE / self.name

    @property
    def lock(self) -> Path:
        """Its packages with versions and hashes."""
        return ROOT / self.locks / f"{self.name}.txt"

    @property
    def stamp(self) -> Path:
        """Holds the digest of the lock that it was filled from."""
        return self.folder / ".filled-from"

    def program(self, name: str) -> Path | None:
        """A program of it, or None while it is not made from the present lock."""
        path = self.folder / "bin" / name
        return path if self.is_ready() and path.exists() else None

    def is_ready(self) -> bool:
        """Whether it is made from the present lock, and its interpreter still exists."""
        return (
            self.stamp.is_file()
            and self.stamp.read_text("utf-8") == _digest(self.lock)
            and (self.folder / "bin/python").exists()
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts/uv.py"), *arguments], check=True)


def make(environment: Environment, python: Path) -> None:
    """Make one, from scratch."""
    shutil.rmtree(environment.folder, ignore_errors=True)
    environment.folder.parent.mkdir(parents=True, exist_ok=True)
    _uv("venv", "--quiet", "--python", str(python), str(environment.folder))
    _uv(
        *("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"),
        *("--python", str(environment.folder / "bin/python"), str(environment.lock)),
    )
    environment.stamp.write_text(_digest(environment.lock), "utf-8")


def lock(environment: Environment) -> None:
    """Write its lock anew."""
    _uv(
        *("pip", "compile", "--quiet", "--upgrade", "--generate-hashes", "--no-header", "--no-annotate"),
        *("--python-version", RUNTIME if environment.lambda_python else "3.11"),
        # A release held back has no answer for a Python that was not out yet.
        *(("--exclude-newer", environment.newest) if environment.newest else ("--universal",)),
        *(str(environment.lock.with_suffix(".in")), "--output-file", str(environment.lock)),
    )
