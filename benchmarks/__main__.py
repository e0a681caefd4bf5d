"""``python -m benchmarks``: every row, as a table, as ``build/bench.json`` and, with ``--chart FILE``, as a picture."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row

GROUPS: Final = ("screening", "handler", "cold_start", "memory", "hanging", "aws_bundle", "azure", "gcp")
RESULT: Final = Path("build/bench.json")


def main(arguments: Sequence[str]) -> int:
    """Run the groups; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--chart", type=Path, help="write the chart to this SVG file")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    parser.add_argument("--json", action="store_true", help="print the JSON in place of the table")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    rows = list(_measure(options.only, console))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")
    if options.json:
        sys.stdout.write(RESULT.read_text())
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(_table(rows))
    if options.chart:
        from benchmarks.chart import draw

        draw(rows, options.chart)
    if options.markdown:
        options.markdown.write_text(_markdown(rows))
    console.print(f"written to {RESULT}")
    return int(any(row.missed for row in rows))


def _measure(groups: Sequence[str], console: Console) -> Iterator[Row]:
    for group in groups:
        with console.status(f"measuring {group} …"):
            yield from importlib.import_module(f"benchmarks.{group}").rows()


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title=f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores")
    for name in ("what", "ours", "floor", "ratio", "goal", "middle half, ours / floor", "floor is"):
        table.add_column(name, justify="right" if name in ("ours", "floor", "ratio", "goal") else "left")
    for row in rows:
        colour = "red" if row.missed else "green" if row.goal else ""
        ratio = f"[{colour}]{row.ratio:.2f}[/]" if colour else f"{row.ratio:.2f}"
        ours, floor = f"{row.ours:.4g} {row.unit}", f"{row.floor:.4g} {row.unit}"
        table.add_row(row.name, ours, floor, ratio, _goal(row), row.spread, row.note.removeprefix("floor: "))
    return table


def _markdown(rows: Sequence[Row]) -> str:
    lines = [
        "| What | Ours | Floor | Ratio | Goal | Middle half, ours / floor | Floor is |",
        "|---|--:|--:|--:|--:|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.ours:.4g} {row.unit} | {row.floor:.4g} {row.unit} | {row.ratio:.2f}"
        f"{' **missed**' if row.missed else ''} | {_goal(row)} | {row.spread} | {row.note.removeprefix('floor: ')} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _goal(row: Row) -> str:
    return "shown" if row.goal is None else f"≤ {row.goal:g}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
