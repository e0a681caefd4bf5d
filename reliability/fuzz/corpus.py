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
from typing import Any, Final

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
    """As few inputs as reach every line, and every step from line to line, that all of them reach; short ones first."""
    kept: list[bytes] = []
    known: set[Step] = set()
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        steps = _steps(target, data)
        if steps - known:
            known |= steps
            kept.append(data)
    return kept


def _steps(target: Target, data: bytes) -> set[Step]:
    """The steps that an input takes in code of the receiver, on every thread."""
    found: set[Step] = set()

    def trace(frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if not name.startswith(_RECEIVER):
            return None
        before = frame.f_lineno

        def step(frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
            nonlocal before
            if event == "line":
                found.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return step

        return step

    threading.settrace(trace)
    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return found
