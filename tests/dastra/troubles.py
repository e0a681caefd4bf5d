"""What can go wrong on the way to Dastra's API and back, switched on for some requests of the stand-in."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """How a request fares. Unless it says otherwise, nothing is done about the request."""

    STATUS = "status"
    """An answer with a status and headers of the test's choice."""
    RESET = "reset"
    """The connection is reset without an answer."""
    LOST = "lost"
    """It is done, and then the connection is reset without an answer."""
    HALF = "half"
    """It is done, and the connection is reset in the middle of the answer."""
    CUT = "cut"
    """It is done; half of the JSON comes, under a length that says that this is all."""
    DRIP = "drip"
    """It is done; the answer comes byte by byte, each in time, the whole never."""
    SLOW = "slow"
    """It is done; the answer comes after ``seconds``."""
    PAGE = "page"
    """A web page instead of an answer."""
    HOLD = "hold"
    """It is not done before `Trouble.release`; ``reached`` is set when it is there."""


@dataclass
class Trouble:
    """What befalls requests by a method and a path; ``skip`` of them pass first, then ``times`` are struck."""

    kind: Kind
    method: str = ".*"
    path: str = ".*"
    times: int = 1
    skip: int = 0
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    value: object = None
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let go what is held."""
        self.go_on.set()


class Troubles:
    """Those that are switched on. Safe under concurrent requests."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._on: list[Trouble] = []

    def add(self, trouble: Trouble) -> Trouble:
        """Switch one on, behind those that are."""
        with self._lock:
            self._on.append(trouble)
        return trouble

    def clear(self) -> None:
        """Switch all off, and let go what is held."""
        with self._lock:
            for trouble in self._on:
                trouble.release()
            self._on.clear()

    def strike(self, method: str, path: str) -> Trouble | None:
        """The trouble of this request, counted."""
        with self._lock:
            for trouble in self._on:
                if not (re.fullmatch(trouble.method, method) and re.fullmatch(trouble.path, path)) or not trouble.times:
                    continue
                if trouble.skip:
                    trouble.skip -= 1
                    continue
                trouble.times -= 1
                trouble.reached.set()
                return trouble
        return None
