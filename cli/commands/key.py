"""`dastra-webhooks key`: the signature keys in the deployment's secret store."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from cli.help import group
from cli.keys import KeyFile, looks_wrong, read_keys
from cli.options import YesOption, command
from cli.output import BAD, FAINT, GOOD, Output
from cli.stored_keys import present_keys, write_keys
from cli.target import Where
from core.signature import SignatureKey

app = group(
    "Put Dastra's validation keys into the deployment's secret store, and see which are there.",
    "Keys are shown as fingerprints, never as they are.",
)


@command(app, "list")
def list_(where: Where, out: Output) -> None:
    """List the fingerprints of the keys, newest first.

    The receiver's log lines name keys by the same fingerprints.

    Example:
      dastra-webhooks key list
    """
    target = where.find(out)
    present = present_keys(target, out)
    if out.as_json:
        out.data([{"fingerprint": key.fingerprint} for key in present])
    elif not present:
        out.say("There is no key yet.")
        out.note("Next: dastra-webhooks key set")
    else:
        out.table([("FINGERPRINT", "keep"), ("", "keep")], [(key.fingerprint, _odd(key)) for key in present])


@command(app, "set")
def set_(
    where: Where,
    out: Output,
    key_file: KeyFile = None,
    add: Annotated[
        bool, typer.Option("--add", help="Keep the keys that are there, behind the new one: for a rotation.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Put the key of a webhook, or several keys, into the secret store.

    Each webhook in Dastra has a key of its own; with several webhooks give all their keys, or --add one at a time.
    Running receivers take a new key with the first event that is signed with it, and forget a removed one within
    15 minutes.

    Examples:
      # asks for the key
      dastra-webhooks key set
      # a second webhook, or a rotation
      dastra-webhooks key set --add --key-file key.txt
    """
    target = where.find(out)
    given = read_keys(key_file, out, ask="Validation key from Dastra's webhook page")
    for key in given:
        if odd := looks_wrong(key):
            out.warn(f"the key {key.fingerprint} {odd}.")
    present = present_keys(target, out)
    keys = tuple(dict.fromkeys((*given, *present) if add else given))
    gone = [key for key in present if key not in keys]
    if gone:
        names = ", ".join(key.fingerprint for key in gone)
        out.confirm(f"Remove {names} from {target.title}, and refuse what it signs? (--add keeps it.)", yes=yes)
    write_keys(target, keys, out)
    states = [(key, "kept" if key in present else "added") for key in keys] + [(key, "removed") for key in gone]
    if out.as_json:
        out.data([{"fingerprint": key.fingerprint, "state": state} for key, state in states])
        return
    styles = {"added": GOOD, "kept": FAINT, "removed": BAD}
    out.table(
        [("FINGERPRINT", "keep"), ("", "keep")],
        [(key.fingerprint, Text(state, styles[state])) for key, state in states],
    )


def _odd(key: SignatureKey) -> Text:
    odd = looks_wrong(key)
    return Text(odd, BAD) if odd else Text("")
