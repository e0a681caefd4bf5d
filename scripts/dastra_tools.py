"""Makes what checks the client of Dastra's API: `python3 scripts/dastra_tools.py`. It needs Node 18 or newer with npm.

It is Prism, into build/tools/prism: it serves an API description and holds every request and answer against it.
Dastra's own description is not part of this project: it is looked for in ../shared/data, or where OPENAPI_DASTRA says.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.node_env import ROOT, NodeTool, install

PRISM: Final = NodeTool("prism", "tests/dastra/prism", "make dastra-tools")
VARIABLE: Final = "OPENAPI_DASTRA"


def description() -> Path:
    """Where Dastra's API description is looked for."""
    return Path(os.environ.get(VARIABLE) or ROOT.parent / "shared/data/dastra-openapi.json")


def missing() -> str | None:
    """Why nothing can be held against the description, with the remedy, or None when it can."""
    if not description().is_file():
        return f"needs Dastra's API description (OpenAPI, as JSON): name its file in {VARIABLE}"
    return PRISM.missing()


def command() -> list[str]:
    """The server; its arguments follow."""
    return ["node", str(PRISM.folder / "node_modules/@stoplight/prism-cli/dist/index.js")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make it, unless it is there."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0]).parse_args(arguments)
    return install(PRISM)


if __name__ == "__main__":
    sys.exit(main())
