"""Every contract test runs on every cloud that has a driver, each test in a deployment of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.drivers import Cloud, Driver, Platform, load


@pytest.fixture(params=load().values(), ids=lambda cloud: cloud.name)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """The cloud under test."""
    found: Cloud = request.param
    return found


@pytest.fixture
def driver(cloud: Cloud, platform_of: Callable[[str], Platform]) -> Iterator[Driver]:
    """A deployment in that cloud; ``build`` starts its receiver."""
    with platform_of(cloud.name).deploy() as deployed:
        yield deployed
