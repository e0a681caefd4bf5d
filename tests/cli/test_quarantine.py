"""`quarantine` shows what is held and why, and releases or drops exactly what was named."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from cli.exits import Exit
from core.records import QUARANTINE_PREFIX
from tests import planted
from tests.cli.conftest import Invoke
from tests.cli.helpers import Run, elsewhere

AsJson = Callable[..., Any]

NOT_AN_OBJECT = b'["planted-personal-data-7f3a", 1]'


def hold(run: Run, invoke: Invoke, count: int = 1, address: str | None = None) -> list[str]:
    """Have events from an unlisted address held; their ids, in the order of their keys."""
    for _ in range(count):
        assert invoke("send", "--from", address or elsewhere()).exit_code == Exit.DONE
    return [record["attributes"]["id"] for record in run.get("stored")]


def test_an_empty_quarantine(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """Nothing held is said in words, and as an empty list."""
    assert "Nothing is in quarantine." in invoke("quarantine", "list").stdout
    assert as_json("quarantine", "list") == []


def test_the_table_says_why(run: Run, invoke: Invoke) -> None:
    """Each event has a line: a short key, its age and expiry, the reason, the address, its type and its size."""
    address = elsewhere()
    [id_] = hold(run, invoke, address=address)
    run.post(NOT_AN_OBJECT)
    result = invoke("quarantine", "list")
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["KEY", "AGE", "EXPIRES", "REASON", "ADDRESS", "EVENT", "TYPE", "SIZE"]
    assert first.split()[0] == id_[:8]
    assert "unlisted_address" in first
    assert address in first
    assert "DataSubjectCreation" in first
    assert "29 d" in first
    assert "not_a_json_object" in second
    assert "unclassified" in second


def test_the_list_as_json(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """JSON has the whole key, times in ISO 8601 and the attributes, and no body."""
    address = elsewhere()
    [id_] = hold(run, invoke, address=address)
    [event] = as_json("quarantine", "list")
    assert event["key"].startswith(QUARANTINE_PREFIX)
    assert event["key"].endswith(id_)
    assert (event["reason"], event["address"]) == ("unlisted_address", address)
    assert event["attributes"]["sourceipcheck"] == "unlisted"
    assert event["stored_at"] < event["expires_at"]
    assert "body" not in event


def test_a_long_list_is_cut(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """`--limit` shows the oldest, and says how many there are beyond."""
    ids = hold(run, invoke, 3)
    assert [event["attributes"]["id"] for event in as_json("quarantine", "list", "--limit", "2")] == ids[:2]
    assert "1 more, newer ones; --limit 3 shows them all." in invoke("quarantine", "list", "--limit", "2").stderr


def test_show_keeps_the_body_to_itself(run: Run, invoke: Invoke) -> None:
    """Metadata is shown; the body, which is personal data, only with --body."""
    run.post(NOT_AN_OBJECT)
    [record] = run.get("stored")
    short = record["attributes"]["id"][:8]
    result = invoke("quarantine", "show", short)
    assert result.exit_code == Exit.DONE
    assert record["key"] in result.stdout
    assert "not_a_json_object" in result.stdout
    assert planted.MARKER not in result.stdout
    assert "--body shows it" in result.stderr
    assert planted.MARKER in invoke("quarantine", "show", short, "--body").stdout


@pytest.mark.parametrize("body", [NOT_AN_OBJECT, b"\xff\x00 not text"])
def test_show_as_json(run: Run, as_json: AsJson, body: bytes) -> None:
    """With --body JSON holds the exact body: as text, or as base64 where it is not UTF-8."""
    run.post(body)
    key = run.get("stored")[0]["key"]
    assert not {"body", "body_base64"} & as_json("quarantine", "show", key).keys()
    said = as_json("quarantine", "show", key, "--body")
    assert body in (said.get("body", "").encode(), base64.b64decode(said.get("body_base64", "")))


def test_a_body_cannot_steer_the_terminal(run: Run, invoke: Invoke) -> None:
    """Control characters of a body are spelt out, in JSON strings and in other text."""
    run.post(b"\x1b[2J")
    run.post(json.dumps(["\x1b[2J \u202e"]).encode())
    for record in run.get("stored"):
        shown = invoke("quarantine", "show", record["key"], "--body").stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_release_puts_events_on_the_queue(run: Run, invoke: Invoke) -> None:
    """Named events go to the queue and leave the quarantine; the others stay; the mark of the address stays too."""
    ids = hold(run, invoke, 3)
    result = invoke("quarantine", "release", ids[0][:10], ids[2][:10])
    assert result.exit_code == Exit.DONE
    assert "2 events released to the queue." in result.stdout
    assert [message["id"] for message in run.get("messages")] == [ids[0], ids[2]]
    assert run.attributes()[0]["sourceipcheck"] == "unlisted"
    assert [record["attributes"]["id"] for record in run.get("stored")] == [ids[1]]


def test_release_all(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """`--all` takes every event; JSON says what became of each key."""
    hold(run, invoke, 5)
    said = as_json("quarantine", "release", "--all")
    assert [(item["released"], item["error"]) for item in said] == [(True, None)] * 5
    assert len(run.get("messages")) == 5
    assert run.get("stored") == []


def test_a_queue_that_fails_keeps_the_event(run: Run, invoke: Invoke) -> None:
    """What the queue does not take stays held, is named with its error code, and the exit code is 1."""
    hold(run, invoke)
    run.faults(queue="500")
    result = invoke("quarantine", "release", "--all")
    assert result.exit_code == Exit.FAILED
    assert re.search(r"quarantine/\S+: \w+", result.stderr)
    assert "1 event could not be released: still in quarantine" in result.stderr
    assert len(run.get("stored")) == 1


def test_drop_asks_first(run: Run, invoke: Invoke) -> None:
    """Without a terminal and without --yes nothing is dropped, and --yes is named."""
    hold(run, invoke)
    result = invoke("quarantine", "drop", "--all")
    assert result.exit_code == Exit.NOT_CONFIRMED
    assert "Add --yes" in result.stderr
    assert len(run.get("stored")) == 1


def test_drop_is_for_good(run: Run, invoke: Invoke) -> None:
    """A dropped event is in neither place; the others stay."""
    ids = hold(run, invoke, 2)
    result = invoke("quarantine", "drop", ids[0][:8], "--yes")
    assert result.exit_code == Exit.DONE
    assert "1 event dropped." in result.stdout
    assert [record["attributes"]["id"] for record in run.get("stored")] == [ids[1]]
    assert run.get("messages") == []


@pytest.mark.parametrize("command", ["release", "drop"])
def test_neither_keys_nor_all(run: Run, invoke: Invoke, command: str) -> None:
    """Nothing named, or keys beside --all, is a usage error."""
    for arguments in ([], ["abcd1234", "--all"]):
        result = invoke("quarantine", command, *arguments)
        assert result.exit_code == Exit.USAGE
        assert "name the events by their keys, or all of them with --all" in result.stderr


def test_a_key_that_is_not_there(run: Run, invoke: Invoke) -> None:
    """An unknown key has an exit code of its own and names the list."""
    result = invoke("quarantine", "show", "feedbeef")
    assert result.exit_code == Exit.NOT_FOUND
    assert "dastra-webhooks quarantine list" in result.stderr


def test_a_key_that_names_several(run: Run, invoke: Invoke) -> None:
    """A part that several keys hold is refused with those keys; nothing is done."""
    ids = hold(run, invoke, 2)
    result = invoke("quarantine", "drop", QUARANTINE_PREFIX + "20", "--yes")
    assert result.exit_code == Exit.USAGE
    assert "names 2 events" in result.stderr
    assert all(id_[:8] in result.stderr for id_ in ids)
    assert len(run.get("stored")) == 2


def test_a_key_that_is_too_short(run: Run, invoke: Invoke) -> None:
    """Parts below four characters are refused, since they fit by chance."""
    hold(run, invoke)
    result = invoke("quarantine", "drop", "2", "--yes")
    assert result.exit_code == Exit.USAGE
    assert "at least 4 characters" in result.stderr


def test_the_same_event_twice_has_two_short_keys(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """Two records of one event differ in their short keys, which both work."""
    run.post(NOT_AN_OBJECT)
    run.post(NOT_AN_OBJECT)
    shorts = [line.split()[0] for line in invoke("quarantine", "list").stdout.splitlines()[1:]]
    keys = [as_json("quarantine", "show", short)["key"] for short in shorts]
    assert keys == [record["key"] for record in run.get("stored")]
    assert len(set(keys)) == 2


def test_a_store_that_does_not_answer(run: Run, invoke: Invoke) -> None:
    """A store that fails has an exit code of its own and its error code in the text."""
    run.faults(store="503")
    result = invoke("quarantine", "list")
    assert result.exit_code == Exit.UNREACHABLE
    assert "the store cannot be listed: " in result.stderr
