"""The front of the local run makes of a request what a function URL makes of it."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from aws_lambda.events import read_request
from cli.exits import CliError, Exit
from cli.local.aws import function_url_event
from cli.local.front import HttpRequest, Threads, listen
from cli.local.journal import Journal

EVENTS = Path(__file__).parents[1] / "events" / "aws"


def request(body: bytes = b"{}", *headers: tuple[bytes, bytes], **fields: Any) -> HttpRequest:
    """A request with a JSON content type unless another is given."""
    given = headers or ((b"content-type", b"application/json"),)
    values = {"method": "POST", "path": b"/", "query": b"", "client": "192.0.2.44", "received_at": 1772442964.118}
    return HttpRequest(**{**values, "headers": given, "body": body, **fields})


@pytest.mark.parametrize("name", ["function_url", "function_url_base64"])
def test_events_have_the_documented_shape(name: str) -> None:
    """Made from the same request, an event equals the documented one but for what AWS makes up itself."""
    documented = json.loads((EVENTS / f"{name}.json").read_bytes())
    body = documented["body"].encode()
    if documented["isBase64Encoded"]:
        body = base64.b64decode(body)
    headers = [(key.encode(), value.encode()) for key, value in documented["headers"].items()]
    headers += [(b"cookie", cookie.encode()) for cookie in documented.get("cookies", ())]
    made = function_url_event(request(body, *headers, query=documented["rawQueryString"].encode()), "id")
    unset = [key for key, value in documented.items() if value is None]
    assert made.keys() == documented.keys() - set(unset)
    for key in made.keys() - {"headers", "requestContext"}:
        assert made[key] == documented[key], key
    for key in made["headers"].keys() - {"x-amzn-trace-id"}:
        assert made["headers"][key] == documented["headers"][key], key
    context, expected = made["requestContext"], documented["requestContext"]
    for key in ("http", "time", "timeEpoch", "accountId", "routeKey", "stage", "domainName"):
        assert context[key] == expected[key], key


@pytest.mark.parametrize(
    ("body", "header", "is_base64"),
    [
        (b'{"a":"\xc3\xa9"}', (b"content-type", b"application/json; charset=utf-8"), False),
        (b"text", (b"content-type", b"text/plain"), False),
        (b"\xff", (b"content-type", b"application/json"), True),
        (b"{}", (b"content-type", b"application/octet-stream"), True),
        (b"{}", (b"x-none", b""), True),
        (b"", (b"content-type", b"application/octet-stream"), False),
    ],
)
def test_bodies_arrive_as_they_were_sent(body: bytes, header: tuple[bytes, bytes], is_base64: bool) -> None:
    """Text that is UTF-8 goes in as text and all else as base64; the entry point gets the same bytes either way."""
    event = function_url_event(request(body, header), "id")
    assert event["isBase64Encoded"] is is_base64
    assert read_request(event, 1).body == body


def test_a_compressed_body_stays_compressed() -> None:
    """A content encoding makes it base64, whatever the type says."""
    headers = [(b"content-type", b"text/plain"), (b"content-encoding", b"gzip")]
    event = function_url_event(request(b"text", *headers), "id")
    assert event["isBase64Encoded"]
    assert read_request(event, 1).body == b"text"


def test_duplicate_headers_are_joined() -> None:
    """Names are in lower case and a repeated header is one value with a comma."""
    made = function_url_event(request(b"", (b"Dastra-Signature", b"a"), (b"dastra-signature", b"b")), "id")
    assert made["headers"]["dastra-signature"] == "a,b"


def test_the_client_is_the_socket() -> None:
    """A header cannot say who is calling."""
    made = function_url_event(request(b"", (b"x-forwarded-for", b"203.0.113.9")), "id")
    assert made["headers"]["x-forwarded-for"] == "192.0.2.44"
    assert read_request(made, 1).source == "192.0.2.44"


def test_paths_and_queries() -> None:
    """The path is decoded, as the platform does it; the query stays as it was sent."""
    made = function_url_event(request(path=b"/a%20b/%C3%A9", query=b"x=1&x=2&y=a+b%26"), "id")
    assert made["rawPath"] == "/a b/\u00e9"
    assert made["rawQueryString"] == "x=1&x=2&y=a+b%26"
    assert made["queryStringParameters"] == {"x": "1,2", "y": "a b&"}


def test_threads_run_calls_side_by_side() -> None:
    """As many calls as there may be threads run at once; a call's exception reaches the one who waits."""
    threads = Threads(8, "test")
    meeting = threading.Barrier(8, timeout=10)

    async def go() -> None:
        await asyncio.gather(*(threads.run(meeting.wait) for _ in range(8)))
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)

    asyncio.run(go())


def test_a_taken_port_is_told() -> None:
    """A port that is in use is an error that names the way out."""
    with listen(0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(CliError) as caught:
            listen(port)
    assert caught.value.code is Exit.BUSY
    assert f"make run PORT={port + 1}" in caught.value.hint


def test_the_journal_keeps_lines_whole(tmp_path: Path) -> None:
    """Lines of several threads are not mixed, also when `print` writes their ends apart."""
    journal = Journal(tmp_path / "log")
    start = threading.Barrier(4, timeout=10)

    def write(number: int) -> None:
        start.wait()
        for _ in range(200):
            print(str(number) * 50, file=journal)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    journal.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 800
    assert all(line == line[0] * 50 for line in lines)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_the_journal_gathers_log_lines(tmp_path: Path) -> None:
    """What a thread logs meanwhile is gathered, parsed; metrics and other text are not."""
    journal = Journal(tmp_path / "log")
    with journal.gather() as lines:
        journal.write('{"message": "accepted"}\n{"_aws": {}}\nTraceback\n[1]\n')
    journal.write('{"message": "later"}\n')
    journal.close()
    assert lines == [{"message": "accepted"}]
