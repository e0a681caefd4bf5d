"""`explain` reads what proxies, browsers, curl and platforms save, and finds the exact body and header in it."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cli.exits import CliError, Exit
from cli.explain.capture import Capture, pick, read_captures
from cli.explain.key_forms import GivenKey
from cli.explain.verdict import Outcome, explain_request
from core.signature import SignatureKey
from tests import planted

AWS: Final = Path(__file__).parents[1] / "events" / "aws"
VECTOR_KEY: Final = "0b5fae1c-7d2e-4c4b-9a68-3f1de2c47a90"


def raw(body: bytes, *extra: str, end: str = "\r\n", length: int | None = None) -> bytes:
    """A raw request."""
    lines = [
        "POST /dastra?code=1 HTTP/1.1",
        "Host: webhooks.example.org",
        f"Dastra-Signature: {planted.signature(body)}",
    ]
    length = len(body) if length is None else length
    if not any(line.lower().startswith("transfer-encoding") for line in extra):
        lines.append(f"Content-Length: {length}")
    return end.join([*lines, *extra, "", ""]).encode() + body


def chunked(body: bytes, size: int = 100, end: bytes = b"\r\n") -> bytes:
    """A body in chunks, with an extension and a trailer."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;x=1%b%b%b" % (len(p), end, p, end) for p in pieces) + b"0" + end + b"Trailer: 1" + end + end


def only(data: bytes) -> Capture:
    """The one request of a capture."""
    [found] = read_captures(data, "capture")
    return found


def is_valid(capture: Capture, key: str = planted.KEY) -> bool:
    """Whether its signature is right."""
    verdict = explain_request(capture, [GivenKey(SignatureKey(key), "test")], seconds=60)
    return verdict.outcome is Outcome.VALID


# -- raw HTTP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_raw_request(end: str) -> None:
    """Head and body are parted at the empty line, whichever line ends an editor has left in the head."""
    body = planted.body()
    capture = only(raw(body, end=end))
    assert (capture.method, capture.place, capture.body) == ("POST", "/dastra", body)
    assert is_valid(capture)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_chunks_are_joined(size: int, end: bytes) -> None:
    """A chunked body is decoded, whatever the chunks' size; extensions and trailers are no part of it."""
    body = planted.body()
    head = raw(body, "Transfer-Encoding: chunked")[: -len(body)]
    capture = only(head + chunked(body, size, end))
    assert capture.body == body
    assert is_valid(capture)


def test_chunks_that_are_joined_already() -> None:
    """A proxy that saves the decoded body with the old head is understood, and it is noted."""
    body = planted.body()
    capture = only(raw(body, "Transfer-Encoding: chunked"))
    assert capture.body == body
    assert "joined already" in capture.notes[0]


def test_a_last_chunk_that_is_missing() -> None:
    """What was cut within a chunk is noted."""
    body = planted.body()
    head = raw(body, "Transfer-Encoding: chunked")[: -len(body)]
    capture = only(head + chunked(body, 100)[:150])
    assert body.startswith(capture.body)
    assert "cut short" in capture.notes[0]


def test_an_editors_last_line_end() -> None:
    """White space behind a body that has its announced length is the editor's, and left out."""
    assert is_valid(only(raw(planted.body()) + b"\n"))


def test_a_body_without_length() -> None:
    """Without a length the body goes to the end of the file."""
    body = planted.body()
    head = raw(body).replace(b"Content-Length: %d\r\n" % len(body), b"")
    assert is_valid(only(head))


def test_requests_behind_each_other() -> None:
    """Several requests of one connection are several, also with answers between that are no requests."""
    bodies = [planted.body() for _ in range(3)]
    found = read_captures(b"".join(raw(body) for body in bodies), "capture")
    assert [capture.body for capture in found] == bodies
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    assert only(raw(bodies[0]) + answer).body == bodies[0]


@pytest.mark.parametrize(
    "before",
    [
        b"\xef\xbb\xbf",
        b"\r\n\r\n",
        b"Request saved 2026-03-02 09:16:03\n\n",
        b"E..4..@.@....\x00.P",
        b"-----\nmitmproxy\n",
    ],
)
def test_what_tools_write_before_a_request(before: bytes) -> None:
    """A byte-order mark, empty lines, a headline or a packet's head before the request line do no harm."""
    assert is_valid(only(before + raw(planted.body())))


def test_a_request_of_http_2() -> None:
    """A browser's pseudo headers stand for the request line."""
    body = planted.body()
    head = f":method: POST\n:path: /dastra?x=1\n:scheme: https\ndastra-signature: {planted.signature(body)}\n\n"
    capture = only(head.encode() + body)
    assert (capture.method, capture.place) == ("POST", "/dastra")
    assert is_valid(capture)


def test_headers_alone_as_head() -> None:
    """A head without a request line is one, as long as it is headers."""
    body = planted.body()
    assert is_valid(only(f"Dastra-Signature: {planted.signature(body)}\r\n\r\n".encode() + body))


def test_a_folded_header() -> None:
    """A header's value that goes on in the next line is one value."""
    capture = only(b"POST / HTTP/1.1\r\nX-Note: a\r\n  b\r\nHost: x\r\n\r\n{}")
    assert capture.values("x-note") == ("a b",)


def test_a_truncated_body_is_suspected() -> None:
    """A body below its announced length cannot be restored; that is said, with both figures."""
    body = planted.body()
    verdict = explain_request(only(raw(body)[:-60]), [GivenKey(SignatureKey(planted.KEY), "test")], seconds=60)
    assert verdict.outcome is Outcome.SUSPECTED
    [suspect] = [item for item in verdict.observed if item.suspect]
    assert suspect.code == "body_truncated"
    assert f"{len(body)}: 60 are missing" in suspect.found


# -- curl --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def curl(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Runs the real curl against a server that answers 200, with a trace; gives the trace's file."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl; Debian: apt-get install curl")
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                received = b""
                try:
                    while b"\r\n\r\n" not in received or len(received) < 200:
                        received += connection.recv(65536)
                        if received.endswith((b"}", b"\n", b"0\r\n\r\n")):
                            break
                except TimeoutError:
                    pass
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    threading.Thread(target=serve, daemon=True).start()

    def run(body: bytes, *options: str) -> Path:
        (tmp_path / "body").write_bytes(body)
        trace = tmp_path / "trace.txt"
        url = f"http://127.0.0.1:{server.getsockname()[1]}/dastra"
        header = tmp_path / "header"
        header.write_text(f"Dastra-Signature: {planted.signature(body)}\n")
        given = ["-H", f"@{header}", "--data-binary", f"@{tmp_path / 'body'}"]
        with (tmp_path / "stderr.txt").open("wb") as stderr:
            line = ["curl", "-s", "-o", "/dev/null", *given, *options, url]
            subprocess.run(line, check=True, timeout=30, stderr=stderr)
        return trace if trace.exists() else tmp_path / "stderr.txt"

    yield run
    server.close()


def test_a_trace_of_curl(curl: Callable[..., Path], tmp_path: Path) -> None:
    """`curl --trace` holds every byte, also with times before its lines and with chunks."""
    for options in ((), ("--trace-time",), ("-H", "Transfer-Encoding: chunked")):
        body = json.dumps(planted.envelope(), ensure_ascii=False, indent=1).encode()
        trace = curl(body, "--trace", str(tmp_path / "trace.txt"), *options)
        capture = only(trace.read_bytes())
        assert (capture.method, capture.place, capture.body) == ("POST", "/dastra", body), options
        assert is_valid(capture)


def test_a_trace_that_has_lost_bytes(curl: Callable[..., Path], tmp_path: Path) -> None:
    """`--trace-ascii` drops line ends and shows dots for what is not ASCII: an error, or a note, names the option."""
    trace = curl(b'{"a":1,\r\n"b":2}', "--trace-ascii", str(tmp_path / "trace.txt"))
    with pytest.raises(CliError) as caught:
        read_captures(trace.read_bytes(), "trace.txt")
    assert "capture with curl --trace FILE" in caught.value.message
    trace = curl(planted.body(), "--trace-ascii", str(tmp_path / "trace.txt"))
    assert "curl --trace FILE keeps all" in only(trace.read_bytes()).notes[0]


def test_a_trace_in_ascii_of_plain_text(curl: Callable[..., Path], tmp_path: Path) -> None:
    """`--trace-ascii` of a body in one line of ASCII has lost nothing."""
    body = planted.body(eventName="plain " + planted.MARKER, data=None)
    trace = curl(body, "--trace-ascii", str(tmp_path / "trace.txt"))
    assert is_valid(only(trace.read_bytes()))


def test_what_curl_shows_with_v(curl: Callable[..., Path]) -> None:
    """`curl -v` shows the head only; it is taken, and that the body is missing is noted."""
    body = planted.body()
    capture = only(curl(body, "-v").read_bytes())
    assert capture.method == "POST"
    assert capture.signatures == (planted.signature(body),)
    assert "no body" in capture.notes[0]


# -- packets -----------------------------------------------------------------------------------------------------------


def packet(payload: bytes, sequence: int, *, version: int = 4, ethernet: bool = False, source: int = 40000) -> bytes:
    """An IP packet with a TCP segment."""
    tcp = source.to_bytes(2) + (8080).to_bytes(2) + sequence.to_bytes(4) + bytes(4) + b"\x80\x18" + bytes(6) + bytes(12)
    inner = tcp + payload
    if version == 4:
        head = b"\x45\x00" + (20 + len(inner)).to_bytes(2) + bytes(5) + b"\x06" + bytes(2) + b"\x7f\0\0\1" * 2
        kind = b"\x08\x00"
    else:
        head = b"\x60\0\0\0" + len(inner).to_bytes(2) + b"\x06\x40" + bytes(32)
        kind = b"\x86\xdd"
    return (bytes(12) + kind if ethernet else b"") + head + inner + (b"\0" * 3 if ethernet else b"")


def dump(*packets: bytes) -> bytes:
    """As `tcpdump -X` writes packets."""
    text = []
    for data in packets:
        text.append("09:16:03.700000 IP localhost.40000 > localhost.8080: Flags [P.], length 1")
        for at in range(0, len(data), 16):
            row = data[at : at + 16]
            octets = row.hex()
            words = " ".join(octets[i : i + 4] for i in range(0, len(octets), 4))
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            text.append(f"\t0x{at:04x}:  {words:<39}  {shown}")
    return "\n".join(text).encode() + b"\n"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("ethernet", [False, True])
def test_packets(version: int, ethernet: bool) -> None:
    """Segments are put in order, what came twice counts once, and the other direction is left out; IPv4 and IPv6."""
    body = planted.body()
    data = raw(body)
    start = 2**32 - 100  # the numbers wrap round within the request
    pieces = [(at, data[at : at + 90]) for at in range(0, len(data), 90)]
    packets = [
        packet(piece, (start + at) % 2**32, version=version, ethernet=ethernet)
        for at, piece in [pieces[0], pieces[2], (45, data[45:200]), pieces[1], *pieces[2:], pieces[0]]
    ]
    other = packet(b"HTTP/1.1 200 OK\r\n\r\n", 1, version=version, ethernet=ethernet, source=50000)
    capture = only(dump(packets[0], other, *packets[1:], packet(b"", 5, version=version)))
    assert capture.body == body
    assert is_valid(capture)


def test_packets_without_a_request() -> None:
    """Packets that begin no request, such as TLS, say so."""
    with pytest.raises(CliError) as caught:
        read_captures(dump(packet(b"\x16\x03\x01" + bytes(50), 1)), "dump.txt")
    assert "over TLS nothing can be seen" in caught.value.message


# -- JSON --------------------------------------------------------------------------------------------------------------


def har_entry(body: bytes, **post: Any) -> dict[str, Any]:
    """An entry as browsers and proxies export it."""
    return {
        "startedDateTime": "2026-03-02T09:16:03.700Z",
        "request": {
            "method": "POST",
            "url": "https://webhooks.example.org/dastra?code=1",
            "headers": [{"name": "Dastra-Signature", "value": planted.signature(body)}],
            "bodySize": len(body),
            "postData": {"mimeType": "application/json", **(post or {"text": body.decode()})},
        },
    }


def har(*entries: dict[str, Any]) -> bytes:
    """A HAR."""
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}}).encode()


def test_a_har() -> None:
    """`postData.text` is the body, in UTF-8, or base64 where it says so."""
    body = planted.body()
    for post in ({}, {"text": base64.b64encode(body).decode(), "encoding": "base64"}):
        capture = only(har(har_entry(body, **post)))
        assert (capture.method, capture.place) == ("POST", "webhooks.example.org/dastra")
        assert is_valid(capture)
    assert only(b"\xef\xbb\xbf" + har(har_entry(body))).body == body


def test_a_har_that_has_lost_bytes() -> None:
    """U+FFFD in a HAR's text means that the exporter could not read the body; that is suspected."""
    body = planted.body().decode().encode("latin-1")
    capture = only(har(har_entry(body, text=body.decode("utf-8", "replace"))))
    verdict = explain_request(capture, [GivenKey(SignatureKey(planted.KEY), "test")], seconds=60)
    assert "replacement_characters" in {item.code for item in verdict.observed if item.suspect}


def test_a_har_without_bodies() -> None:
    """A HAR that was exported without content says so."""
    entry = har_entry(planted.body())
    del entry["request"]["postData"]
    assert "export it with content" in only(har(entry)).notes[0]


def test_several_entries() -> None:
    """The only signed one is taken; of several signed ones a number picks one, and the list shows no query."""
    bodies = [planted.body(), planted.body()]
    unsigned = har_entry(b"{}")
    unsigned["request"]["headers"] = []
    found = read_captures(har(unsigned, har_entry(bodies[0])), "x.har")
    assert pick(found, None, "x.har").body == bodies[0]
    found = read_captures(har(unsigned, *(har_entry(body) for body in bodies)), "x.har")
    assert pick(found, 3, "x.har").body == bodies[1]
    with pytest.raises(CliError) as caught:
        pick(found, None, "x.har")
    assert caught.value.code == Exit.USAGE
    assert "3 requests, 2 of them signed; say which with --entry NUMBER" in caught.value.message
    assert caught.value.hint.count("signed") == 2
    assert "code=1" not in caught.value.hint
    with pytest.raises(CliError) as caught:
        pick(found, 4, "x.har")
    assert caught.value.code == Exit.NOT_FOUND


def test_ngroks_requests() -> None:
    """The inspector's list holds the raw bytes in base64."""
    bodies = [planted.body(), planted.body()]
    raws = [base64.b64encode(raw(body)).decode() for body in bodies]
    entries = [{"id": "airt_1", "start": "2026-03-02T09:16:03Z", "request": {"method": "POST", "raw": r}} for r in raws]
    found = read_captures(json.dumps({"uri": "/api/requests/http", "requests": entries}).encode(), "ngrok")
    assert [capture.body for capture in found] == bodies
    assert all(is_valid(capture) for capture in found)
    assert is_valid(only(json.dumps(entries[0]).encode()))


@pytest.mark.parametrize("path", sorted(AWS.glob("*.json")), ids=lambda path: path.stem)
def test_lambda_events(path: Path) -> None:
    """The events of every front of Lambda are read, in base64 or not, and hold OpenSSL's right signature."""
    capture = only(path.read_bytes())
    assert capture.method == "POST"
    assert is_valid(capture, VECTOR_KEY)


@pytest.mark.parametrize("prefix", ["ce-", "cloudEvents:"])
def test_messages_of_the_queue(prefix: str) -> None:
    """What `/_local/messages` and `/_local/stored` give holds body and signature, for each cloud's spelling."""
    body = planted.body()
    attributes = {f"{prefix}type": "eu.dastra.TaskEdit", f"{prefix}signature": planted.signature(body)}
    message = {"id": "x", "attributes": attributes, "body": body.decode()}
    assert is_valid(only(json.dumps([message]).encode()))
    binary = planted.body().decode().encode("latin-1")
    attributes[f"{prefix}signature"] = planted.signature(binary)
    message = {"id": "x", "attributes": attributes, "body_base64": base64.b64encode(binary).decode()}
    assert is_valid(only(json.dumps(message).encode()))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "begins like JSON but is none"),
        (b"[" * 100_000, "begins like JSON but is none"),
        (b"{}", "of no kind that is known"),
        (b"[1, 2]", "of no kind that is known"),
        (b'{"headers": {}, "body": {"a": 1}}', "JSON and not text"),
        (b'{"headers": {}, "body": "x", "isBase64Encoded": true}', "should be base64"),
        (b"no request at all", "holds no request"),
        (bytes(range(256)) * 10, "holds no request"),
        (b"POST / HTTP/1.1\n" + b"X: 1\n" * 600 + b"\n", "more than 500 headers"),
    ],
)
def test_what_is_no_capture(data: bytes, said: str) -> None:
    """Anything else is a usage error that lists the forms and quotes nothing."""
    with pytest.raises(CliError) as caught:
        read_captures(data, "file")
    assert caught.value.code == Exit.USAGE
    assert said in caught.value.message
    assert "a HAR" in caught.value.hint


_HEAD: Final = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"x\n" + b"[\n" * 2_000_000,
        b"x" + b"\n" * 4_000_000,
        b"x\n" + b" " * 4_000_000 + b"0x0000: 00",
        _HEAD + b"1\r\nx\r\n" * 600_000,
        _HEAD + b"f" * 4_000_000,
        b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n" * 50_000,
        b"POST " * 1_000_000,
        b"POST / HTTP/1.1\r\n" + b"A" * 4_000_000,
        b"0x0000:  4500\n" * 200_000,
        b"=> Send data, 9999999 bytes\n" + b"0000: 41 \n" * 100_000,
        b"> POST / HTTP/1.1\n" + b"> x\n" * 1_000_000,
        b'[{"headers": {}, "body": ""},' * 100_000,
    ],
    ids=lambda data: f"{data[:12]!r}-{len(data)}",
)
def test_large_hostile_captures_end(data: bytes) -> None:
    """Megabytes made to take a parser's time are read in time that grows with their length: the test's limit holds."""
    try:
        found = read_captures(data, "capture")
    except CliError:
        return
    assert len(found) <= 200
