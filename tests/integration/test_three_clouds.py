"""One signed request, three real entry points, one message: what a consumer reads does not tell where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.contract.answers import ACCEPTED
from tests.contract.bypass import NAME, signed, sized
from tests.drivers import UNLISTED, Driver, HttpRequest, Platform, Sent
from tests.planted import KEY

pytestmark = pytest.mark.emulator

CLOUDS: Final = ("aws", "gcp", "azure")
TRACE: Final = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@pytest.fixture
def drivers(platform_of: Callable[[str], Platform]) -> Iterator[dict[str, Driver]]:
    """A deployment in each cloud, with the same key."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(platform_of(name).deploy()) for name in CLOUDS}


def _plain() -> HttpRequest:
    return signed(None, TRACE)


def _unlisted() -> HttpRequest:
    return signed(client=UNLISTED)


def _large() -> HttpRequest:
    return signed(sized(10_000_000 // 4))


@pytest.mark.parametrize("make", [_plain, _unlisted, _large], ids=["plain", "unlisted", "claim-check"])
def test_the_same_request_is_the_same_message_on_every_cloud(
    drivers: dict[str, Driver], make: Callable[[], HttpRequest]
) -> None:
    """The very same bytes are accepted by all three, and the three messages are equal, attribute by attribute."""
    request = make()
    assert sum(name == NAME for name, _ in request.headers) == 1
    found: dict[str, Sent] = {}
    for name, driver in drivers.items():
        driver.build({"SOURCE_IP_MODE": "observe"}, keys=[KEY])
        assert driver.post(request) == ACCEPTED, name
        (found[name],) = driver.messages()
    first = found[CLOUDS[0]]
    for name, message in found.items():
        assert message.body == request.body, name
        # The reference alone names the cloud, and whether there is one its queue's limit decides.
        attributes = {key: value for key, value in message.attributes.items() if key != "dataref"}
        assert attributes == {key: value for key, value in first.attributes.items() if key != "dataref"}, name
        assert ("dataref" in message.attributes) is message.claimed, name
    if make is not _large:
        assert not any(message.claimed for message in found.values())
        assert len({tuple(sorted(message.attributes.items())) for message in found.values()}) == 1
