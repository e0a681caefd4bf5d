"""`send --count` and `--rate`: so many events, paced, each counted once, with figures that are right."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cli.exits import CliError, Exit
from cli.sending import Answer
from cli.volley import MOST_UNDER_WAY, volley
from tests import planted
from tests.cli.conftest import Invoke
from tests.cli.helpers import PROGRAM, Run, clean_environment, until

AsJson = Callable[..., Any]


def answers(*statuses: int | None, milliseconds: float = 1.0) -> Callable[[int], Answer]:
    """Gives these answers in turn, each a millisecond slower than the one before."""
    return lambda number: Answer(statuses[number % len(statuses)], None, None, milliseconds + number)


@contextmanager
def server(delay: float = 0.0, first: int = 200, later: int = 200) -> Iterator[tuple[str, list[float]]]:
    """A server that notes when requests come; its URL and those times."""
    times: list[float] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with lock:
                times.append(time.monotonic())
                status = first if len(times) == 1 else later
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(delay)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

    served = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{served.server_port}/", times
    finally:
        served.shutdown()
        served.server_close()


def test_each_is_another_event(run: Run, as_json: AsJson) -> None:
    """So many samples stand on the queue, each with an id of its own, and the summary says what became of them."""
    said = as_json("send", "--count", "12", "--rate", "200", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert (said["wanted"], said["sent"], said["good"]) == (12, 12, 12)
    assert said["statuses"] == {"200": 12}
    assert said["verdicts"] == {"accepted": 12}
    assert len(set(run.bodies())) == 12
    assert set(said["milliseconds"]) == {"min", "p50", "p95", "p99", "max"}


def test_for_a_person(run: Run, invoke: Invoke) -> None:
    """The summary for a person: how many, how fast, statuses, verdicts, times."""
    result = invoke("send", "--count", "5")
    assert result.exit_code == Exit.DONE
    for said in ("5 events in", "200 x 5", "5 accepted", "p50", "p99"):
        assert said in result.stdout


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_the_figures(rate: float | None) -> None:
    """Statuses are counted, no answer apart; percentiles are by nearest rank, of what was answered."""
    done: list[None] = []
    found = volley(answers(200, 200, 200, None), 100, rate, lambda: done.append(None))
    assert len(done) == found.sent == 100
    assert found.statuses == {"200": 75, "no answer": 25}
    assert found.good == 75
    assert found.milliseconds == {"min": 1.0, "p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 99.0}


def test_a_single_time() -> None:
    """Percentiles of one answer are that answer."""
    assert set(volley(answers(200, milliseconds=3.0), 1, None, lambda: None).milliseconds.values()) == {3.0}


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_the_first_without_a_connection_ends_it(rate: float | None) -> None:
    """Where even the first finds nobody, the error is raised as for one event; a later one is counted."""

    def refuse(number: int, only: Callable[[int], bool]) -> Answer:
        if only(number):
            raise CliError("refused", code=Exit.UNREACHABLE)
        return Answer(200, None, None, 1.0)

    with pytest.raises(CliError):
        volley(lambda number: refuse(number, lambda n: n == 0), 5, rate, lambda: None)
    found = volley(lambda number: refuse(number, lambda n: n == 3), 5, rate, lambda: None)
    assert found.statuses == {"200": 4, "unreachable": 1}


def test_events_start_at_their_own_times() -> None:
    """With a rate no event starts before its time, and a slow answer does not hold up the next event."""
    started: list[tuple[int, float]] = []
    last_ends = threading.Event()
    lock = threading.Lock()

    def shoot(number: int) -> Answer:
        with lock:
            started.append((number, time.monotonic()))
        if number == 8:
            last_ends.set()
        elif number:
            assert last_ends.wait(30)  # each of them waits for the last one, which must not wait for them
        return Answer(200, None, None, 1.0)

    begun = time.monotonic()
    assert volley(shoot, 9, 20.0, lambda: None).sent == 9
    assert started[0][0] == 0
    assert all(at - begun >= number / 20 - 0.005 for number, at in started[1:])


def test_not_too_many_are_under_way() -> None:
    """However slow the answers are, only so many requests wait at a time."""
    lock, under_way, most = threading.Lock(), 0, 0

    def shoot(_: int) -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return Answer(200, None, None, 20.0)

    assert volley(shoot, 200, 1000.0, lambda: None).sent == 200
    assert 2 <= most <= MOST_UNDER_WAY


def test_an_interrupt_sends_nothing_more() -> None:
    """After an interrupt only those end that are under way; what waited for its turn is not sent."""
    started = 0
    lock = threading.Lock()
    done: list[None] = []

    def shoot(_: int) -> Answer:
        nonlocal started
        with lock:
            started += 1
        time.sleep(0.2)
        return Answer(200, None, None, 200.0)

    def interrupt() -> None:
        done.append(None)
        if len(done) == 3:
            raise KeyboardInterrupt

    found = volley(shoot, 5000, 1000.0, interrupt)
    assert found.interrupted
    assert found.sent == 3
    assert started <= 3 + 2 * MOST_UNDER_WAY


def test_failures_are_counted(invoke: Invoke) -> None:
    """Anything but 200 fails the whole, with the count and what to do about the status."""
    with server(first=200, later=503) as (url, _):
        result = invoke("send", url, "--count", "4", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.FAILED
    assert "3 of 4 were not answered with 200." in result.stderr
    assert "It knows no key yet" in result.stderr
    assert "503 x 3" in result.stdout


def test_ctrl_c_sums_up_what_was_sent() -> None:
    """An interrupted volley says what became of those that were sent, and has the exit code of an interrupt."""
    environment = clean_environment(DASTRA_SIGNATURE_KEYS=planted.KEY)
    with server() as (url, times):
        process = subprocess.Popen(
            [PROGRAM, "send", url, "--count", "1000", "--rate", "20"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert until(lambda: len(times) >= 3, 60)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == Exit.INTERRUPTED
    assert b"200 x " in stdout
    assert b"Interrupted; " in stderr
    assert b"Traceback" not in stderr


@pytest.mark.parametrize("option", [("--count", "0"), ("--count", "100001"), ("--rate", "0"), ("--rate", "x")])
def test_numbers_out_of_range(invoke: Invoke, option: tuple[str, str]) -> None:
    """Counts and rates have bounds."""
    assert invoke("send", "http://127.0.0.1:1/", *option).exit_code == Exit.USAGE
