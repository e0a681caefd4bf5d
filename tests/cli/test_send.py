"""`send` signs and posts what it is told to, and says how Dastra would have counted the answer."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.exits import Exit
from cli.local.faults import Fault, FaultProxy
from cli.samples import event_types
from tests import planted
from tests.cli.conftest import Invoke
from tests.cli.helpers import Run, elsewhere

AsJson = Callable[..., Any]


@pytest.fixture
def answers() -> Iterator[Callable[[int, dict[str, str], bytes], str]]:
    """Starts a server that gives one answer to every POST; its URL."""
    servers: list[HTTPServer] = []

    def start(status: int, headers: dict[str, str], body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/hook"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_sample_reaches_the_queue(run: Run, as_json: AsJson) -> None:
    """Without arguments a signed sample goes to the local run that is up, and stands on its queue with its exact id."""
    said = as_json("send")
    assert (said["status"], said["verdict"], said["good"]) == (200, "accepted", True)
    [message] = run.get("messages")
    assert message["id"] == said["id"] == hashlib.sha256(message["body"].encode()).hexdigest()
    assert run.attributes()[0]["type"] == "eu.dastra.DataSubjectCreation"


def test_two_samples_are_two_events(run: Run, as_json: AsJson) -> None:
    """A nonce in each sample makes it an event of its own, and the envelope's field `sample` tells that it is one."""
    first, second = as_json("send"), as_json("send")
    assert first["id"] != second["id"]
    marks = [json.loads(body)["sample"] for body in run.bodies()]
    assert len(set(marks)) == 2


@pytest.mark.parametrize("event_type", event_types())
def test_every_documented_event_type_has_a_sample(event_type: str) -> None:
    """A sample of each type is an envelope of that type with today's date."""
    from cli.samples import sample

    envelope = json.loads(sample(event_type).body)
    assert envelope["eventType"] == event_type
    assert envelope["date"].endswith("Z")


def test_the_event_type_can_be_chosen(run: Run, invoke: Invoke) -> None:
    """`--event` picks the sample's type."""
    result = invoke("send", "--event", "TaskCreation")
    assert result.exit_code == Exit.DONE
    assert "TaskCreation, a sample" in result.stdout
    assert "It is on the queue." in result.stdout
    assert run.attributes()[0]["type"] == "eu.dastra.TaskCreation"


def test_an_undocumented_type_is_sent_with_a_warning(run: Run, invoke: Invoke) -> None:
    """Dastra adds names, so an unknown one goes out; the warning offers names that come close."""
    result = invoke("send", "--event", "DataSubjectCreations")
    assert result.exit_code == Exit.DONE
    assert "Did you mean DataSubjectCreation" in result.stderr


def test_what_is_no_event_type_is_refused(invoke: Invoke) -> None:
    """Text that cannot be an event type is a usage error that says where to find those there are."""
    result = invoke("send", "http://127.0.0.1:1/", "--event", "no such thing")
    assert result.exit_code == Exit.USAGE
    assert "is no event type" in result.stderr
    assert "send --events" in result.stderr


def test_event_types_are_listed(invoke: Invoke, as_json: AsJson) -> None:
    """`--events` lists the documented names, for a person and as JSON, and sends nothing."""
    assert invoke("send", "--events").stdout.split() == list(event_types())
    assert as_json("send", "--events") == list(event_types())


def test_a_file_goes_byte_for_byte(run: Run, invoke: Invoke, tmp_path: Path) -> None:
    """A file's exact bytes are signed and posted, with its odd spacing and its last line end."""
    body = b'{ "eventType" :"TaskEdit",\r\n "data": "\xc3\xa9" }\n'
    (tmp_path / "event.json").write_bytes(body)
    result = invoke("send", run.url, str(tmp_path / "event.json"))
    assert result.exit_code == Exit.DONE
    assert "TaskEdit, from" in result.stdout
    assert run.bodies() == [body.decode()]


def test_a_file_alone_goes_to_the_local_run(run: Run, as_json: AsJson, tmp_path: Path) -> None:
    """One argument that is a file and no URL is the file."""
    (tmp_path / "event.json").write_bytes(planted.body())
    assert as_json("send", str(tmp_path / "event.json"))["url"] == run.url


def test_stdin_can_be_the_file(run: Run, invoke: Invoke) -> None:
    """`-` reads the body from stdin."""
    body = planted.body()
    assert invoke("send", run.url, "-", stdin=body).exit_code == Exit.DONE
    assert run.bodies() == [body.decode()]


def test_a_file_that_is_not_there(run: Run, invoke: Invoke, tmp_path: Path) -> None:
    """A missing file is a usage error with the system's words."""
    result = invoke("send", run.url, str(tmp_path / "gone.json"))
    assert result.exit_code == Exit.USAGE
    assert "cannot be read: No such file or directory." in result.stderr


def test_a_file_and_a_type_exclude_each_other(run: Run, invoke: Invoke, key_file: Path) -> None:
    """A file has its own type, so --event beside it is a mistake that is named."""
    result = invoke("send", run.url, str(key_file), "--event", "TaskEdit")
    assert result.exit_code == Exit.USAGE
    assert "--event picks a sample" in result.stderr


def test_a_key_file_counts_before_the_environment(run: Run, invoke: Invoke, key_file: Path) -> None:
    """The file that was named signs, whatever the environment holds."""
    result = invoke("send", "--key-file", str(key_file), DASTRA_SIGNATURE_KEYS=planted.OTHER_KEY)
    assert result.exit_code == Exit.DONE


def test_an_open_key_file_is_warned_about(run: Run, invoke: Invoke, key_file: Path) -> None:
    """As ssh does: a file with a key that others can read gets a word, and works."""
    key_file.chmod(0o644)
    result = invoke("send", "--key-file", str(key_file))
    assert result.exit_code == Exit.DONE
    assert "can be read by other users" in result.stderr


def test_a_wrong_key_exits_with_1(run: Run, invoke: Invoke) -> None:
    """Anything but 200 is a failure: the status, what Dastra would make of it, and what to do are said."""
    result = invoke("send", DASTRA_SIGNATURE_KEYS=planted.OTHER_KEY)
    assert result.exit_code == Exit.FAILED
    assert '401 {"error":"unauthorized"}' in result.stdout
    assert "Dastra would count an error, and blocks a webhook after five" in result.stderr
    assert "dastra-webhooks key list" in result.stderr
    assert run.bodies() == []


def test_a_failure_is_in_the_json_too(run: Run, as_json: AsJson) -> None:
    """With --json stdout has the whole result also when the exit code is 1."""
    said = as_json("send", code=Exit.FAILED, DASTRA_SIGNATURE_KEYS=planted.OTHER_KEY)
    assert (said["status"], said["good"], said["verdict"]) == (401, False, None)


def test_another_address_plays_an_unlisted_one(run: Run, invoke: Invoke) -> None:
    """`--from` another address of this machine is held by the local run, and the next step is named."""
    address = elsewhere()
    result = invoke("send", "--from", address)
    assert result.exit_code == Exit.DONE
    assert "quarantine list" in result.stdout
    assert run.get("stored")[0]["address"] == address


def test_no_key_and_nobody_to_ask(invoke: Invoke) -> None:
    """Without a key and without a terminal it says where a key can come from."""
    result = invoke("send", "http://127.0.0.1:1/")
    assert result.exit_code == Exit.USAGE
    assert "Set DASTRA_SIGNATURE_KEYS, or pass --key-file FILE" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no key found"),
        (b"\xff\xfe", "is not a text file"),
        (b"x" * 70_000, "too large"),
        (b"[1]", "no key found"),
    ],
)
def test_a_file_that_holds_no_key(invoke: Invoke, tmp_path: Path, content: bytes, said: str) -> None:
    """What cannot be a key is a usage error; the content is not quoted."""
    path = tmp_path / "key.txt"
    path.write_bytes(content)
    result = invoke("send", "http://127.0.0.1:1/", "--key-file", str(path))
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr
    assert "xxxx" not in result.stderr


def test_nobody_listens(invoke: Invoke) -> None:
    """A refused connection has an exit code of its own and the system's words."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        result = invoke("send", url, DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.UNREACHABLE
    assert "connection refused" in result.stderr
    assert "dastra-webhooks run" in result.stderr


@pytest.mark.parametrize("url", ["ftp://example.org/", "example.org", "http://", "http://[::1", "http://x:99999/"])
def test_what_is_no_url(invoke: Invoke, url: str) -> None:
    """Only http and https URLs are posted to."""
    result = invoke("send", url, DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.USAGE
    assert "is no URL to post to" in result.stderr


def test_plain_http_to_another_machine_is_warned_about(invoke: Invoke) -> None:
    """An event in clear over a network gets a word; a name that does not resolve is unreachable."""
    result = invoke("send", "http://nowhere.invalid/", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.UNREACHABLE
    assert "http:// sends the event in clear" in result.stderr


def test_no_url_and_no_local_run(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a local run there is no default to send to, and the error says how to start one."""
    monkeypatch.chdir(tmp_path)
    result = invoke("send")
    assert result.exit_code == Exit.NO_DEPLOYMENT
    assert "dastra-webhooks run" in result.stderr


def test_a_redirect_is_a_failure(answers: Callable[..., str], invoke: Invoke) -> None:
    """A redirect is not followed, since Dastra is not known to; where it leads is shown."""
    url = answers(307, {"Location": "https://example.org/new"}, b"")
    result = invoke("send", url, DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.FAILED
    assert "https://example.org/new (Dastra is not known to follow redirects)" in result.stdout


def test_204_is_not_200(answers: Callable[..., str], invoke: Invoke) -> None:
    """Dastra wants exactly 200."""
    result = invoke("send", answers(204, {}, b""), DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.FAILED
    assert "the answer is 204, not 200" in result.stderr


def test_an_answer_cannot_steer_the_terminal(answers: Callable[..., str], invoke: Invoke) -> None:
    """Control characters of an answer are spelt out."""
    result = invoke("send", answers(200, {}, b"\x1b]0;owned\x07"), DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert "\x1b" not in result.stdout
    assert r"\x1b]0;owned\x07" in result.stdout


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.HANGING, Fault.DRIPPING])
def test_an_endpoint_that_keeps_dastra_waiting(
    answers: Callable[..., str], invoke: Invoke, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """No whole answer within Dastra's patience is a failure, also when bytes keep dripping in."""
    monkeypatch.setattr("cli.sending.SENDER_PATIENCE", 0.8)
    upstream = answers(200, {}, b"{}")
    with FaultProxy(int(upstream.split(":")[2].split("/")[0])) as proxy:
        proxy.set(fault)
        result = invoke("send", proxy.url, DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.FAILED
    assert "no answer within 10 s: Dastra would have hung up" in result.stderr
