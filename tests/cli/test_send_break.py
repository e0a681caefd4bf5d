"""`send --break` sends each fault and attack, and knows what the endpoint must make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cli.breaking import ALL, Breaker, EventSender, alarm, find, kinds
from cli.doctor.attacks import ATTACKS
from cli.exits import CliError, Exit
from cli.sending import Answer
from core.signature import SignatureKey
from tests import planted
from tests.cli.conftest import Invoke
from tests.cli.helpers import Run

AsJson = Callable[..., Any]


@pytest.fixture
def gullible() -> Iterator[str]:
    """The URL of a server that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST  # noqa: N815 - the server's form

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    server.server_close()


def test_all_of_them(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """`--break all` sends each kind once, and the real receiver makes of each what the list says it must.

    What is refused is not on the queue. A table for a person, a list for a program, exit code 0 where all is well.
    """
    said = as_json("send", "--break", ALL, DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert [item["break"] for item in said] == [kind.name for kind in kinds()]
    for item, kind in zip(said, kinds(), strict=True):
        verdict = kind.verdict or ("accepted" if kind.status == 200 else None)
        assert (item["status"], item["verdict"], item["as_expected"]) == (kind.status, verdict, True), kind.name
    assert len(run.bodies()) == sum(item["verdict"] == "accepted" for item in said)
    result = invoke("send", "--break", ALL, "--event", "TaskEdit", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.DONE, result.output
    for kind in kinds():
        assert kind.what in result.stdout


def test_an_endpoint_that_takes_everything(gullible: str, invoke: Invoke, as_json: AsJson) -> None:
    """An attack that gets 200 is a failure, and the doctor is named; of all kinds those that got through are listed."""
    result = invoke("send", gullible, "--break", "body", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.FAILED
    assert "expected 401, and the answer is 200" in result.stderr
    assert "dastra-webhooks doctor URL" in result.stderr
    assert "As it must be" not in result.stdout
    result = invoke("send", gullible, "--break", ALL, DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.FAILED
    wrong = result.stderr.partition("not as it must be: ")[2].partition(".")[0].split(", ")
    assert {"signature", "missing", "key", "guid", "method", "size", "query"} <= set(wrong)
    assert not {"chunked", "content-type"} & set(wrong)


def test_an_attack_of_the_doctors_table(run: Run, as_json: AsJson) -> None:
    """Any attack goes by its own name."""
    said = as_json("send", "--break", "padded-zero-width", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert (said["status"], said["as_expected"]) == (401, True)


def test_many_of_one_kind(run: Run, as_json: AsJson) -> None:
    """`--count` repeats a kind; all is well when all are refused."""
    said = as_json("send", "--break", "key", "--count", "5", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert said["statuses"] == {"401": 5}


def test_a_file_can_be_broken(run: Run, as_json: AsJson, tmp_path: Path) -> None:
    """A file's own bytes are broken, whatever they are; where that cannot be, it is said."""
    (tmp_path / "event.json").write_bytes(planted.body())
    assert as_json("send", str(tmp_path / "event.json"), "--break", "newline")["size"] == len(planted.body()) + 1
    (tmp_path / "text").write_bytes(b"no JSON")
    assert as_json("send", str(tmp_path / "text"), "--break", "body")["status"] == 401


def test_what_cannot_be_broken_so(run: Run, invoke: Invoke, tmp_path: Path) -> None:
    """To write JSON anew there must be JSON."""
    (tmp_path / "text").write_bytes(b"no JSON")
    result = invoke("send", str(tmp_path / "text"), "--break", "json")
    assert result.exit_code == Exit.FAILED
    assert "this event cannot be broken so" in result.stderr


def test_the_kinds_are_listed(invoke: Invoke, as_json: AsJson) -> None:
    """`--breaks` lists each kind with what it must get, and sends nothing; the help names them all."""
    shown = invoke("send", "--breaks").stdout
    listed = as_json("send", "--breaks")
    helped = invoke("send", "--help", COLUMNS="200").stdout
    for kind in kinds():
        assert kind.what in shown
        assert {"break": kind.name, "what": kind.what, "expected": kind.status} in listed
        assert kind.name in helped


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--break", "bdoy"), "Did you mean body?"),
        (("--break", "zzz"), "Valid: signature, missing"),
        (("--break", ALL, "--count", "2"), "sends each kind once"),
        (("--break", "body", "--from", "127.0.0.2"), "--break and --from exclude each other"),
    ],
)
def test_mistakes(invoke: Invoke, arguments: tuple[str, ...], said: str) -> None:
    """Each mistake is a usage error that says what is valid, before anything is sent."""
    result = invoke("send", "http://127.0.0.1:1/", *arguments, DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr


def test_nobody_listens(invoke: Invoke) -> None:
    """Without a connection a broken event is no finding: unreachable, with its own exit code."""
    result = invoke("send", "http://127.0.0.1:1/", "--break", "body", DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.UNREACHABLE
    assert "connection refused" in result.stderr


def test_every_short_name_is_an_attack_of_its_own() -> None:
    """Each kind makes another request, and each that must be refused is in the doctor's table."""
    names = [kind.name for kind in kinds()]
    assert len(names) == len(set(names))
    makes = {attack.make for attack in ATTACKS}
    assert sum(kind.make in makes for kind in kinds()) == sum(kind.status in (401, 405) for kind in kinds())


def test_alarms_are_announced() -> None:
    """What carries a well-formed signature sets off a deployment's alarm; a run on this machine alarms nobody."""
    sender = EventSender(planted.body, SignatureKey(planted.KEY))
    wrong, missing = find("signature").make(sender), find("missing").make(sender)
    assert alarm(wrong, "https://example.org/") is not None
    assert alarm(missing, "https://example.org/") is None
    assert alarm(wrong, "http://127.0.0.1:8080/") is None


@pytest.mark.parametrize(
    ("kind", "answer", "met"),
    [
        ("body", (401, None), True),
        ("body", (200, '{"status":"accepted"}'), False),
        ("body", (500, None), False),
        ("body", (None, None), False),
        ("array", (200, '{"status":"quarantined"}'), True),
        ("array", (200, '{"status":"accepted"}'), False),
        ("array", (200, "ok"), True),
    ],
)
def test_what_counts_as_right(kind: str, answer: tuple[int | None, str | None], met: bool) -> None:
    """The status must be the one; the receiver's word too, where the endpoint says one."""
    assert find(kind).met_by(Answer(answer[0], answer[1], None, 1.0)) is met


def test_a_name_that_does_not_resolve() -> None:
    """A host that does not exist is unreachable."""
    with pytest.raises(CliError) as caught:
        Breaker("http://nowhere.invalid/")
    assert caught.value.code == Exit.UNREACHABLE
