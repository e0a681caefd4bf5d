"""Help and hints: examples for every command that parse as they stand, and commands that work as they are written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from cli.exits import CliError
from cli.hints import as_typed
from cli.main import app
from cli.output import show_error
from cli.version import NAME
from tests.cli.helpers import PROGRAM, clean_environment

ROOT: Final = typer.main.get_command(app)
PROJECT: Final = Path(__file__).parents[2]
TEXTS: Final = sorted([*PROJECT.glob("cli/**/*.py"), *PROJECT.glob("docs/**/*.md"), PROJECT / "README.md"])


def _commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS: Final = dict(_commands(ROOT))


def _examples(command: Any) -> list[str]:
    """The command lines among the examples of a command's help, without markup, pipes and settings before them."""
    text = re.sub(r"\[/?(?:cyan|dim)?\]", "", command.help or "").replace("\\[", "[")
    return [line.strip() for line in text.splitlines() if line.startswith("  ") and NAME in line]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_examples_parse(words: tuple[str, ...]) -> None:
    """Each example names its own command, and its options and arguments are ones that there are."""
    examples = _examples(COMMANDS[words])
    assert examples
    for line in examples:
        [call] = re.findall(rf"(?:^|[\s|]|/bin/){re.escape(NAME)} ([^|]*)", line)
        given = shlex.split(call)
        assert tuple(given[: len(words)]) == words, line
        COMMANDS[words].make_context(NAME, given[len(words) :])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_option_is_described(words: tuple[str, ...]) -> None:
    """No option and no argument is without a word about it."""
    for parameter in COMMANDS[words].params:
        assert getattr(parameter, "help", None), parameter.name


def test_hints_and_documents_name_commands_that_there_are() -> None:
    """Whatever sources and documents write as a command of this program is one, so that no hint leads nowhere."""
    known = {" ".join(words[:length]) for words in COMMANDS for length in (1, 2)}
    known |= {name for name, command in ROOT.commands.items()}  # type: ignore[attr-defined]
    wrong = []
    for path in TEXTS:
        for call in re.findall(rf"{NAME} ([a-z][a-z-]+(?: [a-z][a-z-]+)?)", path.read_text(encoding="utf-8")):
            group = getattr(ROOT.commands.get(call.split()[0]), "commands", None)  # type: ignore[attr-defined]
            if call.split()[0] not in known or (group and " " in call and call not in known):
                wrong.append(f"{path.name}: {call}")
    assert wrong == []


@pytest.mark.parametrize(
    ("started", "on_path", "folder", "expected"),
    [
        ("/opt/project/.venv/bin/dastra-webhooks", False, "/opt/project", ".venv/bin/dastra-webhooks key list"),
        ("/opt/project/.venv/bin/dastra-webhooks", False, "/opt", "project/.venv/bin/dastra-webhooks key list"),
        ("/opt/project/.venv/bin/dastra-webhooks", False, "/usr", "/opt/project/.venv/bin/dastra-webhooks key list"),
        ("/opt/project/.venv/bin/dastra-webhooks", True, "/opt/project", "dastra-webhooks key list"),
        ("/usr/bin/pytest", False, "/opt", "dastra-webhooks key list"),
    ],
)
def test_hints_work_as_typed(
    monkeypatch: pytest.MonkeyPatch, started: str, on_path: bool, folder: str, expected: str
) -> None:
    """A command in a hint is spelt as it can be typed where the program was started, and shortly where it can be."""
    monkeypatch.setattr("sys.argv", [started])
    monkeypatch.setattr(shutil, "which", lambda _: started if on_path else None)
    monkeypatch.setattr("os.path.relpath", lambda path, start=folder: _relative(str(path), start))
    assert as_typed("Compare: dastra-webhooks key list") == f"Compare: {expected}"


def _relative(path: str, start: str) -> str:
    return path.removeprefix(f"{start}/") if path.startswith(f"{start}/") else f"../{path}"


@pytest.mark.parametrize(
    "text",
    ["the dastra-webhooks authors", "dastra-webhooks", "x.dastra-webhooks list", "/usr/bin/dastra-webhooks list", ""],
)
def test_what_is_no_command_stays(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Only the program's name before a word is a command; paths and names of other things stay as they are."""
    monkeypatch.setattr("cli.hints.program", lambda: "REPLACED")
    assert ("REPLACED" in as_typed(text)) == (text == "the dastra-webhooks authors")


def test_errors_are_spelt_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error's text and its hint pass through."""
    monkeypatch.setattr("cli.hints.program", lambda: r"C:\here\dastra-webhooks")
    show_error(CliError("see dastra-webhooks key list", "or dastra-webhooks key set"))
    assert r"C:\here\dastra-webhooks key list" in (shown := capsys.readouterr().err)
    assert r"C:\here\dastra-webhooks key set" in shown


def test_in_a_real_shell(tmp_path: Path) -> None:
    """Where the program is not on the search path, a hint's command can be pasted and runs."""
    environment = clean_environment(PATH="/usr/bin:/bin")
    first = subprocess.run(
        [PROGRAM, "send", "--event", "no such"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    [hint] = re.findall(r"^(\S*dastra-webhooks send --events)", first.stderr, re.MULTILINE)
    assert hint.startswith(str(PROGRAM))
    second = subprocess.run(["/bin/sh", "-c", hint], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert second.returncode == 0
    assert b"TaskEdit" in second.stdout
