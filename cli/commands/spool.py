"""`dastra-webhooks spool`: events that the queue did not take, and putting them back on it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import Progress

from cli.exits import CliError, Exit
from cli.help import group
from cli.options import command
from cli.output import BAD, GOOD, Output, advance, plural
from cli.stored import MOST_SHOWN, Limit, entries, read_all, short_keys, show_list
from cli.target import Target, Where
from core.message import QueueMessage
from core.ports import PortError, Queue
from core.records import SPOOL_PREFIX
from core.redrive import MOST_PER_RUN, RedriveReport

app = group(
    "See events that the queue did not take, and put them back on it.",
    "A deployment does this by itself every few minutes. They expire after 30 days.",
)

_RUN_SECONDS = 120.0


@command(app, "list")
def list_(where: Where, out: Output, limit: Limit = MOST_SHOWN) -> None:
    """List the events that wait for the queue, oldest first.

    Example:
      dastra-webhooks spool list --json | jq length
    """
    target = where.find(out)
    listing = entries(target, SPOOL_PREFIX, out)
    events = read_all(target, listing[:limit], short_keys(listing), out)
    if out.as_json:
        out.data([event.as_json() for event in events])
    elif not events:
        out.say("Nothing is in the spool.")
    else:
        show_list(events, len(listing), out)
        out.note("Next: dastra-webhooks spool redrive")


@command(app, "redrive")
def redrive(
    where: Where,
    out: Output,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Send at most so many, the oldest first.", show_default="all")
    ] = None,
) -> None:
    """Put the spool back on the queue now, oldest first. Stops when the queue fails three times in a row.

    Examples:
      dastra-webhooks spool redrive
      dastra-webhooks spool redrive --limit 10
    """
    target = where.find(out)
    waiting = len(entries(target, SPOOL_PREFIX, out))
    wanted = min(waiting, limit or waiting)
    with out.bar("Sending", wanted) as bar:
        report = _run(target, _Counting(target.queue, bar), wanted)
    left = report.gauges.spool_count
    if out.as_json:
        out.data({"sent": report.sent, "failed": report.failed, "left": left, "skipped": report.skipped})
    if report.skipped:
        raise CliError(
            "another redrive is at work.",
            "It ends by itself, or counts as dead after 3 minutes. Then try again.",
            Exit.BUSY,
        )
    if not out.as_json:
        mark = ("✗ ", BAD) if report.failed else ("✓ ", GOOD)
        out.say(mark, f"{report.sent} sent, {report.failed} failed, {left} left in the spool.")
    if report.failed:
        raise CliError(
            f"the queue did not take {plural(report.failed, 'event')}; nothing is lost.",
            "They stay in the spool. Look at the queue, then try again.",
        )


def _run(target: Target, queue: Queue, wanted: int) -> RedriveReport:
    """Runs of a bounded length, since each holds a lease that others respect for three minutes only."""
    mover = target.redrive(queue)
    sent = failed = 0
    try:
        while True:
            report = mover.run(limit=max(1, min(wanted - sent, MOST_PER_RUN)), seconds=_RUN_SECONDS)
            sent, failed = sent + report.sent, failed + report.failed
            if report.skipped or report.failed or not report.sent or sent >= wanted:
                return RedriveReport(sent, failed, report.skipped, report.gauges)
    except PortError as error:
        raise target.failure("the spool cannot be read", error) from error


class _Counting:
    """A queue that moves a progress bar."""

    def __init__(self, queue: Queue, bar: Progress | None) -> None:
        self._queue = queue
        self._bar = bar

    def takes(self, message: QueueMessage) -> bool:
        return self._queue.takes(message)

    def send(self, message: QueueMessage, timeout: float) -> None:
        try:
            self._queue.send(message, timeout)
        finally:
            advance(self._bar)

    def discard(self) -> None:
        self._queue.discard()
