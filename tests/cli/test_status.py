"""`dastra-webhooks status`, against the stand-in of Dastra: a table for people, an exit code for cron."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests import planted
from tests.cli.conftest import Invoke
from tests.dastra.commands import AccountCommand
from tests.dastra.standin import Right, StandIn
from tests.dastra.troubles import Kind

WHEN = datetime(2026, 3, 2, 9, 16, 3, 700_000, tzinfo=UTC)
ERRORS: dict[str, Any] = {"errors": 2, "message": "Response status code 401\n", "last_error": WHEN}
BLOCKED: dict[str, Any] = {"errors": 5, "blocked": True, "message": "Timed out", "last_error": WHEN}


@pytest.fixture
def dastra() -> Iterator[StandIn]:
    """An account."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def status(invoke: Invoke, dastra: StandIn) -> AccountCommand:
    """The command, for the account."""
    return AccountCommand(invoke, dastra, "status")


@pytest.mark.parametrize(
    ("hooks", "code"),
    [([], 0), ([{}], 0), ([{}, ERRORS], 1), ([ERRORS, BLOCKED, {}], 2), ([{"errors": 5}], 2), ([{"blocked": True}], 2)],
    ids=["none", "well", "errors", "blocked", "five-errors", "marked"],
)
def test_the_exit_code(status: AccountCommand, dastra: StandIn, hooks: list[dict[str, Any]], code: int) -> None:
    """0 where all is well, 1 where one webhook has errors, 2 where one is blocked; with --json and --quiet too."""
    for fields in hooks:
        dastra.add("https://hooks.example.org/dastra", **fields)
    for arguments in ((), ("--json",), ("--quiet",)):
        assert status(*arguments).exit_code == code


def test_the_table(status: AccountCommand, dastra: StandIn) -> None:
    """Each webhook has a line with its errors against the limit, and its last error with its time; no query."""
    dastra.add("https://hooks.example.org/a?code=secret", 7, ("TaskEdit", "TaskCreation", "UserLogin"))
    dastra.add("https://hooks.example.org/b", None, (), **ERRORS)
    dastra.add("https://hooks.example.org/c", 8, ("TaskEdit",), **BLOCKED)
    result = status()
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1][:4] == ["101", "7", "0/5", "ok"]
    assert lines[1][4] == "hooks.example.org/a?…"
    assert lines[1][5:] == ["3:", "TaskEdit,", "TaskCreation,", "…"]
    assert lines[2][:3] == ["102", "all", "2/5"]
    assert "errors" in lines[2]
    assert lines[2][-1] == "none"
    assert "blocked" in lines[3]
    assert "102: Response status code 401 (2026-03-02 09:16:03)" in result.stdout
    assert "103: Timed out (2026-03-02 09:16:03)" in result.stdout
    assert "dastra-webhooks rotate 103" in result.stderr
    assert "secret" not in result.output


def test_as_json(status: AccountCommand, dastra: StandIn) -> None:
    """The JSON has every webhook with all its events, its state, and when the last error was, in UTC; and no key."""
    dastra.add("https://hooks.example.org/b", 7, ("TaskEdit", "UserLogin"), **ERRORS)
    assert status.json(code=1) == [
        {
            "id": 101,
            "url": "https://hooks.example.org/b",
            "workspace": 7,
            "events": ["TaskEdit", "UserLogin"],
            "errors": 2,
            "limit": 5,
            "state": "errors",
            "blocked": False,
            "last_error": "Response status code 401\n",
            "last_error_at": "2026-03-02T09:16:03.700000+00:00",
        }
    ]


def test_quiet_says_nothing_while_all_is_well(status: AccountCommand, dastra: StandIn) -> None:
    """With --quiet there is output, and so a mail from cron, only where something is wrong."""
    hook = dastra.add("https://hooks.example.org/dastra")
    assert status("--quiet").output == ""
    hook.failed("Timed out")
    assert "Timed out" in status("--quiet").stdout


def test_one_workspace(status: AccountCommand, dastra: StandIn) -> None:
    """--workspace leaves out what belongs to another one."""
    dastra.add("https://hooks.example.org/a", 7)
    dastra.add("https://hooks.example.org/b", 8, **BLOCKED)
    result = status("--workspace", "7")
    assert result.exit_code == 0
    assert "hooks.example.org/b" not in result.stdout


@pytest.mark.parametrize(
    ("trouble", "environment", "arguments", "code"),
    [
        ({"kind": Kind.STATUS, "status": 302}, {}, (), 4),
        ({"kind": Kind.PAGE}, {}, (), 4),
        ({"kind": Kind.CUT}, {}, (), 4),
        ({"kind": Kind.STATUS, "status": 403}, {}, (), 8),
        ({"kind": Kind.STATUS, "status": 404}, {}, (), 5),
        (None, {"DASTRA_API_KEY": "another-invented-key"}, (), 8),
        (None, {"DASTRA_API_KEY": ""}, (), 9),
        (None, {"DASTRA_API_KEY": "two words"}, (), 9),
        (None, {"DASTRA_API_URL": "nowhere"}, (), 9),
        (None, {"DASTRA_API_URL": "http://192.0.2.1"}, (), 9),
        (None, {}, ("--bogus",), 9),
        (None, {}, ("--workspace",), 9),
        (None, {}, ("surplus",), 9),
        (None, {}, ("--api-key-file", "/nowhere/at/all"), 9),
    ],
)
def test_what_is_not_known_is_above_two(
    status: AccountCommand,
    dastra: StandIn,
    trouble: dict[str, Any] | None,
    environment: dict[str, str],
    arguments: tuple[str, ...],
    code: int,
) -> None:
    """Whatever hinders the look ends with a code above 2, so that cron never takes it for a state of a webhook."""
    dastra.add("https://hooks.example.org/dastra")
    if trouble:
        dastra.trouble(**trouble)
    assert status(*arguments, **environment).exit_code == code


def test_a_key_of_one_workspace(status: AccountCommand, dastra: StandIn) -> None:
    """A key that is limited to a workspace shows that workspace's webhooks."""
    dastra.add("https://hooks.example.org/a", 7)
    dastra.add("https://hooks.example.org/b", 8, **BLOCKED)
    dastra.rights[planted.key("dprv-limited-invented-key")] = Right(workspace=7)
    assert status(DASTRA_API_KEY="dprv-limited-invented-key").exit_code == 0
