"""What a deployment costs a month, by the list prices in `cost.toml`: `make cost ARGS='--events 5000000 --junk 10'`.

An estimate on paper: no bill was looked at. `--check` compares the tables in docs/cost.md with what comes out here;
`--write` puts them there.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final[dict[str, Any]] = tomllib.loads((ROOT / "scripts/cost.toml").read_text("utf-8"))
PAGE: Final = ROOT / "docs/cost.md"
TITLES: Final = {"aws": "AWS", "gcp": "Google Cloud", "azure": "Azure"}
MILLION: Final = 1_000_000
_TABLES: Final = re.compile(r"(?<=<!-- tables -->\n).*?(?=<!-- end of tables -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """A line of a bill; the fields are explained in `cost.toml`."""

    cloud: str
    name: str
    price: float
    per: float
    event: float
    junk: float
    idle: float
    seen: str
    events: float = 0
    junks: float = 0
    included: float = 0
    busy: bool = False

    def cost(self, events: float, junk: float) -> float:
        """US dollars a month for so many events a month and refused requests a second."""
        seconds: float = DATA["seconds"]
        used = self.event * events + self.junk * junk * seconds
        if self.busy:
            # Requests at once share an instance; they arrive evenly here, which is the dearest way.
            used = min(used, max(seconds, used / 16))
        used += (self.events if events else 0) + (self.junks if junk else 0) + self.idle
        return max(used - self.included, 0) * self.price / self.per


PARTS: Final = tuple(Part(**part) for part in DATA["part"])


def clouds() -> list[str]:
    """The clouds that are here, in the order of the data."""
    known = dict.fromkeys(part.cloud for part in PARTS)
    return [cloud for cloud in known if (ROOT / f"scripts/build_{cloud}.py").exists()]


def total(cloud: str, events: float, junk: float) -> float:
    """US dollars a month for the whole of a cloud."""
    return sum(part.cost(events, junk) for part in PARTS if part.cloud == cloud)


def tables() -> str:
    """The tables of docs/cost.md."""
    lines = ["| USD a month | Idle | A million events | Junk, 10 a second | All three |", "|---|--:|--:|--:|--:|"]
    for cloud in clouds():
        idle = total(cloud, 0, 0)
        event, junk = total(cloud, MILLION, 0) - idle, total(cloud, 0, 10) - idle
        together = total(cloud, MILLION, 10)
        lines.append(f"| {TITLES[cloud]} | {idle:.2f} | {event:.2f} | {junk:.2f} | **{together:.2f}** |")
    for cloud in clouds():
        lines += [
            "",
            f"### {TITLES[cloud]}",
            "",
            "| Part | Price | Idle | A million events | Junk, 10 a second | Seen |",
        ]
        lines.append("|---|---|--:|--:|--:|---|")
        for part in (part for part in PARTS if part.cloud == cloud):
            idle = part.cost(0, 0)
            event, junk = part.cost(MILLION, 0) - idle, part.cost(0, 10) - idle
            amount = f"{part.price:.10f}".rstrip("0").ljust(4, "0") if part.price < 0.01 else f"{part.price:.2f}"
            unit = f" / {part.per:,.10g}" if part.per != 1 else ""
            lines.append(f"| {part.name} | {amount}{unit} | {idle:.2f} | {event:.2f} | {junk:.2f} | {part.seen} |")
    return "\n" + "\n".join(lines) + "\n\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what it would cost, or keep the page true."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--events", type=float, default=MILLION, metavar="N", help="genuine events a month")
    parser.add_argument("--junk", type=float, default=10, metavar="N", help="refused requests a second")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/cost.md")
    parser.add_argument("--check", action="store_true", help="1 where docs/cost.md has other tables")
    options = parser.parse_args(arguments)
    if options.events < 0 or options.junk < 0:
        parser.error("--events and --junk are numbers from 0 on")
    if options.write or options.check:
        text = PAGE.read_text("utf-8")
        made = _TABLES.sub(lambda _: tables(), text)
        if options.write:
            PAGE.write_text(made, "utf-8")
        elif made != text:
            print("error: docs/cost.md has other tables: python scripts/cost.py --write", file=sys.stderr)
            return 1
        return 0
    for cloud in clouds():
        print(f"{TITLES[cloud]}: {total(cloud, options.events, options.junk):.2f} USD a month")
        for part in (part for part in PARTS if part.cloud == cloud):
            print(f"  {part.name:36} {part.cost(options.events, options.junk):10.2f}")
    print(f"\nList prices of {DATA['date']}, no free tier, no bill was looked at: docs/cost.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
