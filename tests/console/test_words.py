"""Sentences, notations and commands: complete, equal to the parts they stand for, and exact to the byte."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.doctor.attacks import ATTACKS, Group
from cli.local.console.attacks import KINDS, Choices
from cli.local.console.curl import INLINE_BYTES, as_curl, quote
from cli.local.console.notation import PREFIXES, bare, message_of, notations
from cli.local.console.page import names
from cli.local.console.post import Raw, replay_of
from cli.local.console.story import HELD, REFUSALS, Kind, kind_of, story_of
from cli.local.front import HttpRequest
from core.envelope import Envelope
from core.message import QueueMessage
from core.screening import HoldReason, RefusalReason
from core.signature import SignatureKey
from tests import planted

ADAPTERS: Final = {
    "aws": "aws_lambda.sqs_queue",
    "gcp": "gcp_function.pubsub_queue",
    "azure": "azure_function.service_bus_queue",
}
STATIC: Final = Path(__file__).parents[2] / "cli" / "local" / "console" / "static"


def test_every_reason_has_a_sentence() -> None:
    """No refusal and no hold of the receiver's is left without an explanation."""
    assert set(REFUSALS) == set(RefusalReason)
    assert set(HELD) == set(HoldReason)


@pytest.mark.parametrize(
    ("verdict", "status", "reason", "kind", "said"),
    [
        ("accepted", 200, None, Kind.ACCEPTED, "the queue has it"),
        ("spooled", 200, "hard_timeout", Kind.SPOOLED, "hard_timeout"),
        ("spooled", 200, "queue_rests", Kind.SPOOLED, "15 seconds"),
        ("spooled", 200, "address_unknown", Kind.SPOOLED, "may have been accepted"),
        ("accepted", 200, "address_unknown", Kind.ACCEPTED, "marked unlisted"),
        ("quarantined", 200, "too_old", Kind.QUARANTINED, "may be a replay"),
        ("quarantined", 403, "unlisted_address", Kind.QUARANTINED, "not on the list"),
        ("unauthorized", 401, "wrong_signature", Kind.REFUSED, "none of the known keys"),
        ("forbidden", 403, "unlisted_address", Kind.REFUSED, "mode is reject"),
        ("not allowed", 405, None, Kind.REFUSED, "Only POST"),
        ("too large", 413, None, Kind.REFUSED, "larger"),
        ("event_lost", 503, None, Kind.FAILED, "it is lost"),
        ("no_key", 503, "no_key", Kind.FAILED, "No key is known"),
        ("crashed", 502, None, Kind.FAILED, "itself failed"),
        ("answered", 400, "unreadable_body", Kind.REFUSED, "It was answered 400"),
    ],
)
def test_each_verdict_is_told(verdict: str, status: int, reason: str | None, kind: Kind, said: str) -> None:
    """Its kind, and the sentence that goes with it."""
    assert kind_of(verdict, status) is kind
    assert said in story_of({"verdict": verdict, "status": status, "reason": reason}, {}).why


def test_accepted_has_three_stories() -> None:
    """Plain, as a claim check, and from an address off the list in mode observe."""
    told = {"verdict": "accepted", "status": 200, "reason": None}
    stories = [story_of(told, final).why for final in ({}, {"claim_check": True}, {"listed": False})]
    assert len(set(stories)) == 3
    assert "pointer" in stories[1]
    assert "observe" in stories[2]


def test_notations_are_the_adapters_own() -> None:
    """The prefixes are those that the adapters write, and a message comes back from each."""
    for cloud, module in ADAPTERS.items():
        assert PREFIXES[cloud] == import_module(module).PREFIX
    body = planted.body()
    message = QueueMessage.of_event(body, Envelope.parse(body), planted.signature(body))
    found = notations(message)
    attributes = {
        "aws": {name: value["StringValue"] for name, value in found["aws"]["MessageAttributes"].items()},
        "gcp": found["gcp"]["attributes"],
        "azure": found["azure"]["application_properties"],
    }
    for cloud, named in attributes.items():
        assert message_of(bare(named, cloud), body) == message
    assert found["azure"]["message_id"] == message.id


def test_a_claim_checks_pointer_is_shown_as_it_stands() -> None:
    """With the event's own bytes at hand the pointer is made again, the same one."""
    body = planted.body()
    message = QueueMessage.of_event(body, Envelope.parse(body), planted.signature(body))
    pointer = message.as_pointer("s3://bucket/claims/x")
    again = message_of(pointer.attributes, body)
    assert again == pointer
    assert json.loads(notations(again)["aws"]["MessageBody"])["dataref"] == "s3://bucket/claims/x"


def test_every_kind_of_attack_is_offered() -> None:
    """A button for each group of the doctor's table; each attack can be made of a sample."""
    assert set(KINDS) == set(Group)
    choices = Choices()
    for attack in ATTACKS:
        raw = choices.attack(attack.name, SignatureKey(planted.KEY))
        assert b"\r\n\r\n" in raw.head(80)


def test_a_replay_is_the_same_request() -> None:
    """Method, path, query, headers in their order and doubled, body and whether it was in chunks."""
    headers = [(b"host", b"x"), (b"a", b"1"), (b"a", b"\xff"), (b"transfer-encoding", b"chunked")]
    found = replay_of(HttpRequest("PUT", b"/a%20b", b"q=1", headers, b"", "127.0.0.2", 0), b"body" * 9000)
    assert (found.method, found.target, found.source, found.chunked) == ("PUT", b"/a%20b?q=1", "127.0.0.2", True)
    head = found.head(80)
    assert head.startswith(b"PUT /a%20b?q=1 HTTP/1.1\r\nhost: x\r\na: 1\r\na: \xff\r\nTransfer-Encoding: chunked\r\n")
    assert found.content().startswith(b"4000\r\nbodybody")
    assert found.content().endswith(b"\r\n0\r\n\r\n")
    assert Raw("GET", b"/", [], b"").head(80) == b"GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\n\r\n"


@given(st.binary(max_size=60).filter(lambda word: b"\0" not in word))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_quoted_words_are_exact(word: bytes) -> None:
    """Any bytes without a NUL come out of bash as they went in."""
    done = subprocess.run(["bash", "-c", f"printf %s {quote(word)}"], capture_output=True, check=True)
    assert done.stdout == word


def test_what_is_pasted_steers_no_terminal() -> None:
    """No control character but tab and line end, and nothing invisible, stands in the command itself."""
    word = quote("a\x1b[31m\r\u202e\u200b\ufeff\x7f'\\".encode())
    assert word.isascii()
    assert word.isprintable()
    with pytest.raises(ValueError, match="NUL"):
        quote(b"\0")


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """A port, and what was written to it; every request gets 200."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            connection, _ = server.accept()
            connection.settimeout(10)
            with connection:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                head, _, rest = data.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                while length and len(rest) < int(length[1]):
                    rest += connection.recv(65536)
                got.append(head + b"\r\n\r\n" + rest)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], got
        thread.join(10)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"a":"it\'s \\"quoted\\""}',
        b"@/etc/passwd",
        b"line\nline\r\n\ttab $HOME `id` !! \\",
        "\u00e9\u202e\U0001f600".encode(),
        b"\x80\xff not utf-8",
        b"with a NUL \0 in it",
        b"x" * INLINE_BYTES,
        bytes(range(256)) * 200,
    ],
    ids=["empty", "quotes", "at", "lines", "unicode", "not-utf-8", "nul", "longest-inline", "long-binary"],
)
def test_curl_sends_exactly_the_same(tmp_path: Path, body: bytes) -> None:
    """Method, target, headers and body as a server gets them from the command, in bash and with the real curl."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl; install it: apt-get install curl")
    headers = [
        (b"host", b"elsewhere"),
        (b"dastra-signature", b"AAAA'\"\\=="),
        (b"x-empty", b""),
        (b"x-bytes", b"\xe9\xff"),
        (b"content-length", b"1"),
    ]
    request = HttpRequest("POST", b"/a%20b/../c'", b"x=[1]&y={2}", headers, b"", "127.0.0.1", 0)
    (tmp_path / "download").write_bytes(body)
    with listening() as (port, got):
        command = as_curl(request, body, f"http://127.0.0.1:{port}/", (tmp_path / "download").as_uri())
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    head, _, sent = got[0].partition(b"\r\n\r\n")
    assert sent == body
    first, *rest = head.split(b"\r\n")
    assert first == b"POST /a%20b/../c'?x=[1]&y={2} HTTP/1.1"
    found = [line for line in rest if not line.lower().startswith((b"host:", b"content-length:"))]
    assert found == [b"dastra-signature: AAAA'\"\\==", b"x-empty:", b"x-bytes: \xe9\xff"]


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """No address of another host, no inline script or style, no way to write markup, in any of its files."""
    assert names() == {path.name for path in STATIC.iterdir()}
    for path in STATIC.iterdir():
        text = path.read_text()
        found = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+", text)) - {"http://www.w3.org", "http://127.0.0.1"}
        assert {address for address in found if "." in address} == set(), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
