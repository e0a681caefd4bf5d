"""Stages the directory that `azd` and `func` publish: `python3 scripts/build_azure.py`, or as a hook of `azd package`.

It holds our own code, `host.json` and a requirements.txt with exact versions and hashes; Azure installs them where the
function runs (remote build). The same inputs give the same bytes.

Needs Python 3.11 and uv, which scripts/uv.py fetches where it is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
RUNTIME: Final = "3.13"
PACKAGES: Final = ("core", "azure_function")
TO_THE_TOP: Final = ("function_app.py", "host.json")
"""What the platform looks for beside each other at the top; their place in the project is the package's folder."""
DEFAULT_OUTPUT: Final = ROOT / "build" / "azure"
IGNORED: Final = (".venv/", "__pycache__/", "*.pyc", "local.settings.json", ".env", ".git/")
"""For `func`, which uploads everything but what `.funcignore` names: what a person may leave lying here."""


class BuildError(Exception):
    """The directory cannot be staged; the text says why."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A staged directory: where, its content's digest, its size in bytes, and its packages with their versions."""

    folder: Path
    digest: str
    size: int
    packages: tuple[tuple[str, str], ...]


def build(target: Path) -> Staged:
    """Fill ``target``; what was in it goes, once everything is there.

    Raises:
        BuildError: the lock does not fit, or uv failed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=target.parent) as scratch_name:
        staged = Path(scratch_name) / "staged"
        staged.mkdir()
        for package in PACKAGES:
            for path in sorted((ROOT / package).rglob("*.py")):
                copy = staged / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        for name in TO_THE_TOP:
            shutil.copyfile(ROOT / "azure_function" / name, staged / name)
        # One place for it: a second module of that name would make a second function app.
        (staged / "azure_function" / "function_app.py").unlink()
        shutil.copyfile(ROOT / "LICENSE", staged / "LICENSE")
        _export(staged / "requirements.txt")
        requirements = (staged / "requirements.txt").read_text("utf-8")
        (staged / ".funcignore").write_text("".join(f"{pattern}\n" for pattern in IGNORED), "utf-8")
        for path in [*staged.rglob("*"), staged]:
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (315_532_800, 315_532_800))  # 1980: the first moment that a zip file can express
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
    files = _files(target)
    found = re.findall(r"^([a-z0-9-]+)==([^\s;]+)", requirements, re.MULTILINE)
    return Staged(target, digest(target), sum(path.stat().st_size for path in files), tuple(found))


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a folder's files, in hex."""
    total = hashlib.sha256()
    for path in _files(folder):
        name = path.relative_to(folder).as_posix().encode()
        total.update(len(name).to_bytes(4) + name + path.stat().st_size.to_bytes(8) + path.read_bytes())
    return total.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _export(target: Path) -> None:
    """Write the locked packages of the function app, with hashes.

    Into a file, since scripts/uv.py may have to fetch uv first and says so on the same output.
    """
    command = [
        *(sys.executable, str(ROOT / "scripts" / "uv.py"), "export", "--quiet", "--frozen", "--no-dev"),
        *("--group", "azure", "--no-emit-project", "--no-header", "--no-annotate", "--output-file", str(target)),
    ]
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
        raise BuildError("uv export failed (see above)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Stage, and print what there is."""
    parser = argparse.ArgumentParser(description="Stage the directory that azd and func publish.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="default: build/azure")
    options = parser.parse_args(arguments)
    target: Path = options.output.resolve()
    print(f"Staging the function app in {target}", flush=True)
    try:
        staged = build(target)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("  packages: " + ", ".join(f"{name} {version}" for name, version in staged.packages))
    print(f"  folder:   {len(_files(target))} files, {staged.size / 1e3:.0f} kB, for Python {RUNTIME}")
    print(f"  sha256:   {staged.digest} (names and content)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
