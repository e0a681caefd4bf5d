"""Fills a folder that Cloud Run's Python buildpack takes as it is: `python3 scripts/build_gcp.py`.

It holds what the functions import and nothing else, and requirements.txt with the locked versions and their hashes,
which makes pip refuse everything else. The buildpack compiles the code itself. All functions run from the one folder:
`receive`, `redrive` and `watch` of its main.py. The same inputs give the same bytes.

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
PACKAGES: Final = ("core", "gcp_function")
DEFAULT_OUTPUT: Final = ROOT / "build" / "gcp"
MAIN: Final = '''\
"""Where the buildpack looks for the functions. Written by scripts/build_gcp.py: change gcp_function/ instead."""

from gcp_function.main import receive, redrive, watch

__all__ = ["receive", "redrive", "watch"]
'''
IGNORED: Final = """\
# gcloud uploads everything else in this folder, a .env that somebody lays here included.
.gcloudignore
.git
.gitignore
.env
.env.*
__pycache__/
*.pyc
.venv/
"""


class BuildError(Exception):
    """The folder cannot be filled; the text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A filled folder: its digest, its files, its size in bytes, and the packages that its requirements name."""

    folder: Path
    digest: str
    files: int
    size: int
    packages: tuple[str, ...]


def build(target: Path) -> Source:
    """Fill ``target``; what was in it goes, once everything is there.

    Raises:
        BuildError: the lock file does not fit, or uv is not to be had.
    """
    requirements = _requirements()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".source-", dir=target.parent) as scratch:
        staged = Path(scratch) / "staged"
        staged.mkdir()
        (staged / "main.py").write_text(MAIN, "utf-8")
        (staged / "requirements.txt").write_text(requirements, "utf-8")
        (staged / ".gcloudignore").write_text(IGNORED, "utf-8")
        shutil.copyfile(ROOT / "LICENSE", staged / "LICENSE")
        for package in PACKAGES:
            for path in sorted((ROOT / package).rglob("*.py")):
                copy = staged / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        for path in [*staged.rglob("*"), staged]:
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (315_532_800, 315_532_800))
        files = [path for path in staged.rglob("*") if path.is_file()]
        names = tuple(re.findall(r"^([A-Za-z0-9._-]+)==", requirements, re.MULTILINE))
        source = Source(target, _digest(staged), len(files), sum(path.stat().st_size for path in files), names)
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
    return source


def _requirements() -> str:
    """What the functions need, from the lock file: versions, hashes and markers."""
    run = subprocess.run(
        [
            *(sys.executable, str(ROOT / "scripts/uv.py"), "export", "--quiet", "--frozen", "--no-dev"),
            *("--group", "gcp", "--no-emit-project", "--no-header", "--no-annotate"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode:
        raise BuildError("uv could not export the requirements (see above)")
    return run.stdout


def _digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a folder's files, in hex."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode()
        total.update(len(name).to_bytes(4) + name + path.stat().st_size.to_bytes(8) + path.read_bytes())
    return total.hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, and print where the folder is and what it weighs."""
    parser = argparse.ArgumentParser(description="Fill a source folder for Cloud Run's Python buildpack.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="default: build/gcp")
    options = parser.parse_args(arguments)
    try:
        source = build(options.output.resolve())
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Built the Google Cloud source in {source.folder}")
    print(f"  files:    {source.files}, {source.size / 1e6:.2f} MB; {len(source.packages)} locked packages")
    print(f"  sha256:   {source.digest} (names and content)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
