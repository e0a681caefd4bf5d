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
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.python313 import RUNTIME, find_python  # noqa: E402 - after the path is set
from scripts.tool_env import Environment, lock, make  # noqa: E402

LOCKS: Final = "infra/aws/tools"
MAKE: Final = "make aws-tools"
"""What makes them, for messages."""


SAM: Final = Environment("sam", LOCKS, lambda_python=False)
RUNTIME_CLIENT: Final = Environment("runtime", LOCKS, lambda_python=True)
EMULATOR: Final = Environment("emulator", LOCKS, lambda_python=True)
LOCALSTACK: Final = Environment("localstack", LOCKS, lambda_python=True, newest="2026-03-31")
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
