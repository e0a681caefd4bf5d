"""The HTTP request as the functions framework hands it over, and the answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import IO, Final

import flask

from core.http import Headers, Request, Response
from core.source_ip import from_forwarded
from core.trace import CLOUD_HEADER, from_cloud_trace, traceparent_of

_FORWARDED: Final = "x-forwarded-for"
_PIECE: Final = 64 * 1024
MOST_DRAINED: Final = 32 * 1024 * 1024
"""What Cloud Run lets through as one request over HTTP/1 (its quotas)."""
DRAIN_SECONDS: Final = 2.0


class UnreadableError(ValueError):
    """The body did not arrive whole, or its chunks are not what HTTP says they are."""


def read_request(
    incoming: flask.Request, *, trusted_proxy_hops: int, max_body_bytes: int, received_at: float | None
) -> Request:
    """Read a request, its body exactly as it was sent, and of a body that is too large not more than that it is.

    The client's address is the element of ``X-Forwarded-For`` that ``trusted_proxy_hops`` names, counted from the
    right: on Cloud Run the last is what Google's front end wrote, behind Google's load balancer the last but one.

    Raises:
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
        body = _read(incoming.stream, max_body_bytes + 1)
    except Exception as error:
        raise UnreadableError(type(error).__name__) from error
    if length is not None and len(body) < length:
        # Not a wrong signature, which would alarm.
        raise UnreadableError("shorter than its length")
    return Request(method, headers, body, source, received_at, trace=trace)


def write_response(response: Response, incoming: flask.Request) -> flask.Response:
    """The answer, sent at once; then what is left of the request is read and forgotten.

    A connection that is closed under a sender takes the answer with it, and Google's front end would make a 502 of it.
    The framework would therefore read the rest into memory before the answer goes, but not before one that is streamed.
    """
    headers = [*response.headers, ("Content-Length", str(len(response.body)))]
    return flask.Response(_then_drain(response.body, incoming), response.status, headers)


def _then_drain(body: bytes, incoming: flask.Request) -> Iterator[bytes]:
    yield body
    ends_at = time.monotonic() + DRAIN_SECONDS
    left = MOST_DRAINED
    connection = incoming.environ.get("gunicorn.socket")
    with contextlib.suppress(Exception):  # the sender has its answer, and may be gone
        if connection is not None:
            connection.settimeout(DRAIN_SECONDS)
        while left > 0 and time.monotonic() < ends_at and (piece := incoming.stream.read(min(_PIECE, left))):
            left -= len(piece)


def _read(stream: IO[bytes], most: int) -> bytes:
    pieces = []
    left = most
    while left > 0 and (piece := stream.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
