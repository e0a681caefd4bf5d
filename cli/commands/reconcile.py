"""`dastra-webhooks reconcile`: bring back what Dastra sent in vain, from its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.dastra.access import ApiKeyFile, ApiUrl, open_api
from cli.dastra.client import DastraApi
from cli.dastra.errors import DastraError
from cli.dastra.logs import MOST_PER_PAGE
from cli.dastra.models import WebHook
from cli.exits import CliError, Exit
from cli.options import YesOption
from cli.output import BAD, GOOD, HELD, Output, advance, assemble, moment, plural
from cli.reconcile.arrivals import Arrival, Tally, stored
from cli.reconcile.plan import Findings, findings, keep_arrivals, resolve
from cli.reconcile.reading import query_of, read_log
from cli.reconcile.records import read_records
from cli.reconcile.sending import Outcome, Sent, send_missing
from cli.reconcile.show import INFERRED, print_json, reading_bar, show_findings, show_rows
from cli.reconcile.state import Progress, Row, State, Window, default_path
from cli.reconcile.times import SETTLED, window_of
from cli.stored import MOST_SHOWN
from cli.target import QUEUE, Target, Where

TOLERANCE: Final = 180
"""Seconds. Dastra says that it may take two minutes to send an event; which moment `date` tells is not known."""
_STALE: Final = timedelta(days=1)
_AGAIN: Final = "What was read and sent is kept. Run the same command again to go on from there."


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the options say beside the window."""

    records: Sequence[Path]
    tolerance: float
    also: Sequence[str]
    send: bool
    yes: bool
    limit: int
    page_size: int


def reconcile(
    where: Where,
    out: Output,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Begin of the window: 2026-03-02T09:00 (UTC), or 6h, 2d ago.")
    ],
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="End of the window.", show_default="5 minutes ago")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Dastra's id of the webhook.", show_default="the account's only one"),
    ] = None,
    arrived: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What your consumer has handled, one JSON record a line; - reads stdin. Repeatable.",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, help="How far an event's date may be from its log entry's.")
    ] = TOLERANCE,
    send: Annotated[bool, typer.Option("--send", help="Put what is missing on the queue.")] = False,
    yes: YesOption = False,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="LOG_ID", help="Count this ambiguous entry as missing. Repeatable.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many of each, the oldest first.")] = MOST_SHOWN,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to keep what was sent.", show_default="below ~/.local/state"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not go on with a run that was interrupted.")] = False,
    page_size: Annotated[
        int, typer.Option(min=1, max=MOST_PER_PAGE, help="Entries to ask for at once.", rich_help_panel="Dastra's API")
    ] = MOST_PER_PAGE,
    api_key_file: ApiKeyFile = None,
    api_url: ApiUrl = None,
) -> None:
    """Find events that Dastra logged and that never came, and put them on the queue.

    Dastra sends an event once, and none while a webhook is blocked. Its log is read for the webhook's event types over
    the window, what is known to have arrived is set aside, and a table shows the rest. Nothing is sent without --send.

    Known to have arrived is what is in the deployment's spool and quarantine, and what --arrived lists. Messages on
    the queue cannot be listed: let your consumer catch up, and let it write down what it handled.

    An event and its log entry share no id. They are matched by event type, object id and date; where that does not tell
    which of several came, they are ambiguous: listed, and never sent unless named with --also.

    A message is rebuilt from the log: its source is urn:dastra:reconcile:ID, it has no signature, and the same entry
    always has the same id. What was sent is noted in a file, and not sent again from it.

    Inferred, not documented by Dastra: that its log has one entry for each event, under the event's type, object and
    date. Purges remove entries, and how long the log goes back is not known. Look at the table before you send.

    Examples:
      dastra-webhooks reconcile --since 2026-03-02T09:00 --until 2026-03-02T12:00
      dastra-webhooks reconcile --since 2d --arrived handled.jsonl
      dastra-webhooks reconcile --since 2d --arrived handled.jsonl --send
    """
    now = datetime.now(UTC)
    begin, end = window_of(since, until, now)
    target = where.find(out)
    queue = target.names.queue
    if queue is None:
        raise CliError(f"which queue to use is not known ({target.title}).", f"Set {QUEUE} too.", Exit.NO_DEPLOYMENT)
    wishes = Wishes(arrived or (), tolerance, also or (), send, yes, limit, page_size)
    with open_api(api_key_file, api_url, out) as api:
        hook = _webhook(api, webhook, out)
        window = Window((str(hook.id), since, until or ""), begin, end, hook.events, hook.workspace_id, now)
        with State.open(state or default_path(queue, str(hook.id))) as kept:
            progress = _resumed(kept, window, fresh=fresh, out=out) or kept.begin(window)
            with _keeping(out):
                _run(api, target, kept, progress, str(hook.id), wishes, out)


def _run(
    api: DastraApi, target: Target, state: State, progress: Progress, webhook: str, wishes: Wishes, out: Output
) -> None:
    with reading_bar(progress.window, out, state.count()) as on_page:
        progress = read_log(api, state, progress, on_page, wishes.page_size)
    tally = Tally()
    keep_arrivals(state, _arrivals(target, wishes.records, tally, out))
    found = resolve(state, progress.window, wishes.tolerance, wishes.also)
    if not out.as_json:
        show_findings(progress, found, tally, webhook, out)
        show_rows(state, found, wishes.limit, out)
    _warn(progress, found, tally, wishes, state, out)
    sent = _send(api, target, state, progress, webhook, found, wishes, out) if wishes.send else None
    if sent is None or sent.stopped_by is None:
        state.save(replace(progress, finished=True))
    if out.as_json:
        print_json(state, progress, findings(state, found.widest), tally, webhook, sent, out)
    elif sent is not None:
        style = GOOD if not (sent.failed or sent.gone) else BAD
        out.say(
            ("✓ " if style is GOOD else "✗ ", style),
            f"{sent.sent} sent, {sent.failed} failed, {sent.gone} gone from the log.",
        )
    elif found.missing:
        out.note("Nothing was sent. To send what is missing, add --send.")
    _complain(sent, found, target)


def _webhook(api: DastraApi, id_: str | None, out: Output) -> WebHook:
    with out.status("Asking Dastra for the webhook"):
        hooks = [api.webhook(id_)] if id_ is not None else api.webhooks()
    if not hooks:
        raise CliError("the account has no webhook.", "dastra-webhooks register makes one.", Exit.NOT_FOUND)
    if len(hooks) > 1:
        lines = "\n".join(f"  --webhook {hook.id}  {hook.url} ({plural(len(hook.events), 'event')})" for hook in hooks)
        raise CliError("the account has several webhooks; which one missed something?", lines, Exit.USAGE)
    if not hooks[0].events:
        raise CliError(
            f"the webhook {hooks[0].id} has no events subscribed, so none can be missing.",
            "Is it another one? dastra-webhooks status lists them.",
            Exit.USAGE,
        )
    return hooks[0]


def _resumed(state: State, window: Window, *, fresh: bool, out: Output) -> Progress | None:
    """What an interrupted run of the same command left, unless it is old or something else was asked since."""
    progress = state.progress()
    if progress is None or progress.finished or fresh:
        return None
    before = progress.window
    same = (before.asked, set(before.channels), before.workspace_id) == (
        window.asked,
        set(window.channels),
        window.workspace_id,
    )
    if not same or window.started - before.started > _STALE:
        return None
    out.note(
        f"Going on with the run of {moment(before.started)}: {state.count():,} entries are read"
        f"{' to the end' if progress.resume_at is None else ''}. --fresh starts over."
    )
    return progress


def _arrivals(target: Target, records: Sequence[Path], tally: Tally, out: Output) -> Iterator[Arrival]:
    yield from stored(target, tally, out)
    for path in records:
        with out.status(f"Reading {path}"):
            yield from read_records(path, target, tally)


def _warn(progress: Progress, found: Findings, tally: Tally, wishes: Wishes, state: State, out: Output) -> None:
    """What a person should know before they send."""
    if found.missing and not wishes.records:
        out.warn(
            "no --arrived file is given, so what your consumer has had already, or the queue still holds, counts as "
            "missing if it is in the window."
        )
    if progress.window.until > progress.window.started - SETTLED:
        out.warn("the window ends less than 5 minutes ago: what is still on its way would come twice.")
    if tally.vanished:
        out.warn(f"{plural(tally.vanished, 'stored event')} went on while they were read; run this again later.")
    if tally.unreadable:
        out.warn(f"{plural(tally.unreadable, 'object')} in spool and quarantine cannot be read and were left out.")
    if progress.unreadable:
        out.warn(f"{plural(progress.unreadable, 'entry', 'entries')} of the log have no id and were left out.")
    if progress.others:
        out.note(f"{plural(progress.others, 'entry', 'entries')} of other event types came along and were left out.")
    if uncertain := state.uncertain():
        out.note(f"{plural(uncertain, 'message')} may be on the queue already, and would be there twice, with one id.")
    if found.missing or found.ambiguous:
        out.note(INFERRED)


def _send(
    api: DastraApi,
    target: Target,
    state: State,
    progress: Progress,
    webhook: str,
    found: Findings,
    wishes: Wishes,
    out: Output,
) -> Sent:
    if not found.missing:
        return Sent()
    out.confirm(f"Send {plural(found.missing, 'event')} to the queue of {target.title}?", yes=wishes.yes)
    delivery = target.redrive(target.queue).delivery
    with out.bar("Sending", found.missing) as bar:

        def tell(row: Row, outcome: Outcome, code: str | None) -> None:
            advance(bar)
            if outcome is not Outcome.SENT and not out.as_json:
                why = code or "the log no longer has it"
                out.stderr.print(assemble(("✗ " if code else "! ", BAD if code else HELD), f"{row.log_id}: {why}"))

        return send_missing(api, state, delivery, query_of(progress.window), webhook, tell, wishes.page_size)


def _complain(sent: Sent | None, found: Findings, target: Target) -> None:
    if sent is None:
        return
    if sent.stopped_by is not None:
        failure = target.failure("the queue does not take anything", sent.stopped_by)
        raise CliError(failure.message, f"{failure.hint}\n{_AGAIN}".strip(), Exit.FAILED)
    if sent.failed or sent.gone:
        raise CliError(f"{plural(sent.failed + sent.gone, 'event')} could not be sent.", "Run the same command again.")
    if found.ambiguous:
        raise CliError(
            f"{plural(found.ambiguous, 'entry is', 'entries are')} ambiguous and were left.",
            "Look at each in Dastra. To send one: --also LOG_ID",
        )


@contextmanager
def _keeping(out: Output) -> Iterator[None]:
    """Whatever ends a run before its end, say that it can go on."""
    try:
        yield
    except DastraError as error:
        raise CliError(error.message, f"{error.hint}\n{_AGAIN}".strip(), error.code) from error
    except KeyboardInterrupt:
        out.note(_AGAIN)
        raise
