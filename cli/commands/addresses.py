"""`dastra-webhooks addresses`: who signed genuine events from off the list, and accepting them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.text import Text

from cli import completion
from cli.accepting import Network, entry_of, held_because_of, release_all
from cli.exits import CliError, Exit
from cli.help import group
from cli.options import YesOption, command
from cli.output import BAD, GOOD, HELD, Output, moment, plural
from cli.stored import entries, read_all
from cli.target import SECONDS, Target, Where
from core.addresses import accepted_entries, address_key
from core.ports import NotFoundError, PortError
from core.records import QUARANTINE_PREFIX
from core.source_ip import AddressError, AllowList

app = group(
    "See which addresses off the list sent genuine events, and accept those that are Dastra's.",
    "The list itself is the setting DASTRA_SOURCE_IP_ALLOWLIST; accepted addresses come on top of it.",
)

Address = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help="An address, or a network such as 192.0.2.0/24 or 2001:db8::/32.",
        autocompletion=completion.unlisted_addresses,
    ),
]

_NARROW: Final = {4: 24, 6: 48}
"""Prefix lengths from which on a network passes without a word."""
_WIDEST: Final = {4: 8, 6: 32}
"""Prefix lengths below which it takes a yes."""


@dataclass(slots=True)
class _Seen:
    """One address: what is held from it, and whether it is accepted."""

    accepted: bool = False
    times: list[datetime] = field(default_factory=list)

    def as_json(self, entry: str) -> dict[str, object]:
        first, last = (min(self.times), max(self.times)) if self.times else (None, None)
        return {
            "address": entry,
            "accepted": self.accepted,
            "held": len(self.times),
            "first_seen": first.isoformat() if first else None,
            "last_seen": last.isoformat() if last else None,
        }


@command(app, "list")
def list_(where: Where, out: Output) -> None:
    """List the addresses off the list whose events are held, and the addresses accepted so far.

    Every event counted here carried a right signature. In the modes `off` and `observe` nothing is held.

    Example:
      dastra-webhooks addresses list
    """
    target = where.find(out)
    accepted = _accepted(target, out)
    listing = entries(target, QUARANTINE_PREFIX, out)
    rows = {entry: _Seen(accepted=True) for entry in accepted}
    for event in read_all(target, listing, {}, out):
        if event.unlisted:
            seen = rows.setdefault(event.address or "unknown", _Seen(event.address in AllowList.of(_valid(accepted))))
            seen.times.append(event.stored_at)
    if out.as_json:
        out.data([seen.as_json(entry) for entry, seen in rows.items()])
        return
    if not rows:
        out.say("No address off the list has sent a genuine event, and none is accepted.")
        return
    out.table(
        [
            ("ADDRESS", "keep"),
            ("STATE", "keep"),
            ("HELD", "right"),
            ("FIRST SEEN (UTC)", "keep"),
            ("LAST SEEN", "keep"),
        ],
        [
            (
                entry,
                Text("accepted", GOOD) if seen.accepted else Text("not listed", HELD),
                str(len(seen.times)),
                moment(min(seen.times)) if seen.times else "",
                moment(max(seen.times)) if seen.times else "",
            )
            for entry, seen in rows.items()
        ],
    )
    if any(not seen.accepted for seen in rows.values()):
        out.note("Is it Dastra's? Then: dastra-webhooks addresses accept ADDRESS")


@command(app, "accept")
def accept(
    where: Where,
    out: Output,
    address: Address,
    yes: YesOption = False,
) -> None:
    """Accept an address from now on, and release to the queue what was held because of it.

    It takes effect with the next event; nothing is deployed anew.

    Examples:
      dastra-webhooks addresses accept 198.51.100.7
      dastra-webhooks addresses accept 198.51.100.0/28
    """
    entry, network = entry_of(address)
    target = where.find(out)
    _warn(network, target, out, yes=yes)
    try:
        is_new = target.store.put(address_key(entry), b"", {}, SECONDS, only_if_absent=True)
    except PortError as error:
        raise target.failure("the address was not accepted", error) from error
    if not out.as_json:
        out.say(("✓ ", GOOD), f"{entry} is accepted." if is_new else f"{entry} was accepted before.")
    held = held_because_of(network, target, out)
    released, failures = release_all(held, target, out)
    if out.as_json:
        out.data({"address": entry, "new": is_new, "held": len(held), "released": released, "failed": len(failures)})
    elif held:
        out.say(
            ("✓ " if not failures else "✗ ", BAD if failures else GOOD),
            f"{released} of {len(held)} held events released.",
        )
    else:
        out.note("No event of it is held.")
    if failures:
        raise CliError(
            f"{plural(len(failures), 'event')} could not be released ({', '.join(sorted(set(failures)))}): still in "
            "quarantine.",
            f"The address is accepted all the same. Try again: dastra-webhooks addresses accept {entry}",
        )


@command(app, "forget")
def forget(
    where: Where,
    out: Output,
    address: Address,
) -> None:
    """Take back an acceptance: later events from the address are held again.

    Running receivers may go on accepting it for 5 minutes. An address of DASTRA_SOURCE_IP_ALLOWLIST stays on the list.

    Example:
      dastra-webhooks addresses forget 198.51.100.7
    """
    entry, _ = entry_of(address)
    target = where.find(out)
    try:
        target.store.get(address_key(entry), SECONDS)
        target.store.delete(address_key(entry), SECONDS)
    except NotFoundError:
        raise CliError(
            f"{entry} is not among the accepted addresses.",
            "This lists them: dastra-webhooks addresses list",
            Exit.NOT_FOUND,
        ) from None
    except PortError as error:
        raise target.failure("the address was not forgotten", error) from error
    if out.as_json:
        out.data({"address": entry, "forgotten": True})
    else:
        out.say(("✓ ", GOOD), f"{entry} is no longer accepted.")


def _warn(network: Network, target: Target, out: Output, *, yes: bool) -> None:
    if network.prefixlen < _WIDEST[network.version]:
        out.confirm(f"{network} is a large part of the internet. Accept all of it?", yes=yes)
    elif network.prefixlen < _NARROW[network.version]:
        out.warn(f"{network} holds {network.num_addresses:,} addresses; is all of it Dastra's?")
    if network.is_private and not target.is_local:
        out.warn(
            f"{network} is not on the internet, so it is not Dastra's: more likely it is a proxy of yours, and "
            "DASTRA_TRUSTED_PROXY_HOPS is wrong."
        )


def _accepted(target: Target, out: Output) -> Sequence[str]:
    try:
        with out.status("Reading the store"):
            return accepted_entries(target.store, SECONDS)
    except PortError as error:
        raise target.failure("the store cannot be read", error) from error


def _valid(accepted: Sequence[str]) -> list[str]:
    return [entry for entry in accepted if _is_valid(entry)]


def _is_valid(entry: str) -> bool:
    try:
        AllowList.of([entry])
    except AddressError:
        return False
    return True
