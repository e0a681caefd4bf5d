"""Ends a command at a chosen point, as a kill would: between any two of its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cli.dastra.rotation import Journal
from cli.dastra.steps import Steps


class Killed(BaseException):
    """The end. Nothing in the program catches it."""


class Points:
    """The points that a command passes: each step told, and each note of a rotation written. Ends it at ``last``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0
        self.last = 0
        """Counted from 1; 0: never."""
        monkeypatch.setattr(Steps, "_tell", self._counted(Steps._tell))
        monkeypatch.setattr(Journal, "keep", self._counted(Journal.keep))

    def kill_at(self, last: int) -> None:
        """Begin to count anew."""
        self.passed, self.last = 0, last

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            result = method(*args)
            self.passed += 1
            if self.passed == self.last:
                raise Killed
            return result

        return call
