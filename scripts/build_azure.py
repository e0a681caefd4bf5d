"""Stages the directory that `azd` and `func` publish: `python3 scripts/build_azure.py`, or as a hook of `azd package`.

It holds our own code, `host.json` and a requirements.txt with exact versions and hashes; Azure installs them where the
function runs (remote build). The same inputs give the same bytes, and a directory that has them already is left alone:
`azd up` builds twice, and may still read what the first build made when the second one is done.

Needs Python 3.11 and uv, which scripts/uv.py fetches where it is missing.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
RUNTIME: Final = "3.13"
PLATFORM: Final = "linux"
"""Where the function runs, in uv's spelling."""
PACKAGES: Final = ("core", "azure_function")
TO_THE_TOP: Final = ("function_app.py", "host.json")
"""What the platform looks for beside each other at the top; their place in the project is the package's folder."""
DEFAULT_OUTPUT: Final = ROOT / "build" / "azure"
_PINNED: Final = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)
_ENTRY: Final = re.compile(r"^\S.*\n(?: .*\n)*", re.MULTILINE)
_CONDITION: Final = re.compile(r" ;[^\\]*(?= \\)")
_BRANCH: Final = re.compile(r"── ([a-z0-9-]+)(?:\[[^\]]*\])? v(\S+)")
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
    """Fill ``target``; what was in it goes, once everything is there. Several builds at once do not harm each other.

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
        requirements = _requirements(Path(scratch_name) / "exported.txt")
        (staged / "requirements.txt").write_text(requirements, "utf-8")
        (staged / ".funcignore").write_text("".join(f"{pattern}\n" for pattern in IGNORED), "utf-8")
        for path in [*staged.rglob("*"), staged]:
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (315_532_800, 315_532_800))  # 1980: the first moment that a zip file can express
        made = digest(staged)
        size = sum(path.stat().st_size for path in _files(staged))
        _put(staged, target, made)
    return Staged(target, made, size, tuple(_PINNED.findall(requirements)))


def _put(staged: Path, target: Path, made: str) -> None:
    """Put a directory in its place by renaming alone, so that nobody ever finds half of one there."""
    while True:
        # What another build takes away meanwhile is not there: then there is nothing to leave alone, or to set aside.
        with suppress(FileNotFoundError):
            if digest(target) == made:
                return
            target.rename(tempfile.mkdtemp(dir=staged.parent))
        try:
            staged.rename(target)
        except OSError as error:
            # Another build has put its own there; only an empty directory can be renamed over.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a folder's files, in hex."""
    total = hashlib.sha256()
    for path in _files(folder):
        name = path.relative_to(folder).as_posix().encode()
        total.update(len(name).to_bytes(4) + name + path.stat().st_size.to_bytes(8) + path.read_bytes())
    return total.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _requirements(scratch: Path) -> str:
    """The locked packages of the function app, with hashes, and without conditions: only what its own Python takes.

    The lock is for several Pythons, and says of a package for which. An installer leaves out what is for another one
    than its own, and is content; without the conditions it refuses instead.
    """
    # Into a file, since scripts/uv.py may have to fetch uv first and says so on the same output.
    _uv("export", "--quiet", "--no-emit-project", "--no-header", "--no-annotate", "--output-file", str(scratch))
    tree = _uv("tree", "--no-dedupe", "--color", "never", "--python-version", RUNTIME, "--python-platform", PLATFORM)
    taken = set(_BRANCH.findall(tree))
    entries = {found: entry for entry in _ENTRY.findall(scratch.read_text("utf-8")) for found in _PINNED.findall(entry)}
    if not taken <= entries.keys():
        raise BuildError(f"uv's tree has what its export has not: {sorted(taken - entries.keys())}")
    return "".join(_CONDITION.sub("", entry) for found, entry in entries.items() if found in taken)


def _uv(command: str, *arguments: str) -> str:
    """Ask uv about the function app's packages in the lock; its standard output."""
    run = subprocess.run(
        [
            *(sys.executable, str(ROOT / "scripts" / "uv.py"), command),
            *("--frozen", "--no-dev", "--group", "azure", *arguments),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode:
        raise BuildError(f"uv {command} failed (see above)")
    return run.stdout


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
