"""Requests in text captures, read leniently: raw HTTP, `curl --trace`, `tcpdump -X`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cli.explain.capture import Capture, CaptureError
from cli.explain.packets import streams

_MOST_HEADERS: Final = 500
_MOST_REQUESTS: Final = 200
_LONGEST_HEAD: Final = 256 * 1024
_LONGEST_CHUNK_HEAD: Final = 4096
_LOOKED_THROUGH: Final = 64 * 1024
_REQUEST_LINE: Final = re.compile(
    rb"(?m)(?:(?<=^)|(?<=[^A-Za-z]))([A-Z]{3,10}) (\S{1,8000})(?: HTTP/\d(?:\.\d)?)?[ \t]*\r?$"
)
_PSEUDO: Final = re.compile(r":(method|path|authority|scheme)\s*:\s*(.*)", re.IGNORECASE)
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*)", re.DOTALL)
_TRACED: Final = re.compile(
    rb"(?m)^(?:\d\d:\d\d:\d\d\.\d+ )?(?:\[[^\]\n]{0,40}\] ){0,4}=> Send (header|data), (\d+) bytes"
)
_PACKETS: Final = re.compile(rb"(?m)^[ \t]*0x0000:[ \t]+[0-9a-f]{4}")
_SHOWN: Final = re.compile(rb"(?m)^> ?(.*?)\r?$")


def http_captures(data: bytes) -> list[Capture]:
    """Every request in a text capture.

    Raises:
        CaptureError: it is no such capture, or one that has lost bytes.
    """
    if _TRACED.search(data):
        blocks = list(_blocks(data))
        lossy = any(block.is_text and b"." in block.data for block in blocks if block.is_body)
        note = "curl --trace-ascii writes a dot for every byte that is not ASCII; curl --trace FILE keeps all of them."
        return _requests(b"".join(block.data for block in blocks), (note,) if lossy else ())
    if _PACKETS.search(data):
        found = [capture for stream in streams(data) for capture in _requests(stream, ())]
        if not found:
            raise CaptureError("no packet in it begins an HTTP request (over TLS nothing can be seen)")
        return found
    if len(lines := _SHOWN.findall(data)) >= 2 and re.match(rb"[A-Z]+ \S+", lines[0]):
        note = "curl -v shows no body; this one is empty unless --body gives it."
        return [_head_and_body(b"\n".join(lines), b"", (note,))]
    return _requests(data.removeprefix(b"\xef\xbb\xbf"), ())


def _requests(data: bytes, notes: tuple[str, ...]) -> list[Capture]:
    """Requests one behind the other, as they come over one connection."""
    found: list[Capture] = []
    rest = data
    while rest and not rest.isspace() and len(found) < _MOST_REQUESTS:
        start = _start(rest, first=not found)
        if start is None:
            break
        capture, rest = _request(rest[start:], notes)
        found.append(capture)
    return found


def _start(data: bytes, *, first: bool) -> int | None:
    """Where a request begins. Before the first one a tool may have written something."""
    head = data[:_LOOKED_THROUGH]
    text = head.lstrip(b"\r\n")
    offset = len(head) - len(text)
    line = text.split(b"\n", 1)[0].decode("latin-1").rstrip("\r")
    if _REQUEST_LINE.match(text) or (first and (_PSEUDO.match(line) or _FIELD.fullmatch(line))):
        return offset
    if not first:
        return None
    for match in _REQUEST_LINE.finditer(head):
        if b" HTTP/" in match[0]:
            return match.start()
    return None


def _request(data: bytes, notes: tuple[str, ...]) -> tuple[Capture, bytes]:
    match = re.search(rb"\r?\n[ \t]*\r?\n", data)
    if match is None:
        return _head_and_body(data, b"", (*notes, "The request has no empty line, so no body.")), b""
    capture = _head_and_body(data[: match.start()], data[match.end() :], notes)
    if any("chunked" in value.lower() for value in capture.values("transfer-encoding")):
        return _unchunked(capture)
    if capture.declared is not None and capture.declared <= len(capture.body):
        rest = capture.body[capture.declared :]
        if _start(rest, first=False) is not None or rest.startswith(b"HTTP/"):
            return _with_body(capture, capture.body[: capture.declared]), rest
        # White space that an editor left behind the body; anything else stays, for the search to find.
        if not rest or rest.isspace():
            return _with_body(capture, capture.body[: capture.declared]), b""
    return capture, b""


def _head_and_body(head: bytes, body: bytes, notes: tuple[str, ...]) -> Capture:
    if len(head) > _LONGEST_HEAD:
        raise CaptureError(f"the request's head is longer than {_LONGEST_HEAD // 1024} KiB")
    lines = re.split(r"\r?\n", head.decode("latin-1"))
    method, target, headers, odd = None, "", list[tuple[str, str]](), list[str]()
    for number, line in enumerate(lines):
        if number == 0 and (first := _REQUEST_LINE.match(line.encode("latin-1"))):
            method, target = first[1].decode("latin-1"), first[2].decode("latin-1")
        elif pseudo := _PSEUDO.fullmatch(line):
            method = pseudo[2].strip() if pseudo[1].lower() == "method" else method
            target = pseudo[2].strip() if pseudo[1].lower() == "path" else target
        elif line[:1] in (" ", "\t") and headers:
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line.strip()}")
        elif field := _FIELD.fullmatch(line):
            headers.append((field[1], field[2]))
        elif line.strip():
            odd.append(f"Line {number + 1} of the request's head is no header, and was left out.")
        if len(headers) > _MOST_HEADERS:
            raise CaptureError(f"the request has more than {_MOST_HEADERS} headers")
    declared = next(
        (int(value) for name, value in headers if name.lower() == "content-length" and _is_size(value)), None
    )
    return Capture(method, target, tuple(headers), body, declared, notes[:5])


def _is_size(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdigit() and len(text.strip()) < 16


def _with_body(capture: Capture, body: bytes, *notes: str) -> Capture:
    return Capture(
        capture.method, capture.target, capture.headers, body, capture.declared, (*capture.notes, *notes), capture.at
    )


def _unchunked(capture: Capture) -> tuple[Capture, bytes]:
    """Without its chunks. Where the proxy has joined them already, the body stays as it is."""
    body, pieces, place = capture.body, list[bytes](), 0
    while True:
        end = body.find(b"\n", place, place + _LONGEST_CHUNK_HEAD)
        size = body[place:end].split(b";")[0].strip() if end >= 0 else b""
        if not re.fullmatch(rb"[0-9a-fA-F]{1,12}", size):
            if not pieces:
                return _with_body(capture, body, "It says chunked, but its chunks are joined already."), b""
            return _with_body(capture, b"".join(pieces), "Its last chunks are missing."), b""
        start, length = end + 1, int(size, 16)
        if length == 0:
            return _with_body(capture, b"".join(pieces)), body[_past_line_end(body, start) :]
        pieces.append(body[start : start + length])
        if start + length > len(body):
            return _with_body(capture, b"".join(pieces), "Its last chunk is cut short."), b""
        place = _past_line_end(body, start + length)


def _past_line_end(data: bytes, place: int) -> int:
    """Behind the line end that stands at a place, if one does."""
    if data.startswith(b"\r\n", place):
        return place + 2
    return place + data.startswith(b"\n", place)


@dataclass(frozen=True, slots=True)
class _Block:
    """What curl sent at once, by its own trace; ``is_text`` where the trace shows it as text only."""

    data: bytes
    is_body: bool
    is_text: bool


def _blocks(data: bytes) -> Iterator[_Block]:
    lines = re.compile(rb"^[0-9a-f]{4,8}: (.*?)\r?$", re.MULTILINE)
    for match in _TRACED.finditer(data):
        size, is_body = int(match[2]), match[1] == b"data"
        place = data.find(b"\n", match.end()) + 1
        octets, text = bytearray(), list[bytes]()
        while place and len(octets) < size and (line := lines.match(data, place)):
            shown = re.match(rb"((?:[0-9a-f]{2} ){1,16}) *", line[1] + b" ")
            octets += bytes.fromhex(shown[1].decode("ascii")) if shown else b""
            text.append(line[1])
            place = line.end() + 1
        if len(octets) == size:
            yield _Block(bytes(octets), is_body, is_text=False)
        elif not is_body:
            yield _Block(b"\r\n".join(text) + b"\r\n", is_body, is_text=True)
        elif len(b"".join(text)) == size:
            yield _Block(b"".join(text), is_body, is_text=True)
        else:
            raise CaptureError("curl --trace-ascii has lost bytes of the body; capture with curl --trace FILE")
