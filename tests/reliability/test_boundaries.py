"""Boundaries that no other test stands on: each of these notices a mutant that nothing else did."""

from __future__ import annotations

from core.source_ip import AllowList


def test_one_mapped_address_as_a_network_is_the_ipv4_address() -> None:
    """``::ffff:192.0.2.1/128`` lists 192.0.2.1 and not its neighbour: 128 bits less 96 are 32."""
    listed = AllowList.parse("::ffff:192.0.2.1/128")
    assert "192.0.2.1" in listed
    assert "192.0.2.2" not in listed


def test_an_address_on_both_lists_is_on_their_union() -> None:
    """An address that is in the settings and was accepted as well stays listed."""
    both = AllowList.parse("192.0.2.1, 192.0.2.2") | AllowList.parse("192.0.2.2, 192.0.2.3")
    assert all(address in both for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"))
