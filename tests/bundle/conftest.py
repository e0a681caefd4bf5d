"""The bundles as they are deployed, and the runtimes they run in. What is missing skips and says how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.python313 import RUNTIME, find_python


@pytest.fixture(scope="session")
def python313() -> Path:
    """The Python that the clouds run."""
    found = find_python()
    if found is None:
        pytest.skip(f"needs Python {RUNTIME}: install it, or name one in PYTHON313")
    return found
