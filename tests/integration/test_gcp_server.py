"""The webhook under functions-framework and gunicorn, in processes of its own, as Cloud Run starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from cli.local.gcp_emulator import PROJECT
from gcp_function.wiring import WORKERS
from tests import planted
from tests.contract.answers import ACCEPTED, NOT_ALLOWED, QUARANTINED, SPOOLED, TOO_LARGE, UNAUTHORIZED, UNAVAILABLE
from tests.contract.bypass import DEFAULT_LIMIT, NAME, signed, sized, unsigned
from tests.drips import dripping
from tests.drivers import LISTED, UNLISTED, HttpRequest, Mode, Platform, Port
from tests.drivers.gcp import GcpDriver, forwarded, over_http
from tests.drivers.gcp_process import ROOT, peak_megabytes, running, threads

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into processes through Linux's /proc"),
]

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN: Final = "00f067aa0ba902b7"


@pytest.fixture
def gcp(platform_of: Callable[[str], Platform]) -> Iterator[GcpDriver]:
    """A topic, a bucket and a secret behind fault proxies."""
    with platform_of("gcp").deploy() as deployed:
        assert isinstance(deployed, GcpDriver)
        yield deployed


def environment(gcp: GcpDriver, **settings: str) -> dict[str, str]:
    """What the function finds in its environment: the emulators and its settings."""
    named = {
        "QUEUE": gcp.topic,
        "STORE": gcp.bucket,
        "SIGNATURE_KEYS_SECRET": gcp.secret,
        "SOURCE_IP_ALLOWLIST": LISTED,
        **settings,
    }
    names = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")
    return {name: os.environ[name] for name in names} | {f"DASTRA_{name}": value for name, value in named.items()}


def test_an_event_goes_through(gcp: GcpDriver, tmp_path: Path) -> None:
    """The key comes out of Secret Manager with the first request, the message is on the topic, the log is JSON."""
    gcp.put_keys(planted.KEY)
    with running(tmp_path, environment(gcp)) as function:
        request = signed(None, ("traceparent", f"00-{TRACE}-{SPAN}-01"))
        assert function.post(request) == ACCEPTED
        assert function.post(signed(), chunked=True) == ACCEPTED
        assert function.post(unsigned()) == UNAUTHORIZED
        assert [sent.body for sent in gcp.messages()][:1] == [request.body]
        (first, second) = function.lines("accepted")
        assert first["severity"] == "INFO"
        assert first["logging.googleapis.com/trace"] == f"projects/{PROJECT}/traces/{TRACE}"
        assert first["logging.googleapis.com/spanId"] == SPAN
        assert first["logging.googleapis.com/trace_sampled"] is True
        assert "logging.googleapis.com/trace" not in second
        assert gcp.messages()[0].attributes["traceparent"] == f"00-{TRACE}-{SPAN}-01"
        others = [line for line in function.output().splitlines() if not line.startswith("{")]
        assert not others


def test_the_framework_leaves_the_log_lines_alone(gcp: GcpDriver, tmp_path: Path) -> None:
    """Google has the framework write each line anew, unless the deployment says no.

    It would put a header into it that whoever calls has chosen, and replace the span.
    """
    from tests.deploy.gcp import dry_run

    deployed = dry_run("deploy.sh").of("functions", "deploy")
    said = [re.findall(r"\|LOG_EXECUTION_ID=(\w+)", command.flags["set-env-vars"]) for command in deployed]
    assert said[0]
    assert said.count(said[0]) == len(said)
    gcp.put_keys(planted.KEY)
    headers = (
        ("traceparent", f"00-{TRACE}-{SPAN}-01"),
        ("X-Cloud-Trace-Context", f"{TRACE}/123;o=1"),
        ("Function-Execution-Id", "chosen-by-the-sender"),
    )
    with running(tmp_path, {**environment(gcp), "LOG_EXECUTION_ID": said[0][0]}) as function:
        with ThreadPoolExecutor(WORKERS) as pool:
            assert (
                list(pool.map(lambda _: function.post(signed(None, *headers)), range(WORKERS))) == [ACCEPTED] * WORKERS
            )
        assert len(function.lines("accepted")) == WORKERS
        for line in function.lines("accepted"):
            assert line["logging.googleapis.com/spanId"] == SPAN
            assert "logging.googleapis.com/labels" not in line
        assert "chosen-by-the-sender" not in function.output()


def test_nothing_is_made_before_the_fork(gcp: GcpDriver) -> None:
    """Importing the functions, which gunicorn's master does, starts no thread, opens no file and asks nobody."""
    program = """
import os
before = set(os.listdir("/proc/self/fd"))
import gcp_function.main
from gcp_function import secret_keys
import sys
assert "google.cloud.storage" not in sys.modules
print(len(os.listdir("/proc/self/task")), set(os.listdir("/proc/self/fd")) - before)
"""
    asked = {port: gcp.requests(port) for port in Port}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], **environment(gcp)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("1 set()\n", "")
    assert {port: gcp.requests(port) for port in Port} == asked


def test_workers_that_were_forked_have_clients_of_their_own(gcp: GcpDriver, tmp_path: Path) -> None:
    """With several workers every request goes through, and the master, which imported the functions, stays without."""
    gcp.put_keys(planted.KEY)
    with running(tmp_path, {**environment(gcp), "WORKERS": "2"}) as function:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: function.post(signed()), range(40))) == [ACCEPTED] * 40
        assert threads(function.master) <= 2  # gunicorn starts one for its own control
        assert any(threads(worker) > WORKERS for worker in function.workers())
        assert len(gcp.messages()) == 40


def test_a_worker_that_died_is_replaced_and_works(gcp: GcpDriver, tmp_path: Path) -> None:
    """A worker forked much later, after events went through another, makes clients of its own."""
    gcp.put_keys(planted.KEY)
    with running(tmp_path, environment(gcp)) as function:
        assert function.post(signed()) == ACCEPTED
        (worker,) = function.workers()
        os.kill(worker, signal.SIGKILL)
        until = time.monotonic() + 10
        while function.workers() in ([], [worker]) and time.monotonic() < until:
            time.sleep(0.05)
        assert function.post(signed()) == ACCEPTED
        assert len(gcp.messages()) == 2


def test_the_key_comes_after_the_deployment(gcp: GcpDriver, tmp_path: Path) -> None:
    """Without a version of the secret the function starts, says 503 to what may be Dastra's, and learns the key."""
    with running(tmp_path, environment(gcp)) as function:
        assert function.post(signed()) == UNAVAILABLE
        assert function.post(unsigned()) == UNAUTHORIZED
        assert function.lines("no_key")[0]["severity"] == "CRITICAL"
        gcp.put_keys(planted.KEY)
        assert function.post(signed()) == ACCEPTED


def test_64_at_once_are_each_acknowledged_once(gcp: GcpDriver, tmp_path: Path) -> None:
    """More requests at once than threads, the first ones of the instance: each has its own message, exactly one."""
    gcp.put_keys(planted.KEY)
    requests = [signed(planted.body(eventType=f"Type{number}")) for number in range(64)]
    with running(tmp_path, environment(gcp)) as function:
        with ThreadPoolExecutor(64) as pool:
            assert list(pool.map(function.post, requests)) == [ACCEPTED] * 64
        messages = gcp.messages()
        assert Counter(sent.body for sent in messages) == Counter(request.body for request in requests)
        for sent in messages:
            assert sent.attributes["type"] == f"eu.dastra.{json.loads(sent.body)['eventType']}"
            assert sent.attributes["signature"] == planted.signature(sent.body)
        lines = function.lines("accepted")
        assert len({line["event_id"] for line in lines}) == 64
        assert {(line["event_id"], f"eu.dastra.{line['event_type']}") for line in lines} == {
            (sent.id, sent.attributes["type"]) for sent in messages
        }


@pytest.mark.parametrize("mode", [Mode.HANGING, Mode.SILENT, Mode.DRIPPING])
def test_a_saturated_instance_with_a_queue_that_hangs(gcp: GcpDriver, tmp_path: Path, mode: Mode) -> None:
    """A hundred events, as many at once as there are threads: all kept, none refused, and threads do not pile up."""
    gcp.put_keys(planted.KEY)
    requests = [signed() for _ in range(100)]
    with running(tmp_path, environment(gcp)) as function:
        assert function.post(signed()) == ACCEPTED
        (worker,) = function.workers()
        gcp.fault(Port.QUEUE, mode)
        counts = []
        with ThreadPoolExecutor(WORKERS) as pool:
            for answer in pool.map(function.post, requests):
                assert answer == SPOOLED
                assert answer.seconds < 6 + 1.5
                counts.append(threads(worker))
        # gunicorn's own, one for each request in queue and store each, the keys' two, and what gRPC keeps.
        assert max(counts) <= 3 * WORKERS + 24
        assert counts[-1] <= max(counts[: WORKERS * 2]) + 4
        assert len(gcp.stored("spool/")) == 100
        gcp.lift()
        assert gcp_redrive(gcp, tmp_path) == {"sent": 100, "failed": 0, "skipped": False}
        assert {sent.body for sent in gcp.messages()} > {request.body for request in requests}


def gcp_redrive(gcp: GcpDriver, scratch: Path) -> object:
    """What the schedule's function says, as a process of its own."""
    with running(scratch, environment(gcp), target="redrive") as function:
        answer = function.post(HttpRequest(b"{}", (("Content-Type", "application/json"),)))
        assert answer.status == 200
        (line,) = function.lines("redrive")
        assert line["spool_count"] == line["quarantine_count"] == line["expiring_count"] == 0
        return json.loads(answer.body)


def test_the_redrive_has_no_use_for_the_keys(gcp: GcpDriver, tmp_path: Path) -> None:
    """The schedule's function never asks for the secret, which its identity may not read; and takes POST only."""
    asked = gcp.requests(Port.KEYS)
    with running(tmp_path, environment(gcp), target="redrive") as function:
        assert function.post(HttpRequest(b"")).status == 200
        assert function.post(HttpRequest(b"", method="GET")) == NOT_ALLOWED
        gcp.fault(Port.STORE, Mode.ERROR_503)
        assert function.post(HttpRequest(b"")) == UNAVAILABLE
    assert gcp.requests(Port.KEYS) == asked


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_a_chain_that_claims_to_be_listed(gcp: GcpDriver, tmp_path: Path, hops: int) -> None:
    """Whatever a client writes to the left of what trusted machines wrote, its own address is the one that counts."""
    proxies = ["203.0.113.9", "203.0.113.10"][: hops - 1]
    with running(
        tmp_path,
        environment(gcp, TRUSTED_PROXY_HOPS=str(hops))
        | {"DASTRA_SIGNATURE_KEYS": planted.KEY, "DASTRA_SIGNATURE_KEYS_SECRET": ""},
    ) as function:

        def post(*claims: str, client: str) -> object:
            request = signed()
            chain = ("X-Forwarded-For", ", ".join([*claims, client, *proxies]))
            return over_http(function.port, request, [*request.headers, chain], chunked=False)

        listed: list[list[str]] = [[], [LISTED], [LISTED] * 5, ["", LISTED], [f"{LISTED}:443"], [f"::ffff:{LISTED}"]]
        for claims in listed:
            assert post(*claims, client=UNLISTED) == QUARANTINED, claims
        unlisted: list[list[str]] = [[], [UNLISTED], ["x", "'"], [UNLISTED] * 9]
        for claims in unlisted:
            assert post(*claims, client=LISTED) == ACCEPTED, claims
        if hops > 1:  # somebody who went round the load balancer
            request = signed()
            short = ("X-Forwarded-For", ", ".join([LISTED] * (hops - 1)))
            assert over_http(function.port, request, [*request.headers, short], chunked=False) == QUARANTINED
        request = signed()
        assert over_http(function.port, request, request.headers, chunked=False) == QUARANTINED


def test_the_length_alone_refuses(gcp: GcpDriver, tmp_path: Path) -> None:
    """A body that is said to be too large is answered before any of it has come."""
    gcp.put_keys(planted.KEY)
    with running(tmp_path, environment(gcp)) as function:
        assert function.post(signed()) == ACCEPTED
        with socket.create_connection(("127.0.0.1", function.port), 10) as connection:
            signature = planted.signature(planted.body())
            connection.sendall(
                f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n{NAME}: {signature}\r\n\r\n".encode()
            )
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        (line,) = function.lines("too_large")
        assert (line["size"], line["severity"]) == (1 << 40, "ERROR")


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_do_not_add_up(gcp: GcpDriver, tmp_path: Path, chunked: bool) -> None:
    """Sixteen at once: 4 MiB each within 512 MB, and of 20 MB each not more is kept than shows that it is too much."""
    gcp.put_keys(planted.KEY)
    # All the time that a sender has, since a busy machine needs some for 64 MB; it is the memory that counts here.
    env = environment(gcp, TIME_BUDGET_SECONDS="9", QUEUE_BUDGET_SECONDS="6.7")
    with running(tmp_path, env) as function, ThreadPoolExecutor(WORKERS) as pool:
        assert function.post(signed()) == ACCEPTED
        (worker,) = function.workers()
        huge = HttpRequest(b"x" * 20_000_000, signed().headers)
        assert list(pool.map(lambda _: function.post(huge, chunked=chunked), range(WORKERS))) == [TOO_LARGE] * WORKERS
        assert peak_megabytes(worker) < 300
        full = [signed(sized(DEFAULT_LIMIT)) for _ in range(WORKERS)]
        # In the spool where a busy machine had no time left for the queue: it is kept, and its memory was needed.
        answers = list(pool.map(lambda request: function.post(request, chunked=chunked), full))
        assert all(answer in (ACCEPTED, SPOOLED) for answer in answers)
        assert peak_megabytes(worker) < 512


def test_a_body_that_stops_short(gcp: GcpDriver, tmp_path: Path) -> None:
    """A sender that hangs up in the middle, or sends chunks that are none, gets no 500 and harms nobody."""
    gcp.put_keys(planted.KEY)
    start = f"POST / HTTP/1.1\r\nHost: x\r\n{NAME}: {planted.signature(b'x')}\r\n"
    with running(tmp_path, environment(gcp)) as function:
        for rest in (
            "Content-Length: 10\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        ):
            with socket.create_connection(("127.0.0.1", function.port), 10) as connection:
                connection.sendall((start + rest).encode())
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400 "), rest
        assert function.post(signed()) == ACCEPTED
        assert len(function.lines("refused")) == 3
        assert not function.lines("bad_signature")
        assert "Traceback" not in function.output()


QUICK: Final = {"TIME_BUDGET_SECONDS": "2", "QUEUE_BUDGET_SECONDS": "1.5"}
LENGTH: Final = "Content-Length: {}\r\n\r\n"
CHUNKED: Final = "Transfer-Encoding: chunked\r\n\r\n"


def told(port: int, start: bytes, drop: bytes) -> bytes:
    """What the function says to somebody who sends a little at a time until it hangs up, which it must."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), 15) as connection:
        connection.sendall(start)
        until = time.monotonic() + 15
        with dripping(connection, drop, 0.5), suppress(ConnectionError):
            while piece := connection.recv(1 << 16):
                said += piece
                assert time.monotonic() < until
    return said


@pytest.mark.parametrize(
    ("framing", "first", "status"),
    [
        pytest.param(LENGTH.format(1_000_000), b"", 401, id="late"),
        pytest.param(CHUNKED, b"", 401, id="late-in-chunks"),
        pytest.param(LENGTH.format(9_000_000), b"", 413, id="too-large"),
        pytest.param(CHUNKED, b"%x\r\n%s\r\n" % (5_000_000, b"x" * 5_000_000), 413, id="too-large-in-chunks"),
    ],
)
def test_whoever_drips_does_not_keep_others_waiting(
    gcp: GcpDriver, tmp_path: Path, framing: str, first: bytes, status: int
) -> None:
    """Two on an instance of two threads get their one answer and are hung up on; what they drip is no request."""
    gcp.put_keys(planted.KEY)
    genuine = signed()
    fields = "".join(f"{name}: {value}\r\n" for name, value in forwarded(genuine, "cloud-run"))
    head = f"POST / HTTP/1.1\r\nHost: x\r\n{fields}"
    drop = (head + LENGTH.format(len(genuine.body))).encode() + genuine.body
    if framing == CHUNKED:
        drop = b"%x\r\n%s\r\n" % (len(drop), drop)
    with (
        running(tmp_path, {**environment(gcp, **QUICK), "THREADS": "2"}) as function,
        ThreadPoolExecutor(2) as pool,
    ):
        assert function.post(signed()) == ACCEPTED
        answers = [pool.submit(told, function.port, (head + framing).encode() + first, drop) for _ in range(2)]
        assert function.post(signed()) == ACCEPTED
        for answer in answers:
            assert answer.result().startswith(f"HTTP/1.1 {status} ".encode())
            assert answer.result().count(b"HTTP/1.1 ") == 1
        assert function.post(signed()) == ACCEPTED
        assert len(gcp.messages()) == 3
        refused = [line["reason"] for line in function.lines("refused")]
        assert refused == (["late_body"] * 2 if status == 401 else [])
        assert len(function.lines("too_large")) == (2 if status == 413 else 0)
        assert "Traceback" not in function.output()


@pytest.mark.parametrize("chunked", [False, True])
def test_slow_bodies_that_are_in_time(gcp: GcpDriver, tmp_path: Path, chunked: bool) -> None:
    """Four on one connection, the last of 4 MiB: each as it was sent, also when the time of those before it is over."""
    gcp.put_keys(planted.KEY)
    requests = [signed(planted.body(eventType=f"Type{number}")) for number in range(3)] + [signed(sized(DEFAULT_LIMIT))]

    def slowly(body: bytes) -> Iterator[bytes]:
        for quarter in range(4):
            yield body[len(body) * quarter // 4 : len(body) * (quarter + 1) // 4]
            time.sleep(0.25)

    env = environment(gcp, TIME_BUDGET_SECONDS="3", QUEUE_BUDGET_SECONDS="2")
    with running(tmp_path, env) as function:
        connection = HTTPConnection("127.0.0.1", function.port, timeout=10)
        connection.connect()
        first = connection.sock
        for request in requests:
            length = [] if chunked else [("Content-Length", str(len(request.body)))]
            fields = dict(forwarded(request, "cloud-run") + length)
            connection.request("POST", "/", slowly(request.body), fields, encode_chunked=chunked)
            response = connection.getresponse()
            assert (response.status, response.read()) == (ACCEPTED.status, ACCEPTED.body)
        assert connection.sock is first
        connection.close()
        assert [sent.body for sent in gcp.messages()] == [request.body for request in requests]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SOURCE_IP_MOD": "off"}, "DASTRA_SOURCE_IP_MOD is not known"),
        ({"QUEUE": "dastra-webhooks"}, "DASTRA_QUEUE is 'dastra-webhooks': valid: a topic's path"),
        (
            {"SIGNATURE_KEYS_SECRET": "keys"},
            "DASTRA_SIGNATURE_KEYS_SECRET is no secret's resource name: valid: projects",
        ),
    ],
)
def test_a_bad_setting_ends_the_start(gcp: GcpDriver, tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """The names of a topic and a secret are checked too; the fault is named where a deployment shows it."""
    with pytest.raises(AssertionError, match=re.escape(said)), running(tmp_path, environment(gcp, **settings)):
        pass


def test_a_path_with_two_slashes(gcp: GcpDriver, tmp_path: Path) -> None:
    """Gets its answer and no redirect, which Dastra would count as an error."""
    gcp.put_keys(planted.KEY)
    with running(tmp_path, environment(gcp)) as function:
        assert function.post(signed(path="//hook//x")) == ACCEPTED
