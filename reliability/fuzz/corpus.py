"""The kept inputs: one file for each target, one input a line, as a JSON string in which a character is a byte.

All are invented. They are what is left of long runs once everything that adds no coverage is gone.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

from reliability.fuzz.targets import Target

Step = tuple[str, int, int]
"""A file, and two of its lines that ran one after the other."""

FOLDER: Final = Path(__file__).with_name("kept")
_ROOT: Final = Path(__file__).parents[2]
_RECEIVER: Final = tuple(f"{_ROOT / name}/" for name in ("core", "aws_lambda", "azure_function", "gcp_function"))
MOST_BYTES: Final = 4096
"""What an input may have."""


def read(target: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    path = FOLDER / f"{target}.jsonl"
    lines = path.read_text("ascii").splitlines() if path.exists() else []
    return [json.loads(line).encode("latin-1") for line in lines]


def write(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these and no others, the short ones first."""
    ordered = sorted(set(inputs), key=lambda data: (len(data), data))
    FOLDER.mkdir(exist_ok=True)
    text = "".join(json.dumps(data.decode("latin-1")) + "\n" for data in ordered)
    (FOLDER / f"{target}.jsonl").write_text(text, "ascii")


def unpack(target: str, folder: Path) -> None:
    """Write each into a file of its own, as a fuzzer wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in read(target):
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def least(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """As few inputs as take every step from line to line of the receiver that all of them take; short ones first.

    To be called before the target has run: threads that it has started already are not seen.
    """
    kept: list[bytes] = []
    steps = _Steps()
    with steps:
        for data in sorted(set(inputs), key=lambda data: (len(data), data)):
            before = len(steps.taken)
            target(data)
            if len(steps.taken) > before:
                kept.append(data)
    return kept


class _Steps:
    """The steps that have been taken in code of the receiver, on every thread, while the ``with`` block runs.

    Whoever traced before, such as a measurement of coverage, does so again afterwards.
    """

    def __init__(self) -> None:
        self.taken: Final[set[Step]] = set()
        self._before: Final = sys.gettrace(), threading.gettrace()

    def __enter__(self) -> Self:
        threading.settrace(self._called)
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        own, threads = self._before
        sys.settrace(own)
        threading.settrace(threads)

    def _called(self, frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if not name.startswith(_RECEIVER):
            return None
        before = frame.f_lineno

        def step(frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
            nonlocal before
            if event == "line":
                self.taken.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return step

        return step
