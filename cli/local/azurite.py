"""Azurite, Microsoft's emulator of Blob Storage, where it is installed: it needs Node."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.exits import CliError
from cli.local.child import end, start
from cli.local.faults import LOOPBACK

VARIABLE: Final = "AZURITE"
"""Names the program; empty for none."""
_BUILT: Final = Path(__file__).resolve().parents[2] / "build/tools/azurite/node_modules/.bin/azurite-blob"
_START_SECONDS: Final = 30.0


def find() -> Path | None:
    """The program: the one named, or on PATH, or made by ``make azure-tools``; None where Node or it is missing."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    found = shutil.which("azurite-blob") or shutil.which(_BUILT)
    return Path(found) if found and shutil.which("node") else None


@contextmanager
def running(program: Path) -> Iterator[int]:
    """The service on a port of loopback, with nothing in it and everything in memory; yields the port.

    Raises:
        CliError: it did not come up.
    """
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="dastra-webhooks-", ignore_cleanup_errors=True) as folder:
        command = [str(program), "--blobHost", LOOPBACK, "--blobPort", str(port)]
        command += ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        log = Path(folder) / "azurite.log"
        with log.open("wb") as into:
            process = start(command, Path(folder), into)
        try:
            _wait(process, port, log)
            yield port
        finally:
            end(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.05)
    said = log.read_text("utf-8", "replace").strip()
    raise CliError(
        f"Azurite did not start: {said or 'it said nothing'}",
        f"Run without it: {VARIABLE}= dastra-webhooks run --cloud azure",
    )
