"""The edits that keeping one cloud makes to shared files: text in, text out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence, Set
from pathlib import PurePosixPath
from typing import Final

_OPEN: Final = re.compile(r"^\s*(?:#|//|<!--)\s*only for ([a-z ]+?)\s*(?:-->)?\s*$")
_CLOSE: Final = re.compile(r"^\s*(?:#|//|<!--)\s*end of only\s*(?:-->)?\s*$")
_LINE: Final = re.compile(r"  # only for ([a-z ]+?)$")
_LINK: Final = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")
_ENTRY: Final = re.compile(r"^\s*(?:[-*|]|\d+\.)\s*\[")


def has_word(text: str, word: str) -> bool:
    """Whether a word stands in a name, bounded by what separates words there."""
    return re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", text, re.IGNORECASE) is not None


def regions(text: str, cloud: str) -> str:
    """Keep the regions of one cloud without their marks, and drop those of the others.

    A region begins with a comment ``only for aws`` (or several names) on a line of its own; ``end of only`` ends it.
    At the end of a line of code the comment is about that line alone.
    """
    if "only for " not in text:
        return text
    kept: list[str] = []
    inside: bool | None = None
    for line in text.splitlines(keepends=True):
        names = region_of(line)
        if names is not None:
            inside = cloud in names if names else None
        elif inside is not False:
            alone = _LINE.search(line.rstrip("\n"))
            if alone is None:
                kept.append(line)
            elif cloud in alone[1].split():
                kept.append(line[: alone.start()] + "\n")
    return "".join(kept)


def region_of(line: str) -> Sequence[str] | None:
    """The names for which a region begins on this line; none where one ends; None on any other line."""
    if _CLOSE.match(line):
        return ()
    opened = _OPEN.match(line)
    return opened[1].split() if opened else None


def registries(text: str, path: str, removed: Set[str]) -> str:
    """Drop dictionary items that name a removed module, and names of removed neighbours in a tuple of modules."""
    modules = {name.removesuffix(".py").replace("/", ".") for name in removed if name.endswith(".py")}
    for module in sorted(module for module in modules if f'"{module}"' in text):
        text = re.sub(rf'^[ \t]*"[\w-]+": "{re.escape(module)}",?[^\n]*\n', "", text, flags=re.MULTILINE)
        text = re.sub(rf'"[\w-]+": "{re.escape(module)}"(?:, )?', "", text)
    text = text.replace(", }", "}")
    if PurePosixPath(path).name == "__main__.py":
        stems = [
            PurePosixPath(name).stem for name in removed if PurePosixPath(name).parent == PurePosixPath(path).parent
        ]
        for stem in sorted(stems):
            text = re.sub(rf'"{re.escape(stem)}"(?:, )?', "", text)
        # A tuple of one needs its comma.
        text = re.sub(r'\(("[\w-]+")(?:, )?\)$', r"(\1,)", text.replace('", )', '")'), flags=re.MULTILINE)
    return text


def makefile(text: str, removed: Set[str], words: Sequence[str]) -> str:
    """Drop targets of other clouds, recipe lines that run what is removed, and targets of which nothing else is left.

    ``words`` are those of the other clouds, and the names of their packages, which also leave the lists at the top.
    """
    blocks = _blocks(text)
    gone = {
        target
        for lines in blocks
        if (found := _targets(lines)) and (recipe := [line for line in lines if line.startswith("\t")]) is not None
        for target in found
        if any(has_word(target, word) for word in words) or (recipe and all(_runs(line, removed) for line in recipe))
    }
    kept = []
    for lines in blocks:
        found = _targets(lines)
        if found and all(target in gone for target in found):
            continue
        for line in lines:
            if line.startswith("\t"):
                if not _runs(line, removed):
                    kept.append(line)
            elif line.startswith(".PHONY:"):
                if names := [name for name in line.split()[1:] if name not in gone]:
                    kept.append(f".PHONY: {' '.join(names)}\n")
            else:
                kept.append(_without(line, gone if found else words))
    return re.sub(r"\n{3,}", "\n\n", "".join(kept))


_RULE: Final = re.compile(r"([a-z][a-z0-9 -]*):(?!=)")


def _blocks(text: str) -> list[list[str]]:
    """Lines by rule: one is a rule with its recipe and the ``.PHONY`` before it; what stands between is another."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        follows_phony = blocks[-1][-1:] and blocks[-1][-1].startswith(".PHONY:")
        recipe_ends = _targets(blocks[-1]) and not line.startswith(("\t", "#"))
        if line.startswith(".PHONY:") or (_RULE.match(line) and not follows_phony) or recipe_ends:
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _targets(lines: Sequence[str]) -> list[str]:
    return [target for line in lines if (rule := _RULE.match(line)) for target in rule[1].split()]


def _runs(line: str, removed: Set[str]) -> bool:
    return any(re.search(rf"(?<![\w/]){re.escape(path)}(?![\w/])", line) for path in removed)


def _without(line: str, words: Iterable[str]) -> str:
    """A list of names or prerequisites without some of them; what stands behind ``##`` is a help text."""
    if not re.match(r"[A-Z]+ :?=|[a-z-]+:", line):
        return line
    head, mark, help_ = line.rstrip("\n").partition(" ##")
    for word in words:
        head = re.sub(rf"(?<=[ :=]){re.escape(word)}(?: |$)", "", head)
    return head.rstrip(" ") + mark + help_ + "\n"


def pyproject(
    text: str, *, groups: Sequence[str], items: Sequence[str], needs: Sequence[str], imports: Sequence[str]
) -> str:
    """Drop dependency groups, their mentions, entries of lists, contracts of removed bundles, overrides of types."""
    for group in groups:
        body = r"\[(?:[^\n]*\]\n|\n(?:[^\]\n][^\n]*\n)*\]\n)"
        text = re.sub(rf"(?:^#[^\n]*\n)*^{group} = {body}", "", text, flags=re.MULTILINE)
        text = re.sub(rf'^[ \t]*\{{ include-group = "{group}" \}},\n', "", text, flags=re.MULTILINE)
        text = re.sub(rf'\[\[tool\.importlinter\.contracts\]\]\nid = "{group}-[^"]*"\n(?:(?!\[).*\n)*', "", text)
    for need in needs:
        text = _item(text, rf'"{re.escape(need)}(?:\[[^\]]*\])?[=<>~!][^"]*"')
    for item in items:
        text = _item(text, rf'"{re.escape(item)}"')
        text = re.sub(rf"(?<=[ \"]){re.escape(item)} \| | \| {re.escape(item)}(?=[ \"])", "", text)
    for package in imports:
        name = re.escape(package).replace(r"\*", r"\w*")
        text = _item(text, rf'"{name}(?:\.[\w.]+)?\.\*"')
    text = re.sub(
        r"\[\[tool\.mypy\.overrides\]\]\n(?:#[^\n]*\n)*module = \[\s*\][^\n]*\n(?:(?!\[)[^\n]+\n)*\n?", "", text
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _item(text: str, pattern: str) -> str:
    """Drop an item of a list: its line where it has one for itself, else the item and its comma."""
    text = re.sub(rf"^[ \t]*{pattern},?[ \t]*(?:#[^\n]*)?\n", "", text, flags=re.MULTILINE)
    text = re.sub(rf"{pattern}, ", "", text)
    return re.sub(rf"(?:, )?{pattern}(?=\])", "", text)


def markdown(text: str, folder: str, removed: Set[str], headings: Sequence[str]) -> str:
    """Drop the sections of other clouds, list entries that link to what is removed, and such links elsewhere."""
    folders = {str(parent) for path in removed for parent in PurePosixPath(path).parents}

    def goes(target: str) -> bool:
        path = posixpath.normpath(posixpath.join(folder, target.partition("#")[0]))
        return path in removed or (path in folders and target.endswith("/") and path + "/__init__.py" in removed)

    kept: list[str] = []
    rank = 0
    fenced = False
    for line in text.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match(r"(#+) (.*?)\s*$", line)
        if heading and (not rank or len(heading[1]) <= rank):
            rank = len(heading[1]) if heading[2] in headings else 0
        if rank:
            continue
        links = _LINK.findall(line)
        if any(goes(target) for _, target in links):
            if _ENTRY.match(line) and all(goes(target) for _, target in links):
                continue
            kept.append(_LINK.sub(lambda link: link[1] if goes(link[2]) else link[0], line))
        else:
            kept.append(line)
    return "".join(kept)
