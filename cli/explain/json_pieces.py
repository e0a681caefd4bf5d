"""JSON cut into its pieces, spelt exactly as they are: strings, numbers, punctuation, white space."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

MOST_BYTES: Final = 4 * 1024 * 1024
"""Larger bodies are not taken apart."""
_DEEPEST: Final = 200
_PIECE: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[\[\]{},:]|-?[A-Za-z]+|[ \t\r\n]+', re.DOTALL
)
_SPACE: Final = frozenset(" \t\r\n")


def is_space(piece: str) -> bool:
    """Whether a piece is white space."""
    return piece[0] in _SPACE


def pieces_of(body: bytes) -> list[str] | None:
    """A JSON object or array in pieces, white space among them but not at its ends; None for anything else."""
    if len(body) > MOST_BYTES:
        return None
    try:
        text = body.decode("utf-8-sig").strip(" \t\r\n")
        if text[:1] not in ("{", "["):
            return None
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return _PIECE.findall(text)


def members(body: bytes) -> Iterator[tuple[str, str]]:
    """Name and exact text of each member of the body's object; nothing where it is none."""
    pieces = pieces_of(body)
    if pieces is None or pieces[0] != "{":
        return
    depth, name, start = 0, "", 0
    for place, piece in enumerate(pieces):
        if piece in ("{", "["):
            depth += 1
        elif piece in ("}", "]"):
            depth -= 1
        if depth == 1 and piece == ":" and not start:
            name = json.loads(next(t for t in reversed(pieces[:place]) if not is_space(t)))
            start = place + 1
        elif start and ((depth == 1 and piece == ",") or depth == 0):
            yield name, "".join(pieces[start:place]).strip(" \t\r\n")
            start = 0


def in_sorted_order(pieces: Sequence[str]) -> list[str]:
    """Each object's members by name. What nests too deeply stays as it is."""
    try:
        written, _ = _sorted_value(pieces, 0, 0)
    except RecursionError:
        return list(pieces)
    return written


def _sorted_value(pieces: Sequence[str], place: int, depth: int) -> tuple[list[str], int]:
    opening = pieces[place]
    if opening not in ("{", "["):
        return [opening], place + 1
    if depth > _DEEPEST:
        raise RecursionError
    parts: list[tuple[str, list[str]]] = []
    place += 1
    while pieces[place] not in ("}", "]"):
        head: list[str] = []
        if opening == "{":
            head = [pieces[place], ":"]
            place += 2
        value, place = _sorted_value(pieces, place, depth + 1)
        parts.append((json.loads(head[0]) if head else "", head + value))
        if pieces[place] == ",":
            place += 1
    if opening == "{":
        parts.sort(key=lambda part: part[0])
    written = [opening]
    for number, (_, part) in enumerate(parts):
        written += [","] * (number > 0) + part
    return [*written, pieces[place]], place + 1
