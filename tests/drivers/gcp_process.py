"""A function in processes of its own, as Cloud Run starts it: functions-framework, gunicorn's master, its worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from cli.local.faults import LOOPBACK
from tests.drivers import Answer, HttpRequest
from tests.drivers.gcp import MAIN, forwarded, over_http
from tests.log_check import check

ROOT: Final = MAIN.parent.parent


class Process:
    """A running function."""

    def __init__(self, child: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.child: Final = child
        self.port: Final = port
        self._output: Final = output

    @property
    def master(self) -> int:
        """The process that imported the function."""
        return self.child.pid

    def workers(self) -> list[int]:
        """The processes that it forked."""
        listed = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        return [int(pid) for pid in listed]

    def post(self, request: HttpRequest, *, chunked: bool = False) -> Answer:
        """Send a request, behind Google's front end."""
        return over_http(self.port, request, forwarded(request, "cloud-run"), chunked=chunked)

    def output(self) -> str:
        """Everything it printed, standard error too."""
        return self._output.read_text(errors="replace")

    def lines(self, name: str | None = None) -> list[dict[str, Any]]:
        """Its log lines, or those of one event."""
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]
        return [line for line in lines if name is None or line["message"] == name]


def threads(pid: int) -> int:
    """How many a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def peak_megabytes(pid: int) -> float:
    """The most memory that a process has had, in MB (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1000


@contextmanager
def running(
    scratch: Path,
    env: Mapping[str, str],
    *,
    target: str = "receive",
    source: Path = MAIN,
    folder: Path = ROOT,
    command: Sequence[str] = (sys.executable, "-m", "functions_framework"),
) -> Iterator[Process]:
    """Start a function with nothing in its environment but ``env``; its output is checked for leaks at the end."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    output = scratch / f"{target}-{port}.log"
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_START") if name in os.environ}
    with output.open("wb") as file:
        child = subprocess.Popen(
            [*command, f"--target={target}", f"--source={source}", f"--host={LOOPBACK}", f"--port={port}"],
            cwd=folder,
            env={**kept, "PYTHONUNBUFFERED": "1", "THREADS": "16", **env},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    found = Process(child, port, output)
    try:
        until = time.monotonic() + 30
        while not (_listens(port) and found.workers()):
            assert child.poll() is None, found.output()
            assert time.monotonic() < until, found.output()
            time.sleep(0.02)
        yield found
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        check(found.output(), "the function's output")


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((LOOPBACK, port), 1).close()
        return True
    return False
