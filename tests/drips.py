"""A sender who sends a little at a time, and does not end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def dripping(sender: socket.socket, drop: bytes = b"x", seconds: float = 0.005) -> Iterator[None]:
    """Meanwhile a drop goes out again and again, as long as the other end lets it."""
    enough = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            while not enough.wait(seconds):
                sender.sendall(drop)

    thread = threading.Thread(target=drip, name="drips")
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
