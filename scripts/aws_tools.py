"""Makes the environments of the tools that deploy and test on AWS: `python3 scripts/aws_tools.py [NAME ...]`.

Each is a virtual environment below build/tools, filled from a lock of its own in infra/aws/tools (exact versions,
hashes checked), because they exclude each other: SAM and the emulators each want another boto3.

  sam         the SAM command line, cfn-lint, and the Runtime Interface Emulator     any Python 3.11 or newer
  runtime     the runtime client of Lambda and boto3: what a bundle runs in          Python 3.13
  emulator    ministack: a local AWS that takes `sam deploy`                          Python 3.13
  localstack  LocalStack: a local AWS with alarms and dead letters (`make test-all`)  Python 3.13

Where Python 3.13 is missing, what needs it is left out with a word, and the tests that need it say that they skip.
`--lock` writes the locks anew.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.build_aws import RUNTIME, find_python  # noqa: E402 - after the path is set

LOCKS: Final = ROOT / "infra" / "aws" / "tools"
PLACE: Final = ROOT / "build" / "tools"
MAKE: Final = "make aws-tools"
"""What makes them, for messages."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One of them; ``lambda_python`` says that it runs what Lambda runs, and so needs the same Python.

    ``newest`` is the last day, as YYYY-MM-DD, whose releases its lock may hold; None for no limit.
    """

    name: str
    lambda_python: bool
    newest: str | None = None

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        return PLACE / self.name

    @property
    def lock(self) -> Path:
        """Its packages with versions and hashes."""
        return LOCKS / f"{self.name}.txt"

    @property
    def stamp(self) -> Path:
        """Holds the digest of the lock that it was filled from."""
        return self.folder / ".filled-from"

    def program(self, name: str) -> Path | None:
        """A program of it, or None while it is not made from the present lock."""
        path = self.folder / "bin" / name
        return path if self.is_ready() and path.exists() else None

    def is_ready(self) -> bool:
        """Whether it is made from the present lock, and its interpreter still exists."""
        return (
            self.stamp.is_file()
            and self.stamp.read_text("utf-8") == _digest(self.lock)
            and (self.folder / "bin/python").exists()
        )


SAM: Final = Environment("sam", lambda_python=False)
RUNTIME_CLIENT: Final = Environment("runtime", lambda_python=True)
EMULATOR: Final = Environment("emulator", lambda_python=True)
LOCALSTACK: Final = Environment("localstack", lambda_python=True, newest="2026-03-31")
ALL: Final = (SAM, RUNTIME_CLIENT, EMULATOR, LOCALSTACK)


def missing(*environments: Environment, command: str = MAKE) -> str | None:
    """Why something of these cannot run, with the remedy, or None when all are ready."""
    absent = [environment for environment in environments if not environment.is_ready()]
    if not absent:
        return None
    names = ", ".join(environment.name for environment in absent)
    if any(environment.lambda_python for environment in absent) and find_python() is None:
        return f"needs Python {RUNTIME}, which was not found: install it, then run `{command}`"
    return f"needs the AWS tools ({names}): run `{command}`"


def rie() -> Path | None:
    """The Runtime Interface Emulator for this machine, out of SAM's package; None where there is none."""
    found = sorted(SAM.folder.glob("lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-*"))
    wanted = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    return next((path for path in found if path.name.endswith(wanted) and sys.platform == "linux"), None)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts/uv.py"), *arguments], check=True)


def make(environment: Environment, python: Path) -> None:
    """Make one, from scratch."""
    shutil.rmtree(environment.folder, ignore_errors=True)
    environment.folder.parent.mkdir(parents=True, exist_ok=True)
    _uv("venv", "--quiet", "--python", str(python), str(environment.folder))
    _uv(
        *("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"),
        *("--python", str(environment.folder / "bin/python"), str(environment.lock)),
    )
    environment.stamp.write_text(_digest(environment.lock), "utf-8")


def lock(environment: Environment) -> None:
    """Write its lock anew."""
    _uv(
        *("pip", "compile", "--quiet", "--upgrade", "--generate-hashes", "--no-header", "--no-annotate"),
        *("--python-version", RUNTIME if environment.lambda_python else "3.11"),
        # A release held back has no answer for a Python that was not out yet.
        *(("--exclude-newer", environment.newest) if environment.newest else ("--universal",)),
        *(str(environment.lock.with_suffix(".in")), "--output-file", str(environment.lock)),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is asked for and not there yet."""
    known = {environment.name: environment for environment in ALL}
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0], epilog="without names: all but localstack"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--lock", action="store_true", help="write the locks anew instead")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    chosen = [known[name] for name in options.names] or [SAM, RUNTIME_CLIENT, EMULATOR]
    lambda_python = find_python()
    try:
        for number, environment in enumerate(chosen, 1):
            where = f"[{number}/{len(chosen)}] {environment.name}"
            if options.lock:
                print(f"{where}: resolving", flush=True)
                lock(environment)
            elif environment.is_ready():
                print(f"{where}: ready")
            elif environment.lambda_python and lambda_python is None:
                print(f"{where}: left out, no Python {RUNTIME} was found; install it and run `{MAKE}` again")
            else:
                print(f"{where}: installing into {environment.folder}", flush=True)
                make(environment, lambda_python or Path(sys.executable))
    except subprocess.CalledProcessError as error:
        print(f"error: uv failed with status {error.returncode} (see above)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
