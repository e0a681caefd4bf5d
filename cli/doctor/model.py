"""What a check says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check ended. Only ``fail`` makes the whole fail."""

    PASS = "pass"  # noqa: S105 - not a secret
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class Part(StrEnum):
    """Where a check stands in the table."""

    NETWORK = "Network"
    TLS = "TLS"
    EVENTS = "Genuine events"
    ATTACKS = "Attacks"
    ANSWERS = "What answers give away"
    KEY = "Key"
    QUEUE = "Queue"
    STORE = "Store"
    ALARMS = "Alarms"


@dataclass(frozen=True, slots=True)
class Result:
    """One row. No text of it holds a key, a signature or a body that was sent."""

    id: str
    """Stable, for programs."""
    part: Part
    title: str
    status: Status
    found: str
    """What was seen, in a sentence or less."""
    advice: str = ""
    """What to do; empty where there is nothing to do."""
    details: tuple[str, ...] = ()
    """What of many things it was."""

    def as_json(self) -> dict[str, object]:
        """The form of ``--json``."""
        return asdict(self) | {"details": list(self.details)}


@dataclass(frozen=True, slots=True)
class Check:
    """What a row is about, before its end is known."""

    id: str
    part: Part
    title: str

    def passed(self, found: str) -> Result:
        """All is well."""
        return Result(self.id, self.part, self.title, Status.PASS, found)

    def warned(self, found: str, advice: str, details: Iterable[str] = ()) -> Result:
        """It works, and somebody should look."""
        return Result(self.id, self.part, self.title, Status.WARN, found, advice, tuple(details))

    def failed(self, found: str, advice: str, details: Iterable[str] = ()) -> Result:
        """It must be mended."""
        return Result(self.id, self.part, self.title, Status.FAIL, found, advice, tuple(details))

    def skipped(self, why: str, advice: str = "") -> Result:
        """It was not looked at."""
        return Result(self.id, self.part, self.title, Status.SKIPPED, why, advice)


def count(results: Iterable[Result]) -> dict[str, int]:
    """How many ended how, every status named."""
    counts = dict.fromkeys((status.value for status in Status), 0)
    for result in results:
        counts[result.status.value] += 1
    return counts


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few of many, for a sentence."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
