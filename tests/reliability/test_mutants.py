"""The table of mutants that no test can notice, and what compares it with a run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from reliability.mutants.run import MODULES, _annotations, _changed
from reliability.mutants.table import Comparison, Mutant, compare, read

ROOT = Path(__file__).resolve().parents[2]
KNOWN = read()


@pytest.mark.parametrize("mutant", sorted(KNOWN), ids=lambda mutant: f"{mutant.module}: {mutant.after}")
def test_each_entry_is_about_a_line_that_is_there(mutant: Mutant) -> None:
    """An entry for a line that has changed since would explain nothing; the run takes minutes to find that."""
    assert mutant.module in MODULES
    lines = [line.strip() for line in (ROOT / mutant.module).read_text("utf-8").splitlines()]
    assert mutant.before in lines
    assert mutant.after != mutant.before
    assert len(KNOWN[mutant]) > 20, "the reason"


def test_a_survivor_needs_a_reason_and_a_reason_a_survivor() -> None:
    """What the table does not know lacks a test, what has not survived is outdated; other modules wait."""
    known, new, gone = (Mutant("core/a.py", "f", f"x = {number}", "x = 9") for number in range(3))
    elsewhere = Mutant("core/b.py", "f", "x = 1", "x = 9")
    explained = {known: "why", gone: "why", elsewhere: "why"}
    assert compare({known, new}, explained, {"core/a.py"}) == Comparison((new,), (gone,))


def test_annotations_are_found() -> None:
    """Parameters, results and variables, whose mutants nothing evaluates; and nothing that is computed."""
    source = "def f(a: int | str) -> int | None:\n    b: int | None = 1 | 2\n    return b\n"
    spans = _annotations(ast.parse(source))
    lines = source.splitlines()
    found = [lines[begin[0] - 1][begin[1] : end[1]] for begin, end in spans]
    assert sorted(found) == ["int | None", "int | None", "int | str"]


def test_a_diff_is_read_without_its_frame() -> None:
    """The changed line before and after, however deep it stands."""
    diff = ["--- a/x.py", "+++ b/x.py", "@@ -1,2 +1,2 @@", " def f():", "-    return 1", "+    return 2"]
    assert _changed(diff) == ("return 1", "return 2")
