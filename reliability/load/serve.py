"""``python -m reliability.load.serve CLOUD PORT``: an instance of the receiver behind the platform's front.

Google Cloud needs none of this: there the server is a part of what is deployed.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import Final

from starlette.applications import Starlette

from cli.local.front import Front, Server, listen
from reliability.load.entry_point import EntryPoint

_ENTRY_POINTS: Final = {
    "aws": "reliability.load.aws",
    "azure": "reliability.load.azure",
}
"""Each cloud with the module that has its ``entry_point()``."""


def main() -> None:
    """Serve until a signal comes."""
    cloud, port = sys.argv[1], int(sys.argv[2])
    entry_point: EntryPoint = import_module(_ENTRY_POINTS[cloud]).entry_point()
    with Server(Front(entry_point, Starlette()), listen(port)):
        signal.pause()


if __name__ == "__main__":
    main()
