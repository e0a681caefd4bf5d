"""The French README says what the English one says: the same sections, commands, names and links."""

from __future__ import annotations

import re

import pytest

from tests.docs.commands import ROOT, inline, lines, links

ENGLISH, FRENCH = ROOT / "README.md", ROOT / "README.fr.md"


def headings(text: str) -> list[int]:
    """The ranks of the headings, in order."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [len(rank) for rank in re.findall(r"^(#+) ", outside, re.MULTILINE)]


def shell(text: str) -> list[str]:
    """The commands of all blocks, without comments; the key's place-holder is words."""
    found = [
        command
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for command in lines(block)
    ]
    return [re.sub(r"^KEY=.*", "KEY=", command) for command in found]


def names(text: str) -> set[str]:
    """The first cells of the tables of names and commands."""
    return set(re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE))


@pytest.mark.parametrize("what", [headings, shell, names])
def test_both_have_the_same(what: object) -> None:
    """A section, a command or a setting that is added to one page is missing in the other until it is added there."""
    assert callable(what)
    assert what(FRENCH.read_text("utf-8")) == what(ENGLISH.read_text("utf-8"))


def test_both_link_to_the_same_pages() -> None:
    """But for the link from the one to the other, and anchors, whose names are words."""
    found = [
        {target.partition("#")[0] for target in links(page)} - {"README.md", "README.fr.md", ""}
        for page in (FRENCH, ENGLISH)
    ]
    assert found[0] == found[1]


def test_both_have_the_same_commands_in_sentences() -> None:
    """What a reader is told to type."""
    french, english = ({command.text for command in inline(page)} for page in (FRENCH, ENGLISH))
    assert french == english
