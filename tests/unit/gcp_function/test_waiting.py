from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gcp_function.waiting import until
from tests.drips import dripping


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: the server's end and the sender's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def read(connection: socket.socket, size: int) -> bytes:
    """As gunicorn does: until all of it is there, or the sender has ended."""
    found = b""
    while len(found) < size and (piece := connection.recv(size - len(found))):
        found += piece
    return found


def test_a_sender_who_drips_is_not_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    """However often there is something; and nothing of the bound is left behind."""
    ours, theirs = ends
    ends_at = time.monotonic() + 0.2
    with dripping(theirs), pytest.raises(TimeoutError), until(ends_at, ours):
        read(ours, 1_000_000)
    assert time.monotonic() >= ends_at
    assert type(ours) is socket.socket
    assert ours.gettimeout() is None
    theirs.sendall(b"the next request")
    theirs.shutdown(socket.SHUT_WR)
    assert read(ours, 1_000_000).endswith(b"the next request")


def test_a_sender_who_is_silent_is_not_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    """One wait has the same end as many."""
    with pytest.raises(TimeoutError), until(time.monotonic() + 0.1, ends[0]):
        read(ends[0], 1)


def test_nothing_is_read_when_the_time_is_over(ends: tuple[socket.socket, socket.socket]) -> None:
    """A sender who is always in time with the next byte has no more time than others; what came stays to be read."""
    ours, theirs = ends
    theirs.sendall(b"abc")
    with pytest.raises(TimeoutError), until(time.monotonic(), ours):
        read(ours, 1)
    assert read(ours, 3) == b"abc"


def test_what_comes_in_time_is_what_was_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    """Every byte, in its order, however it was cut; with its end."""
    ours, theirs = ends
    body = bytes(range(256)) * 4096

    def send() -> None:
        for at in range(0, len(body), 100_000):
            theirs.sendall(body[at : at + 100_000])
            time.sleep(0.005)
        theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    with until(time.monotonic() + 30, ours):
        assert read(ours, len(body) + 1) == body
    thread.join()


def test_each_connection_has_its_own_end(ends: tuple[socket.socket, socket.socket]) -> None:
    """One that has no more time takes none from another."""
    ours, theirs = ends
    theirs.sendall(b"abc")
    other, far = socket.socketpair()
    with other, far, until(time.monotonic() + 30, ours), until(time.monotonic(), other):
        assert read(ours, 3) == b"abc"
        with pytest.raises(TimeoutError):
            read(other, 1)


def test_a_connection_may_be_closed_meanwhile(ends: tuple[socket.socket, socket.socket]) -> None:
    """That is no error of its own."""
    ours, _ = ends
    with until(time.monotonic() + 30, ours):
        ours.close()
    assert type(ours) is socket.socket


@pytest.mark.parametrize("connection", [None, object()])
def test_where_there_is_no_connection_there_is_no_bound(connection: object) -> None:
    """Another server than gunicorn lends none."""
    with until(time.monotonic() - 1, connection):
        pass
