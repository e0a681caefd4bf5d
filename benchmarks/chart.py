"""The table as a picture: each ratio as a share of its goal, so that one line is the limit for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pygal
from pygal.style import Style

from benchmarks.rows import Row

_HELD: Final = "#2f7d5b"
_MISSED: Final = "#b3412f"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write an SVG with a bar for each row that has a goal; 100 is the goal, longer is worse."""
    measured = [row for row in rows if row.goal is not None]
    style = Style(
        background="white",
        plot_background="white",
        font_family="sans-serif",
        label_font_size=13,
        value_font_size=13,
        title_font_size=16,
        guide_stroke_dasharray="2,4",
        major_guide_stroke_dasharray="none",
    )
    chart = pygal.HorizontalBar(
        title="Share of each goal that is used, in percent (shorter is better, 100 is the limit)",
        show_legend=False,
        print_values=True,
        style=style,
        width=1000,
        height=80 + 44 * len(measured),
        margin=20,
        y_labels=[0, 25, 50, 75, 100],
        range=(0, max(100, *(_share(row) for row in measured))),
        value_formatter=lambda value: f"{value:.0f}",
        no_prefix=True,
        js=[],
    )
    chart.x_labels = [row.name for row in reversed(measured)]
    chart.add("", [{"value": _share(row), "color": _MISSED if row.missed else _HELD} for row in reversed(measured)])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(chart.render())


def _share(row: Row) -> float:
    return 100 * row.ratio / (row.goal or 1)
