"""What a run must have kept and what it must not have: counted, and judged."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from core.message import event_id
from core.records import SPOOL_PREFIX
from reliability.load.instance import Size
from reliability.load.sender import Answered

_MEGABYTES: Final = 24.0
"""What an instance may have more at its end than at its half: caches and arenas of the allocator that still fill, which
takes some 15,000 requests. A leak of 2.5 kB a request shows in 20,000; a smaller one needs a longer run."""
_MEGABYTES_LARGE: Final = 36.0
"""The same where some bodies have megabytes: the allocator keeps a part of what held them, once for each thread."""
_THREADS: Final = 4
"""Threads that an instance may have more: workers that start when they are first needed."""


@dataclass(frozen=True, slots=True)
class Found:
    """An event in a durable place: the id it goes by, and the id that its body has."""

    place: str
    id: str
    body_id: str


def found_in(messages: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]]) -> list[Found]:
    """Everything in queue, spool and quarantine, from what the local deployment shows of them."""
    found = [Found("queue", str(item["id"]), _body_id(item)) for item in messages]
    for item in stored:
        place = "spool" if str(item["key"]).startswith(SPOOL_PREFIX) else "quarantine"
        found.append(Found(place, str(item["attributes"].get("id")), _body_id(item)))
    return found


def _body_id(item: Mapping[str, Any]) -> str:
    return event_id(item["body"].encode() if "body" in item else base64.b64decode(item["body_base64"]))


@dataclass(frozen=True, slots=True)
class Growth:
    """All instances together: when the run had begun, at its quarter, its half and its end."""

    start: Size
    quarter: Size
    half: Size
    end: Size

    def is_flat(self, instances: int, *, large: bool) -> bool:
        """Whether the second half has left no more behind than noise; ``large`` bodies among it."""
        most = (_MEGABYTES_LARGE if large else _MEGABYTES) * instances
        grown = self.end.megabytes - self.half.megabytes
        return grown <= most and self.end.threads - self.half.threads <= _THREADS * instances


@dataclass(slots=True)
class Tally:
    """The answers of a run, as they come in."""

    answers: list[Answered] = field(default_factory=list)

    def add(self, answered: Answered) -> None:
        """One more."""
        self.answers.append(answered)

    def statuses(self, *, genuine: bool) -> Counter[str]:
        """How often each answer came."""
        return Counter(str(told.status or "none") for told in self.answers if told.genuine is genuine)

    def slowest(self) -> float:
        """Seconds."""
        return max((told.seconds for told in self.answers), default=0.0)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a scenario permits beyond its sentence of what must never be."""

    unanswered: bool = False
    """Requests that were under way in an instance that was killed."""
    duplicates: bool = False
    """Events whose first send may have taken effect though its acknowledgement was lost."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts, and in ``faults`` a sentence for each thing that must not be."""

    places: Mapping[str, int]
    duplicates: int
    unanswered_kept: int
    unanswered_gone: int
    faults: tuple[str, ...]


def judge(
    answers: Sequence[Answered], found: Sequence[Found], allowed: Allowed, doubtful: Collection[str] = ()
) -> Verdict:
    """Compare what was answered with what is there.

    ``doubtful`` are the ids of events whose send failed, as the receiver said: it may have taken effect all the same,
    so that such an event may be there twice on any occasion.

    Every event that was answered 200 is in one durable place, with the bytes that were signed; nothing of an attack is
    in any; each answer is the right one.
    """
    genuine = {told.id: told for told in answers if told.genuine}
    kept = Counter(item.id for item in found)
    unanswered = [told.id for told in genuine.values() if told.status is None]
    accepted = [told.id for told in genuine.values() if told.status == 200]
    duplicates = sum(count - 1 for count in kept.values())
    unexplained = sum(count - 1 for id_, count in kept.items() if id_ not in doubtful)
    wrong = Counter(
        f"{told.kind}: {told.status or 'no answer'}"
        for told in answers
        if not told.right and not (told.status is None and allowed.unanswered)
    )
    counts = {
        "answered 200 and in no durable place": sum(id_ not in kept for id_ in accepted),
        "in a durable place and not sent as genuine": sum(count for id_, count in kept.items() if id_ not in genuine),
        "kept with other bytes than were signed": sum(item.id != item.body_id for item in found),
        "kept more than once": 0 if allowed.duplicates else unexplained,
        **{f"wrong answer ({what})": count for what, count in wrong.items()},
    }
    return Verdict(
        dict(Counter(item.place for item in found)),
        duplicates,
        sum(id_ in kept for id_ in unanswered),
        sum(id_ not in kept for id_ in unanswered),
        tuple(f"{count} {what}" for what, count in counts.items() if count),
    )
