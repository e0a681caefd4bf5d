"""Whatever an endpoint does, a run ends in time; and a run sends no more than it was told to."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from cli.doctor.attacks import ATTACKS, Attack, Group, Sent
from cli.doctor.model import Status
from cli.doctor.outside import Outside
from cli.doctor.sender import DoctorSender
from cli.doctor.session import Plan
from core.http import Headers, Response
from core.signature import HEADER, claims_signature
from tests.doctor.examine import CALM, FEW, examine, ids
from tests.doctor.servers import Came, good, raw, refused, serving
from tests.planted import KEY


def _drip(connection: socket.socket) -> None:
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


def _hang(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def _reset(connection: socket.socket) -> None:
    connection.recv(16)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _close(connection: socket.socket) -> None:
    connection.recv(65536)


def _cut(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{")


def _endless_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def _not_http(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


@pytest.mark.parametrize(
    ("talk", "failed"),
    [(_drip, "first-answer"), (_hang, "first-answer"), (_reset, "http-answer"), (_close, "http-answer"),
     (_cut, "http-answer"), (_not_http, "http-answer"), (_endless_headers, "http-answer")],
    ids=["drips", "hangs", "resets", "closes", "cut", "no-http", "endless-headers"],
)  # fmt: skip
def test_a_broken_connection_is_found_once(talk: Callable[[socket.socket], None], failed: str) -> None:
    """No answer fails one row within the patience, and everything that needs an answer is skipped."""
    with raw(talk) as url:
        rows = examine(url, limits=replace(CALM, patience=2.0))
    assert ids(rows, Status.FAIL) == {failed}
    assert ids(rows, Status.PASS) == {"dns", "ipv4"}


def test_an_endless_body_is_cut_short() -> None:
    """A body without an end is read for its first 64 KiB and no longer, and is no reason to fail."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with raw(talk) as url:
        rows = examine(url)
    assert rows["http-answer"].status is rows["accepted"].status is Status.PASS


def test_who_hangs_on_attacks_is_left_alone() -> None:
    """After three attacks without an answer no more are sent: the group fails, the others are skipped."""
    waits = threading.Event()

    def answer(came: Came) -> Response:
        if refused(came):
            waits.wait(6)
        return good(came)

    with serving(answer) as url:
        rows = examine(url, limits=replace(CALM, patience=2.0))
        waits.set()
    assert ids(rows, Status.FAIL) == {"attack-header"}
    assert rows["attack-key"].found.startswith("it stopped answering in time")


def test_a_platform_that_throttles_is_left_alone() -> None:
    """429 ends the attacks, since the platform's own alarm counts it; nothing fails for it."""
    throttled = Response(429, b"slow down")
    with serving(lambda came: throttled if refused(came) else good(came)) as url:
        rows = examine(url)
    assert ids(rows, Status.FAIL) == set()
    assert "429" in rows["attack-key"].found


def test_the_whole_is_bounded() -> None:
    """When the time for all of it is over, what has not begun is skipped and says so."""
    with serving() as url:
        rows = examine(url, limits=replace(CALM, whole=0.0001))
    assert ids(rows, Status.FAIL) == set()
    assert rows["attack-key"].found.startswith("the time for all of it is over")


def test_a_gentle_run_alarms_nobody() -> None:
    """--gentle sends no well-formed signature but genuine ones, except beside a wrong method, which alarms nobody."""
    alarming: list[str] = []

    def answer(came: Came) -> Response:
        if came.request.method == "POST" and refused(came) and claims_signature(came.request.headers.get_all(HEADER)):
            alarming.append(came.request.headers.get(HEADER) or "")
        return good(came)

    with serving(answer) as url:
        rows = examine(url, ATTACKS, gentle=True)
        assert alarming == []
        assert ids(rows, Status.FAIL) == set()
        assert rows["attack-method"].status is Status.PASS
        examine(url, ATTACKS)
    assert len(alarming) > 50


def test_what_looks_like_a_signature_by_chance_is_drawn_again() -> None:
    """What is well formed now and then, as a lower-cased signature is, a gentle run sends only when it is not."""
    values = iter(["no signature", "A" * 43 + "=", "no signature either", "", ""])
    chance = Attack("by-chance", Group.PARTIAL, "a test", lambda _: Sent(b"{}", (("Dastra-Signature", next(values)),)))
    sent: list[str] = []

    def answer(came: Came) -> Response:
        sent.append(came.request.headers.get(HEADER) or "")
        return good(came)

    with serving(answer) as url:
        examine(url, (chance,), gentle=True)
    assert "no signature either" in sent
    assert "A" * 43 + "=" not in sent


def test_without_a_probe_nothing_genuine_is_sent() -> None:
    """--no-probe sends no event that anybody takes; attacks are still refused, and the rows of events say why not."""
    taken: list[Headers] = []

    def answer(came: Came) -> Response:
        if not refused(came):
            taken.append(came.request.headers)
        return good(came)

    with serving(answer) as url:
        plan = Plan(url, DoctorSender("no key that anybody knows"), probe=False, limits=CALM)
        rows = {row.id: row for row in Outside(plan).run()}
    assert taken == []
    assert ids(rows, Status.FAIL) == set()
    assert rows["accepted"].status is Status.SKIPPED


def test_probes_are_marked_and_each_is_another() -> None:
    """Every genuine event has its own nonce in `sample`, and their ids are told."""
    marks: list[str] = []
    bodies: list[bytes] = []

    def answer(came: Came) -> Response:
        if not refused(came):
            marks.append(json.loads(came.request.body)["sample"])
            bodies.append(came.request.body)
        return good(came)

    with serving(answer) as url:
        outside = Outside(Plan(url, DoctorSender(KEY), limits=CALM, attacks=FEW))
        list(outside.run())
    assert len(marks) == len(set(marks)) == 6
    assert outside.probes == [hashlib.sha256(body).hexdigest() for body in bodies]
