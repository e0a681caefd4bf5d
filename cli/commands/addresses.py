"""`dastra-webhooks addresses`: who signed genuine events from off the list, and accepting them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Final

import typer
from rich.text import Text

from cli.exits import CliError, Exit
from cli.help import group
from cli.options import YesOption, command
from cli.output import BAD, GOOD, HELD, Output, moment, plural
from cli.stored import StoredEvent, entries, read_all
from cli.target import SECONDS, Target, Where
from core.addresses import accepted_entries, address_key
from core.ports import NotFoundError, PortError
from core.records import QUARANTINE_PREFIX
from core.screening import HoldReason
from core.source_ip import PRESET, AddressError, AllowList, normalise

app = group(
    "See which addresses off the list sent genuine events, and accept those that are Dastra's.",
    "The list itself is the setting DASTRA_SOURCE_IP_ALLOWLIST; accepted addresses come on top of it.",
)

Network = IPv4Network | IPv6Network
Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="An address, or a network such as 192.0.2.0/24 or 2001:db8::/32.")
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
    entry, network = _entry(address)
    target = where.find(out)
    _warn(network, target, out, yes=yes)
    try:
        is_new = target.store.put(address_key(entry), b"", {}, SECONDS, only_if_absent=True)
    except PortError as error:
        raise target.failure("the address was not accepted", error) from error
    if not out.as_json:
        out.say(("✓ ", GOOD), f"{entry} is accepted." if is_new else f"{entry} was accepted before.")
    held = _held(target, network, out)
    released, failures = _release(target, held, out)
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
    entry, _ = _entry(address)
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


def _entry(text: str) -> tuple[str, Network]:
    """The canonical text of an address or a network, and the network that it is.

    Raises:
        CliError: it is neither.
    """
    address = normalise(text)
    if address is not None:
        return address, ip_network(address)
    if text == PRESET:
        raise CliError(f"{PRESET} is a list and no address.", "It belongs into DASTRA_SOURCE_IP_ALLOWLIST.", Exit.USAGE)
    try:
        [network] = AllowList.of([text]).networks
    except (AddressError, ValueError) as error:
        raise CliError(f"{text!r} is neither an address nor a network.", _meant(text), Exit.USAGE) from error
    if network.num_addresses == 1:
        return str(network.network_address), network
    return str(network), network


def _meant(text: str) -> str:
    try:
        return f"Did you mean {ip_network(text, strict=False)}?"
    except ValueError:
        return "Valid: 192.0.2.1, 192.0.2.0/24, 2001:db8::1, 2001:db8::/32"


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


def _held(target: Target, network: Network, out: Output) -> list[StoredEvent]:
    """What is held only because its address was not accepted; what is no JSON object stays held for that."""
    listing = entries(target, QUARANTINE_PREFIX, out)
    return [
        event
        for event in read_all(target, listing, {}, out)
        if event.reason == HoldReason.UNLISTED_ADDRESS
        and event.address is not None
        and ip_address(event.address) in network
    ]


def _release(target: Target, held: Sequence[StoredEvent], out: Output) -> tuple[int, list[str]]:
    redrive = target.redrive(target.queue) if held else None
    released, failures = 0, []
    for event in out.each(held, "Releasing"):
        if redrive is None:
            break
        try:
            redrive.release(event.key, vouched=True)
            released += 1
        except NotFoundError:
            continue  # somebody else was faster
        except PortError as error:
            failures.append(error.code)
    return released, failures
