"""Accepting an address: what a person may type for it, and the events that were held because of it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from cli.exits import CliError, Exit
from cli.output import Output
from cli.stored import StoredEvent, entries, read_all
from cli.target import Target
from core.ports import NotFoundError, PortError
from core.records import QUARANTINE_PREFIX
from core.screening import HoldReason
from core.source_ip import PRESET, AddressError, AllowList, normalise

Network = IPv4Network | IPv6Network


def entry_of(text: str) -> tuple[str, Network]:
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


def held_because_of(network: Network, target: Target, out: Output) -> list[StoredEvent]:
    """What is held only because its address was not accepted; what is no JSON object stays held for that.

    Raises:
        CliError: the store does not answer.
    """
    listing = entries(target, QUARANTINE_PREFIX, out)
    return [
        event
        for event in read_all(target, listing, {}, out)
        if event.reason == HoldReason.UNLISTED_ADDRESS
        and event.address is not None
        and ip_address(event.address) in network
    ]


def release_all(held: Sequence[StoredEvent], target: Target, out: Output) -> tuple[int, list[str]]:
    """Send held events to the queue, their address accepted; how many went, and the error codes of the others."""
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
