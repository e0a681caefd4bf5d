"""Builds the bundle that all Lambda functions run: `python3 scripts/build_aws.py`, or through `sam build`.

One bundle for arm64 and x86_64: all but one of its files are the same for both, and the one that is not (the native
half of pydantic) carries its architecture in its name, so that both lie side by side and Python loads the one that
fits. The same inputs and the same Python give the same bytes. Why it holds bytecode and no boto3 is said in
docs/adr/0003-bundle-without-boto3.md.

Needs Python 3.11 and uv, which scripts/uv.py fetches where it is missing. Bytecode needs a Python 3.13 as well; where
there is none, the bundle is built without and says so.
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
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.python313 import RUNTIME, find_python  # noqa: E402 - after the path is set

PLATFORMS: Final = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
"""What Lambda's python3.13 runtime (Amazon Linux 2023, glibc 2.34) can load, in uv's spelling."""
PACKAGES: Final = ("core", "aws_lambda")
RUNTIME_SHIPS: Final = "boto3"
"""Pruned from the lock with all that only it needs; Lambda's Python runtimes ship it."""
GOAL_BYTES: Final = 12_000_000
TASK_ROOT: Final = "/var/task"
"""Where Lambda unpacks a bundle: the path that tracebacks show."""
DEFAULT_OUTPUT: Final = ROOT / "build" / "aws"
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip file can express; every file carries it."""
_DROPPED: Final = re.compile(
    r"""
    ^(bin/|\.lock$)                                             # programs for a terminal, uv's own lock
    | \.pyi$                                                    # for type checkers
    | \.dist-info/(RECORD|WHEEL|INSTALLER|REQUESTED|direct_url\.json|uv_cache\.json|sboms/)   # for installers
    | (^|/)__pycache__/
    """,
    re.VERBOSE,
)
"""What an installed package has that nothing on Lambda reads. Licences and METADATA stay."""


class BuildError(Exception):
    """The bundle cannot be built; the text says why and what helps."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A built bundle: its folder, its content's digest, its sizes in bytes, the Python that compiled it or None."""

    folder: Path
    digest: str
    unzipped: int
    files: int
    compiled_by: str | None


def _uv(*arguments: str, check: bool = True) -> str:
    """Run the project's uv; its standard output. Its messages go to ours."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts/uv.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=None if check else subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if run.returncode and check:
        raise BuildError(f"uv {arguments[0]} failed (see above)")
    return run.stdout if run.returncode == 0 else ""


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def build(target: Path, python: Path | None) -> Bundle:
    """Fill ``target`` with the bundle; what was in it goes.

    Args:
        target: the folder to fill. It is replaced only once everything is built.
        python: the Python 3.13 that compiles, or None for a bundle without bytecode.

    Raises:
        BuildError: a package is missing for one of the platforms, or the platforms differ in more than native code.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=target.parent) as scratch_name:
        scratch = Path(scratch_name)
        staged = scratch / "staged"
        requirements = scratch / "requirements.txt"
        requirements.write_text(_requirements(), "utf-8")
        names = re.findall(r"^([a-z0-9-]+)==(\S+)", requirements.read_text("utf-8"), re.MULTILINE)
        _say("packages: " + ", ".join(f"{name} {version}" for name, version in names))
        installed = [_install(requirements, scratch / platform, platform) for platform in PLATFORMS]
        _merge(installed, staged)
        _copy_own_code(staged)
        if python is not None:
            _compile(staged, python)
        _normalise(staged)
        bundle = Bundle(
            target,
            digest(staged),
            sum(map(_size, _files(staged))),
            len(_files(staged)),
            str(python) if python else None,
        )
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
    return bundle


def _requirements() -> str:
    """The locked packages of the bundle, with hashes."""
    return _uv(
        *("export", "--quiet", "--frozen", "--no-dev", "--group", "aws", "--no-emit-project"),
        *("--prune", RUNTIME_SHIPS, "--no-header", "--no-annotate"),
    )


def _install(requirements: Path, target: Path, platform: str) -> Path:
    _uv(
        *("pip", "install", "--quiet", "--target", str(target), "--python-platform", platform),
        *("--python-version", RUNTIME, "--only-binary", ":all:", "--require-hashes", "--no-deps"),
        *("--link-mode", "copy", "--requirements", str(requirements)),
    )
    return target


def _merge(installed: Sequence[Path], target: Path) -> None:
    """Lay the installations over each other; only native code may exist for one of them alone."""
    names = [{path.relative_to(folder).as_posix() for path in _files(folder)} for folder in installed]
    kept = sorted(name for name in set().union(*names) if not _DROPPED.search(name))
    for name in kept:
        having = [folder for folder, present in zip(installed, names, strict=True) if name in present]
        if len(having) < len(installed) and not name.endswith(".so"):
            raise BuildError(f"{name} exists for one platform alone; one bundle for both is not possible any more")
        if len({(folder / name).read_bytes() for folder in having}) > 1:
            raise BuildError(f"{name} differs between the platforms; one bundle for both is not possible any more")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(having[0] / name, target / name)


def _copy_own_code(target: Path) -> None:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            copy = target / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    shutil.copyfile(ROOT / "LICENSE", target / "LICENSE")


def _compile(target: Path, python: Path) -> None:
    """Compile every module.

    `unchecked-hash`, since a zip file keeps no time stamp that an ordinary .pyc would be checked against. One process,
    a fixed hash seed and one order of files, since the bytes of a .pyc depend on all three.
    """
    _say(f"bytecode: compiled by {python}")
    run = subprocess.run(
        [
            *(str(python), "-P", "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(target), "-p", TASK_ROOT, str(target)),
        ],
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode:
        raise BuildError(f"{python} could not compile the bundle:\n{run.stdout}")


def _normalise(folder: Path) -> None:
    """Give every file the same time and a plain mode, so that a zip of the folder is the same each time."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (315_532_800, 315_532_800))


def _files(folder: Path) -> list[Path]:
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=Path.as_posix)


def _size(path: Path) -> int:
    return path.stat().st_size


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a folder's files, in hex."""
    total = hashlib.sha256()
    for path in _files(folder):
        name = path.relative_to(folder).as_posix().encode()
        total.update(len(name).to_bytes(4) + name + path.stat().st_size.to_bytes(8) + path.read_bytes())
    return total.hexdigest()


def write_zip(folder: Path, target: Path) -> int:
    """Zip a folder: sorted names, one fixed time. Returns the size in bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in _files(folder):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EARLIEST)
            info.create_system = 3  # Unix, or the mode below is not read
            info.external_attr = 0o100644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    return target.stat().st_size


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, and print where the bundle is and what it weighs."""
    parser = argparse.ArgumentParser(description="Build the Lambda bundle, for arm64 and x86_64 alike.")
    parser.add_argument("--stage", type=Path, metavar="DIR", help="only fill this folder, as `sam build` asks")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="default: build/aws")
    parser.add_argument("--python", type=Path, help="the Python 3.13 that compiles; default: the first that runs")
    parser.add_argument("--no-bytecode", action="store_true", help="leave the bytecode out")
    options = parser.parse_args(arguments)
    target: Path = (options.stage or options.output).resolve()
    try:
        python = None if options.no_bytecode else options.python or find_python()
        print(f"Building the AWS bundle in {target}", flush=True)
        bundle = build(target, python)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if bundle.compiled_by is None and not options.no_bytecode:
        # On standard output: of a build that succeeds, `sam build` shows nothing else.
        print(
            f"warning: no Python {RUNTIME} was found, so the bundle has no bytecode and starts more slowly.\n"
            f"         Install it (`uv python install {RUNTIME}`), or name one: PYTHON313=/path/to/python3.13",
            flush=True,
        )
    _say(f"folder:   {bundle.files} files, {bundle.unzipped / 1e6:.1f} MB")
    if options.stage is None:
        archive = target.with_suffix(".zip")
        zipped = write_zip(target, archive)
        goal = "within" if zipped <= GOAL_BYTES else "OVER"
        _say(f"zip:      {archive}, {zipped / 1e6:.2f} MB, {goal} the goal of {GOAL_BYTES / 1e6:.0f} MB")
        _say(f"sha256:   {hashlib.sha256(archive.read_bytes()).hexdigest()} (zip)")
    _say(f"sha256:   {bundle.digest} (names and content)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
