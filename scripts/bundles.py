"""Which locked packages each bundle holds: the same question to uv that the build scripts ask."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
RUNTIME_SHIPS: Final = {"aws": "boto3"}
"""Left out of a bundle with all that only it needs, because the platform brings it (docs/adr/0003)."""


class ExportError(Exception):
    """uv could not export; its own words stand above."""


def names() -> tuple[str, ...]:
    """The bundles of this project, each named as its cloud and its dependency group."""
    found = (path.stem.removeprefix("build_") for path in ROOT.glob("scripts/build_*.py"))
    return tuple(sorted(found))


def export(bundle: str, form: str) -> str:
    """A bundle's packages in one of uv's formats.

    Raises:
        ExportError: uv failed, or ``uv.lock`` does not fit.
    """
    pruned = ("--prune", RUNTIME_SHIPS[bundle]) if bundle in RUNTIME_SHIPS else ()
    with tempfile.TemporaryDirectory() as scratch:
        # Into a file, since scripts/uv.py may have to fetch uv first and says so on the same output.
        target = Path(scratch) / "export"
        command = [
            *(sys.executable, str(ROOT / "scripts/uv.py"), "export", "--quiet", "--frozen", "--no-dev"),
            *("--group", bundle, "--no-emit-project", *pruned, "--format", form, "--output-file", str(target)),
        ]
        if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
            raise ExportError(f"uv could not export the packages of {bundle} (see above)")
        return target.read_text("utf-8")
