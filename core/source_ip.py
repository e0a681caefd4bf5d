"""Who is calling: the allow list, and which element of a forwarded chain the platform itself wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self

PRESET: Final = "dastra-2023-01-05"
PRESET_ADDRESSES: Final = (
    "40.89.131.148",
    "40.89.142.231",
    "40.89.143.1",
    "40.89.136.129",
    "40.89.137.32",
    "40.89.141.38",
    "40.89.137.122",
    "40.89.136.182",
)
"""The addresses of Dastra's webhook page between 2023-01-05 and 2023-05-31, when Dastra withdrew the list."""

_PORT: Final = re.compile(r"^(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?$")
_MAPPED_BITS: Final = 96
"""What stands before the IPv4 address in an IPv6 address that maps one."""
_LIST_SEPARATORS: Final = re.compile(r"[\s,;]+")


class AddressError(ValueError):
    """Text that is neither an address nor a network."""


def normalise(text: str | None) -> str | None:
    """The canonical text of an address, or None when ``text`` is not one.

    A port is dropped (``192.0.2.1:443``, ``[2001:db8::1]:443``) and IPv4 mapped into IPv6 becomes IPv4.
    """
    if text is None:
        return None
    text = text.strip()
    if match := _PORT.match(text):
        text = match["v6"] or match["v4"] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None  # a zone means something on one host only; no client on the internet has one
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)


def from_forwarded(values: Sequence[str], trusted_hops: int) -> str | None:
    """The address that the outermost trusted proxy wrote into ``X-Forwarded-For``, normalised.

    Every proxy appends the address it saw, so the element ``trusted_hops`` from the right is the last that a trusted
    machine wrote; all to its left is whatever the client claims. Fewer elements than hops: unknown, hence None.
    """
    chain = [element.strip() for value in values for element in value.split(",")]
    if trusted_hops < 1 or len(chain) < trusted_hops:
        return None
    return normalise(chain[-trusted_hops])


@dataclass(frozen=True, slots=True)
class AllowList:
    """Addresses and networks that Dastra is expected to post from."""

    addresses: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read addresses, CIDR networks and the name of the preset, separated by commas or white space.

        Raises:
            AddressError: an entry is none of these; the message names it.
        """
        return cls.of(part for part in _LIST_SEPARATORS.split(text) if part)

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """The list of these entries, each as in :meth:`parse`.

        Raises:
            AddressError: an entry is not valid; the message names it.
        """
        addresses: set[str] = set()
        networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            if entry == PRESET:
                addresses.update(PRESET_ADDRESSES)
            elif (address := normalise(entry)) is not None:
                addresses.add(address)
            else:
                networks.append(_network(entry))
        return cls(frozenset(addresses), tuple(networks))

    def __contains__(self, address: str | None) -> bool:
        """Whether a normalised address is listed. An unknown address never is."""
        if address is None:
            return False
        if address in self.addresses:
            return True
        if not self.networks:
            return False
        parsed = ip_address(address)
        return any(parsed in network for network in self.networks)

    def __or__(self, other: AllowList) -> AllowList:
        return AllowList(self.addresses | other.addresses, (*self.networks, *other.networks))


EMPTY: Final = AllowList()
"""A list with nobody on it."""


def _network(entry: str) -> IPv4Network | IPv6Network:
    if "%" in entry:
        raise _invalid(entry, "a zone means something on one host only")
    try:
        network = ip_network(entry)
    except ValueError as error:
        raise _invalid(entry, str(error)) from None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _invalid(entry: str, why: str) -> AddressError:
    return AddressError(
        f"{entry!r} is not an address, a CIDR network or {PRESET!r} ({why}); "
        "valid: 192.0.2.1, 192.0.2.0/24, 2001:db8::/32"
    )
