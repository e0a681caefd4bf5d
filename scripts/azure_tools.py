"""Makes what Azure's tests need from npm: `python3 scripts/azure_tools.py`. It needs Node 18 or newer with npm.

- kusto, into build/tools/kusto: Microsoft's own parser of the language that alarms and the workbook are written in.
- azurite, into build/tools/azurite: Microsoft's emulator of Blob Storage, which the local run uses where it is.

The scanner is the one that `make gcp-tools` makes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.node_env import ROOT, NodeTool, install

KUSTO: Final = NodeTool("kusto", "infra/azure/tools/kusto", "make azure-tools")
AZURITE: Final = NodeTool("azurite", "infra/azure/tools/azurite", "make azure-tools")


def command() -> list[str]:
    """The parser: queries go in on standard input, see infra/azure/tools/kusto/check.js."""
    return ["node", str(ROOT / KUSTO.source / "check.js"), str(KUSTO.folder)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make them, unless they are there."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0]).parse_args(arguments)
    return install(KUSTO, AZURITE)


if __name__ == "__main__":
    sys.exit(main())
