"""`dastra-webhooks send`: sign an event and post it, as Dastra would; or break it on purpose, or send many."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli import completion
from cli.breaking import ALL, Break, find, kinds
from cli.editing import data_from, set_values
from cli.exits import CliError, Exit
from cli.keys import VARIABLE, KeyFile, read_keys
from cli.local.state import RunState, find_run
from cli.options import JsonOption
from cli.output import NAME, Output
from cli.samples import DEFAULT, event_types, sample, suggestion
from cli.send_jobs import Job, break_all, break_one, send_many, send_one
from cli.sending import check_url, is_loopback
from cli.sent import Event
from cli.target import START, Where
from cli.volley import MOST, MOST_UNDER_WAY
from core.envelope import Envelope, EnvelopeError
from core.message import plain_token
from core.ports import PortError
from core.signature import SignatureKey, parse_keys

_MOST_BYTES: Final = 32 * 1024 * 1024
_SAMPLE: Final = "The event"
_MANY: Final = "Many"
_FAULT: Final = "Faults and attacks"


def send(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="Where to post; by default to the local run that is up.",
            show_default=False,
            autocompletion=completion.urls,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="Post these exact bytes in place of a sample; - reads stdin.", show_default=False
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            "--event",
            metavar="TYPE",
            help=f"The sample's event type; else {DEFAULT}.",
            show_default=False,
            autocompletion=completion.event_types,
            rich_help_panel=_SAMPLE,
        ),
    ] = None,
    events: Annotated[
        bool,
        typer.Option("--events", help="List the event types that Dastra documents, and end.", rich_help_panel=_SAMPLE),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="JSON to stand under the sample's `data`; - reads stdin.",
            show_default=False,
            rich_help_panel=_SAMPLE,
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set a member of the sample: data.id=7, 'data.tags[0]=new'. JSON where it can be read so, else text.",
            show_default=False,
            rich_help_panel=_SAMPLE,
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option("--count", metavar="NUMBER", min=1, max=MOST, help="How many to send.", rich_help_panel=_MANY),
    ] = 1,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="NUMBER",
            min=0.001,
            max=1000,
            help=f"How many a second, up to {MOST_UNDER_WAY} under way at a time; else one after the other.",
            show_default=False,
            rich_help_panel=_MANY,
        ),
    ] = None,
    fault: Annotated[
        str | None,
        typer.Option(
            "--break",
            metavar="KIND",
            help=f"Break it: {', '.join(kind.name for kind in kinds())}; or {ALL}, each once. "
            "--breaks says what each is and what it must get.",
            show_default=False,
            autocompletion=completion.breaks,
            rich_help_panel=_FAULT,
        ),
    ] = None,
    faults: Annotated[
        bool,
        typer.Option("--breaks", help="List the kinds of --break, and end.", rich_help_panel=_FAULT),
    ] = False,
    key_file: KeyFile = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ADDRESS",
            help="Send from this address of this machine. To the local run, 127.0.0.2 plays an address off the list.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign an event and post it, as Dastra would: one POST, ten seconds, and only 200 counts.

    A sample's content is invented. It carries a nonce, so two samples are two events; its field `sample` tells a
    consumer that it is one. A file is posted byte for byte, so sending it twice is the same event twice.
    With several keys the first one, the newest, signs.

    With --break the event is wrong in one way on purpose, and all is well when it gets the answer that it must get.

    Examples:
      dastra-webhooks send
      dastra-webhooks send --event TaskCreation --set data.id=7
      dastra-webhooks send --count 100 --rate 10
      dastra-webhooks send --break body
      dastra-webhooks send --break all
      dastra-webhooks send https://example.org/dastra --key-file key.txt
      dastra-webhooks send https://example.org/dastra event.json
    """
    out = Output(as_json)
    if events:
        _list_events(out)
        return
    if faults:
        _list_breaks(out)
        return
    url, file = _untangle(url, file)
    kind = _chosen(fault, count, source)
    make = _maker(file, event, data, assignments or (), out)
    job = _job(url, make, key_file, source, out)
    if fault == ALL:
        break_all(job, out)
    elif count > 1:
        send_many(job, kind, count, rate, out)
    elif kind is not None:
        break_one(job, kind, out)
    else:
        send_one(job, out)


# -- what is asked for -------------------------------------------------------------------------------------------------


def _untangle(url: str | None, file: Path | None) -> tuple[str | None, Path | None]:
    """One argument that is a file's name and no URL is the file, and the URL is the default."""
    if url is not None and file is None and "://" not in url and (url == "-" or Path(url).is_file()):
        return None, Path(url)
    if url is not None and file is None and "://" not in url:
        raise CliError(
            f"{url!r} is no URL to post to, and no file that is there.",
            "Valid: https://example.org/dastra, or a file's name for the local run.",
            Exit.USAGE,
        )
    return (check_url(url) if url is not None else None), file


def _chosen(fault: str | None, count: int, source: str | None) -> Break | None:
    """The kind of --break, where one is named."""
    if fault is None:
        return None
    if source is not None:
        raise CliError("--break and --from exclude each other.", "Leave one of them out.", Exit.USAGE)
    if fault == ALL and count > 1:
        raise CliError(f"--break {ALL} sends each kind once.", "Leave --count out, or name one kind.", Exit.USAGE)
    return find(fault) if fault != ALL else None


def _maker(
    file: Path | None, event: str | None, data: Path | None, assignments: Sequence[str], out: Output
) -> Callable[[], Event]:
    """What makes the events: a sample as it was asked for, another one each time, or a file's bytes."""
    if file is not None:
        if given := [name for name, value in (("--event", event), ("--data", data), ("--set", assignments)) if value]:
            raise CliError(
                f"{given[0]} {'picks' if given[0] == '--event' else 'changes'} a sample, and a file is given too.",
                "Leave one of them out: a file is posted byte for byte.",
                Exit.USAGE,
            )
        whole = _of_file(file)
        return lambda: whole
    changes: list[Callable[[dict[str, Any]], None]] = []
    if data is not None:
        value = data_from(data, _read(data))
        changes.append(lambda envelope: envelope.update(data=value))
    if assignments:
        changes.append(partial(_set, assignments))
    event_type = event or DEFAULT
    make = partial(_sample, event_type, changes)
    make()  # what is wrong about the arguments is said before anything is sent
    if event_type not in event_types():
        out.warn(f"{event_type} is not among the event types that Dastra documents. {suggestion(event_type)}")
    return make


def _set(assignments: Sequence[str], envelope: dict[str, Any]) -> None:
    set_values(envelope, assignments)


def _sample(event_type: str, changes: Sequence[Callable[[dict[str, Any]], None]]) -> Event:
    def change(envelope: dict[str, Any]) -> None:
        for each in changes:
            each(envelope)

    made = sample(event_type, change=change)
    return Event(f"{event_type}, a sample with nonce {made.nonce}", made.body, event_type)


def _of_file(path: Path) -> Event:
    body = _read(path)
    try:
        event_type = plain_token(Envelope.parse(body).event_type)
    except EnvelopeError:
        event_type = None
    return Event(f"{event_type or 'unclassified'}, from {path if str(path) != '-' else 'stdin'}", body, event_type)


def _read(path: Path) -> bytes:
    try:
        if str(path) == "-":
            body = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with path.open("rb") as opened:
                body = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.", code=Exit.USAGE) from None
    if len(body) > _MOST_BYTES:
        raise CliError(f"{path} is larger than any receiver takes.", code=Exit.USAGE)
    return body


def _job(url: str | None, make: Callable[[], Event], key_file: Path | None, source: str | None, out: Output) -> Job:
    """Where to and with which key, said or found."""
    run = find_run() if url is None or is_loopback(url) else None
    if url is None:
        if run is None:
            raise CliError("where to is not said, and no local run is up.", f"Give a URL. {START}", Exit.NO_DEPLOYMENT)
        url = run.url
    to_run = run if run is not None and url.startswith(run.url.rstrip("/")) else None
    key = _key(key_file, to_run, out)
    if url.startswith("http:") and not is_loopback(url):
        out.warn("http:// sends the event in clear; Dastra should be given an https:// URL.")
    return Job(url, make, key, source)


def _key(key_file: Path | None, run: RunState | None, out: Output) -> SignatureKey:
    """What was given; for the local run else its own key, which it keeps in its emulated secret store."""
    if run is not None and key_file is None and not os.environ.get(VARIABLE, "").strip():
        try:
            text = Where(local=True).find(out).secret.read()
            return parse_keys(text or "")[0]
        except (PortError, ValueError):
            out.note("The local run's own key cannot be read.")
    return read_keys(key_file, out, ask="Validation key of the webhook")[0]


# -- lists -------------------------------------------------------------------------------------------------------------


def _list_events(out: Output) -> None:
    if out.as_json:
        out.data(list(event_types()))
        return
    for name in event_types():
        out.say((name, NAME))


def _list_breaks(out: Output) -> None:
    if out.as_json:
        out.data([{"break": kind.name, "what": kind.what, "expected": kind.status} for kind in kinds()])
        return
    out.table(
        [("BREAK", "keep"), ("WHAT", "cut"), ("MUST GET", "keep")],
        [(kind.name, kind.what, kind.expected()) for kind in kinds()],
    )
    out.note("Any attack of the doctor's table goes by its own name too: dastra-webhooks send --break key-guid-bytes")
