"""A request as a `curl` command that sends the same bytes, for bash and zsh."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Sequence
from typing import Final

from cli.local.front import HttpRequest

INLINE_BYTES: Final = 8 * 1024
"""A longer body goes through a file: a command line takes 128 KiB as one word, and a person less."""
_OWN: Final = frozenset({b"host", b"content-length", b"connection", b"expect", b"keep-alive"})
_ADDED: Final = (b"user-agent", b"accept", b"content-type")
"""What curl writes by itself unless it is told not to."""
# Tabs and line ends may stand in quotes; what steers a terminal or turns its reading direction is spelt out.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]"
)


def as_curl(request: HttpRequest, body: bytes, base_url: str, download: str) -> str:
    """The command.

    Args:
        request: the request, whose own body is not looked at.
        body: the exact bytes.
        base_url: where the receiver answers, with its last slash.
        download: the URL that serves the body, for one that is too long or no text.
    """
    words: list[str] = ["curl", "-i", "-g", "--path-as-is"]
    if request.method == "HEAD":
        words.append("--head")
    elif request.method != "POST" or not body:
        words += ["-X", quote(request.method.encode())]
    if request.client != "127.0.0.1":
        words += ["--interface", quote(request.client.encode())]
    target = request.path + (b"?" + request.query if request.query else b"")
    words.append(quote(base_url.rstrip("/").encode() + target))
    lines = [" ".join(words), *(f"-H {quote(header)}" for header in _headers(request.headers))]
    before = ""
    if b"\0" in body or len(body) > INLINE_BYTES or _text(body) is None:
        name = "dastra-body.bin"
        if len(body) > INLINE_BYTES:
            before = f"curl -sS {quote(download.encode())} -o {name} &&\n"
        else:
            before = f"base64 -d > {name} <<'END'\n{base64.encodebytes(body).decode()}END\n"
        lines.append(f"--data-binary @{name}")
    elif body:
        # Not --data-binary: that reads a file where the body begins with an @.
        lines.append(f"--data-raw {quote(body)}")
    return before + " \\\n  ".join(lines)


def quote(word: bytes) -> str:
    """A word for bash and zsh that stands for exactly these bytes.

    Raises:
        ValueError: it has a NUL, which no word can have.
    """
    if b"\0" in word:
        raise ValueError("a word of a command line cannot have a NUL")
    text = _text(word)
    if text is not None and not _UNSAFE.search(text):
        return shlex.quote(text)
    return "$'" + "".join(_escaped(byte) for byte in word) + "'"


def _escaped(byte: int) -> str:
    char = chr(byte)
    if char in "'\\":
        return "\\" + char
    # Three octal digits: a hexadecimal escape would take a digit that follows for its own.
    return char if " " <= char <= "~" else f"\\{byte:03o}"


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _headers(headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    shown = [
        # "Name;" is how curl is told of a header without a value.
        name + (b": " + value if value else b";")
        for name, value in headers
        if name.lower() not in _OWN
    ]
    present = {name.lower() for name, _ in headers}
    return shown + [name + b":" for name in _ADDED if name not in present]
