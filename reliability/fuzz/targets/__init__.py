"""One module per thing that is fuzzed; each has ``make``, which gives a function of one input."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Final, cast

Target = Callable[[bytes], None]
"""Takes an input; raises whatever must not happen."""

NAMES: Final = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Target:
    """Make a target. It may change this process for good: one process fuzzes one target."""
    return cast(Target, import_module(f"{__name__}.{name}").make())
