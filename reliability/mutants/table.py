"""The committed table of mutants that no test can notice, each with the reason."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """A changed line. No line numbers: they move when something else changes."""

    module: str
    place: str
    """The function, class or method; empty for the module itself."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What survived against what the table explains."""

    unexplained: tuple[Mutant, ...]
    """Survivors that the table does not know: a test is missing."""
    outdated: tuple[Mutant, ...]
    """Entries of the table that a test notices by now, or whose line has changed."""


def read(path: Path = TABLE) -> dict[Mutant, str]:
    """The reason for each."""
    entries = tomllib.loads(path.read_text("utf-8"))["survivor"]
    return {
        Mutant(entry["module"], entry["place"], entry["before"], after): entry["why"]
        for entry in entries
        for after in entry["after"]
    }


def compare(survived: set[Mutant], explained: dict[Mutant, str], modules: set[str]) -> Comparison:
    """Compare, for the modules that were tried."""
    known = {mutant for mutant in explained if mutant.module in modules}
    return Comparison(tuple(sorted(survived - known)), tuple(sorted(known - survived)))
