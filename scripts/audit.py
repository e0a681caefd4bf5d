"""Looks for secrets in the tree, and for holes in the workflows: `make audit`.

Both scanners (detect-secrets, zizmor) live in an environment of their own below build/tools, from the lock
scripts/tools/audit.txt; `--install` makes it, `--lock` writes the lock anew. Nothing is sent anywhere. A line that a
scanner is wrong about says so: `pragma: allowlist secret`, or `zizmor: ignore[RULE]` with the reason beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import tool_env  # noqa: E402 - after the path is set

MAKE: Final = "make audit"
AUDIT: Final = tool_env.Environment("audit", "scripts/tools")
# Secrets that have a form of their own. Guessing by randomness finds hashes, vectors and invented keys by the hundred.
GUESSES: Final = ("Base64HighEntropyString", "HexHighEntropyString", "KeywordDetector", "IPPublicDetector")


def missing() -> str | None:
    """Why the scanners cannot run, with the remedy, or None."""
    return None if AUDIT.is_ready() else f"needs the scanners: run `{MAKE}`"


def secrets(folder: Path = ROOT) -> list[str]:
    """Where something in the tree has the form of a secret: ``path:line: kind``. Only files that git knows."""
    command = [str(AUDIT.folder / "bin/detect-secrets"), "scan", "--no-verify"]
    for plugin in GUESSES:
        command += ["--disable-plugin", plugin]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    results: dict[str, list[dict[str, str]]] = json.loads(run.stdout)["results"]
    return [f"{path}:{found['line_number']}: {found['type']}" for path, all_ in results.items() for found in all_]


def workflows(folder: Path = ROOT) -> str:
    """What zizmor says of the workflows and of dependabot's settings; empty where it finds nothing."""
    command = [str(AUDIT.folder / "bin/zizmor"), "--offline", "--no-progress", "--format", "plain", ".github"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stdout + run.stderr


def main(arguments: Sequence[str] | None = None) -> int:
    """Install what is missing, scan, print; 1 where something was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--install", action="store_true", help="only make the scanners' environment")
    parser.add_argument("--lock", action="store_true", help="only write its lock anew")
    options = parser.parse_args(arguments)
    try:
        if options.lock:
            tool_env.lock(AUDIT)
            return 0
        if not AUDIT.is_ready():
            print(f"{AUDIT.name}: installing into {AUDIT.folder}", flush=True)
            tool_env.make(AUDIT, Path(sys.executable))
        if options.install:
            return 0
        found = secrets()
        said = workflows()
    except subprocess.CalledProcessError as error:
        print(f"error: {error.cmd[0]} failed with status {error.returncode}: {error.stderr or ''}", file=sys.stderr)
        return 1
    for line in found:
        print(line)
    print(f"secrets: {len(found) or 'none'} found\nworkflows: {'see below' if said else 'nothing found'}")
    if said:
        print(said)
    return 1 if found or said else 0


if __name__ == "__main__":
    sys.exit(main())
