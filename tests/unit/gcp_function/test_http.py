from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flask
import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from werkzeug.test import EnvironBuilder

from core.http import ACCEPTED, Request
from gcp_function import http
from gcp_function.http import LateError, UnreadableError, read_request, write_response
from tests.drips import dripping

LIMIT = 100


def incoming(
    body: bytes = b"{}", *, chunked: bool = False, stream: io.BytesIO | None = None, **environ: Any
) -> flask.Request:
    """A request as gunicorn hands it to the framework."""
    made = EnvironBuilder(method="POST", input_stream=stream or io.BytesIO(body)).get_environ()
    made.pop("CONTENT_LENGTH", None)
    if chunked:
        made |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    else:
        made["CONTENT_LENGTH"] = str(len(body))
    return flask.Request(made | environ)


def read(request: flask.Request, hops: int = 1, seconds: float = 60) -> Request:
    """What becomes of it."""
    ends_at = time.monotonic() + seconds
    return read_request(request, trusted_proxy_hops=hops, max_body_bytes=LIMIT, received_at=12.5, ends_at=ends_at)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("body", [b"", b"{}", b"\0\xff\xfe", b"x" * LIMIT, "é\r\n".encode("utf-16")])
def test_the_body_is_the_bytes_that_were_sent(body: bytes, chunked: bool) -> None:
    """Whole and unchanged, with a length or in chunks; method, headers and time come along."""
    request = read(incoming(body, chunked=chunked, HTTP_DASTRA_SIGNATURE="a,b", CONTENT_TYPE="text/plain"))
    assert request.body == body
    assert (request.method, request.received_at, request.length) == ("POST", 12.5, None)
    assert request.headers.get_all("dastra-signature") == ("a,b",)
    assert request.headers.get("Content-Type") == "text/plain"


class Counting(io.BytesIO):
    """Counts what is read of it, and may come in small pieces, as from a network."""

    taken = 0
    most = 1 << 30

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(min(self.most, len(self.getvalue()) if size is None or size < 0 else size))
        self.taken += len(piece)
        return piece


def test_a_body_that_is_too_large_by_its_length_is_not_read() -> None:
    """Its length is handed on in its place."""
    body = Counting(b"x" * (LIMIT + 1))
    request = read(incoming(CONTENT_LENGTH=str(LIMIT + 1), stream=body))
    assert (request.body, request.length, body.taken) == (b"", LIMIT + 1, 0)


def test_a_body_without_a_length_is_read_up_to_where_it_is_too_large() -> None:
    """One byte above the limit shows it; what follows is not kept."""
    body = Counting(b"x" * 10 * LIMIT)
    request = read(incoming(chunked=True, stream=body))
    assert len(request.body) == body.taken == LIMIT + 1


def test_a_body_in_many_pieces() -> None:
    """A network gives what it has; the rest is asked for."""
    body = Counting(bytes(range(LIMIT)))
    body.most = 7
    for chunked in (False, True):
        body.seek(0)
        assert read(incoming(chunked=chunked, CONTENT_LENGTH=str(LIMIT), stream=body)).body == body.getvalue()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "post", "Post", "", "CONNECT", "BREW"])
def test_only_a_post_has_a_body(method: str) -> None:
    """The method stays as it was sent, small letters included; nothing else is read."""
    body = Counting(b"{}")
    request = read(incoming(REQUEST_METHOD=method, stream=body))
    assert (request.method, request.body, body.taken) == (method, b"", 0)


class Broken(io.BytesIO):
    """What gunicorn's body does with chunks that are none."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise ValueError("invalid chunk size")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_cannot_be_read_is_said_to_be_so(chunked: bool) -> None:
    """An error of its own, which the function answers plainly; also for one that is shorter than it says."""
    with pytest.raises(UnreadableError):
        read(incoming(chunked=chunked, CONTENT_LENGTH="5", stream=Broken()))
    with pytest.raises(UnreadableError):
        read(incoming(b"abc", CONTENT_LENGTH="5"))


ME, FRONT, FURTHER = "198.51.100.7", "203.0.113.9", "203.0.113.10"
CHAINS = {
    # hops: header, address
    (1, ME): ME,
    (1, f"192.0.2.44, {ME}"): ME,
    (1, f"192.0.2.44,192.0.2.44 ,{ME}"): ME,
    (1, f"{ME}:443"): ME,
    (1, f"::ffff:{ME}"): ME,
    (1, "2001:DB8::1"): "2001:db8::1",
    (1, f"{ME},"): None,
    (1, "unknown"): None,
    (1, ""): None,
    (2, f"{ME}, {FRONT}"): ME,
    (2, f"192.0.2.44, {ME}, {FRONT}"): ME,
    (2, FRONT): None,
    (2, ""): None,
    (2, f", {FRONT}"): None,
    (3, f"{ME}, {FRONT}, {FURTHER}"): ME,
    (3, f"192.0.2.44, 192.0.2.44, {ME}, {FRONT}, {FURTHER}"): ME,
    (3, f"{FRONT}, {FURTHER}"): None,
    (10, f"{ME}, {FRONT}"): None,
}


@pytest.mark.parametrize(("hops", "chain"), CHAINS)
def test_the_address_is_the_one_that_the_outermost_trusted_machine_wrote(hops: int, chain: str) -> None:
    """Counted from the right; what a client puts to the left of it counts nothing, and too few are nobody."""
    assert read(incoming(HTTP_X_FORWARDED_FOR=chain), hops).source == CHAINS[hops, chain]


def test_no_other_header_says_who_is_calling() -> None:
    """Nor does the connection, whose other end is Google's proxy."""
    claims: dict[str, Any] = dict.fromkeys(
        ("HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_APPENGINE_USER_IP", "REMOTE_ADDR", "HTTP_TRUE_CLIENT_IP"), ME
    )
    assert read(incoming(**claims)).source is None


def test_the_answer_goes_first_and_then_the_rest_is_read() -> None:
    """Status, headers and a length; then every byte that is left, none of which is kept."""
    body = Counting(b"x" * 1_000_000)
    answer = write_response(ACCEPTED, incoming(chunked=True, stream=body))
    assert answer.is_streamed  # else the framework reads the request into memory first
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(ACCEPTED.body))
    pieces = iter(answer.response)
    assert next(pieces) == ACCEPTED.body
    assert body.taken == 0
    assert list(pieces) == []
    assert body.taken == 1_000_000


def test_the_rest_is_read_within_bounds() -> None:
    """Not more than the platform lets through, and an error in it hurts nobody."""
    endless = Counting(b"x" * 40 * 1024 * 1024)
    for stream in (endless, Broken()):
        answer = write_response(ACCEPTED, incoming(chunked=True, stream=stream))
        assert b"".join(answer.iter_encoded()) == ACCEPTED.body
    assert endless.taken == 32 * 1024 * 1024


@contextmanager
def connected(start: bytes) -> Iterator[tuple[flask.Request, socket.socket]]:
    """A request that gunicorn reads from a connection, and the sender's end of that."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + start)
        parsed = next(RequestParser(Config(), ours, ("127.0.0.1", 1)))
        lengths = [value for name, value in parsed.headers if name == "CONTENT-LENGTH"]
        made = EnvironBuilder(method="POST").get_environ()
        made.pop("CONTENT_LENGTH", None)
        made |= {"wsgi.input": parsed.body, "wsgi.input_terminated": True, "gunicorn.socket": ours}
        yield flask.Request(made | ({"CONTENT_LENGTH": lengths[0]} if lengths else {})), theirs


FRAMINGS = {
    "length": (b"Content-Length: 90\r\n\r\n", b"x"),
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "one-long-line": (b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
}
slowly = pytest.mark.parametrize("framing", FRAMINGS)


@slowly
def test_a_body_that_drips_is_late(framing: str) -> None:
    """An error of its own, when its time is over; and at the end of that the connection is as it was."""
    start, drop = FRAMINGS[framing]
    with connected(start) as (request, sender):
        ends_at = time.monotonic() + 0.2
        with dripping(sender, drop), pytest.raises(LateError):
            read(request, seconds=0.2)
        assert time.monotonic() >= ends_at
        assert type(request.environ["gunicorn.socket"]) is socket.socket


@slowly
def test_a_body_that_ends_too_early_is_not_late(framing: str) -> None:
    """Its sender has hung up."""
    start, drop = FRAMINGS[framing]
    with connected(start + drop) as (request, sender):
        sender.shutdown(socket.SHUT_WR)
        with pytest.raises(UnreadableError) as raised:
            read(request)
        assert raised.type is UnreadableError


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_comes_slowly_and_in_time_is_what_was_sent(chunked: bool) -> None:
    """In pieces, with pauses."""
    body = bytes(range(LIMIT))
    with connected(FRAMINGS["chunked"][0] if chunked else b"Content-Length: 100\r\n\r\n") as (request, sender):

        def send() -> None:
            for at in range(0, LIMIT, 10):
                piece = body[at : at + 10]
                sender.sendall(b"a\r\n" + piece + b"\r\n" if chunked else piece)
                time.sleep(0.01)
            if chunked:
                sender.sendall(b"0\r\n\r\n")

        thread = threading.Thread(target=send)
        thread.start()
        assert read(request).body == body
        thread.join()
        pieces = iter(write_response(ACCEPTED, request).response)
        assert [next(pieces)] == [ACCEPTED.body]
        assert list(pieces) == []  # and the connection may serve the next request


@slowly
@pytest.mark.parametrize("unreadable", [False, True])
def test_a_rest_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, framing: str, unreadable: bool) -> None:
    """The answer has gone; gunicorn is told to close, and finds nothing to wait for."""
    monkeypatch.setattr(http, "DRAIN_SECONDS", 0.2)
    start, drop = FRAMINGS[framing]
    with connected(start) as (request, sender):
        pieces = iter(write_response(ACCEPTED, request, unreadable=unreadable).response)
        assert next(pieces) == ACCEPTED.body
        with dripping(sender, drop), pytest.raises(ConnectionResetError):
            next(pieces)
        connection = request.environ["gunicorn.socket"]
        connection.settimeout(5)
        while connection.recv(1024):
            pass


def test_after_a_body_that_could_not_be_read_no_request_is_served() -> None:
    """Where its chunks are none, what follows may be anything; so all of it is taken away, and the connection ends."""
    with connected(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n") as (request, sender):
        with pytest.raises(UnreadableError):
            read(request)
        sender.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        sender.shutdown(socket.SHUT_WR)
        pieces = iter(write_response(ACCEPTED, request, unreadable=True).response)
        assert next(pieces) == ACCEPTED.body
        with pytest.raises(ConnectionResetError):
            next(pieces)
        assert request.environ["gunicorn.socket"].recv(1) == b""


def test_a_rest_that_is_larger_than_anything_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends there: the rest is no request."""
    monkeypatch.setattr(http, "MOST_DRAINED", 10)
    with connected(b"Content-Length: 100\r\n\r\n" + b"x" * 100) as (request, _sender):
        pieces = iter(write_response(ACCEPTED, request).response)
        assert next(pieces) == ACCEPTED.body
        with pytest.raises(ConnectionResetError):
            next(pieces)
