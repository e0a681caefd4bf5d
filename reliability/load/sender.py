"""Sends a plan over a fixed number of connections and notes each answer."""

from __future__ import annotations

import http.client
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cli.local.faults import LOOPBACK
from reliability.load.plan import LISTED, UNLISTED, Sample

_ANSWER_SECONDS: Final = 10.0
"""How long Dastra waits (its webhook page)."""
_CONNECT_SECONDS: Final = 30.0
"""How long a platform's front holds a request for which it must start an instance."""
_IDLE_SECONDS: Final = 1.0
"""After which a connection is not used again: gunicorn closes it after two."""
_PIECE: Final = 16_000


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one request. ``status`` is None where no answer came: nobody may rely on such an event."""

    id: str
    kind: str
    genuine: bool
    right: bool
    status: int | None
    seconds: float


class Sender:
    """So many connections, each of which sends one request at a time and stays open as long as it can.

    Args:
        samples: what to send.
        ports: where; connections are dealt out over them in turn.
        behind_front: whether the receiver listens to what a platform's front says of the client, in place of looking
            at the connection itself; then the sender says it.
        answered: is told of each, under a lock.
    """

    def __init__(
        self,
        samples: Iterator[Sample],
        ports: Sequence[int],
        behind_front: bool,
        answered: Callable[[Answered], None],
    ) -> None:
        self._samples: Final = samples
        self._ports: Final = ports
        self._behind_front: Final = behind_front
        self._answered: Final = answered
        self._taking: Final = threading.Lock()
        self._telling: Final = threading.Lock()
        self._stopped: Final = threading.Event()

    def run(self, connections: int) -> None:
        """Send everything; returns when the last answer is there or has been given up."""
        threads = [
            threading.Thread(target=self._work, args=(self._ports[number % len(self._ports)],), daemon=True)
            for number in range(connections)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            self._stopped.set()

    def _next(self) -> Sample | None:
        with self._taking:
            return None if self._stopped.is_set() else next(self._samples, None)

    def _work(self, port: int) -> None:
        connections = {source: _Connection(port, source) for source in (LISTED, UNLISTED)}
        while (sample := self._next()) is not None:
            started = time.monotonic()
            status = self._send(connections[sample.source], sample)
            told = Answered(
                sample.id, sample.kind, sample.genuine, status in sample.right, status, time.monotonic() - started
            )
            with self._telling:
                self._answered(told)
        for connection in connections.values():
            connection.close()

    def _send(self, connection: _Connection, sample: Sample) -> int | None:
        """The status of the answer; None where the connection broke or the time was up. Never sends twice."""
        try:
            connection.be_ready()
            connection.putrequest(sample.method, "/", skip_accept_encoding=True)
            for name, value in sample.headers:
                connection.putheader(name, value.encode("latin-1"))
            if self._behind_front:
                connection.putheader("X-Forwarded-For", f"203.0.113.1, {sample.source}")
            framing = ("Transfer-Encoding", "chunked") if sample.chunked else ("Content-Length", str(len(sample.body)))
            connection.putheader(*framing)
            pieces = (sample.body[at : at + _PIECE] for at in range(0, len(sample.body), _PIECE))
            connection.endheaders(pieces, encode_chunked=sample.chunked)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        connection.used_at = time.monotonic()
        return answer.status


class _Connection(http.client.HTTPConnection):
    """One that is never reused when the other side may be about to hang up, as a platform's front takes care."""

    def __init__(self, port: int, source: str) -> None:
        super().__init__(LOOPBACK, port, timeout=_ANSWER_SECONDS, source_address=(source, 0))
        self.used_at = 0.0

    def be_ready(self) -> None:
        """Be connected; wait for an instance that is being started anew, since nothing has been sent yet."""
        if self.sock is not None:
            hung_up = bool(select.select([self.sock], [], [], 0)[0])
            if not hung_up and time.monotonic() - self.used_at < _IDLE_SECONDS:
                return
            self.close()
        until = time.monotonic() + _CONNECT_SECONDS
        while True:
            with suppress(ConnectionRefusedError):
                self.connect()
                return
            if time.monotonic() > until:
                raise ConnectionRefusedError
            time.sleep(0.05)
