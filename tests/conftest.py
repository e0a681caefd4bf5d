"""What every test of the suite shares: the log check, and the emulators, one for each test process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.drivers import Platform

pytest_plugins = ("tests.log_check",)

# A bundle's tests import those of the contract; here, nothing has imported them yet, whatever is collected first.
pytest.register_assert_rewrite("tests.contract")

# A shell starts what runs in the background with Ctrl-C switched off, and what a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def platform_of() -> Iterator[Callable[[str], Platform]]:
    """Gives a cloud's emulator by the cloud's name; it starts when it is first asked for."""
    from tests.drivers import load

    clouds = load()
    running: dict[str, Platform] = {}
    with ExitStack() as stack:

        def get(name: str) -> Platform:
            if name not in running:
                running[name] = stack.enter_context(clouds[name].start())
            return running[name]

        yield get
