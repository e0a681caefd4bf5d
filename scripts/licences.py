"""Lists every package with its licence, and refuses one that nobody allowed: `make licences`.

What a package says of itself is read from its metadata in `.venv`, so set that up first. `licences.toml` has the
allowed names, and what to make of metadata that say less.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import bundles  # noqa: E402 - after the path is set

TOOLS: Final = ("tools",)
RULES: Final[dict[str, Any]] = tomllib.loads((ROOT / "scripts/licences.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Package:
    """A package, its licence as an SPDX expression or None, and where it is used: bundles' names, else ``tools``."""

    name: str
    version: str
    licence: str | None
    used: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Whether its licence is on the list."""
        return self.licence is not None and allows(self.licence, tool=self.used == TOOLS)


def allows(expression: str, *, tool: bool = False) -> bool:
    """Whether each part of an SPDX expression without brackets offers an allowed licence."""
    allowed = {*RULES["allowed"], *(RULES["of_tools"] if tool else ())}
    parts = re.split(r"\s+AND\s+", expression)
    return all(any(one in allowed for one in re.split(r"\s+OR\s+", part)) for part in parts)


def normal(name: str) -> str:
    """A package's name as the lock file writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(found: Distribution) -> str | None:
    """The licence that a package's metadata name; None where they name none that we understand."""
    metadata = found.metadata
    if said := RULES["said"].get(normal(metadata["Name"])):
        return str(said)
    fields = {name.lower(): value for name, value in metadata.json.items()}
    if expression := fields.get("license_expression"):
        return str(expression)
    classifiers = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if " License" in line]
    texts: dict[str, str] = RULES["texts"]
    for text in [str(fields.get("license") or "").strip().partition("\n")[0], *classifiers]:
        if text in texts or (text and allows(text)):
            return str(texts.get(text, text))
    return None


def packages() -> Iterator[Package]:
    """Everything that a bundle holds, and everything else that is installed here."""
    used: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    for bundle in bundles.names():
        for name, version in re.findall(
            r"^([a-z0-9.-]+)==([^\s;]+)", bundles.export(bundle, "requirements.txt"), re.MULTILINE
        ):
            used.setdefault(name, []).append(bundle)
            versions[name] = version
    for found in distributions():
        versions.setdefault(normal(found.metadata["Name"]), found.version)
    for name, version in sorted(versions.items()):
        try:
            licence = licence_of(distribution(name))
        except PackageNotFoundError:
            # For another Python or platform than this one's.
            licence = RULES["said"].get(name)
        yield Package(name, version, licence, tuple(used.get(name, TOOLS)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the list; 1 where something on it is not allowed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args(arguments)
    found = list(packages())
    refused = [package for package in found if not package.allowed]
    if options.json:
        rows = [{"name": p.name, "version": p.version, "licence": p.licence, "used": p.used} for p in found]
        print(json.dumps(rows, indent=2))
    else:
        width = max(len(package.name) for package in found)
        for package in found:
            print(f"{package.name:{width}}  {package.version:12} {package.licence or '?':28} {', '.join(package.used)}")
        print(f"\n{len(found)} packages, {len(refused)} of them with a licence that is not on the list")
    for package in refused:
        print(
            f"error: {package.name} {package.version}: {package.licence or 'its metadata name no licence'}; "
            "read its licence file, then add to scripts/licences.toml what it is ([said]) or may be (allowed)",
            file=sys.stderr,
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
