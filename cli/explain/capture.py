"""A captured request, whatever kind of file it stands in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cli.exits import CliError, Exit
from core.signature import HEADER

MOST_BYTES: Final = 32 * 1024 * 1024
"""The largest file that is read: several times what any receiver takes."""
FORMS: Final = (
    "a raw HTTP request (head, empty line, body), the output of curl --trace or tcpdump -X, a HAR, the requests of "
    "ngrok's inspector (/api/requests/http), a Lambda event, or what /_local/messages and /_local/stored give"
)


@dataclass(frozen=True, slots=True)
class Capture:
    """One request. ``declared`` is the length that it announced; ``notes`` what the capture itself has to say.

    Its repr holds neither headers nor body.
    """

    method: str | None
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    declared: int | None = None
    notes: tuple[str, ...] = ()
    at: str = ""
    """When it was made, in the capture's own words."""

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a header."""
        return tuple(value for key, value in self.headers if key.lower() == name.lower())

    @property
    def signatures(self) -> tuple[str, ...]:
        """Every value of Dastra's header."""
        return self.values(HEADER)

    @property
    def place(self) -> str:
        """Host and path; a query may hold secrets."""
        parts = urlsplit(self.target) if "://" in self.target else None
        return f"{parts.hostname}{parts.path}" if parts else self.target.partition("?")[0]

    def __repr__(self) -> str:
        return f"Capture({self.method} <{len(self.body)} bytes>)"


class CaptureError(ValueError):
    """A file is not what it was taken for. The message holds none of it."""


def declared_length(headers: Iterable[tuple[str, str]]) -> int | None:
    """What `Content-Length` says; None where it is absent or no number."""
    for name, value in headers:
        text = value.strip()
        if name.lower() == "content-length" and text.isascii() and text.isdigit() and len(text) < 16:
            return int(text)
    return None


def read_bytes(path: Path, stdin: bytes | None = None) -> bytes:
    """A file's bytes, or ``stdin`` where it is named ``-``.

    Raises:
        CliError: it cannot be read, or is larger than `MOST_BYTES`.
    """
    if str(path) == "-":
        data = stdin or b""
    else:
        try:
            if not path.is_file() and not path.is_fifo():
                raise CliError(f"{path} is not there, or is no file.", "Look at the path.", Exit.USAGE)
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise CliError(f"{path} cannot be read: {(error.strerror or '').lower()}.", code=Exit.USAGE) from None
    if len(data) > MOST_BYTES:
        raise CliError(
            f"{path} is larger than {MOST_BYTES // (1024 * 1024)} MiB.",
            "Cut it down to the one request; no receiver takes a body of that size.",
            Exit.USAGE,
        )
    return data


def read_captures(data: bytes, name: str) -> list[Capture]:
    """Every request that a captured file holds.

    Raises:
        CliError: it holds none, or its form is none of those that are known.
    """
    from cli.explain.http_captures import http_captures
    from cli.explain.json_captures import json_captures

    if not data.strip():
        raise CliError(f"{name} is empty.", f"Expected {FORMS}.", Exit.USAGE)
    reader = json_captures if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else http_captures
    try:
        found = reader(data)
    except CaptureError as error:
        raise CliError(f"{name}: {error}.", _advice(), Exit.USAGE) from None
    if not found:
        raise CliError(f"{name} holds no request.", _advice(), Exit.USAGE)
    return found


def _advice() -> str:
    alone = "dastra-webhooks explain --body FILE --signature VALUE"
    return f"Expected {FORMS}.\nA body alone goes with its signature: {alone}"


def pick(captures: Sequence[Capture], number: int | None, name: str) -> Capture:
    """The request of this number, else the only one that is signed, else the only one.

    Raises:
        CliError: several are there and none is named, or the number is none of theirs.
    """
    if number is not None:
        if not 1 <= number <= len(captures):
            raise CliError(
                f"{name} has no request {number}; it has {len(captures)}.", _listed(captures), Exit.NOT_FOUND
            )
        return captures[number - 1]
    signed = [capture for capture in captures if capture.signatures]
    if len(signed) == 1 or len(captures) == 1:
        return (signed or captures)[0]
    raise CliError(
        f"{name} has {len(captures)} requests, {len(signed)} of them signed; say which with --entry NUMBER.",
        _listed(captures),
        Exit.USAGE,
    )


def _listed(captures: Sequence[Capture], most: int = 40) -> str:
    lines = [
        f"{number:>4}  {capture.at:<24.24}  {(capture.method or '?'):<6.6}  {capture.place:<44.44}"
        f"  {len(capture.body):>8} B  {'signed' if capture.signatures else ''}".rstrip()
        for number, capture in enumerate(captures, 1)
        if capture.signatures or len(captures) <= most
    ]
    more = len(lines) - most
    return "\n".join(lines[:most] + ([f"      … {more} more"] if more > 0 else []))
