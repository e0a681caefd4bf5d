"""The shell commands that the documentation shows, out of its Markdown and out of the examples' docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

ROOT: Final = Path(__file__).parents[2]
SHELLS: Final = frozenset({"sh", "bash", "shell", "console"})
_PARSER: Final = MarkdownIt("commonmark").enable("table")
_COMMENT: Final = re.compile(r"(?:^|\s+)#\s.*$")
_CALL: Final = re.compile(r"\w+\(")


@dataclass(frozen=True, slots=True)
class Command:
    """One command line, its continuations joined, without the comment behind it; where its block begins."""

    text: str
    page: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def pages() -> list[Path]:
    """Every page that speaks to a reader of the project."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def examples() -> list[Path]:
    """Every example; what it says of itself stands in its docstring."""
    return sorted(ROOT.glob("examples/*.py"))


def prose(page: Path) -> str:
    """What a page says: its text, or the docstring of an example less the blocks that are Python."""
    text = page.read_text("utf-8")
    if page.suffix != ".py":
        return text
    parts = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")
    return "\n\n".join("" if _CALL.match(part.lstrip()) else part for part in parts)


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """The blocks of shell commands of a page, each with its line: fenced as a shell's, or indented."""
    for token in _PARSER.parse(prose(page)):
        if (token.type == "fence" and token.info.strip() in SHELLS) or token.type == "code_block":
            assert token.map is not None
            yield token.map[0] + 1, token.content


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page."""
    name = page.relative_to(ROOT).as_posix()
    for line, block in blocks(page):
        for text in lines(block):
            yield Command(text, name, line)


def lines(block: str) -> Iterator[str]:
    """The commands of a block."""
    for text in re.sub(r"\\\n\s*", "", block).splitlines():
        if stripped := _COMMENT.sub("", text).strip():
            yield stripped


def links(page: Path) -> Iterator[str]:
    """The targets of every link and picture of a page."""
    for token in _PARSER.parse(page.read_text("utf-8")):
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrs["href"])
            elif child.type == "image":
                yield str(child.attrs["src"])


def anchors(page: Path) -> set[str]:
    """The anchors that a reader's browser finds on a page: its headings, as GitHub and GitLab spell them."""
    tokens = _PARSER.parse(page.read_text("utf-8"))
    found: dict[str, int] = {}
    made = set()
    for heading, inline in pairwise(tokens):
        if heading.type != "heading_open":
            continue
        text = "".join(child.content for child in inline.children or () if child.type in {"text", "code_inline"})
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        made.add(f"{slug}-{count}" if count else slug)
    return made


PROGRAMS: Final = frozenset(
    ["aws", "az", "azd", "dastra-webhooks", "gcloud", "git", "make", "pip", "python", "sam", "terraform", "uv"],
)
"""Programs by which a piece of code within a sentence is a command."""


def inline(page: Path) -> Iterator[Command]:
    """The commands within sentences: code that begins with a program's name and says more than that."""
    name = page.relative_to(ROOT).as_posix()
    for token in _PARSER.parse(page.read_text("utf-8")):
        for child in token.children or ():
            text = " ".join(child.content.split())
            first, _, rest = text.partition(" ")
            if child.type == "code_inline" and rest and first.rpartition("/")[2] in PROGRAMS:
                assert token.map is not None
                yield Command(text, name, token.map[0] + 1)
