"""Every command and every link in the documentation is accounted for."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from typer.main import get_command

from cli.main import app
from tests.docs.commands import ROOT, Command, anchors, blocks, commands, examples, inline, lines, links, pages

REGISTRY: dict[str, list[dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("commands.toml").read_text("utf-8"))
ENTRIES = [*REGISTRY["ran"], *REGISTRY["account"]]
PAGES = pages()
# What has changed once is no advice to type it.
SHOWN = [found for page in PAGES if page.name != "CHANGELOG.md" for found in (*commands(page), *inline(page))]
SHOWN += [found for example in examples() for found in commands(example)]


def entry_of(command: str) -> dict[str, Any] | None:
    """The first entry that a command fits."""
    return next((entry for entry in ENTRIES if re.fullmatch(entry["text"], command)), None)


def test_every_command_is_run_or_needs_an_account() -> None:
    """A new command in a page is entered in commands.toml, beside the test that runs it or the reason that none can."""
    assert len(SHOWN) > 30
    unknown = [str(command) for command in SHOWN if entry_of(command.text) is None]
    assert not unknown, "enter these in tests/docs/commands.toml: " + "\n".join(unknown)


def test_every_entry_is_of_use() -> None:
    """It fits a command, unless it says that it is for pages of other clouds; the test that it names exists."""
    used = {id(entry_of(command.text)) for command in SHOWN}
    assert not [entry["text"] for entry in ENTRIES if id(entry) not in used and not entry.get("loose")]
    for entry in REGISTRY["ran"]:
        path, _, name = entry["by"].partition("::")
        if (ROOT / path).is_file():  # a project of one cloud has not all of them
            assert f"def {name}(" in (ROOT / path).read_text("utf-8")


def programs() -> list[Command]:
    """The commands of our own program."""
    return [
        Command(part, command.page, command.line)
        for command in SHOWN
        for part in re.split(r" && | \| ", command.text)
        if re.match(r"(\.venv/bin/)?dastra-webhooks ", part)
    ]


def test_the_program_has_every_command_that_is_shown() -> None:
    """Each name and each option is one that the program knows, and no argument is too many."""
    shown = programs()
    assert shown
    for command in shown:
        words = shlex.split(command.text)[1:]
        here: Any = get_command(app)
        while (known := getattr(here, "commands", None)) and words and not words[0].startswith("-"):
            assert words[0] in known, f"{command}: there is no command {words[0]}"
            here = known[words.pop(0)]
        options = {name: param for param in here.params for name in (*param.opts, *param.secondary_opts)}
        most = sum(
            param.nargs if param.nargs > 0 else 99 for param in here.params if param.param_type_name == "argument"
        )
        given = 0
        while words:
            name, _, value = words.pop(0).partition("=")
            if not name.startswith("-") or name == "-":
                given += 1
            elif name not in {"--help", "-h", "--version"}:
                assert name in options, f"{command}: there is no option {name}"
                if not options[name].is_flag and not value:
                    assert words, f"{command}: {name} wants a value"
                    words.pop(0)
        assert given <= most, f"{command}: {given} arguments, at most {most}"


def test_every_make_target_exists() -> None:
    """Also one that stands in the middle of a line."""
    targets = set(re.findall(r"^([a-z][a-z-]*)(?= |:)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for command in SHOWN:
        if command.text.startswith("make "):
            named = [word for word in shlex.split(command.text)[1:] if "=" not in word]
            assert set(named) <= targets, str(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file or folder of this project, and an anchor a heading of its page."""
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target}: there is no such file"
        assert found.is_relative_to(ROOT), f"{target}: leaves the project"
        if anchor:
            assert anchor in anchors(found), f"{target}: no heading of that name"


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_what_an_example_shows_can_be_pasted(example: Path) -> None:
    """A shell takes it as it stands: no placeholder that redirects, and what is to be JSON is JSON, within JSON too."""
    for line, block in blocks(example):
        where = f"{example.name}:{line}"
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)
        for text in lines(block):
            words = list(shlex.shlex(text, posix=True, punctuation_chars=True))
            assert not [word for word in words if re.fullmatch(r"[<>|&;()]+|.*(…|\.\.\.).*|\\.*", word)], where
            for word in shlex.split(text):
                _hold_json(word)


def _hold_json(text: str) -> None:
    """Raise ValueError where a text that begins as a JSON object is none, or a text in it begins so and is none."""
    if text.startswith("{"):
        for value in json.loads(text).values():
            if isinstance(value, str):
                _hold_json(value)


def test_a_command_that_cannot_be_pasted_is_seen() -> None:
    """JSON whose quotes are escaped twice, and once too little."""
    _hold_json(r'{"a": "{\"b\": [\"c\"]}", "d": "true"}')
    for broken in (r'{"a": "{\\"b\\": 1}"}', '{"a": "{"b": 1}"}', r'{"a": "{b: 1}"}'):
        with pytest.raises(ValueError, match="line 1"):
            _hold_json(broken)


def test_how_commands_are_read() -> None:
    """Continued lines are one command; a comment behind a command, and a line of comment, are none of it."""
    block = "a --b \\\n    c   # what it does\n# nothing\nd '#e'\n\nf #g\n"
    assert list(lines(block)) == ["a --b c", "d '#e'", "f #g"]
