"""Programs that end with this process, however hard it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

_TERM_SECONDS: Final = 3.0

# As in cli.local.emulator: when this process ends, the pipe closes and the child's group ends with it.
_GUARD: Final = """
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def watch():
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
sys.exit(child.wait())
"""


def start(
    command: Sequence[str], folder: Path, output: IO[bytes], env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in ``folder``, in a process group of its own that the returned process leads.

    Both of its outputs go to ``output``; ``env`` is its whole environment, None for this process's.
    """
    return subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-c", _GUARD, *command],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end(child: subprocess.Popen[bytes]) -> None:
    """End it and its group; what does not obey in three seconds is killed."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_TERM_SECONDS)
    kill(child)


def kill(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL to all of its group."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin is not None:
        child.stdin.close()
