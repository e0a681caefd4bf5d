"""The receiver in processes of its own, apart from the emulators: so that it can be killed and its memory read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cli.local.child import kill, start
from cli.local.faults import LOOPBACK

ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 60.0
_KEPT: Final = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_START")


class InstanceError(RuntimeError):
    """An instance did not start; the text ends with what it printed."""


@dataclass(frozen=True, slots=True)
class Size:
    """What an instance holds; memory in megabytes that are resident."""

    megabytes: float
    threads: int


class Instance:
    """One instance behind one port of loopback, from the start until :meth:`end`, over any number of kills.

    Args:
        command: what starts it, for a port.
        env: its whole environment, but for a few names of the system.
        log: where it prints.
    """

    def __init__(self, command: Callable[[int], Sequence[str]], env: Mapping[str, str], log: Path) -> None:
        self.port: Final = _free_port()
        self._command: Final = command(self.port)
        self._env: Final = {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(env)
        self._log: Final = log
        self._guard: Final = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            InstanceError: it does not.
        """
        with self._log.open("ab") as output:
            child = start(self._command, ROOT, output, self._env)
        with self._guard:
            self._child = child
        until = time.monotonic() + _START_SECONDS
        while not self._listens():
            if child.poll() is not None or time.monotonic() > until:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
                self.kill()
                raise InstanceError(f"the instance did not start:\n{tail}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to all of it, as a platform that takes an instance away without a word."""
        with self._guard:
            child, self._child = self._child, None
        if child is not None:
            kill(child)

    def size(self) -> Size | None:
        """How large it is now; None while it is down."""
        with self._guard:
            child = self._child
        if child is None:
            return None
        sizes = [size for pid in _family(child.pid)[1:] if (size := _size(pid)) is not None]
        return Size(sum(size.megabytes for size in sizes), sum(size.threads for size in sizes)) if sizes else None

    def _listens(self) -> bool:
        with suppress(OSError):
            socket.create_connection((LOOPBACK, self.port), 1).close()
            return True
        return False


def commands(cloud: str) -> Callable[[int], Sequence[str]]:
    """How an instance of a cloud is started."""
    if cloud == "gcp":
        source = ROOT / "gcp_function/main.py"
        words = (sys.executable, "-m", "functions_framework", "--target=receive", f"--source={source}")
        return lambda port: (*words, f"--host={LOOPBACK}", f"--port={port}")
    return lambda port: (sys.executable, "-m", "reliability.load.serve", cloud, str(port))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[int]:
    """A process and those it has started."""
    found = [pid]
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += _family(int(child))
    return found


def _size(pid: int) -> Size | None:
    try:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return Size(int(lines["VmRSS"].split()[0]) / 1000, int(lines["Threads"]))
    except (OSError, KeyError):  # it ended meanwhile
        return None
