"""The bundles as they are deployed, and the runtimes they run in. What is missing skips and says how to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.python313 import RUNTIME, find_python

# The contract's own tests are imported into a module here; their assertions speak as plainly there.
# Where they are imported already, as when failed tests come first, they are rewritten already.
if "tests.contract" not in sys.modules:
    pytest.register_assert_rewrite("tests.contract")


@pytest.fixture(scope="session")
def python313() -> Path:
    """The Python that the clouds run."""
    found = find_python()
    if found is None:
        pytest.skip(f"needs Python {RUNTIME}: install it, or name one in PYTHON313")
    return found
