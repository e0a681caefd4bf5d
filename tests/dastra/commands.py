"""Calls a command on the stand-in's account; what it says must hold no key and no body."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

from tests import planted
from tests.dastra.standin import StandIn


class AccountCommand:
    """One command, with arguments that it always gets. ``invoke`` runs the program in this process."""

    def __init__(self, invoke: Callable[..., Result], dastra: StandIn, *always: str) -> None:
        self._invoke, self._dastra, self._always = invoke, dastra, always

    def __call__(self, *arguments: str, **environment: str) -> Result:
        """Run it."""
        result = self.unchecked(*arguments, **environment)
        assert planted.found_in(result.output) == []
        return result

    def unchecked(self, *arguments: str, **environment: str) -> Result:
        """Run it where it is to show a key."""
        return self._invoke(*self._always, *arguments, **self._dastra.environment | environment)

    def json(self, *arguments: str, code: int = 0, **environment: str) -> Any:
        """What it prints with --json, parsed; it must end with this code."""
        result = self(*arguments, "--json", **environment)
        assert result.exit_code == code, result.stderr
        return json.loads(result.stdout)

    def steps(self, *arguments: str) -> dict[str, str]:
        """Run it to its end; each step and what became of it."""
        return {step["step"]: step["state"] for step in self.json(*arguments)["steps"]}
