"""What this program is called, and its version."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as of_distribution
from pathlib import Path

NAME = "dastra-webhooks"


def version() -> str:
    """As in ``pyproject.toml``."""
    try:
        return of_distribution(NAME)
    except PackageNotFoundError:
        return "0"


def program() -> str:
    """What to type here to start this program: its name, or the way to it where the shell would not find it."""
    started = Path(sys.argv[0])
    if shutil.which(NAME) or started.name != NAME:
        return NAME
    way = os.path.relpath(started)
    return str(started) if way.startswith("..") else way
