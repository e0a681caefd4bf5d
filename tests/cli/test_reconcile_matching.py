"""Which entries arrived, told by their dates alone: never wrong about what is certain, and silent about nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.reconcile.matching import Verdict, differences, judge

ARRIVED, MISSING, AMBIGUOUS = Verdict.ARRIVED, Verdict.MISSING, Verdict.AMBIGUOUS

CASES = {
    "nothing came": ([0, 5, 100], [], [MISSING, MISSING, MISSING]),
    "each came on its date": ([0, 5, 100], [0, 5, 100], [ARRIVED, ARRIVED, ARRIVED]),
    "each came, near its date": ([0, 100], [3, 97], [ARRIVED, ARRIVED]),
    "at the edge of the tolerance": ([0, 100], [10], [ARRIVED, MISSING]),
    "beyond the tolerance": ([0], [11], [MISSING]),
    "before it": ([11], [0], [MISSING]),
    "which of two near ones": ([0, 5], [3], [AMBIGUOUS, AMBIGUOUS]),
    "one of two near ones, by its very date": ([0, 5], [5], [MISSING, ARRIVED]),
    "which of two of one date": ([7, 7], [7], [AMBIGUOUS, AMBIGUOUS]),
    "two of one date": ([7, 7], [7, 7], [ARRIVED, ARRIVED]),
    "more came than were logged": ([7], [6, 7, 8], [ARRIVED]),
    "two of three, in a chain": ([0, 8, 16], [4, 12], [AMBIGUOUS, AMBIGUOUS, AMBIGUOUS]),
    "a chain and one far away": ([0, 8, 100], [4], [AMBIGUOUS, AMBIGUOUS, MISSING]),
    "equal dates by chance": ([0, 10], [10, 18], [AMBIGUOUS, ARRIVED]),
    "an arrival far from all": ([0], [500], [MISSING]),
}


@pytest.mark.parametrize(("entries", "arrivals", "expected"), CASES.values(), ids=CASES.keys())
def test_a_case(entries: list[int], arrivals: list[int], expected: list[Verdict]) -> None:
    """A verdict for each entry, with a tolerance of ten."""
    assert judge(entries, arrivals, 10) == expected


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[tuple[int, bool]], list[int], int]:
    """Entries, whether each came, the dates of what came, and a tolerance within which these dates are off."""
    tolerance = draw(st.integers(0, 10))
    exact = draw(st.booleans())
    entries = sorted(draw(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=12)))
    arrivals = [time if exact else time + draw(st.integers(-tolerance, tolerance)) for time, came in entries if came]
    dates = {time for time, _ in entries}
    # An arrival that by chance has the very date of another entry is that one's double; nobody could tell.
    if not exact and dates & set(arrivals):
        arrivals = [time for time, came in entries if came]
    return entries, sorted(arrivals), tolerance


@given(worlds())
def test_certainty_is_never_wrong(world: tuple[list[tuple[int, bool]], list[int], int]) -> None:
    """Whatever came and however its dates are off: what came is not called missing, nor what is missing arrived."""
    entries, arrivals, tolerance = world
    verdicts = judge([time for time, _ in entries], arrivals, tolerance)
    by_time: dict[int, list[bool]] = {}
    for (time, came), verdict in zip(entries, verdicts, strict=True):
        by_time.setdefault(time, []).append(came)
        assert not (came and verdict is MISSING)
    for (time, came), verdict in zip(entries, verdicts, strict=True):
        if verdict is ARRIVED and all(by_time[time]) is not True:
            raise AssertionError((time, came))


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=12, unique_by=lambda pair: pair[0]))
def test_equal_dates_leave_no_doubt(pairs: list[tuple[int, bool]]) -> None:
    """Where events carry the very dates of their entries, and no two share one, nothing is ambiguous."""
    entries = sorted(pairs)
    verdicts = judge([time for time, _ in entries], [time for time, came in entries if came], 10)
    assert verdicts == [ARRIVED if came else MISSING for _, came in entries]


@given(st.lists(st.integers(0, 60), max_size=12), st.lists(st.integers(0, 60), max_size=12), st.integers(0, 12))
def test_every_entry_gets_a_verdict(entries: list[int], arrivals: list[int], tolerance: int) -> None:
    """One each; an entry with nothing in reach is missing, and where everything has its own, all arrived."""
    entries, arrivals = sorted(entries), sorted(arrivals)
    verdicts = judge(entries, arrivals, tolerance)
    assert len(verdicts) == len(entries)
    for time, verdict in zip(entries, verdicts, strict=True):
        if not any(abs(time - other) <= tolerance for other in arrivals):
            assert verdict is MISSING


def test_how_far_dates_are_apart() -> None:
    """The differences of the pairs, for a person to choose a tolerance by."""
    assert list(differences([0, 100, 300], [4, 99, 400], 10)) == [4, 1]
