"""The contract once more, by the bundle in Lambda's own runtime: the same tests, another driver (``conftest.py``)."""

from __future__ import annotations

from typing import Final

import pytest

from tests.contract import test_addresses, test_bypass, test_faults, test_genuine, test_key_life, test_redrive

pytestmark = [pytest.mark.emulator, pytest.mark.slow]

CONCURRENT: Final = {
    "test_many_at_once_on_one_instance",
    "test_many_at_once_while_the_queue_hangs",
    "test_rotation_while_requests_flow",
    "test_a_rotation_in_the_midst_of_a_flood",
    "test_a_flood_while_the_key_store_hangs",
}
"""Several requests at a time on one instance, which Lambda never sends."""

for _module in (test_addresses, test_bypass, test_faults, test_genuine, test_key_life, test_redrive):
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and _name not in CONCURRENT:
            assert _name not in globals(), f"two tests are called {_name}"
            globals()[_name] = _test
