"""The HTTP request as the functions framework hands it over, and the answer."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Iterator
from typing import IO, Final, NoReturn

import flask

from core.http import Headers, Request, Response
from core.source_ip import from_forwarded
from core.trace import CLOUD_HEADER, from_cloud_trace, traceparent_of
from gcp_function.waiting import until

_CONNECTION: Final = "gunicorn.socket"
_FORWARDED: Final = "x-forwarded-for"
_PIECE: Final = 64 * 1024
MOST_DRAINED: Final = 32 * 1024 * 1024
"""What Cloud Run lets through as one request over HTTP/1 (its quotas)."""
DRAIN_SECONDS: Final = 2.0


class UnreadableError(ValueError):
    """The body did not arrive whole, or its chunks are not what HTTP says they are."""


class LateError(UnreadableError):
    """The body was still arriving when its time was over."""


def read_request(
    incoming: flask.Request,
    *,
    trusted_proxy_hops: int,
    max_body_bytes: int,
    received_at: float | None,
    ends_at: float,
) -> Request:
    """Read a request, its body exactly as it was sent, and of a body that is too large not more than that it is.

    The client's address is the element of ``X-Forwarded-For`` that ``trusted_proxy_hops`` names, counted from the
    right: on Cloud Run the last is what Google's front end wrote, behind Google's load balancer the last but one.

    Args:
        incoming: the framework's request.
        trusted_proxy_hops: see above.
        max_body_bytes: what is larger is too large.
        received_at: when the request came, in seconds since the epoch.
        ends_at: when the body must be there, in monotonic seconds.

    Raises:
        LateError: the body was not there in time.
        UnreadableError: the body cannot be read.
    """
    headers = Headers(incoming.headers.items())
    source = from_forwarded(headers.get_all(_FORWARDED), trusted_proxy_hops)
    trace = traceparent_of(from_cloud_trace(headers.get(CLOUD_HEADER)))
    length = incoming.content_length
    method = str(incoming.environ.get("REQUEST_METHOD"))  # as it was sent: `incoming.method` is in capitals
    if method != "POST":
        return Request(method, headers, b"", source, received_at, trace=trace)
    if length is not None and length > max_body_bytes:
        return Request(method, headers, b"", source, received_at, length, trace)
    try:
        with until(ends_at, incoming.environ.get(_CONNECTION)):
            body = _read(incoming.stream, max_body_bytes + 1)
    except TimeoutError as error:
        raise LateError from error
    except Exception as error:
        raise UnreadableError(type(error).__name__) from error
    if length is not None and len(body) < length:
        # Not a wrong signature, which would alarm.
        raise UnreadableError("shorter than its length")
    return Request(method, headers, body, source, received_at, trace=trace)


def write_response(response: Response, incoming: flask.Request, *, unreadable: bool = False) -> flask.Response:
    """The answer, sent at once; then what is left of the request is read and forgotten.

    A connection that is closed under a sender takes the answer with it, and Google's front end would make a 502 of it.
    The framework would therefore read the rest into memory before the answer goes, but not before one that is streamed.

    Args:
        response: the answer.
        incoming: the request.
        unreadable: whether reading the body has failed, so that nobody knows where on the connection it ends.
    """
    headers = [*response.headers, ("Content-Length", str(len(response.body)))]
    return flask.Response(_then_drain(response.body, incoming, unreadable), response.status, headers)


def _then_drain(body: bytes, incoming: flask.Request, unreadable: bool) -> Iterator[bytes]:
    yield body
    connection: socket.socket | None = incoming.environ.get(_CONNECTION)
    left = MOST_DRAINED
    # The sender has its answer, and may be gone.
    with contextlib.suppress(Exception), until(time.monotonic() + DRAIN_SECONDS, connection):
        read = connection.recv if unreadable and connection is not None else incoming.stream.read
        while left > 0 and (piece := read(min(_PIECE, left))):
            left -= len(piece)
        if left > 0 and not unreadable:
            return
    if connection is not None:
        _hang_up(connection)


def _hang_up(connection: socket.socket) -> NoReturn:
    """Have gunicorn close a connection on which more of the body may come: it would be taken for the next request.

    And at once: gunicorn reads on before it closes, up to two seconds, on the thread that takes all new connections.
    """
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    # gunicorn takes no "Connection: close" from an application; this error it passes over in silence, and closes.
    raise ConnectionResetError(errno.ECONNRESET, "more of the request may come")


def _read(stream: IO[bytes], most: int) -> bytes:
    pieces = []
    left = most
    while left > 0 and (piece := stream.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
