"""Tools from npm that the project uses and does not ship: each below build/tools, from a lock with hashes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_FILES: Final = ("package.json", "package-lock.json")


class NodeError(RuntimeError):
    """npm is missing or did not do it; the text says what to do."""


@dataclass(frozen=True, slots=True)
class NodeTool:
    """One of them: ``package.json`` and its lock lie in the folder ``source``, below the project.

    ``make`` is the command that makes it, for messages.
    """

    name: str
    source: str
    make: str

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        return ROOT / "build" / "tools" / self.name

    def is_ready(self) -> bool:
        """Whether it is there, made from the present lock."""
        return self._stamp.is_file() and self._stamp.read_text("utf-8") == self._digest()

    def missing(self) -> str | None:
        """Why it cannot be used, with the remedy, or None when it can."""
        if shutil.which("node") is None:
            return f"needs Node 18 or newer (Debian: apt-get install nodejs npm), then `{self.make}`"
        return None if self.is_ready() else f"needs {self.name}: run `{self.make}`"

    def program(self, name: str) -> Path | None:
        """A program of it, or None where it cannot be used."""
        path = self.folder / "node_modules" / ".bin" / name
        return path if self.missing() is None and path.exists() else None

    def install(self) -> None:
        """Make it from scratch; scripts of packages are not run.

        Raises:
            NodeError: npm is not there, or failed.
        """
        npm = shutil.which("npm")
        if npm is None:
            raise NodeError("npm was not found; install Node 18 or newer (Debian: apt-get install nodejs npm)")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in _FILES:
            shutil.copyfile(ROOT / self.source / name, self.folder / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        if status := subprocess.run(command, cwd=self.folder, check=False).returncode:
            raise NodeError(f"npm failed with status {status} (see above)")
        self._stamp.write_text(self._digest(), "utf-8")

    @property
    def _stamp(self) -> Path:
        return self.folder / ".filled-from"

    def _digest(self) -> str:
        return hashlib.sha256(b"".join((ROOT / self.source / name).read_bytes() for name in _FILES)).hexdigest()


def install(*tools: NodeTool) -> int:
    """Make those that are not ready, and say what is done; the exit status. Without Node they are left out."""
    for tool in tools:
        if tool.is_ready():
            print(f"{tool.name}: ready")
        elif shutil.which("npm") is None:
            print(f"{tool.name}: left out, {tool.missing()}")
        else:
            print(f"{tool.name}: installing into {tool.folder}", flush=True)
            try:
                tool.install()
            except NodeError as error:
                print(f"error: {error}")
                return 1
    return 0
