"""The receiver's log, which on a platform is its standard output, kept in a file beside what a person reads."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final


class Journal(io.TextIOBase):
    """Stands in for ``sys.stdout``: whole lines go to a file, and to whoever gathers those of the present thread."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        path.unlink(missing_ok=True)
        self._file: Final = open(  # noqa: SIM115, PTH123 - open for as long as the run; the mode is given at birth
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            "w",
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._lock: Final = threading.Lock()
        self._thread: Final = threading.local()

    def writable(self) -> bool:
        """As any standard output."""
        return True

    def write(self, text: str) -> int:
        """Take text; a line is passed on once it is whole, since `print` writes its end apart."""
        *lines, rest = (getattr(self._thread, "rest", "") + text).split("\n")
        self._thread.rest = rest
        gathered: list[Mapping[str, Any]] | None = getattr(self._thread, "lines", None)
        for line in lines:
            with self._lock:
                self._file.write(line + "\n")
                self._file.flush()
            if gathered is not None and (parsed := _parse(line)):
                gathered.append(parsed)
        return len(text)

    @contextmanager
    def gather(self) -> Iterator[list[Mapping[str, Any]]]:
        """The log lines that this thread writes meanwhile, parsed; metrics are left out."""
        lines: list[Mapping[str, Any]] = []
        self._thread.lines = lines
        try:
            yield lines
        finally:
            self._thread.lines = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()
        super().close()


def _parse(line: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "_aws" not in found else None
