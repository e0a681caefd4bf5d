"""How the command line speaks: results to stdout, everything said on the way to stderr."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Final, TypeVar

from rich.console import Console, JustifyMethod, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from cli.exits import CliError, Exit
from cli.hints import as_typed

T = TypeVar("T")

GOOD: Final = "good"
HELD: Final = "held"
BAD: Final = "bad"
FAINT: Final = "faint"
NAME: Final = "name"
_THEME: Final = Theme(
    {
        GOOD: "green",
        HELD: "yellow",
        BAD: "bold red",
        FAINT: "bright_black",
        NAME: "cyan",
    }
)
_WIDE: Final = 4000
"""Columns of a pipe, a file or a log: nothing is folded or cut there, so that `grep` and `cut` see whole values."""
_FEW: Final = 3
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to typer, which ends the program quietly; rich's own way fails where stdout is no file."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def make_console(*, stderr: bool = False, file: IO[str] | None = None) -> Console:
    """A console in the project's colours. Text is never taken for markup, since much of it comes from elsewhere."""
    console = _Console(stderr=stderr, file=file, theme=_THEME, markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console


def printable(text: str) -> str:
    """``text`` with what could steer a terminal or turn its reading direction spelt out; line ends and tabs stay."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def assemble(*parts: str | tuple[str, str]) -> Text:
    """Text in pieces with or without a style, each made printable."""
    pieces = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((printable(text), style) for text, style in pieces))


def pretty_body(body: bytes) -> str:
    """A body for a person: JSON indented, other text as it is, anything else as a hex dump of its first bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return f"({len(body)} bytes, not UTF-8) {body[:64].hex(' ')}{' …' if len(body) > 64 else ''}"
    try:
        return printable(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return printable(text)


def size(count: int) -> str:
    """Bytes for a person."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def span(seconds: float) -> str:
    """A time span in its largest unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length or (unit != "d" and seconds >= length):
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def moment(time: datetime) -> str:
    """A point in time, for a person: UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def plural(count: int, one: str, many: str = "") -> str:
    """``1 event``, ``2 events``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def grid(rows: Iterable[tuple[str, str | Text]], *, indent: int = 2) -> RenderableType:
    """Names and values side by side; long values fold under themselves."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=NAME, no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(printable(value)) if isinstance(value, str) else value)
    return Padding(table, (0, 0, 0, indent), expand=False)


@dataclass(slots=True)
class Output:
    """One command's voice. With ``as_json`` stdout gets JSON and nothing else."""

    as_json: bool = False
    stdout: Console = field(default_factory=make_console)
    stderr: Console = field(default_factory=lambda: make_console(stderr=True))

    def data(self, value: object) -> None:
        """Print a value as JSON, in ASCII, so that no terminal and no encoding can do anything to it."""
        self.stdout.file.write(json.dumps(value, indent=2) + "\n")

    def line(self, value: object) -> None:
        """Print a value as one line of JSON, at once."""
        self.stdout.file.write(json.dumps(value, separators=(",", ":")) + "\n")
        self.stdout.file.flush()

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Print text, in pieces with or without a style."""
        self.stdout.print(assemble(*parts), soft_wrap=not self.stdout.is_terminal)

    def show(self, renderable: RenderableType) -> None:
        """Print a table or a block."""
        self.stdout.print(renderable)

    def table(self, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str | Text]]) -> None:
        """Print rows. A column is its title and its manner: ``keep`` it, keep it ``right``, or ``cut`` it."""
        cells = [[Text(printable(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for place, (title, manner) in enumerate(columns):
            needed = len(title)
            for cell in (row[place] for row in cells):
                cell.no_wrap, cell.overflow = True, "ellipsis"
                needed = needed if manner == "cut" else max(needed, cell.cell_len)
            # Only a column that may wrap is made narrower; its cells then do not wrap all the same.
            justify: JustifyMethod = "right" if manner == "right" else "left"
            table.add_column(title, justify=justify, no_wrap=manner != "cut", min_width=needed)
        for row in cells:
            table.add_row(*row)
        self.stdout.print(table)

    def note(self, text: str) -> None:
        """Say something beside the result."""
        self.stderr.print(Text(printable(as_typed(text)), style=FAINT))

    def warn(self, text: str) -> None:
        """Say what may be a mistake."""
        self.stderr.print(assemble(("Warning: ", HELD), as_typed(text)))

    @contextmanager
    def status(self, text: str) -> Iterator[None]:
        """Show that something is under way, where somebody watches."""
        if self.stderr.is_terminal:
            # Standard output is left alone: the local run has put its log there.
            spinner = Spinner("dots", Text(text), style=GOOD)
            with Live(spinner, console=self.stderr, transient=True, redirect_stdout=False, redirect_stderr=False):
                yield
        else:
            yield

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Progress | None]:
        """A progress bar for more than a few steps, where somebody watches; advance its first task."""
        if total <= _FEW or not self.stderr.is_terminal:
            yield None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.stderr, transient=True, redirect_stdout=False) as progress:
            progress.add_task(text, total=total)
            yield progress

    def each(self, items: Sequence[T], text: str) -> Iterator[T]:
        """The items, with a progress bar that moves when each is done."""
        with self.bar(text, len(items)) as progress:
            for item in items:
                yield item
                advance(progress)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before what cannot be undone.

        Raises:
            CliError: the answer was no, or there is nobody to ask.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise CliError(
                "this asks before it is done, and nobody is there.", f"{question}\nAdd --yes.", Exit.NOT_CONFIRMED
            )
        self.stderr.print(f"{question} [y/N] ", end="")
        if input().strip().lower() not in ("y", "yes"):
            raise CliError("nothing was done.", code=Exit.NOT_CONFIRMED)


def advance(progress: Progress | None) -> None:
    """One step on, where there is a bar."""
    if progress is not None:
        progress.advance(progress.task_ids[0])


def show_error(error: CliError) -> None:
    """What is wrong and what to do next, on stderr."""
    console = make_console(stderr=True)
    console.print(assemble(("Error: ", BAD), as_typed(error.message)), soft_wrap=not console.is_terminal)
    if error.hint:
        console.print(Text(printable(as_typed(error.hint))), soft_wrap=not console.is_terminal)


def set_streams_up() -> None:
    """Let a terminal that cannot show a character show a question mark, in place of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
