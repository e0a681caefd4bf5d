"""How an input's bytes become a case: its first line is read as choices, the rest is the request's body.

So a corpus file shows its body as it is, and a fuzzer that changes a byte changes one choice or one part of the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")


class Choices:
    """Decisions drawn from bytes; once they are used up, each is the first that there is."""

    def __init__(self, data: bytes) -> None:
        self._data: Final = data
        self._at = 0

    def number(self, below: int) -> int:
        """A number from 0; ``below`` at most 256."""
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1] % below

    def of(self, values: Sequence[T]) -> T:
        """One of these."""
        return values[self.number(len(values))]

    def flag(self) -> bool:
        """Yes in one case of four, so that most inputs are ordinary in most respects."""
        return self.number(4) == 1

    def text(self, most: int = 80) -> str:
        """What follows, up to a zero byte: every byte one character, as headers come in."""
        rest = self._data[self._at : self._at + most].partition(b"\0")[0]
        self._at += len(rest) + 1
        return rest.decode("latin-1")


def split(data: bytes) -> tuple[Choices, bytes]:
    """The choices of an input, and its body."""
    head, _, body = data.partition(b"\n")
    return Choices(head), body
