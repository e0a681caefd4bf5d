"""`dastra-webhooks quarantine`: look at events that are held, then release or drop them."""

from __future__ import annotations

import base64
from typing import Annotated

import typer

from cli import completion
from cli.exits import CliError, Exit
from cli.help import group
from cli.options import YesOption, command
from cli.output import GOOD, Output, grid, moment, plural, pretty_body, size, span
from cli.stored import MOST_SHOWN, Limit, entries, for_each, pick, read_all, short_keys, show_list
from cli.target import Target, Where
from core.ports import NotFoundError, PortError
from core.records import QUARANTINE_PREFIX, RecordError

app = group(
    "Look at events that are held for a person, then release or drop them.",
    "Only genuine events are held: their signature was checked. They expire after 30 days.",
)

Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY",
        help="Keys as `list` shows them, or any part of 4 characters that names one event.",
        autocompletion=completion.quarantined,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every event in the quarantine.")]


@command(app, "list")
def list_(where: Where, out: Output, limit: Limit = MOST_SHOWN) -> None:
    """List the events that are held, oldest first, and why.

    Examples:
      dastra-webhooks quarantine list
      dastra-webhooks quarantine list --json | jq -r '.[].address'
    """
    target = where.find(out)
    listing = entries(target, QUARANTINE_PREFIX, out)
    events = read_all(target, listing[:limit], short_keys(listing), out)
    if out.as_json:
        out.data([event.as_json() for event in events])
    elif not events:
        out.say("Nothing is in quarantine.")
    else:
        show_list(events, len(listing), out)
        out.note(
            "Next: dastra-webhooks quarantine show KEY, then release KEY or drop KEY\n"
            "For unlisted_address: dastra-webhooks addresses list"
        )


@command(app, "show")
def show(
    where: Where,
    out: Output,
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY", help="A key, or a part that names one event.", autocompletion=completion.quarantined
        ),
    ],
    body: Annotated[bool, typer.Option("--body", help="Show the body too. It holds personal data.")] = False,
) -> None:
    """Show what is known of one event; its body only when asked for.

    Examples:
      dastra-webhooks quarantine show 3fa9c2d1
      dastra-webhooks quarantine show 3fa9c2d1 --body
    """
    target = where.find(out)
    listing = entries(target, QUARANTINE_PREFIX, out)
    [full] = pick([key], listing, QUARANTINE_PREFIX)
    found = read_all(target, [entry for entry in listing if entry.key == full], {}, out)
    if not found:
        raise _gone(full)
    event = found[0]
    data = _body(target, full) if body else b""
    if out.as_json:
        out.data(event.as_json() | (_body_as_json(data) if body else {}))
        return
    out.show(
        grid(
            [
                ("key", event.key),
                ("reason", event.reason),
                ("address", event.address or "unknown"),
                ("stored", f"{moment(event.stored_at)} UTC, {span(event.age)} ago"),
                ("expires", f"{moment(event.expires_at)} UTC"),
                ("size", size(event.size)),
                *event.attributes.items(),
            ],
            indent=0,
        )
    )
    if body:
        out.say("")
        out.say(pretty_body(data))
    else:
        out.note("Its body holds personal data; --body shows it.")


@command(app, "release")
def release(
    where: Where,
    out: Output,
    keys: Keys = None,
    every: All = False,
) -> None:
    """Send held events to the queue and remove them from quarantine.

    Events from an unlisted address keep the mark `sourceipcheck=unlisted`. To accept the address with all that it
    sent, use `dastra-webhooks addresses accept ADDRESS`.

    Examples:
      dastra-webhooks quarantine release 3fa9c2d1 77b0e14c
      dastra-webhooks quarantine release --all
    """
    _check_named(keys, every)
    target = where.find(out)
    chosen = _chosen(target, keys, every, out)
    redrive = target.redrive(target.queue)
    failed = for_each(chosen, "released", redrive.release, out)
    if not out.as_json:
        out.say(("✓ ", GOOD), f"{plural(len(chosen) - failed, 'event')} released to the queue.")
    if failed:
        raise CliError(f"{plural(failed, 'event')} could not be released: still in quarantine.", "Try again later.")


@command(app, "drop")
def drop(
    where: Where,
    out: Output,
    keys: Keys = None,
    every: All = False,
    yes: YesOption = False,
) -> None:
    """Delete held events for good: Dastra does not send them again.

    Examples:
      dastra-webhooks quarantine drop 3fa9c2d1
      dastra-webhooks quarantine drop --all --yes
    """
    _check_named(keys, every)
    target = where.find(out)
    chosen = _chosen(target, keys, every, out)
    if chosen:
        out.confirm(f"Delete {plural(len(chosen), 'event')} of {target.title} for good?", yes=yes)
    redrive = target.redrive()
    failed = for_each(chosen, "dropped", redrive.drop, out)
    if not out.as_json:
        out.say(("✓ ", GOOD), f"{plural(len(chosen) - failed, 'event')} dropped.")
    if failed:
        raise CliError(f"{plural(failed, 'event')} could not be dropped.", "Try again later.")


def _check_named(keys: list[str] | None, every: bool) -> None:
    if bool(keys) == every:
        raise CliError(
            "name the events by their keys, or all of them with --all.",
            "This lists them: dastra-webhooks quarantine list",
            Exit.USAGE,
        )


def _chosen(target: Target, keys: list[str] | None, every: bool, out: Output) -> list[str]:
    listing = entries(target, QUARANTINE_PREFIX, out)
    return [entry.key for entry in listing] if every else pick(keys or [], listing, QUARANTINE_PREFIX)


def _body(target: Target, key: str) -> bytes:
    try:
        return target.redrive().read(key).message.body
    except NotFoundError:
        raise _gone(key) from None
    except RecordError:
        return target.store.get(key, 5).body
    except PortError as error:
        raise target.failure("the event cannot be read", error) from error


def _body_as_json(data: bytes) -> dict[str, str]:
    try:
        return {"body": data.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(data).decode("ascii")}


def _gone(key: str) -> CliError:
    return CliError(f"the event {key} is gone: released, dropped or expired meanwhile.", code=Exit.NOT_FOUND)
