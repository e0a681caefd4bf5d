"""Steps that several contract tests take."""

from __future__ import annotations

from tests.contract.answers import UNAVAILABLE
from tests.contract.bypass import signed
from tests.drivers import Driver
from tests.planted import OTHER_KEY


def until_a_key_is_known(driver: Driver) -> None:
    """Wait for the instance's first look-up, which a busy machine may have cut short; touches no queue and no store."""
    for _ in range(20):
        if driver.post(signed(key=OTHER_KEY)) != UNAVAILABLE:
            return
    raise AssertionError("the instance found no key in twenty requests")
