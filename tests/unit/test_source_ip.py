"""Addresses in every form that a platform writes them, and the allow list."""

from __future__ import annotations

import dataclasses

import pytest

from core.source_ip import EMPTY, PRESET, PRESET_ADDRESSES, AddressError, AllowList, from_forwarded, normalise


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("192.0.2.1:1", "192.0.2.1"),
        ("192.0.2.1:65535", "192.0.2.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        (" [2001:DB8:0::1]:65535 ", "2001:db8::1"),
        ("::1", "::1"),
        ("::", "::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("[::ffff:192.0.2.1]", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
        # Mapped is one prefix: compatible and translated addresses stay what they are.
        ("::192.0.2.1", "::c000:201"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
    ],
)
def test_an_address_has_one_spelling(text: str, address: str) -> None:
    """Ports, brackets and capitals go, zeros are compressed, and IPv4 mapped into IPv6 becomes IPv4."""
    assert normalise(text) == address
    assert normalise(address) == address


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "unknown",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1.1",
        "192.0.2.01",
        "192.0.2.0/24",
        "192.0.2.1:",
        "192.0.2.1:x",
        "192.0.2.1:123456",
        "192.0.2.1:443:443",
        "192.0.2.1 192.0.2.2",
        "192.0.2.1, 192.0.2.2",
        "3221225985",
        "0xc0000201",
        "\u0661\u0669\u0662.0.2.1",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]443",
        "[2001:db8::1]:",
        "[2001:db8::1]:123456",
        "[[2001:db8::1]]",
        "[]",
        "[]:443",
        "2001:db8::1::2",
        "2001:db8::g",
        "fe80::1%eth0",
        "fe80::1%",
        "[fe80::1%eth0]:443",
        "::ffff:192.0.2.1%eth0",
        "_hidden",
        "for=192.0.2.1",
        "192.0.2.1\n192.0.2.2",
        "192.0.2.1\0",
        "\ud800",
        "é",
        "1" * 10_000,
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_what_is_no_address_is_none(text: str | None) -> None:
    """Names, networks, several addresses, zones of one host: nothing raises, nothing is guessed."""
    assert normalise(text) is None


# The forwarded chain

CHAIN = "203.0.113.99, 198.51.100.7, 192.0.2.44"


@pytest.mark.parametrize(
    ("values", "hops", "address"),
    [
        ([CHAIN], 1, "192.0.2.44"),
        ([CHAIN], 2, "198.51.100.7"),
        ([CHAIN], 3, "203.0.113.99"),
        ([CHAIN], 4, None),
        (["192.0.2.44"], 1, "192.0.2.44"),
        (["192.0.2.44"], 2, None),
        (["203.0.113.99", "198.51.100.7, 192.0.2.44"], 1, "192.0.2.44"),
        (["203.0.113.99", "198.51.100.7, 192.0.2.44"], 3, "203.0.113.99"),
        (["203.0.113.99,198.51.100.7", "192.0.2.44"], 2, "198.51.100.7"),
        (["198.51.100.7 ,\t192.0.2.44 "], 2, "198.51.100.7"),
        (["198.51.100.7:5000, [2001:db8::1]:443"], 1, "2001:db8::1"),
        (["198.51.100.7:5000, [2001:db8::1]:443"], 2, "198.51.100.7"),
        (["::ffff:192.0.2.44"], 1, "192.0.2.44"),
        # What stands in the trusted place and is no address is not skipped for one that the client wrote.
        (["192.0.2.44, unknown"], 1, None),
        (["192.0.2.44,"], 1, None),
        (["192.0.2.44,"], 2, "192.0.2.44"),
        (["192.0.2.44,,"], 2, None),
        (["192.0.2.44", ""], 1, None),
        ([""], 1, None),
        ([","], 2, None),
        ([], 1, None),
        # Hops that make no sense trust nobody; a negative index would count from the client's side.
        ([CHAIN], 0, None),
        ([CHAIN], -1, None),
        ([CHAIN], -3, None),
    ],
)
def test_the_trusted_element_counts_from_the_right(values: list[str], hops: int, address: str | None) -> None:
    """With so many trusted proxies, the element that the outermost of them wrote, and none when the chain is short."""
    assert from_forwarded(values, hops) == address


# The list


@pytest.mark.parametrize(
    ("text", "listed", "unlisted"),
    [
        ("192.0.2.1", ["192.0.2.1"], ["192.0.2.0", "192.0.2.2", "192.0.2.10"]),
        ("192.0.2.1,192.0.2.3", ["192.0.2.1", "192.0.2.3"], ["192.0.2.2"]),
        ("192.0.2.1;192.0.2.3\n2001:db8::1", ["192.0.2.1", "192.0.2.3", "2001:db8::1"], ["2001:db8::2"]),
        (" , 192.0.2.1 ,\t", ["192.0.2.1"], ["192.0.2.2"]),
        ("192.0.2.1/32", ["192.0.2.1"], ["192.0.2.0", "192.0.2.2"]),
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.1", "192.0.2.255"], ["192.0.1.255", "192.0.3.0"]),
        ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.0"]),
        ("192.0.2.0/24 198.51.100.0/24", ["192.0.2.9", "198.51.100.9"], ["203.0.113.9"]),
        ("192.0.2.0/24 203.0.113.9", ["192.0.2.9", "203.0.113.9"], ["203.0.113.8"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1"]),
        ("::/0", ["::", "2001:db8::1"], ["0.0.0.0", "192.0.2.1"]),
        ("2001:DB8::/32", ["2001:db8::1", "2001:db8:ffff::1"], ["2001:db7:ffff::1", "2001:db9::"]),
        ("2001:0db8:0::0001", ["2001:db8::1"], ["2001:db8::"]),
        ("2001:db8::1/128", ["2001:db8::1"], ["2001:db8::"]),
        ("::ffff:192.0.2.1", ["192.0.2.1"], ["192.0.2.2"]),
        ("::ffff:192.0.2.0/120", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "2001:db8::1"]),
        ("::ffff:0:0/96", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1"]),
        ("::fffe:0:0/95", ["::fffe:0:1"], ["0.0.0.0", "192.0.2.1", "::1"]),
        ("::/64", ["::", "::1"], ["0.0.0.0", "192.0.2.1", "0:0:0:1::"]),
        ("::/96", ["::", "::1"], ["0.0.0.0", "192.0.2.1", "::1:0:0"]),
        (PRESET, PRESET_ADDRESSES, ["40.89.131.149", "192.0.2.1"]),
        (f"{PRESET}, 192.0.2.1", [*PRESET_ADDRESSES, "192.0.2.1"], ["192.0.2.2"]),
        ("", [], ["192.0.2.1", "0.0.0.0", "::"]),
        (" ,; \n", [], ["192.0.2.1"]),
    ],
)
def test_a_list_holds_its_addresses_and_networks_to_the_last_one(
    text: str, listed: list[str], unlisted: list[str]
) -> None:
    """Entries are separated by commas, semicolons or white space; each end of a network is inside, the next is out."""
    allow_list = AllowList.parse(text)
    assert [address for address in listed if address not in allow_list] == []
    assert [address for address in unlisted if address in allow_list] == []


@pytest.mark.parametrize("text", ["", "192.0.2.1", "0.0.0.0/0 ::/0", PRESET])
def test_an_unknown_address_is_on_no_list(text: str) -> None:
    """Not even on one that holds every address."""
    assert None not in AllowList.parse(text)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("192.0.2.1/24", "192.0.2.1/24"),
        ("2001:db8::1/32", "2001:db8::1/32"),
        ("192.0.2.0/33", "192.0.2.0/33"),
        ("2001:db8::/129", "2001:db8::/129"),
        ("192.0.2.0/", "192.0.2.0/"),
        ("/24", "/24"),
        ("192.0.2.256", "192.0.2.256"),
        ("192.0.2", "192.0.2"),
        ("192.0.2.0-192.0.2.9", "192.0.2.0-192.0.2.9"),
        ("webhooks.example.org", "webhooks.example.org"),
        ("192.0.2.1, oops, 192.0.2.2", "oops"),
        ("dastra-2024-01-05", "dastra-2024-01-05"),
        (PRESET.upper(), PRESET.upper()),
        ("*", "*"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_an_entry_that_is_neither_address_nor_network_is_named(text: str, entry: str) -> None:
    """Host bits below a mask, masks too long, names and ranges: the error quotes the entry and shows what is valid."""
    with pytest.raises(AddressError) as raised:
        AllowList.parse(text)
    assert str(raised.value).startswith(f"{entry!r} is not an address, a CIDR network or {PRESET!r} (")
    assert str(raised.value).endswith("; valid: 192.0.2.1, 192.0.2.0/24, 2001:db8::/32")
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("192.0.2.1/24", "192.0.2.1/24 has host bits set"),
        ("fe80::1%eth0", "a zone means something on one host only"),
    ],
)
def test_the_error_says_why(entry: str, why: str) -> None:
    """The reader learns what is wrong with an entry that looks right."""
    with pytest.raises(AddressError) as raised:
        AllowList.of([entry])
    assert str(raised.value) == (
        f"'{entry}' is not an address, a CIDR network or '{PRESET}' ({why}); "
        "valid: 192.0.2.1, 192.0.2.0/24, 2001:db8::/32"
    )


def test_a_list_is_frozen() -> None:
    """A policy that was made with it stands."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        AllowList.of(["192.0.2.1"]).addresses = frozenset()  # type: ignore[misc]


def test_the_preset_is_the_eight_addresses_of_its_date() -> None:
    """The name carries the date, so that nobody takes the list for a current one."""
    assert PRESET == "dastra-2023-01-05"
    assert len(set(PRESET_ADDRESSES)) == 8
    assert all(normalise(address) == address for address in PRESET_ADDRESSES)
    assert AllowList.of([PRESET]) == AllowList(frozenset(PRESET_ADDRESSES))


def test_entries_of_one_kind_stay_apart() -> None:
    """Plain addresses are a set, looked up at once; only true networks are searched."""
    allow_list = AllowList.of(["192.0.2.1", "::ffff:192.0.2.1", "198.51.100.0/24"])
    assert allow_list.addresses == {"192.0.2.1"}
    assert [str(network) for network in allow_list.networks] == ["198.51.100.0/24"]


def test_two_lists_together_hold_what_either_holds() -> None:
    """The union has both lists' addresses and networks, and neither list is changed."""
    first, second = AllowList.parse("192.0.2.1 198.51.100.0/24"), AllowList.parse("192.0.2.2 203.0.113.0/24")
    both = first | second
    for address in ("192.0.2.1", "198.51.100.9", "192.0.2.2", "203.0.113.9"):
        assert address in both
    assert "192.0.2.3" not in both
    assert "192.0.2.2" not in first
    assert "192.0.2.1" not in second


def test_the_empty_list_has_nobody_on_it() -> None:
    """It changes nothing when it is joined to another."""
    allow_list = AllowList.parse("192.0.2.1 198.51.100.0/24")
    assert EMPTY | allow_list == allow_list | EMPTY == allow_list
    assert AllowList() == EMPTY
