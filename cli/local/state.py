"""The file by which other commands find the local run: `.local/run.json` where it was started."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

FOLDER: Final = ".local"
FILE: Final = "run.json"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class RunState:
    """A local run: its process, where it answers, and how its emulated services are reached.

    ``started`` is the process's start in the kernel's clock ticks (None where the system does not tell), by which a
    process that has the same number by chance is told apart. ``env`` is what an SDK needs to reach the emulators.
    """

    pid: int
    started: int | None
    url: str
    cloud: str
    queue: str
    store: str
    secret: str
    log: str
    env: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the file, readable by its owner only; it replaces an older one in one step."""
        path = folder / FILE
        draft = folder / f"{FILE}.{self.pid}"
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(asdict(self), file, indent=2)
        draft.replace(path)
        return path

    def remove(self, folder: Path) -> None:
        """Remove the file, unless a later run has put its own in the place."""
        path = folder / FILE
        found = _read(path)
        if found is not None and found.pid == self.pid:
            path.unlink(missing_ok=True)

    def is_up(self) -> bool:
        """Whether the process that wrote the file still lives."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return False  # somebody else's process: ours is gone
        return self.started is None or self.started == started_at(self.pid)


def started_at(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot; None where the system does not tell (Linux does)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def find_run(start: Path | None = None) -> RunState | None:
    """The run that is up, looked for in the present directory and those above it, as git looks for its own."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        found = _read(folder / FOLDER / FILE)
        if found is not None and found.is_up():
            return found
    return None


def _read(path: Path) -> RunState | None:
    """A state file's content, where it is ours: another user's could send keys and events to a place of theirs."""
    try:
        with path.open(encoding="utf-8") as file:
            about = os.fstat(file.fileno())
            if about.st_uid != os.getuid() or about.st_mode & 0o022:
                return None
            state = RunState(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None
    addresses = [state.url, *(value for value in state.env.values() if "://" in value)]
    return state if all(urlsplit(address).hostname in _LOOPBACK for address in addresses) else None
