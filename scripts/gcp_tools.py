"""Makes the environment of the policy scanner for `infra/gcp`: `python3 scripts/gcp_tools.py`.

It is a virtual environment below build/tools, filled from a lock of its own in infra/gcp/tools (exact versions, hashes
checked). `--lock` writes the lock anew. Terraform, gcloud and shellcheck come from no package registry: the tests say
how to get them where they are missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import tool_env  # noqa: E402 - after the path is set

MAKE: Final = "make gcp-tools"


CHECKOV: Final = tool_env.Environment("checkov", "infra/gcp/tools")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make it, where it is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--lock", action="store_true", help="write the lock anew instead")
    options = parser.parse_args(arguments)
    try:
        if options.lock:
            tool_env.lock(CHECKOV)
        elif CHECKOV.is_ready():
            print(f"{CHECKOV.name}: ready")
        else:
            print(f"{CHECKOV.name}: installing into {CHECKOV.folder}", flush=True)
            tool_env.make(CHECKOV, Path(sys.executable))
    except subprocess.CalledProcessError as error:
        print(f"error: uv failed with status {error.returncode} (see above)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
