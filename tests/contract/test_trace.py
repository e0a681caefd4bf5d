"""A message carries the trace of its request: W3C's header, else what the platform says, else nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from core.trace import TraceContext
from tests.contract.answers import ACCEPTED
from tests.contract.bypass import signed
from tests.drivers import Cloud, Driver
from tests.planted import KEY

pytestmark = pytest.mark.emulator

SENDERS: Final = f"00-{'1f' * 16}-{'0a' * 8}-01"
"""A trace that Dastra itself would begin."""
TRACE, SPAN = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
PLATFORMS: Final = f"00-{TRACE}-{SPAN}-01"
BARE: Final = TraceContext(TRACE, None, False).traceparent

AMAZON, GOOGLE, AZURE = "X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "the invocation"
GIVEN: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "aws": {
        "whole": (AMAZON, f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=1"),
        "bare": (AMAZON, f"Root=1-{TRACE[:8]}-{TRACE[8:]}"),
    },
    "gcp": {"whole": (GOOGLE, f"{TRACE}/{int(SPAN, 16)};o=1"), "bare": (GOOGLE, TRACE)},
    "azure": {"whole": (AZURE, PLATFORMS)},
}
"""Where each platform says it, whole and without a span; the host of Azure always names one."""

HOSTILE: Final = ("", "x", "é" * 55, "Root=", "/;o=", f"00-{'0' * 32}-{SPAN}-01", f"{TRACE}/\u0663", "0" * 4000)


def traces(driver: Driver, cloud: Cloud, given: tuple[str, str] | None, *headers: tuple[str, str]) -> set[str | None]:
    """The trace of the message behind each front, for a request with these headers."""
    found = set()
    more: tuple[tuple[str, str], ...] = ()
    if given is not None and given[0] == AZURE:
        driver.trace_parent = given[1]  # type: ignore[attr-defined]
    elif given is not None:
        more = (given,)
    for front in cloud.fronts:
        assert driver.post(signed(None, *headers, *more), front) == ACCEPTED, front.name
        (message,) = driver.messages()
        found.add(message.attributes.get("traceparent"))
        driver.reset()
    return found


def test_the_requests_own_trace_comes_first(cloud: Cloud, driver: Driver) -> None:
    """Also where the platform names another."""
    driver.build(keys=[KEY])
    for given in (None, *GIVEN[cloud.name].values()):
        assert traces(driver, cloud, given, ("traceparent", SENDERS)) == {SENDERS}


def test_without_one_the_platforms_is_carried(cloud: Cloud, driver: Driver) -> None:
    """In W3C's form, through every front; the same with a header that is no trace context."""
    driver.build(keys=[KEY])
    expected = {"whole": PLATFORMS, "bare": BARE}
    for form, given in GIVEN[cloud.name].items():
        assert traces(driver, cloud, given) == {expected[form]}
        assert traces(driver, cloud, given, ("traceparent", SENDERS.upper())) == {expected[form]}
        assert traces(driver, cloud, given, ("traceparent", f"{SENDERS}-x")) == {expected[form]}


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_trace_loses_no_event(cloud: Cloud, driver: Driver, value: str) -> None:
    """It is left out, wherever it stands, and the event is accepted as without it."""
    driver.build(keys=[KEY])
    (name, _) = next(iter(GIVEN[cloud.name].values()))
    assert traces(driver, cloud, (name, value), ("traceparent", value)) == {None}


def test_what_another_platform_would_say_is_nothing(cloud: Cloud, driver: Driver) -> None:
    """A sender's header of Amazon means nothing on Google's platform, and the other way round."""
    driver.build(keys=[KEY])
    others = [given for name, forms in GIVEN.items() if name != cloud.name for given in forms.values()]
    headers = [given for given in others if given[0] != AZURE]
    assert traces(driver, cloud, None, *headers) == {None}
