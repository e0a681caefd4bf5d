"""`dastra-webhooks send`: sign an event and post it, as Dastra would."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from cli.exits import CliError, Exit
from cli.keys import VARIABLE, KeyFile, read_keys
from cli.local.state import RunState, find_run
from cli.options import JsonOption
from cli.output import BAD, FAINT, GOOD, HELD, NAME, Output, assemble, grid, size
from cli.samples import DEFAULT, event_types, sample, suggestion
from cli.sending import Answer, check_url, is_loopback, post
from cli.target import START, Where
from core.deadline import SENDER_PATIENCE
from core.envelope import Envelope, EnvelopeError
from core.message import event_id, plain_token
from core.ports import PortError
from core.signature import SignatureKey, parse_keys

_MOST_BYTES: Final = 32 * 1024 * 1024
_BAR: Final = 20

_AFTER: Final = {
    "accepted": "It is on the queue.",
    "spooled": "The queue did not take it; it is stored and goes on by itself: dastra-webhooks spool list",
    "quarantined": "It is held for a person: dastra-webhooks quarantine list",
}
_WHY: Final = {
    401: "The endpoint does not know this key, or something between here and there changed the body.\n"
    "Compare fingerprints with: dastra-webhooks key list",
    403: "Dastra-webhooks refuses this address (mode reject), or something before it does.",
    404: "Nothing is at this path; is the URL complete?",
    405: "The URL takes no POST; is it the receiver's?",
    413: "The body is larger than the endpoint takes: 4 MiB, or DASTRA_MAX_BODY_BYTES.",
    429: "The platform throttles; Dastra would count this as an error.",
    503: "It knows no key yet (dastra-webhooks key set), or neither its queue nor its store takes anything.",
}


@dataclass(frozen=True, slots=True)
class _Event:
    what: str
    body: bytes
    event_type: str | None


def send(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL", help="Where to post; by default to the local run that is up.", show_default=False
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
        typer.Option("--event", metavar="TYPE", help=f"The sample's event type; else {DEFAULT}.", show_default=False),
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="List the event types that Dastra documents, and end.")
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

    Examples:
      dastra-webhooks send
      dastra-webhooks send --event TaskCreation
      dastra-webhooks send https://example.org/dastra --key-file key.txt
      dastra-webhooks send https://example.org/dastra event.json
    """
    out = Output(as_json)
    if events:
        _list_events(out)
        return
    url, file = _untangle(url, file)
    if file is not None and event is not None:
        raise CliError("--event picks a sample, and a file is given too.", "Leave one of them out.", Exit.USAGE)
    run = find_run() if url is None or is_loopback(check_url(url)) else None
    if url is None:
        if run is None:
            raise CliError(
                "where to is not said, and no local run is up.",
                f"Give a URL. {START}",
                Exit.NO_DEPLOYMENT,
            )
        url = run.url
    to_run = run if run is not None and url.startswith(run.url.rstrip("/")) else None
    chosen = _from_file(file) if file is not None else _sample(event or DEFAULT, out)
    key = _key(key_file, to_run, out)
    if url.startswith("http:") and not is_loopback(url):
        out.warn("http:// sends the event in clear; Dastra should be given an https:// URL.")
    with out.status(f"Posting to {url}"):
        answer = post(url, chosen.body, key, source)
    if as_json:
        out.data(_as_json(url, chosen, key, answer))
    else:
        _show(url, chosen, key, answer, out)
    if not answer.good:
        raise CliError(_complaint(answer), _WHY.get(answer.status or 0, ""), Exit.FAILED)


def _untangle(url: str | None, file: Path | None) -> tuple[str | None, Path | None]:
    """One argument that is a file's name and no URL is the file, and the URL is the default."""
    if url is not None and file is None and "://" not in url and (url == "-" or Path(url).is_file()):
        return None, Path(url)
    return (check_url(url) if url is not None else None), file


def _sample(event_type: str, out: Output) -> _Event:
    made = sample(event_type)
    if event_type not in event_types():
        out.warn(f"{event_type} is not among the event types that Dastra documents. {suggestion(event_type)}")
    return _Event(f"{event_type}, a sample with nonce {made.nonce}", made.body, event_type)


def _from_file(path: Path) -> _Event:
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
    try:
        event_type = plain_token(Envelope.parse(body).event_type)
    except EnvelopeError:
        event_type = None
    return _Event(f"{event_type or 'unclassified'}, from {path if str(path) != '-' else 'stdin'}", body, event_type)


def _key(key_file: Path | None, run: RunState | None, out: Output) -> SignatureKey:
    """What was given; for the local run else its own key, which it keeps in its emulated secret store."""
    if run is not None and key_file is None and not os.environ.get(VARIABLE, "").strip():
        try:
            text = Where(local=True).find(out).secret.read()
            return parse_keys(text or "")[0]
        except (PortError, ValueError):
            out.note("The local run's own key cannot be read.")
    return read_keys(key_file, out, ask="Validation key of the webhook")[0]


def _show(url: str, event: _Event, key: SignatureKey, answer: Answer, out: Output) -> None:
    style = (
        {"accepted": GOOD, "spooled": HELD, "quarantined": HELD}.get(answer.verdict or "", GOOD) if answer.good else BAD
    )
    status = "none" if answer.status is None else str(answer.status)
    rows: list[tuple[str, str | Text]] = [
        ("to", url),
        ("event", event.what),
        ("body", f"{size(len(event.body))}, id {event_id(event.body)[:12]}, signed with key {key.fingerprint}"),
        ("answer", assemble((status, style), " ", answer.body or "")),
        ("time", _time_bar(answer)),
    ]
    if answer.location:
        rows.append(("location", f"{answer.location} (Dastra is not known to follow redirects)"))
    out.show(grid(rows, indent=0))
    if answer.good and answer.verdict in _AFTER:
        out.say(("✓ " if answer.verdict == "accepted" else "! ", style), _AFTER[answer.verdict])


def _time_bar(answer: Answer) -> Text:
    share = min(1.0, answer.milliseconds / (SENDER_PATIENCE * 1000))
    filled = max(1, round(share * _BAR))
    style = GOOD if share < 0.6 else HELD if share < 1 else BAD
    return Text.assemble(
        ("━" * filled, style), ("╌" * (_BAR - filled), FAINT), f" {_span(answer)} of the 10 s that Dastra waits"
    )


def _span(answer: Answer) -> str:
    return f"{answer.milliseconds:.0f} ms" if answer.milliseconds < 1000 else f"{answer.milliseconds / 1000:.1f} s"


def _complaint(answer: Answer) -> str:
    if answer.status is None:
        return "no answer within 10 s: Dastra would have hung up and counted an error."
    return f"the answer is {answer.status}, not 200: Dastra would count an error, and blocks a webhook after five."


def _as_json(url: str, event: _Event, key: SignatureKey, answer: Answer) -> dict[str, object]:
    return {
        "url": url,
        "event_type": event.event_type,
        "id": event_id(event.body),
        "size": len(event.body),
        "key": key.fingerprint,
        "status": answer.status,
        "answer": answer.body,
        "verdict": answer.verdict,
        "milliseconds": round(answer.milliseconds, 1),
        "good": answer.good,
    }


def _list_events(out: Output) -> None:
    if out.as_json:
        out.data(list(event_types()))
        return
    for name in event_types():
        out.say((name, NAME))
