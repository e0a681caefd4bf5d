"""The time budget, on a clock that stands still, and the age of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.deadline import SENDER_PATIENCE, Deadline, process_age
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that a test moves."""
    return FakeClock()


@pytest.mark.parametrize(
    ("budget", "spent", "left"),
    [
        (6, 0, 6),
        (6, 1, 5),
        (6, 4.25, 1.75),
        # Beyond 4.5 s the event still gets a second and a half.
        (6, 4.5, 1.5),
        (6, 4.75, 1.5),
        (6, 6, 1.5),
        (6, 9.875, 1.5),
        # What cannot be is not believed: at the sender's patience, and beyond it.
        (6, 10, 6),
        (6, 10.125, 6),
        (6, 1e9, 6),
        (6, -0.125, 6),
        (6, -1e9, 6),
        (6, float("nan"), 6),
        (6, float("inf"), 6),
        # A budget below the least is not stretched to it.
        (1, 0, 1),
        (1, 0.5, 1),
        (1, 5, 1),
        (1.5, 1, 1.5),
    ],
)
def test_a_deadline_is_the_budget_less_what_was_spent_before(
    clock: FakeClock, budget: float, spent: float, left: float
) -> None:
    """Within reason: a stamp out of bounds counts as none, and a late event keeps enough to be saved."""
    assert Deadline.start(budget, spent, clock.monotonic).remaining() == pytest.approx(left)


def test_the_sender_waits_ten_seconds() -> None:
    """As Dastra's webhook page says."""
    assert SENDER_PATIENCE == 10


def test_time_runs_out_and_never_below_zero(clock: FakeClock) -> None:
    """What remains follows the clock, down to nothing."""
    end = Deadline.start(6, 0, clock.monotonic)
    for passed, left in ((1.5, 4.5), (4.5, 0), (1, 0)):
        clock.advance(passed)
        assert end.remaining() == pytest.approx(left)


@pytest.mark.parametrize(
    ("passed", "share", "half"),
    [
        (0, 2.5, 2.5),
        (1, 2.5, 2.5),
        (1.5, 2.5, 2.25),
        (3.5, 2.5, 1.25),
        (4, 2, 1),
        (5.5, 0.5, 0.25),
        (6, 0, 0),
        (9, 0, 0),
    ],
)
def test_a_share_ends_with_the_deadline_and_a_half_leaves_the_other_half(
    clock: FakeClock, passed: float, share: float, half: float
) -> None:
    """Of 2.5 s asked for: what is left at most, or half of it at most."""
    end = Deadline.start(6, 0, clock.monotonic)
    clock.advance(passed)
    assert end.share(2.5) == pytest.approx(share)
    assert end.half_or(2.5) == pytest.approx(half)


def test_a_deadline_uses_the_real_clock_when_none_is_given() -> None:
    """Both ways of making one measure on the same monotonic clock."""
    assert 5 < Deadline.start(6, 0).remaining() <= 6
    assert 5 < Deadline(time.monotonic() + 6).remaining() <= 6


# The age of the process


def test_the_age_is_that_of_the_process_and_not_of_the_machine() -> None:
    """A process that was just started is a few seconds old at most, on a machine that runs for longer."""
    program = "from core.deadline import process_age; print(process_age())"
    began = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert 0 <= float(answer.stdout) <= time.monotonic() - began + 0.1


def test_the_age_grows() -> None:
    """Two looks are apart by what passed in between, to a clock tick."""
    first = process_age()
    began = time.monotonic()
    while time.monotonic() - began < 0.02:
        pass
    assert process_age() - first >= 0.01


def _stat(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path: text)


def _fields(started: float) -> str:
    ticks = int(started * os.sysconf("SC_CLK_TCK"))
    return f"S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 {ticks} 20 21"


@pytest.mark.parametrize("name", ["python", "my program", "odd) S 1 2 (name", ")"])
def test_the_name_of_the_program_is_not_taken_for_a_field(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It stands in brackets before the fields, and may hold spaces and brackets itself."""
    monkeypatch.setattr(time, "clock_gettime", lambda clock: 100.0)
    _stat(monkeypatch, f"4711 ({name}) {_fields(97.5)}")
    assert process_age() == pytest.approx(2.5, abs=0.02)


def test_an_age_is_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the two clocks disagree, the process is new."""
    monkeypatch.setattr(time, "clock_gettime", lambda clock: 100.0)
    _stat(monkeypatch, f"4711 (python) {_fields(101)}")
    assert process_age() == 0


@pytest.mark.parametrize("text", ["", "4711 (python) S 1 2", "4711 (python) " + "x " * 30])
def test_the_age_is_zero_where_the_system_says_something_else(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A table that is empty, short or not of numbers."""
    _stat(monkeypatch, text)
    assert process_age() == 0


def test_the_age_is_zero_where_there_is_no_such_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems without /proc."""

    def fail(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", fail)
    assert process_age() == 0


def test_the_age_is_zero_where_there_is_no_such_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, which knows no time since boot."""
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert process_age() == 0
