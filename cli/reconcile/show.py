"""What a reconcile found and did, for a person and as JSON. Ids, event types and dates: nothing personal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Final

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from cli.output import BAD, FAINT, GOOD, HELD, Output, assemble, grid, moment, plural
from cli.reconcile.arrivals import Tally
from cli.reconcile.matching import Verdict
from cli.reconcile.plan import REASONS, Findings
from cli.reconcile.reading import OnPage
from cli.reconcile.sending import Sent
from cli.reconcile.state import Progress as Read
from cli.reconcile.state import Row, State, Window

INFERRED: Final = (
    "Inferred, not documented by Dastra: that its log has one entry for each event, under the event's type, object and "
    "date. Purges remove entries, and how long the log goes back is not known."
)


@contextmanager
def reading_bar(window: Window, out: Output, already: int) -> Iterator[OnPage]:
    """A bar that follows the dates of what is read, where somebody watches."""
    if not out.stderr.is_terminal:
        yield lambda _date, _count: None
        return
    begin, length = window.since, (window.until - window.since).total_seconds()
    columns = (
        TextColumn("Reading Dastra's log"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[entries]:,} entries"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out.stderr, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=length, entries=already)
        entries = already

        def on_page(date: datetime | None, count: int) -> None:
            nonlocal entries
            entries += count
            done = (date - begin).total_seconds() if date is not None else None
            bar.update(task, completed=max(0.0, min(length, done)) if done is not None else None, entries=entries)

        yield on_page


def show_findings(read: Read, found: Findings, tally: Tally, webhook: str, out: Output) -> None:
    """How many of what."""
    window = read.window
    known = ", ".join(f"{count} in the {origin}" for origin, count in sorted(tally.by_origin.items())) or "nothing"
    rows: list[tuple[str, str | Text]] = [
        ("webhook", f"{webhook}, {plural(len(window.channels), 'event type')}"),
        ("window", f"{moment(window.since)} to {moment(window.until)} UTC"),
        ("known to have come", known),
        ("entries in the log", f"{found.entries:,}"),
        ("arrived", assemble((f"{found.arrived:,}", GOOD), _apart(found))),
    ]
    if found.sent:
        rows.append(("sent before", f"{found.sent:,}, by an earlier run"))
    rows.append(("missing", Text(f"{found.missing:,}", style=BAD if found.missing else GOOD)))
    rows.append(("ambiguous", Text(f"{found.ambiguous:,}", style=HELD if found.ambiguous else GOOD)))
    if found.gone:
        rows.append(("gone", assemble((f"{found.gone:,}", HELD), ", purged from the log before they were sent")))
    out.show(grid(rows, indent=0))


def show_rows(state: State, found: Findings, limit: int, out: Output) -> None:
    """The missing, then the ambiguous."""
    for verdict, count, title in (
        (Verdict.MISSING, found.missing, "Missing:"),
        (Verdict.AMBIGUOUS, found.ambiguous, "Ambiguous, and not sent unless you name them with --also:"),
    ):
        if not count:
            continue
        out.say("")
        out.say(title)
        columns = [("DATE (UTC)", "keep"), ("EVENT TYPE", "keep"), ("OBJECT", "cut"), ("LOG ENTRY", "keep")]
        out.table(columns, ([*_cells(row)] for row in state.rows(verdict, limit)))
        if count > limit:
            out.note(f"{count - limit:,} more; --limit {count} shows them all.")
        if verdict is Verdict.AMBIGUOUS:
            for reason, number in state.reasons():
                out.note(f"{number:,} of them: {REASONS.get(reason, reason)}.")


def print_json(
    state: State, read: Read, found: Findings, tally: Tally, webhook: str, sent: Sent | None, out: Output
) -> None:
    """Everything as one JSON object, written as it goes: the lists may be long."""
    window = read.window
    head = {
        "webhook": webhook,
        "since": window.since.isoformat(),
        "until": window.until.isoformat(),
        "arrivals": tally.by_origin,
        "counts": {**{name: value for name, value in asdict(found).items() if name != "widest"}},
        "widest_difference_seconds": found.widest,
        "entries_of_other_types": read.others,
        "unreadable_entries": read.unreadable,
        "sending": None if sent is None else {"sent": sent.sent, "failed": sent.failed, "gone": sent.gone},
        "may_be_twice": state.uncertain(),
    }
    write = out.stdout.file.write
    write(json.dumps(head, indent=2).removesuffix("\n}"))
    for verdict in (Verdict.MISSING, Verdict.AMBIGUOUS):
        write(f',\n  "{verdict}": [')
        for place, row in enumerate(state.rows(verdict)):
            write(("," if place else "") + "\n    " + json.dumps(_as_json(row, state)))
        write("\n  ]")
    write("\n}\n")


def _apart(found: Findings) -> str:
    return f", dates at most {found.widest:.1f} s apart" if found.widest else ""


def _cells(row: Row) -> Iterable[str | Text]:
    unknown = Text("unknown", style=FAINT)
    yield moment(row.at) if row.at is not None else unknown
    yield row.type or unknown
    yield row.object or unknown
    yield row.log_id


def _as_json(row: Row, state: State) -> dict[str, object]:
    at = row.at
    return {
        "log_id": row.log_id,
        "type": row.type,
        "object": row.object,
        "time": at.isoformat() if at is not None else None,
        "reason": row.reason,
        "sent": state.is_sent(row.log_id),
    }
