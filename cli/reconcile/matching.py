"""Which entries of the log have arrived, told by time alone: all that is judged here concerns one object and one type.

An event that arrived carries no id that its entry has too, so the two are matched by event type, object and date. Two
events of one type on one object within a few minutes can then be mistaken for each other. The rule: an entry is called
missing only where no arrival could be its own, and arrived only where every one near it has an arrival of its own.
Everything else is ambiguous, which a person decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby


class Verdict(StrEnum):
    """What is thought of an entry of the log."""

    ARRIVED = "arrived"
    MISSING = "missing"
    AMBIGUOUS = "ambiguous"


def judge(entries: Sequence[int], arrivals: Sequence[int], tolerance: int) -> list[Verdict]:
    """A verdict for each entry.

    Args:
        entries: when the log says that something happened, ascending.
        arrivals: when the events that came say so, ascending, in the same unit.
        tolerance: how far an event's date may be from its entry's.
    """
    verdicts = [Verdict.AMBIGUOUS] * len(entries)
    for ours, theirs in _clusters(entries, arrivals, tolerance):
        times, others = [entries[place] for place in ours], [arrivals[place] for place in theirs]
        for place, verdict in zip(ours, _judge_cluster(times, others, tolerance), strict=True):
            verdicts[place] = verdict
    return verdicts


def differences(entries: Sequence[int], arrivals: Sequence[int], tolerance: int) -> Iterator[int]:
    """How far apart the dates of each matched pair are."""
    for ours, theirs in _pairs(entries, arrivals, tolerance):
        yield abs(entries[ours] - arrivals[theirs])


def _judge_cluster(entries: Sequence[int], arrivals: Sequence[int], tolerance: int) -> list[Verdict]:
    if not arrivals:
        return [Verdict.MISSING] * len(entries)
    all_paired = sum(1 for _ in _pairs(entries, arrivals, tolerance)) == len(entries)
    taken, spare = _exact(entries, arrivals)
    left = [place for place in range(len(entries)) if place not in taken]
    verdicts = [Verdict.ARRIVED] * len(entries)
    times, others = [entries[place] for place in left], [arrivals[place] for place in spare]
    for ours, theirs in _clusters(times, others, tolerance):
        verdict = Verdict.MISSING if not theirs else Verdict.AMBIGUOUS
        if len(theirs) >= len(ours) and _all_paired(times, others, ours, theirs, tolerance):
            verdict = Verdict.ARRIVED
        for place in ours:
            # Dates that are equal by chance must not make one missing that has an arrival of its own otherwise.
            doubt = all_paired and verdict is Verdict.MISSING
            verdicts[left[place]] = Verdict.AMBIGUOUS if doubt else verdict
    return verdicts


def _all_paired(entries: Sequence[int], arrivals: Sequence[int], ours: range, theirs: range, tolerance: int) -> bool:
    times, others = [entries[place] for place in ours], [arrivals[place] for place in theirs]
    return sum(1 for _ in _pairs(times, others, tolerance)) == len(times)


def _exact(entries: Sequence[int], arrivals: Sequence[int]) -> tuple[set[int], list[int]]:
    """Places of entries that have an arrival of the very same date, and of the arrivals that are left.

    Where more entries than arrivals have one date, which of them arrived cannot be told, and none is taken.
    """
    by_time = {time: list(places) for time, places in groupby(range(len(arrivals)), key=lambda place: arrivals[place])}
    taken: set[int] = set()
    for time, group in groupby(range(len(entries)), key=lambda place: entries[place]):
        places = list(group)
        if time in by_time and len(by_time[time]) >= len(places):
            taken.update(places)
            by_time[time] = by_time[time][len(places) :]
    return taken, [place for places in by_time.values() for place in places]


def _pairs(entries: Sequence[int], arrivals: Sequence[int], tolerance: int) -> Iterator[tuple[int, int]]:
    """As many pairs as there can be, each within the tolerance. Taking the earliest is best, since both ascend."""
    ours = theirs = 0
    while ours < len(entries) and theirs < len(arrivals):
        if arrivals[theirs] < entries[ours] - tolerance:
            theirs += 1
        elif arrivals[theirs] > entries[ours] + tolerance:
            ours += 1
        else:
            yield ours, theirs
            ours, theirs = ours + 1, theirs + 1


def _clusters(entries: Sequence[int], arrivals: Sequence[int], tolerance: int) -> Iterator[tuple[range, range]]:
    """Places of the entries and arrivals that hang together: linked where they are within the tolerance.

    An arrival links every entry within the tolerance, so a cluster is a stretch of both lists.
    """
    ours = theirs = 0
    while ours < len(entries):
        while theirs < len(arrivals) and arrivals[theirs] < entries[ours] - tolerance:
            theirs += 1
        first_entry, first_arrival = ours, theirs
        ours += 1
        grown = True
        while grown:
            grown = False
            while theirs < len(arrivals) and arrivals[theirs] <= entries[ours - 1] + tolerance:
                theirs, grown = theirs + 1, True
            while theirs > first_arrival and ours < len(entries) and entries[ours] <= arrivals[theirs - 1] + tolerance:
                ours, grown = ours + 1, True
        yield range(first_entry, ours), range(first_arrival, theirs)
