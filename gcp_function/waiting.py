"""One end for all the waits on a connection, however little each of them brings."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Final

_ENDS: Final[dict[socket.socket, float]] = {}


class _Bounded(socket.socket):
    """What a connection is while its waits have an end."""

    __slots__ = ()  # the same layout as its base, so that a connection can become one

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        left = _ENDS[self] - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)
        return super().recv(size, flags)


@contextlib.contextmanager
def until(ends_at: float, connection: object) -> Iterator[None]:
    """Have whatever reads from the connection get a ``TimeoutError`` once ``ends_at`` is past, in monotonic seconds.

    gunicorn's body reads until it has all that it was asked for, and a socket's time-out is for one wait: whoever sends
    a byte a second would be waited for without end. What is no plain socket gets no bound: without gunicorn in front,
    there is none to be found.
    """
    if type(connection) is not socket.socket:
        yield
        return
    _ENDS[connection] = ends_at
    connection.__class__ = _Bounded
    try:
        yield
    finally:
        connection.__class__ = socket.socket
        del _ENDS[connection]
        with contextlib.suppress(OSError):  # closed meanwhile
            connection.settimeout(None)
