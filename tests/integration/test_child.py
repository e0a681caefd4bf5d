"""Programs that end with whoever started them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from cli.local import child
from tests.cli.helpers import alive, children, until

SLEEPER: Final = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")
STARTER: Final = """
import sys
from pathlib import Path
from cli.local.child import start
with open(sys.argv[1], "wb") as output:
    print(start(sys.argv[2:], Path("."), output).pid, flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux: looks at its table of processes")


def test_it_ends_with_a_process_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL to the starter, which can say nothing any more, ends the program and its guard."""
    output = tmp_path / "output"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(output), *SLEEPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        guard = int(starter.stdout.readline())
        assert until(lambda: output.read_text() == "up\n", 30)
        family = {guard, *children(guard)}
        assert len(family) == 2
        starter.send_signal(signal.SIGKILL)
    assert until(lambda: not alive(family), 30)


@pytest.mark.parametrize("how", [child.end, child.kill], ids=["end", "kill"])
def test_it_is_ended_with_its_group(tmp_path: Path, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
    """Nothing of it is left, and its pipe is closed."""
    output = tmp_path / "output"
    with output.open("wb") as into:
        started = child.start(SLEEPER, tmp_path, into, {"PATH": os.defpath})
    assert until(lambda: output.read_text() == "up\n", 30)
    family = {started.pid, *children(started.pid)}
    assert len(family) == 2
    how(started)
    assert until(lambda: not alive(family), 30)
    assert started.returncode is not None
    assert isinstance(started.stdin, io.IOBase)
    assert started.stdin.closed
