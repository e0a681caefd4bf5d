"""A sequence of steps, told one by one: what was done, what was so already, what would be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cli.output import FAINT, GOOD, HELD, Output


class State(StrEnum):
    """What became of a step."""

    DONE = "done"
    ALREADY = "already"
    WOULD = "would"


_MARKS: Final = {State.DONE: ("✓ ", GOOD), State.ALREADY: ("= ", FAINT), State.WOULD: ("→ ", HELD)}


@dataclass(slots=True)
class Steps:
    """Tells each step on stdout, or keeps it for the JSON at the end."""

    out: Output
    dry_run: bool = False
    told: list[dict[str, str]] = field(default_factory=list)

    def done(self, name: str, text: str) -> None:
        """It has just been done."""
        self._tell(State.DONE, name, text)

    def already(self, name: str, text: str) -> None:
        """It was so before."""
        self._tell(State.ALREADY, name, text)

    def would(self, name: str, text: str) -> None:
        """A dry run stops before it."""
        self._tell(State.WOULD, name, text)

    def _tell(self, state: State, name: str, text: str) -> None:
        self.told.append({"step": name, "state": state.value, "text": text})
        if not self.out.as_json:
            self.out.say(_MARKS[state], text)
