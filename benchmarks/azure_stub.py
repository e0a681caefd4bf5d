"""A Service Bus that always says yes, after a set time. ``python -m benchmarks.azure_stub SECONDS`` prints its address.

A process of its own, so that its work is not on the measured interpreter.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from cli.local.azure_broker import Broker
from cli.local.azure_emulator import QUEUE
from cli.local.faults import Fault


@contextlib.contextmanager
def stub_queue(delay: float) -> Iterator[str]:
    """Run a stub that takes ``delay`` seconds; yields ``host:port/queue``."""
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.azure_stub", str(delay)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    try:
        if process.stdout is None:
            raise AssertionError("the stub has no output")
        yield f"{process.stdout.readline().strip()}/{QUEUE}"
    finally:
        process.terminate()
        process.wait(5)


def _serve(delay: float) -> None:
    with Broker(slow_seconds=delay) as broker:
        broker.create_queue(QUEUE, deduplicates=False)
        broker.set(Fault.SLOW if delay else Fault.NONE)
        print(broker.address, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve(float(sys.argv[1]))
