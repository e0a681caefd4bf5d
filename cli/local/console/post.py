"""Sends requests to the local run itself, byte for byte: samples, attacks and replays."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cli.local.console.recorder import Recorder
from cli.local.faults import LOOPBACK
from cli.local.front import HttpRequest

_SECONDS: Final = 30.0
_PIECE: Final = 16 * 1024
_TRANSPORT: Final = frozenset({b"content-length", b"transfer-encoding", b"connection", b"expect", b"keep-alive"})


@dataclass(frozen=True, slots=True)
class Raw:
    """A request to send. ``target`` is path and query as they stand on the wire."""

    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    chunked: bool = False
    source: str = LOOPBACK
    """The address of this machine to send from."""

    def head(self, port: int) -> bytes:
        """All before the body."""
        names = {name.lower() for name, _ in self.headers}
        lines = [b"%s %s HTTP/1.1" % (self.method.encode("latin-1"), self.target)]
        lines += [] if b"host" in names else [b"Host: %s:%d" % (LOOPBACK.encode(), port)]
        lines += [name + b": " + value for name, value in self.headers if name.lower() not in _TRANSPORT]
        if self.chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"Connection: close", b"", b""])

    def content(self) -> bytes:
        """The body as it stands on the wire."""
        if not self.chunked:
            return self.body
        pieces = [self.body[at : at + _PIECE] for at in range(0, len(self.body), _PIECE)]
        return b"".join([b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"])


def replay_of(request: HttpRequest, body: bytes) -> Raw:
    """The same request once more."""
    target = request.path + (b"?" + request.query if request.query else b"")
    chunked = any(name.lower() == b"transfer-encoding" for name, _ in request.headers)
    return Raw(request.method, target, request.headers, body, chunked, request.client)


def send(raw: Raw, port: int, recorder: Recorder, origin: str) -> None:
    """Send it to the run on this port and wait for the answer, which the recorder gets to know by itself.

    An answer that something before the receiver gave becomes a note, as does a connection that broke.
    """
    own_port = 0
    try:
        with socket.create_connection((LOOPBACK, port), _SECONDS, (raw.source, 0)) as connection:
            own_port = connection.getsockname()[1]
            recorder.await_port(own_port, origin)
            connection.sendall(raw.head(port) + raw.content())
            response = http.client.HTTPResponse(connection, method=raw.method)
            response.begin()
            response.read()
            said = f"was answered {response.status}"
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        said = f"got no answer ({str(reason).lower()})"
    if recorder.still_awaits(own_port) or own_port == 0:
        recorder.note("front", f"{origin}: {said}, before the receiver saw it")
