"""Runs the table of ``bypass.py`` through every front of every cloud."""

from __future__ import annotations

import hashlib

import pytest

from core.message import ATTRIBUTE_NAMES
from tests import planted
from tests.contract import faults, key_life
from tests.contract.bypass import CASES, Case, Expected, Place, signed
from tests.contract.vendor_faults import VendorFault
from tests.drivers import Cloud, Driver, HttpRequest

pytestmark = pytest.mark.emulator


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_request_gets_its_answer_and_its_place(cloud: Cloud, driver: Driver, case: Case) -> None:
    """Through every front: the answer is the fixed one, and the event is where the table says and nowhere else."""
    driver.build(case.settings, keys=case.keys)
    for front in cloud.fronts:
        request, expected = case.make(), case.on(front.duplicates)
        answer = driver.post(request, front)
        if answer.status == 400 and not _is_http(request):
            continue  # a front that reads HTTP itself need not let it through, and nothing may come of it
        assert answer == expected.answer, front.name
        if expected.place is not Place.NOWHERE:
            _check_place(driver, request, case, expected, front.name)
            driver.reset()
    assert not driver.messages()
    assert not driver.stored("")


def _is_http(request: HttpRequest) -> bool:
    """Whether every header can stand in a request: no control characters but tabs (RFC 9110, 5.5)."""
    return all(char == "\t" or (char >= " " and char != "\x7f") for _, value in request.headers for char in value)


def _check_place(driver: Driver, request: HttpRequest, case: Case, expected: Expected, front: str) -> None:
    messages, objects = driver.messages(), driver.stored("")
    queued = expected.place in (Place.QUEUE, Place.CLAIM)
    assert [message.body for message in messages] == [request.body] * queued, front
    claimed = any(message.claimed for message in messages)
    assert claimed or expected.place is not Place.CLAIM, front
    folder = "claims" if claimed else "quarantine"
    assert [(found.key.partition("/")[0], found.body) for found in objects] == [(folder, request.body)] * (
        claimed or not queued
    ), front
    held = [found.metadata for found in objects if not claimed]
    for attributes in (*(message.attributes for message in messages), *held):
        assert attributes["id"] == hashlib.sha256(request.body).hexdigest(), front
        assert attributes["signature"] in {planted.signature(request.body, key) for key in case.keys}, front
        assert attributes["specversion"] == "1.0", front
    for message in messages:
        assert set(message.attributes) <= set(ATTRIBUTE_NAMES), front
        assert all(1 <= len(value) <= 1024 and value.isprintable() for value in message.attributes.values()), front
        for name, value in case.attributes.items():
            assert message.attributes.get(name) == value, front
    assert [metadata["reason"] for metadata in held] == [expected.reason] * len(held), front


def test_a_repeated_delivery_is_the_same_event(driver: Driver) -> None:
    """The same genuine request twice gives two messages of one id: the queue may hold both, a consumer tells them."""
    driver.build(keys=[planted.KEY])
    request = signed()
    assert [driver.post(request).status for _ in range(2)] == [200, 200]
    messages = driver.messages()
    assert [message.body for message in messages] == [request.body] * 2
    assert len({message.id for message in messages}) == 1


def test_no_fault_of_a_vendor_is_left_out() -> None:
    """Each fault that published receivers have is named by at least one case of a table."""
    named = {case.stands_for for case in CASES}
    named |= {row.stands_for for row in faults.ROWS} | set(key_life.STANDS_FOR)
    # Connections are counted where a cloud's client is known; one table through every front is the test of drift.
    assert set(VendorFault) - named == {VendorFault.CONNECTION_PER_EVENT, VendorFault.DRIFT}
