"""`addresses` shows who sent genuine events from off the list, and accepting one lets the held events through."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cli.exits import Exit
from tests.cli.conftest import Invoke
from tests.cli.helpers import Run, elsewhere
from tests.cli.test_quarantine import NOT_AN_OBJECT, hold

AsJson = Callable[..., Any]


def test_nobody(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """With nothing held and nothing accepted the list says so."""
    assert "No address off the list" in invoke("addresses", "list").stdout
    assert as_json("addresses", "list") == []


def test_the_list_counts_and_dates(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """An address that signed genuine events is listed with how many are held and when they came."""
    address = elsewhere()
    hold(run, invoke, 2, address=address)
    run.post(NOT_AN_OBJECT)
    [seen] = as_json("addresses", "list")
    assert (seen["address"], seen["accepted"], seen["held"]) == (address, False, 2)
    assert seen["first_seen"] <= seen["last_seen"]
    shown = invoke("addresses", "list")
    assert "not listed" in shown.stdout
    assert "addresses accept ADDRESS" in shown.stderr


def test_accepting_releases_and_admits(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """What was held because of the address goes to the queue without its mark, and the next event passes at once."""
    address = elsewhere()
    ids = hold(run, invoke, 4, address=address)
    result = invoke("addresses", "accept", address)
    assert result.exit_code == Exit.DONE
    assert f"{address} is accepted." in result.stdout
    assert "4 of 4 held events released." in result.stdout
    assert [message["id"] for message in run.get("messages")] == ids
    assert [attributes["id"] for attributes in run.attributes()] == ids
    assert all("sourceipcheck" not in attributes for attributes in run.attributes())
    assert as_json("send", "--from", address)["verdict"] == "accepted"
    [seen] = as_json("addresses", "list")
    assert (seen["accepted"], seen["held"], seen["first_seen"]) == (True, 0, None)


def test_accepting_again_releases_what_is_left(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """A release that failed is made good by accepting again; the address is accepted from the first time."""
    address = elsewhere()
    hold(run, invoke, 2, address=address)
    run.faults(queue="500")
    result = invoke("addresses", "accept", address)
    assert result.exit_code == Exit.FAILED
    assert re.search(r"2 events could not be released \(\w+\)", result.stderr)
    assert "The address is accepted all the same." in result.stderr
    run.faults(queue="none")
    said = as_json("addresses", "accept", address)
    assert said == {"address": address, "new": False, "held": 2, "released": 2, "failed": 0}
    assert "was accepted before" in invoke("addresses", "accept", address).stdout


def test_a_network_can_be_accepted(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """A CIDR network admits all its addresses and releases what is held from them; others stay held."""
    for address in ("127.8.0.5", "127.8.1.5"):
        hold(run, invoke, address=address)
    assert as_json("addresses", "accept", "127.8.0.0/28")["released"] == 1
    assert [record["address"] for record in run.get("stored")] == ["127.8.1.5"]
    listed = {seen["address"]: seen["accepted"] for seen in as_json("addresses", "list")}
    assert listed == {"127.8.0.0/28": True, "127.8.1.5": False}


def test_what_is_held_for_another_reason_stays(run: Run, as_json: AsJson, invoke: Invoke, tmp_path: Any) -> None:
    """An accepted address does not make a JSON object of what is none."""
    address = elsewhere()
    (tmp_path / "list.json").write_bytes(NOT_AN_OBJECT)
    invoke("send", str(tmp_path / "list.json"), "--from", address)
    assert as_json("addresses", "accept", address)["held"] == 0
    assert run.get("stored")[0]["reason"] == "not_a_json_object"


def test_forgetting_holds_again(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """A forgotten address leaves the list; forgetting it twice is an error of its own."""
    invoke("addresses", "accept", "198.51.100.7")
    assert as_json("addresses", "forget", "198.51.100.7") == {"address": "198.51.100.7", "forgotten": True}
    assert as_json("addresses", "list") == []
    result = invoke("addresses", "forget", "198.51.100.7")
    assert result.exit_code == Exit.NOT_FOUND
    assert "not among the accepted addresses" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("example.org", "Valid: 192.0.2.1"),
        ("192.0.2.300", "Valid: 192.0.2.1"),
        ("192.0.2.5/24", "Did you mean 192.0.2.0/24?"),
        ("dastra-2023-01-05", "It belongs into DASTRA_SOURCE_IP_ALLOWLIST."),
        ("", "Valid: 192.0.2.1"),
        ("../../etc", "Valid: 192.0.2.1"),
    ],
)
@pytest.mark.parametrize("command", ["accept", "forget"])
def test_what_is_no_address(invoke: Invoke, command: str, text: str, said: str) -> None:
    """Only addresses and networks are accepted; the error offers what may have been meant. No deployment is needed."""
    result = invoke("addresses", command, text)
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (" 198.51.100.7 ", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("198.51.100.7/32", "198.51.100.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("2001:db8::/64", "2001:db8::/64"),
    ],
)
def test_addresses_have_one_spelling(run: Run, as_json: AsJson, text: str, entry: str) -> None:
    """However an address is written, one entry stands for it."""
    assert as_json("addresses", "accept", text)["address"] == entry
    assert [seen["address"] for seen in as_json("addresses", "list")] == [entry]


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "2000::/3"])
def test_the_whole_internet_takes_a_yes(run: Run, invoke: Invoke, as_json: AsJson, everybody: str) -> None:
    """A large part of the internet is not accepted by a slip; --yes accepts it."""
    result = invoke("addresses", "accept", everybody)
    assert result.exit_code == Exit.NOT_CONFIRMED
    assert "a large part of the internet" in result.stderr
    assert as_json("addresses", "list") == []
    assert invoke("addresses", "accept", everybody, "--yes").exit_code == Exit.DONE


def test_a_wide_network_is_warned_about(run: Run, invoke: Invoke) -> None:
    """A network wider than a /24 is accepted with a word on how many addresses it holds."""
    result = invoke("addresses", "accept", "40.89.0.0/16")
    assert result.exit_code == Exit.DONE
    assert "holds 65,536 addresses" in result.stderr


def test_a_store_that_fails(run: Run, invoke: Invoke) -> None:
    """When the store does not take it the address is not accepted, and that is said."""
    run.faults(store="500")
    result = invoke("addresses", "accept", "198.51.100.7")
    assert result.exit_code == Exit.UNREACHABLE
    assert re.search(r"the address was not accepted: \w+ \(the local run", result.stderr)
