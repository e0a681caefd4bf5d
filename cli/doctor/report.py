"""How the rows look, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.doctor.model import Part, Result, Status, count
from cli.output import BAD, FAINT, GOOD, HELD, Output, assemble, plural, printable

_MARKS: Final = {
    Status.PASS: ("✓", GOOD),
    Status.WARN: ("!", HELD),
    Status.FAIL: ("✗", BAD),
    Status.SKIPPED: ("·", FAINT),
}
_TITLE: Final = 46
_NARROW: Final = 90
"""Columns below which what was found stands under the title."""
_DETAILS: Final = 8
_ALIKE: Final = 3


@dataclass(slots=True)
class Report:
    """Shows rows as they come, and keeps them."""

    out: Output
    results: list[Result] = field(default_factory=list)
    _part: Part | None = None
    _skipped: list[Result] = field(default_factory=list)
    _sent: int = 0
    _total: int = 0
    _spinner: Spinner | None = None

    def follow(self, rows: Iterable[Result], what: str, total: int = 0) -> None:
        """Show each row when it is known, and in between that something is under way."""
        source = iter(rows)
        self._total = total
        while True:
            with self._busy(what):
                row = next(source, None)
            if row is None:
                return
            self.add(row)

    def add(self, row: Result) -> None:
        """Show a row."""
        self.results.append(row)
        if self.out.as_json:
            return
        if self._skipped and (row.status is not Status.SKIPPED or row.found != self._skipped[0].found):
            self._flush()
        if row.status is Status.SKIPPED:
            self._skipped.append(row)
        else:
            self._show(row)

    def _flush(self) -> None:
        """Show what was skipped for one reason, in one row where it was a lot."""
        rows, self._skipped = self._skipped, []
        if len(rows) > _ALIKE:
            if rows[0].part is not self._part:  # of several parts, mostly
                self.out.say("")
            self.out.show(_row(replace(rows[0], title=f"{len(rows)} checks"), self.out.stdout.width))
        else:
            for row in rows:
                self._show(row)

    def _show(self, row: Result) -> None:
        if row.part is not self._part:
            self.out.say("\n" if self._part else "", (row.part.value, "bold"))
            self._part = row.part
        self.out.show(_row(row, self.out.stdout.width))

    def progress(self) -> None:
        """One more request was answered."""
        self._sent += 1
        if self._spinner is not None:
            self._spinner.update(text=Text(f"{self._sent} of about {self._total} requests answered"))

    def summary(self, probes: Sequence[str]) -> None:
        """The last lines."""
        self._flush()
        counts = count(self.results)
        failed = counts[Status.FAIL]
        said = f"{counts[Status.PASS]} passed, {plural(counts[Status.WARN], 'warning')}, {failed} failed, "
        said += f"{counts[Status.SKIPPED]} skipped."
        self.out.say("\n", ("✗ " if failed else "✓ ", BAD if failed else GOOD), said)
        if probes:
            self.out.note(
                f"{plural(len(probes), 'genuine event was', 'genuine events were')} sent, with the field `sample`, by "
                "which a consumer can drop what is one."
            )

    def as_json(self, url: str, *, gentle: bool, probes: Sequence[str]) -> dict[str, object]:
        """The form of ``--json``."""
        counts = count(self.results)
        return {
            "url": url,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "good": counts[Status.FAIL] == 0,
            "counts": counts,
            "gentle": gentle,
            "probes": list(probes),
            "checks": [result.as_json() for result in self.results],
        }

    @contextmanager
    def _busy(self, what: str) -> Iterator[None]:
        if not self.out.stderr.is_terminal:
            yield
            return
        self._spinner = Spinner("dots", Text(what), style=GOOD)
        live = Live(
            self._spinner, console=self.out.stderr, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        try:
            with live:
                yield
        finally:
            self._spinner = None


def _row(row: Result, width: int) -> Table:
    mark, style = _MARKS[row.status]
    found = Text(printable(row.found), style=FAINT if row.status is Status.SKIPPED else "")
    if row.advice and row.status is not Status.PASS:
        found = Text("\n").join([found, assemble(("→ ", HELD), row.advice)])
    for line in row.details[:_DETAILS]:
        found.append_text(assemble("\n  ", (line, FAINT)))
    if len(row.details) > _DETAILS:
        found.append_text(assemble("\n  ", (f"and {len(row.details) - _DETAILS} more; --json has them all", FAINT)))
    title = Text(row.title, style=FAINT if row.status is Status.SKIPPED else "")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=3, justify="right")
    if width < _NARROW:
        table.add_column(overflow="fold")
        table.add_row(Text(mark, style=style), Text("\n").join([title, found]))
        return table
    table.add_column(width=_TITLE, overflow="fold")
    table.add_column(overflow="fold")
    table.add_row(Text(mark, style=style), title, found)
    return table
