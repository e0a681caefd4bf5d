"""A local run as a program of its own, and commands against it."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import httpx
import pytest

from tests import planted

PROGRAM: Final = Path(sys.executable).with_name("dastra-webhooks")
_addresses: Final = itertools.count(1)


def elsewhere() -> str:
    """An address of this machine that is not on a local run's list (Linux has all of 127.0.0.0/8).

    Another one each time, since a receiver remembers an address that was accepted.
    """
    if sys.platform != "linux":
        pytest.skip("needs Linux, where every address of 127.0.0.0/8 is this machine's")
    count = next(_addresses)
    return f"127.9.{count // 250}.{count % 250 + 1}"


def clean_environment(**more: str) -> dict[str, str]:
    """The present environment without anything that a command would take for a deployment or a colour."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DASTRA_", "AWS_")) and name not in ("FORCE_COLOR", "NO_COLOR", "COLUMNS")
    }
    return {**kept, "TERM": "xterm-256color", **more}


@dataclass
class Run:
    """A started `dastra-webhooks run --json`."""

    process: subprocess.Popen[str]
    folder: Path
    started: dict[str, Any]
    sample: dict[str, Any]
    lines: list[dict[str, Any]] = field(default_factory=list)
    forgotten: int = 0
    """So many messages were on the queue before; no emulator of all clouds can take them away."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return str(self.started["url"])

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    def state(self) -> dict[str, Any]:
        """What its state file says."""
        found: dict[str, Any] = json.loads((self.folder / ".local" / "run.json").read_text())
        return found

    def post(self, body: bytes, signature: str | None = None, path: str = "", **headers: str) -> httpx.Response:
        """Post a body, signed with the planted key unless another signature is given."""
        signature = planted.signature(body) if signature is None else signature
        return httpx.post(
            self.url + path,
            content=body,
            headers={"Content-Type": "application/json", "Dastra-Signature": signature, **headers},
            timeout=30,
            trust_env=False,
        )

    def get(self, name: str) -> Any:
        """A look-up below `/_local/`."""
        found = httpx.get(f"{self.url}_local/{name}", timeout=30, trust_env=False).raise_for_status().json()
        return found[self.forgotten :] if name == "messages" else found

    def forget_messages(self) -> None:
        """Count what is on the queue as gone."""
        self.forgotten += len(self.get("messages"))

    def faults(self, **faults: str) -> None:
        """Switch faults."""
        httpx.put(f"{self.url}_local/faults", json=faults, timeout=30, trust_env=False).raise_for_status()

    def bodies(self) -> list[str]:
        """The bodies on the queue."""
        return [message["body"] for message in self.get("messages")]

    def attributes(self) -> list[dict[str, str]]:
        """The attributes of the messages on the queue, by their names in CloudEvents, whatever the cloud's prefix."""
        return [
            {re.sub("^(ce-|cloudEvents:)", "", name): value for name, value in message["attributes"].items()}
            for message in self.get("messages")
        ]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Run]:
    """A local run in a folder, on a free port unless the arguments say else; ended afterwards."""
    process = subprocess.Popen(
        [PROGRAM, "run", "--json", "--port", "0", *arguments],
        cwd=folder,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        first, second = process.stdout.readline(), process.stdout.readline()
        assert second, f"the run ended with {process.wait(10)}: {process.stderr.read()}"
        run = Run(process, folder, json.loads(first), json.loads(second))
        reader = threading.Thread(target=_collect, args=(process.stdout, run.lines), daemon=True)
        reader.start()
        try:
            yield run
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(20)
            reader.join(10)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        process.stdout.close()
        process.stderr.close()


def _collect(stream: IO[str], lines: list[dict[str, Any]]) -> None:
    lines.extend(json.loads(line) for line in stream)


def program(
    *arguments: str, folder: Path, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end, as a shell does."""
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=folder,
        env=environment or clean_environment(),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )


def children(pid: int) -> set[int]:
    """Every process below a process, by Linux's /proc."""
    if sys.platform != "linux":
        pytest.skip("needs Linux's /proc")
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    found: set[int] = set()
    wave = {pid}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave} - found
        found |= wave
    return found


def alive(pids: Sequence[int] | set[int]) -> set[int]:
    """Those processes that still run."""
    return {pid for pid in pids if _runs(pid)}


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether a condition comes true within a time."""
    gone = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return True
        gone.wait(0.05)
    return condition()
