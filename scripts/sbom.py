"""Writes what each bundle is made of, as CycloneDX 1.5: `make sbom` makes build/sbom/aws.json and so on.

The components, their dependencies, files and hashes are uv's export of the lock file; their licences come from their
metadata. The same lock gives the same bytes: what would differ each time (a serial number, a time) is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import bundles, licences  # noqa: E402 - after the path is set

DEFAULT_OUTPUT: Final = ROOT / "build" / "sbom"


def sbom(bundle: str, known: dict[str, str | None]) -> dict[str, Any]:
    """The bill of materials of a bundle; ``known`` has the licences by package."""
    made: dict[str, Any] = json.loads(bundles.export(bundle, "cyclonedx1.5"))
    made.pop("serialNumber", None)
    made["metadata"].pop("timestamp", None)
    made["metadata"]["component"]["name"] = f"dastra-webhooks-{bundle}"
    made["metadata"]["component"]["type"] = "application"
    for component in made["components"]:
        if licence := known.get(component["name"]):
            simple = " " not in licence
            component["licenses"] = [{"license": {"id": licence}} if simple else {"expression": licence}]
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them, and say what is in each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="default: build/sbom")
    options = parser.parse_args(arguments)
    known = {package.name: package.licence for package in licences.packages()}
    options.output.mkdir(parents=True, exist_ok=True)
    for bundle in bundles.names():
        made = sbom(bundle, known)
        target = options.output / f"{bundle}.json"
        target.write_text(json.dumps(made, indent=2) + "\n", "utf-8")
        print(f"{target}: {len(made['components'])} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
