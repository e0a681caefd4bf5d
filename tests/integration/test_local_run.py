"""`dastra-webhooks run` as a newcomer meets it: one program, everything real but the cloud, and nothing left behind."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from cli.local.sockets import listeners
from tests import planted
from tests.cli.helpers import PROGRAM, Run, alive, children, clean_environment, elsewhere, program, running, until

pytestmark = pytest.mark.emulator

BUDGET_SECONDS = 6
"""What the receiver grants itself for an answer."""
NOISE_SECONDS = 3
"""For a machine that does other things as well."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run that tests share which leave it healthy."""
    with running(tmp_path_factory.mktemp("shared"), "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        yield run


def signed_by_openssl(body: bytes, key: str = planted.KEY) -> str:
    """The signature as the `openssl` program makes it."""
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", key, "-binary"], input=body, capture_output=True, check=True
    ).stdout
    return planted.register_signature(base64.b64encode(made).decode())


def test_it_greets_itself_with_a_signed_event(shared: Run) -> None:
    """When it says that it is up, one signed sample event has gone through and stands on the queue."""
    assert shared.sample["status"] == 200
    assert shared.sample["verdict"] == "accepted"
    message = shared.sample["message"]
    assert message["id"] == message["attributes"]["ce-id"] == hashlib.sha256(message["body"].encode()).hexdigest()


def test_a_request_signed_by_openssl_reaches_the_queue(shared: Run) -> None:
    """A request signed by `openssl` gets 200, and its exact bytes are in /_local/messages."""
    body = planted.body(eventName="\u00e9t\u00e9 \u2028 \U0001f44d") + b"\r\n"
    answer = shared.post(body, signed_by_openssl(body))
    assert (answer.status_code, answer.text) == (200, '{"status":"accepted"}')
    assert shared.bodies()[-1].encode() == body


def test_one_changed_byte_is_refused(shared: Run) -> None:
    """The same with one byte changed gets 401, and nothing is queued or stored."""
    body = planted.body()
    before = shared.bodies()
    answer = shared.post(body.replace(b"4242", b"4243"), signed_by_openssl(body))
    assert (answer.status_code, answer.text) == (401, '{"error":"unauthorized"}')
    assert shared.bodies() == before
    assert shared.get("stored") == []


def test_concurrent_requests_all_land_exactly_once(shared: Run) -> None:
    """Of 32 requests at once each is answered 200 and stands on the queue once."""
    bodies = [planted.body() for _ in range(32)]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(shared.post, bodies))
    assert [answer.json() for answer in answers] == [{"status": "accepted"}] * 32
    queued = shared.bodies()
    assert [queued.count(body.decode()) for body in bodies] == [1] * 32


@pytest.mark.parametrize("size", [300_000, 1_100_000, 4_000_000])
def test_large_bodies_are_followed(shared: Run, size: int) -> None:
    """Bodies up to the limit arrive whole; what the queue cannot take is followed to the store by the look-up."""
    body = planted.body(data={"pad": "x" * size})
    assert shared.post(body).status_code == 200
    message = shared.get("messages")[-1]
    assert message["body"].encode() == body
    assert ("ce-dataref" in message["attributes"]) is (size > 1_000_000)


@pytest.mark.parametrize("size", [4_500_000, 6_000_000, 7_000_000])
def test_bodies_beyond_the_limit_get_413(shared: Run, size: int) -> None:
    """Above the receiver's limit, and above what the platform takes, the answer is 413 and nothing is kept."""
    before = shared.bodies()
    assert shared.post(planted.body(data={"pad": "x" * size})).status_code == 413
    assert shared.bodies() == before


def test_any_method_and_path_reach_the_entry_point(shared: Run) -> None:
    """Odd methods are the entry point's to refuse, and any path outside /_local/ is the webhook's."""
    for method in ("GET", "PUT", "BREW", "post"):
        connection = HTTPConnection("127.0.0.1", shared.port, timeout=10)
        connection.request(method, "/hook")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("allow")) == (405, "POST")
        connection.close()
    for path in ("hook?x=1", "_local", "%5flocal/messages", "a//_local/../b"):
        assert shared.post(planted.body(), path=path).json() == {"status": "accepted"}


def test_chunked_and_binary_bodies_arrive_untouched(shared: Run) -> None:
    """A chunked body is put together; one of another type goes in as base64: both verify."""
    body = planted.body()

    def pieces() -> Iterator[bytes]:
        for place in range(0, len(body), 7):
            yield body[place : place + 7]

    headers = {"Dastra-Signature": planted.signature(body), "Content-Type": "application/octet-stream"}
    answer = httpx.post(shared.url, content=pieces(), headers=headers, trust_env=False)
    assert answer.json() == {"status": "accepted"}
    assert shared.bodies()[-1].encode() == body


def test_what_is_held_can_be_looked_up(shared: Run) -> None:
    """Held events are in /_local/stored with key, reason and attributes; a body that is no text is there in base64."""
    body = planted.MARKER.encode() + b"\xff"
    assert shared.post(body).json() == {"status": "quarantined"}
    [record] = shared.get("stored")
    assert record["key"].startswith("quarantine/")
    assert record["reason"] == "not_a_json_object"
    assert record["attributes"]["id"] == hashlib.sha256(body).hexdigest()
    assert base64.b64decode(record["body_base64"]) == body
    assert program("quarantine", "drop", "--all", "--yes", folder=shared.folder).returncode == 0


def test_an_unlisted_address_is_held_then_accepted(shared: Run) -> None:
    """From another address of this machine an event is held; accepted, it is on the queue, and the next one passes."""
    address = elsewhere()
    for verdict in ("quarantined", "accepted"):
        sent = program("send", "--from", address, "--json", folder=shared.folder)
        assert json.loads(sent.stdout)["verdict"] == verdict
        accepted = program("addresses", "accept", address, folder=shared.folder)
        assert accepted.returncode == 0, accepted.stderr
    assert shared.get("stored") == []


def test_the_controls_are_for_this_machine_only(shared: Run) -> None:
    """A name that was rebound to loopback, and a page from elsewhere, get nothing from /_local/."""
    for headers in ({"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Origin": "https://evil.example"}):
        answer = httpx.get(f"{shared.url}_local/messages", headers=headers, trust_env=False)
        assert answer.status_code == 403
        assert "ce-id" not in answer.text
    for host in ("localhost:1", "[::1]", "LOCALHOST"):
        assert httpx.get(f"{shared.url}_local/", headers={"Host": host}, trust_env=False).status_code == 200


def test_the_controls_explain_themselves(shared: Run) -> None:
    """The index lists the look-ups; an unknown path and a wrong method answer with the same list."""
    endpoints = shared.get("")["endpoints"]
    assert {"GET /_local/messages", "GET /_local/stored", "PUT /_local/faults"} <= endpoints.keys()
    unknown = httpx.get(f"{shared.url}_local/nothing", trust_env=False)
    assert (unknown.status_code, unknown.json()["endpoints"]) == (404, endpoints)
    assert httpx.delete(f"{shared.url}_local/messages", trust_env=False).status_code == 405


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "JSON object"),
        ("[]", "JSON object"),
        ('{"queue":"odd"}', "hanging"),
        ('{"disk":"none"}', "queue, store, keys"),
    ],
)
def test_a_fault_that_is_none(shared: Run, body: str, said: str) -> None:
    """A wrong fault or service is refused with what there is, and nothing is switched."""
    answer = httpx.put(f"{shared.url}_local/faults", content=body, trust_env=False)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert set(shared.get("faults").values()) == {"none"}


def test_its_log_has_no_body_and_no_key(shared: Run) -> None:
    """The receiver's log, metrics included, is in the file that was named, and holds nothing that was planted."""
    shared.post(planted.body())
    log = (shared.folder / shared.started["log"]).read_text()
    assert '"message":"accepted"' in log
    assert '"_aws"' in log
    assert planted.found_in(log) == []


def test_a_line_for_each_request(shared: Run) -> None:
    """Each request is told as it was answered: status, verdict, type, source, reason and time; no body, no key."""
    start = len(shared.lines)
    shared.post(planted.body(eventType="TaskEdit"))
    shared.post(planted.body(), signed_by_openssl(b"other"))
    httpx.get(shared.url, trust_env=False)
    httpx.post(shared.url, content=b"x", trust_env=False)
    assert until(lambda: len(shared.lines) >= start + 4)
    told = [(line["status"], line["verdict"], line["reason"]) for line in shared.lines[start:]]
    assert told[0] == (200, "accepted", None)
    assert told[1] == (401, "unauthorized", "wrong_signature")
    assert told[2][:2] == (405, "not allowed")
    assert told[3] == (401, "unauthorized", "missing_signature")
    assert shared.lines[start]["event_type"] == "TaskEdit"
    assert shared.lines[start]["source"] == "127.0.0.1"


def test_it_listens_on_loopback_only(shared: Run) -> None:
    """Of the run and everything that it started nothing listens beyond loopback, on any protocol version."""
    found = set()
    for pid in {shared.process.pid, *children(shared.process.pid)}:
        found |= listeners(os.getpgid(pid))
    assert (ip_address("127.0.0.1"), shared.port) in found
    # A server of Java's listens on 127.0.0.1 as IPv6 maps it; the process group may hold one of another test's.
    plain = {getattr(address, "ipv4_mapped", None) or address for address, _ in found}
    assert all(address.is_loopback for address in plain), plain


def test_a_hanging_queue_loses_nothing(tmp_path: Path) -> None:
    """With the queue hanging the answer is 200 in time and the event is stored; after the fault redrive queues it.

    The look-ups work all the while.
    """
    with running(tmp_path, "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        body = planted.body()
        run.faults(queue="hanging")
        began = time.monotonic()
        answer = run.post(body, signed_by_openssl(body))
        assert time.monotonic() - began < BUDGET_SECONDS + NOISE_SECONDS
        assert (answer.status_code, answer.text) == (200, '{"status":"spooled"}')
        [record] = run.get("stored")
        assert record["key"].startswith("spool/")
        assert record["reason"] == "queue_failed"
        assert record["body"].encode() == body
        assert body.decode() not in run.bodies()

        failed = program("spool", "redrive", folder=tmp_path)
        assert failed.returncode == 1, failed.stderr

        run.faults(queue="none")
        answer = httpx.post(f"{run.url}_local/redrive", timeout=30, trust_env=False)
        assert answer.json() == {"sent": 1, "failed": 0, "skipped": False}
        assert run.bodies()[-1].encode() == body
        assert run.get("stored") == []


def test_the_spool_goes_back_by_itself(tmp_path: Path) -> None:
    """What was spooled is put on the queue by the schedule, and the run says so; an empty spool is not worth a word."""
    with running(tmp_path, "--redrive-every", "1", DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        body = planted.body()
        run.faults(queue="500")
        assert run.post(body).json() == {"status": "spooled"}
        run.faults(queue="none")
        assert until(lambda: body.decode() in run.bodies(), 20)
        assert until(lambda: sum(line["sent"] for line in run.lines if line["what"] == "redrive") == 1)
    told = [line for line in run.lines if line["what"] == "redrive"]
    assert all(line["sent"] or line["failed"] for line in told)


def test_the_keys_rotate_without_a_refusal(tmp_path: Path) -> None:
    """A key that was added with `key set` is known at the first event that it signs; the old one still is."""
    with running(tmp_path, DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        environment = clean_environment(DASTRA_SIGNATURE_KEYS=planted.NEWER_KEY)
        added = program("key", "set", "--add", folder=tmp_path, environment=environment)
        assert added.returncode == 0, added.stderr
        for key in (planted.NEWER_KEY, planted.KEY):
            body = planted.body()
            assert run.post(body, planted.signature(body, key)).json() == {"status": "accepted"}


def test_the_printed_lines_work(tmp_path: Path) -> None:
    """Without a key in the environment one is made and shown, and the lines it prints to paste send an event."""
    process = subprocess.Popen(
        [PROGRAM, "run", "--port", "0"],
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        shown = ""
        while "Ctrl-C ends everything" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        url = str(re.search(r"webhook +(\S+)", shown)[1])  # type: ignore[index]
        paste = re.search(r"^  KEY=.*?--data-binary \"\$BODY\"$", shown, re.DOTALL | re.MULTILINE)
        assert paste is not None
        paste_it = ["bash", "-c", paste[0]]
        answers = [subprocess.run(paste_it, capture_output=True, text=True, check=True).stdout for _ in range(2)]
        assert all("HTTP/1.1 200" in answer and '{"status":"accepted"}' in answer for answer in answers)
        messages = httpx.get(f"{url}_local/messages", trust_env=False).json()
        assert [message["attributes"]["ce-type"] for message in messages] == [
            "eu.dastra.DataSubjectMessage",
            "eu.dastra.TaskCreation",
            "eu.dastra.TaskCreation",
        ]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        rest = process.stdout.read()
        assert "200 accepted" in rest
        assert "Ended after 2 requests: 2 accepted." in rest
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_at_a_terminal_only_what_a_person_reads_is_shown(tmp_path: Path) -> None:
    """At a terminal, too, log lines stay in their file and a key of the user's is not shown; Ctrl-C ends it."""
    master, slave = pty.openpty()
    environment = clean_environment(DASTRA_SIGNATURE_KEYS=planted.KEY)
    process = subprocess.Popen(
        [PROGRAM, "run", "--port", "0"],
        cwd=tmp_path,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    screen = ""
    asked = False
    try:
        while True:
            try:
                screen += os.read(master, 4096).decode(errors="replace")
            except OSError:  # the terminal closes with the last process
                break
            if not asked and "Ctrl-C ends everything" in screen:
                asked = True
                url = str(json.loads((tmp_path / ".local" / "run.json").read_text())["url"])
                httpx.post(url, content=b"{}", trust_env=False)
                process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        os.close(master)
        process.kill()
    assert "Starting the receiver" in screen
    assert "missing_signature" in screen
    assert '"level"' not in screen
    assert planted.KEY not in screen
    assert '"message":"keys_loaded"' in (tmp_path / ".local" / "receiver.log").read_text()


@pytest.mark.parametrize("held", [False, True], ids=["idle", "request-held"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals, held: bool) -> None:
    """One signal ends the run with exit code 0, also while a hanging queue holds a request.

    No process, no listener, no state file and no emulator are left.
    """
    with running(tmp_path, DASTRA_SIGNATURE_KEYS=planted.KEY) as run, ThreadPoolExecutor(1) as pool:
        below = children(run.process.pid)
        assert below
        if held:
            run.faults(queue="hanging")
            pool.submit(lambda: run.post(planted.body())).add_done_callback(lambda done: done.exception())
            assert until(lambda: _connections(run) > 0)
        assert run.stop(number) == 0
        assert until(lambda: not alive(below))
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", run.port), 1):
            pass
        assert not (tmp_path / ".local" / "run.json").exists()
    assert run.lines[-1]["what"] == "ended"


def test_several_signals_are_as_good_as_one(tmp_path: Path) -> None:
    """Signals that come at once, as from an impatient Ctrl-C or from `timeout`, end the run as one does."""
    with running(tmp_path) as run:
        for _ in range(20):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                run.process.send_signal(number)
        assert run.process.wait(20) == 0
    assert run.lines[-1]["what"] == "ended"


def test_a_killed_run_leaves_no_emulator(tmp_path: Path) -> None:
    """After SIGKILL, which nothing can clean up after, the emulator ends too, and commands find no run."""
    with running(tmp_path, DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        below = children(run.process.pid)
        assert below
        run.process.kill()
        run.process.wait(10)
        assert until(lambda: not alive(below))
        assert (tmp_path / ".local" / "run.json").exists()
        assert program("spool", "list", "--local", folder=tmp_path).returncode == 3


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    """Ctrl-C before it is up ends it as well, with nothing left."""
    process = subprocess.Popen([PROGRAM, "run", "--port", "0"], cwd=tmp_path, env=clean_environment())
    assert until(lambda: bool(children(process.pid)), 20)
    below = children(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert until(lambda: not alive(below))


def test_a_second_run_on_the_port_is_refused(shared: Run, tmp_path: Path) -> None:
    """The port of a run is busy for another one, which says how to choose its own."""
    refused = program("run", "--port", str(shared.port), folder=tmp_path)
    assert refused.returncode == 7
    assert b"make run PORT=" in refused.stderr


def test_its_own_settings_apply(tmp_path: Path) -> None:
    """DASTRA_ settings of the environment reach the receiver; loopback stays on the list of addresses."""
    settings = {"DASTRA_SOURCE_IP_MODE": "reject", "DASTRA_SOURCE_IP_ALLOWLIST": "192.0.2.1", "DASTRA_STACK": "unused"}
    with running(tmp_path, DASTRA_SIGNATURE_KEYS=planted.KEY, **settings) as run:
        assert run.sample["verdict"] == "accepted"
        refused = program("send", "--from", elsewhere(), "--json", folder=tmp_path)
        assert json.loads(refused.stdout)["status"] == 403
        [record] = run.get("stored")
        assert record["reason"] == "unlisted_address"


def _connections(run: Run) -> int:
    """Connections of a client to the run, by Linux's /proc."""
    local = f"0100007F:{run.port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1] == local and line[3] == "01" for line in lines)
