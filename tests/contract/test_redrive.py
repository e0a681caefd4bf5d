"""The spool goes back to the queue by itself: in order, in portions, safely when it runs twice; and says how full."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.answers import QUARANTINED, SPOOLED
from tests.contract.bypass import signed
from tests.contract.faults import QUICK
from tests.drivers import UNLISTED, Driver, HttpRequest, Mode, Port, Run
from tests.log_check import check
from tests.planted import KEY

pytestmark = pytest.mark.emulator


def spool(driver: Driver, count: int) -> list[HttpRequest]:
    """Put so many events into the spool through the receiver, and end the fault.

    The queue was asked for the first of them alone; that attempt was given up, and may go through once the fault ends.
    """
    driver.build(QUICK, keys=[KEY])
    driver.fault(Port.QUEUE, Mode.HANGING)
    requests = [signed() for _ in range(count)]
    for request in requests:
        assert driver.post(request) == SPOOLED
        time.sleep(0.002)  # keys sort by the millisecond
    driver.lift()
    return requests


def arrived(driver: Driver) -> list[bytes]:
    """The bodies on the queue in the order of arrival; a late copy of the first event counts once."""
    bodies = [message.body for message in driver.messages()]
    return [body for index, body in enumerate(bodies) if body != bodies[0] or index == 0] if bodies else []


def gauges(driver: Driver, capsys: pytest.CaptureFixture[str]) -> Mapping[str, float]:
    """The one line of gauges that was printed since the last look."""
    output = capsys.readouterr().out
    check(output)
    (found,) = [metrics for metrics in driver.metrics(output) if "SpoolCount" in metrics]
    return found


def test_oldest_first_and_in_portions(driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
    """A run sends at most its limit, the oldest first, and the gauges count what is left."""
    requests = spool(driver, 5)
    assert [stored.body for stored in driver.stored("spool/")] == [request.body for request in requests]
    capsys.readouterr()
    for limit, sent, left in ((2, 2, 3), (2, 4, 1), (None, 5, 0)):
        run = driver.redrive(limit)
        assert (run.failed, run.skipped) == (0, False)
        assert arrived(driver) == [request.body for request in requests[:sent]]
        measured = gauges(driver, capsys)
        assert measured["SpoolCount"] == left == len(driver.stored("spool/"))
        assert measured["Redriven"] == run.sent
    assert driver.redrive() == Run(0, 0, False)


def test_what_is_redriven_is_as_it_would_have_been(driver: Driver) -> None:
    """Body and attributes are those that the queue would have had at once; nothing of the record shows."""
    (request,) = spool(driver, 1)
    driver.redrive()
    direct = signed(request.body)
    driver.build(keys=[KEY])
    driver.post(direct)
    assert len(driver.messages()) >= 2
    assert all(message == driver.messages()[0] for message in driver.messages())


def test_twice_at_once_with_a_lease(driver: Driver) -> None:
    """Two schedules at the same time: nothing is lost, nothing is left, and nothing is sent twice."""
    requests = spool(driver, 30)
    runs = at_once(driver, 2)
    assert not driver.stored("spool/")
    assert sum(run.sent for run in runs) == 30
    assert sorted(arrived(driver)) == sorted(request.body for request in requests)
    assert not driver.stored("leases/")


@pytest.mark.parametrize("lease", [json.dumps({"until": 1}).encode(), b"broken", b"{}", b""])
def test_twice_at_once_after_a_run_that_died(driver: Driver, lease: bytes) -> None:
    """Its lease is over or unreadable; whoever takes over, nothing is lost."""
    requests = spool(driver, 20)
    driver.plant("leases/redrive", lease, {})
    at_once(driver, 3)
    assert not driver.stored("spool/")
    assert {message.body for message in driver.messages()} == {request.body for request in requests}


def at_once(driver: Driver, count: int) -> list[Run]:
    """So many schedule handlers, each an instance of its own, started together."""
    together = threading.Barrier(count)

    def run(_: int) -> Run:
        together.wait(10)
        return driver.redrive()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_a_run_that_finds_another_at_work_does_nothing(driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
    """It sends nothing, leaves the other's lease, and still says how full the store is."""
    spool(driver, 2)
    capsys.readouterr()
    lease = json.dumps({"until": time.time() + 60}).encode()
    driver.plant("leases/redrive", lease, {})
    assert driver.redrive() == Run(0, 0, True)
    assert len(driver.stored("spool/")) == 2
    assert [stored.body for stored in driver.stored("leases/")] == [lease]
    assert gauges(driver, capsys)["SpoolCount"] == 2


@pytest.mark.parametrize("mode", [Mode.REFUSED, Mode.ERROR_500, Mode.HANGING])
def test_a_run_against_a_queue_that_is_still_down(
    driver: Driver, mode: Mode, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gives up soon, everything stays in the spool, and the next run sends it all."""
    requests = spool(driver, 5)
    capsys.readouterr()
    driver.fault(Port.QUEUE, mode)
    run = driver.redrive()
    assert run.sent == 0
    assert 0 < run.failed <= 3
    assert len(driver.stored("spool/")) == 5
    measured = gauges(driver, capsys)
    assert measured["SpoolCount"] == 5
    assert measured["RedriveFailed"] == run.failed
    driver.lift()
    assert driver.redrive().sent == 5
    assert {message.body for message in driver.messages()} == {request.body for request in requests}


def test_broken_records_hold_up_nothing(driver: Driver) -> None:
    """What can never be sent is set aside for a person, with its bytes and the reason; the others are sent."""
    requests = spool(driver, 2)
    names = {"id": "0" * 64, "source": "urn:dastra:webhook:1", "specversion": "1.0", "type": "eu.dastra.TaskEdit"}
    broken: dict[str, tuple[bytes, dict[str, str]]] = {
        "spool/20200101T000000000Z-nothing": (b"", {}),
        "spool/20200101T000000001Z-part": (b"{}", {"id": "0" * 64}),
        "spool/20200101T000000002Z-other": (b"{}", {**names, "signature": "A" * 43 + "="}),
        "spool/no-time": (b"\xff", {}),
    }
    for key, (body, metadata) in broken.items():
        driver.plant(key, body, metadata)
    run = driver.redrive()
    assert run.sent == 2
    assert not driver.stored("spool/")
    assert {message.body for message in driver.messages()} == {request.body for request in requests}
    aside = driver.stored("quarantine/")
    assert sorted(stored.body for stored in aside) == sorted(body for body, _ in broken.values())
    assert {stored.metadata["reason"] for stored in aside} == {"unreadable_record"}


def test_gauges_of_the_quarantine_and_of_what_is_about_to_expire(
    driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every run counts what a person must look at, how old it is, and what will soon be deleted; it sends none."""
    driver.build(keys=[KEY])
    assert driver.post(signed(client=UNLISTED)) == QUARANTINED
    old = datetime.now(UTC) - timedelta(days=24)
    for folder in ("quarantine", "other"):
        driver.plant(f"{folder}/{old:%Y%m%dT%H%M%S}000Z-{'0' * 64}", b"{}", {"reason": "unlisted_address"})
    capsys.readouterr()
    assert driver.redrive() == Run(0, 0, False)
    measured = gauges(driver, capsys)
    assert measured["QuarantineCount"] == 2
    assert measured["QuarantineOldestAge"] == pytest.approx(24 * 86_400, abs=60)
    assert measured["ExpiringCount"] == 1
    assert measured["SpoolCount"] == 0
    assert not driver.messages()
    assert len(driver.stored("quarantine/")) == 2
