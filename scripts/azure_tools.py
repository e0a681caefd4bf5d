"""Makes what checks the queries of infra/azure: `python3 scripts/azure_tools.py`.

It is Microsoft's own parser of Kusto, the language that alarms and the workbook are written in: one package of npm,
put into build/tools/kusto from infra/azure/tools/kusto (exact version, hash checked). It needs Node 18 or newer with
npm. The scanner is the one that `make gcp-tools` makes.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "infra/azure/tools/kusto"
FOLDER: Final = ROOT / "build/tools/kusto"
FILES: Final = ("package.json", "package-lock.json")
MAKE: Final = "make azure-tools"
"""What makes it, for messages."""


def _digest() -> str:
    return hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in FILES)).hexdigest()


def is_ready() -> bool:
    """Whether it is there, made from the present lock."""
    stamp = FOLDER / ".filled-from"
    return stamp.is_file() and stamp.read_text("utf-8") == _digest()


def missing() -> str | None:
    """Why the queries cannot be checked, with the remedy, or None when they can."""
    if shutil.which("node") is None:
        return f"needs Node 18 or newer (Debian: apt-get install nodejs npm), then `{MAKE}`"
    return None if is_ready() else f"needs the parser of Kusto: run `{MAKE}`"


def command() -> list[str]:
    """The parser: queries go in on standard input, see infra/azure/tools/kusto/check.js."""
    return ["node", str(SOURCE / "check.js"), str(FOLDER)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make it, unless it is there."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0]).parse_args(arguments)
    npm = shutil.which("npm")
    if npm is None:
        print("left out: npm was not found; install Node 18 or newer (Debian: apt-get install nodejs npm)")
        return 0
    if is_ready():
        print("kusto: ready")
        return 0
    print(f"kusto: installing into {FOLDER}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(SOURCE / name, FOLDER / name)
    run = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=FOLDER, check=False
    )
    if run.returncode:
        print(f"error: npm failed with status {run.returncode} (see above)", file=sys.stderr)
        return 1
    (FOLDER / ".filled-from").write_text(_digest(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
