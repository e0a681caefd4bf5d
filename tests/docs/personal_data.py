"""The page on personal data, in parts that a test compares with a cloud's templates."""

from __future__ import annotations

import re
from typing import Final

from tests.docs.commands import ROOT

PAGE: Final = ROOT / "docs/personal-data.md"
TEXT: Final = PAGE.read_text("utf-8")
HOW_LONG: Final = "How long, encrypted how, read by whom"
WHERE: Final = "Where it is"


def section(heading: str, cloud: str | None = None) -> str:
    """What stands below a heading of the second rank, or below a cloud's within it."""
    found = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return found if cloud is None else found.partition(f"\n### {cloud}\n")[2].partition("\n### ")[0]


def column(text: str, number: int = 1) -> dict[str, str]:
    """A column of the first table of a text, by the plain text of the first."""
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None, "there is no table"
    rows = [line.strip("| ").split(" | ") for line in table[0].splitlines()[2:]]
    return {re.sub(r"[`*]", "", row[0]): (row[number] if len(row) > number else "").strip() for row in rows}


def kept(cloud: str) -> dict[str, str]:
    """How long each place of a cloud keeps what it has, as the page says it."""
    return column(section(HOW_LONG, cloud))


def days(text: str) -> int:
    """The number of days with which a cell begins."""
    match = re.match(r"\**(\d+) days\b", text)
    assert match is not None, f"no days: {text}"
    return int(match[1])


def longest(cloud: str) -> list[int]:
    """What the list below a cloud's table gives as the longest times: the days at the end of a sentence."""
    below = " ".join(section(HOW_LONG, cloud).rpartition("\n|")[2].split())
    return [int(number) for number in re.findall(r"(?:,|so|:) (\d+) days(?:\.| for)", below)]


def summary() -> list[int]:
    """The days in the summary and in the entry for the record: queue, dead letters, held, large bodies."""
    short = " ".join(section("In short").split())
    first = re.search(
        r"(\d+) days on the queue, (\d+) among the dead letters, (\d+) where .*?, (\d+) for large bodies", short
    )
    entry = column(section("For the record of processing activities"))["Time limits"]
    second = re.search(
        r"(\d+) days on the queue, (\d+) days as a dead letter .*?, "
        r"(\d+) days while held .*?, (\d+) days for large bodies",
        entry,
    )
    assert first is not None
    assert second is not None
    assert first.groups() == second.groups()
    return [int(number) for number in first.groups()]
