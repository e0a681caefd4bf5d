"""For what is particular to AWS: a deployment on the emulator, by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.drivers import Platform
from tests.drivers.aws import AwsDriver


@pytest.fixture
def aws(platform_of: Callable[[str], Platform]) -> Iterator[AwsDriver]:
    """A queue, a bucket and a secret, and the environment in which the SDK finds them."""
    with platform_of("aws").deploy() as deployed:
        assert isinstance(deployed, AwsDriver)
        yield deployed
