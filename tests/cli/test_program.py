"""The program as a whole: help, version, and the errors of `run` that come before anything starts."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from cli.commands.run import CLOUDS
from cli.exits import MEANINGS, Exit
from cli.help import reflow
from cli.main import app
from cli.version import version
from tests import planted
from tests.cli.conftest import Invoke
from tests.cli.helpers import PROGRAM, clean_environment, program


def _commands() -> Iterator[tuple[str, ...]]:
    root = typer.main.get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        yield from ((name, inner) for inner in below) if below else [(name,)]


COMMANDS = list(_commands())


def test_all_commands_are_there() -> None:
    """The commands that the documentation names."""
    assert {" ".join(command) for command in COMMANDS} == {
        *("run", "send", "explain", "doctor", "register", "status", "test", "rotate", "reconcile"),
        *(f"addresses {name}" for name in ("list", "accept", "forget")),
        *(f"quarantine {name}" for name in ("list", "show", "release", "drop")),
        *(f"spool {name}" for name in ("list", "redrive")),
        *(f"key {name}" for name in ("list", "set")),
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_and_json(invoke: Invoke, command: tuple[str, ...]) -> None:
    """Each command has --json, an example that fits a narrow terminal, and no option that takes a key."""
    result = invoke(*command, "--help", COLUMNS="80")
    assert result.exit_code == Exit.DONE
    assert "--json" in result.stdout
    assert f"dastra-webhooks {' '.join(command)}" in result.stdout
    assert "--key " not in result.stdout
    assert "<bool>" not in result.stdout


def test_the_help_lists_the_exit_codes(invoke: Invoke) -> None:
    """`--help` documents every exit code."""
    shown = invoke("--help", COLUMNS="200").stdout
    for code, meaning in MEANINGS.items():
        assert f"{code.value:>3}  {meaning}" in shown


def test_the_version(invoke: Invoke) -> None:
    """`--version` shows the version of pyproject.toml."""
    assert invoke("--version").stdout == f"dastra-webhooks {version()}\n"


def test_paragraphs_flow_and_examples_stay() -> None:
    """Lines of a paragraph are joined; indented lines are commands to copy; brackets are no markup."""
    text = reflow("One [a]\nline.\n\nExamples:\n  run [b]\n  # note\n")
    assert text == "One \\[a] line.\n\nExamples:\n[cyan]  run \\[b][/]\n[dim]  # note[/]"


def test_an_unknown_command(invoke: Invoke) -> None:
    """A mistyped command is a usage error."""
    assert invoke("sned").exit_code == Exit.USAGE


def test_a_cloud_that_is_none(invoke: Invoke) -> None:
    """A wrong name lists the right ones."""
    result = invoke("run", "--cloud", "ibm")
    assert result.exit_code == Exit.USAGE
    assert f"'ibm' is no cloud.\nThere is: {', '.join(CLOUDS)}" in result.stderr


@pytest.mark.parametrize("port", ["70000", "-1", "web"])
def test_a_port_that_is_none(invoke: Invoke, port: str) -> None:
    """A port outside its range is a usage error."""
    assert invoke("run", "--port", port).exit_code == Exit.USAGE


def test_a_busy_port(tmp_path: Path) -> None:
    """A busy port ends the run before anything was started, with an exit code of its own and another port to try."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = program("run", "--port", str(port), folder=tmp_path)
    assert ended.returncode == Exit.BUSY
    assert f"port {port} is taken (address already in use).".encode() in ended.stderr
    assert f"make run PORT={port + 1}".encode() in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_settings_that_the_receiver_refuses(tmp_path: Path) -> None:
    """Every fault of the environment's settings is listed, before anything was started."""
    environment = clean_environment(DASTRA_SOURCE_IP_MODE="strict", DASTRA_SOURCE_IP_ALOWLIST="192.0.2.1")
    ended = program("run", "--port", "0", folder=tmp_path, environment=environment)
    assert ended.returncode == Exit.USAGE
    assert b"DASTRA_SOURCE_IP_MODE is 'strict'" in ended.stderr
    assert b"did you mean DASTRA_SOURCE_IP_ALLOWLIST?" in ended.stderr


def test_a_key_that_is_none(tmp_path: Path) -> None:
    """Keys that cannot be read are a usage error that does not quote them."""
    text = planted.key('{"key": planted-broken-json')
    ended = program("run", folder=tmp_path, environment=clean_environment(DASTRA_SIGNATURE_KEYS=text))
    assert ended.returncode == Exit.USAGE
    assert b"DASTRA_SIGNATURE_KEYS: the keys look like JSON but are not valid JSON." in ended.stderr
    assert b"planted" not in ended.stderr


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A run that has no place for its files says so."""
    (tmp_path / ".local").write_text("")
    ended = program("run", "--port", "0", folder=tmp_path)
    assert ended.returncode == Exit.FAILED
    assert b".local cannot be made: file exists." in ended.stderr


def test_a_closed_pipe_is_no_crash(tmp_path: Path) -> None:
    """`| head` ends a command without a traceback."""
    for arguments, first in (("send --events", b"AddGenericRelation"), ("run --port 0", b"The receiver is up")):
        line = ["bash", "-c", f"{PROGRAM} {arguments} | head -1"]
        ended = subprocess.run(line, cwd=tmp_path, env=clean_environment(), capture_output=True, check=True, timeout=60)
        assert ended.stdout.startswith(first)
        assert ended.stderr == b""


def test_json_stays_ascii(invoke: Invoke) -> None:
    """JSON goes through any encoding."""
    shown = invoke("send", "--events", "--json").stdout
    assert shown.isascii()
    assert json.loads(shown)
