"""Runs the tables of ``addresses.py``: the modes, and what accepting an address does."""

from __future__ import annotations

import pytest

from tests.contract.addresses import ACCEPTING, CLIENTS, REQUESTS, ROWS, Mode, Row, Where
from tests.contract.answers import ACCEPTED, FORBIDDEN, QUARANTINED, SPOOLED, UNAUTHORIZED, UNAVAILABLE
from tests.contract.bypass import signed
from tests.contract.faults import BUDGET, QUICK, SLACK
from tests.drivers import LISTED, UNLISTED, Cloud, Driver, Port
from tests.drivers import Mode as Failure
from tests.planted import KEY, OTHER_KEY

pytestmark = pytest.mark.emulator

SLOWER_THAN_A_LOOK = BUDGET / 6 + 0.2
"""Seconds. The accepted addresses are read within a sixth of the budget."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_every_mode_treats_every_address_as_it_says(cloud: Cloud, driver: Driver, row: Row) -> None:
    """Through every front, for listed, unlisted and unknown addresses: the answer, the place and the mark."""
    driver.build({"SOURCE_IP_MODE": row.mode}, keys=[KEY])
    for front in cloud.fronts:
        client = CLIENTS[row.client]
        request = REQUESTS[row.request](client)
        assert driver.post(request, front) == row.answer, front.name
        messages, stored = driver.messages(), driver.stored("")
        queued = row.where in (Where.QUEUE, Where.MARKED)
        held = row.where is Where.HELD
        assert [message.body for message in messages] == [request.body] * queued, front.name
        assert [found.body for found in stored] == [request.body] * held, front.name
        for message in messages:
            mark = "unlisted" if row.where is Where.MARKED else None
            assert message.attributes.get("sourceipcheck") == mark, front.name
        for found in stored:
            assert found.key.startswith("quarantine/")
            assert found.metadata["reason"] == "unlisted_address"
            assert found.metadata.get("address") == client, front.name
        if messages or stored:
            driver.reset()


@pytest.mark.parametrize("mode", [Mode.QUARANTINE, Mode.REJECT])
@pytest.mark.parametrize(("entry", "inside", "outside"), ACCEPTING.values(), ids=ACCEPTING)
def test_accepting_an_address(driver: Driver, mode: Mode, entry: str, inside: str, outside: str) -> None:
    """Held, accepted, released, on the queue without a mark; the next event goes straight there, with no restart."""
    refusal = FORBIDDEN if mode is Mode.REJECT else QUARANTINED
    driver.build({"SOURCE_IP_MODE": mode}, keys=[KEY])
    first = signed(client=inside)
    assert driver.post(first) == refusal
    (held,) = driver.stored("quarantine/")
    driver.accept(entry)
    driver.release(held.key, vouched=True)
    (message,) = driver.messages()
    assert message.body == first.body
    assert "sourceipcheck" not in message.attributes
    assert not driver.stored("quarantine/")

    following = signed(client=inside)
    assert driver.post(following) == ACCEPTED
    assert [sent.body for sent in driver.messages()] == [first.body, following.body]
    assert driver.messages()[1].attributes.get("sourceipcheck") is None
    assert driver.post(signed(client=outside)) == refusal
    assert driver.post(signed(client=inside, key=OTHER_KEY)) in (UNAUTHORIZED, FORBIDDEN)
    assert driver.post(signed(client=LISTED)) == ACCEPTED


def test_a_release_that_is_not_vouched_for_keeps_its_mark(driver: Driver) -> None:
    """A person may let one event pass without accepting its address; a consumer still sees where it came from."""
    driver.build(keys=[KEY])
    assert driver.post(signed(client=UNLISTED)) == QUARANTINED
    driver.release(driver.stored("quarantine/")[0].key, vouched=False)
    assert driver.messages()[0].attributes["sourceipcheck"] == "unlisted"
    assert driver.post(signed(client=UNLISTED)) == QUARANTINED


def test_an_accepted_address_costs_no_look_up_for_each_event(driver: Driver) -> None:
    """Once read, the accepted addresses are known for a while: the store is not asked about every event."""
    driver.build(keys=[KEY])
    driver.accept(UNLISTED)
    assert driver.post(signed(client=UNLISTED)) == ACCEPTED
    asked = driver.requests(Port.STORE)
    for _ in range(10):
        assert driver.post(signed(client=UNLISTED)) == ACCEPTED
    assert driver.requests(Port.STORE) == asked


def test_listed_and_forged_requests_cost_no_look_up_each(driver: Driver) -> None:
    """Whoever has no key causes one look-up of the accepted addresses at most, whatever he sends."""
    driver.build(keys=[KEY])
    asked = driver.requests(Port.STORE)
    for _ in range(10):
        assert driver.post(signed()) == ACCEPTED
        assert driver.post(signed(key=OTHER_KEY, client=UNLISTED)) == UNAUTHORIZED
    assert driver.requests(Port.STORE) <= asked + 1


def test_an_entry_that_is_no_address_harms_nothing(driver: Driver) -> None:
    """Whatever somebody put among the accepted addresses, the valid ones count and the others let nobody in."""
    driver.build(keys=[KEY])
    for entry in ("garbage", "0.0.0.0/0/0", "*", "10.0.0.1_8", "_", UNLISTED):
        driver.plant(f"addresses/{entry}", b"", {})
    assert driver.post(signed(client=UNLISTED)) == ACCEPTED
    assert driver.post(signed(client="203.0.113.1")) == QUARANTINED


@pytest.mark.parametrize("failure", [Failure.REFUSED, Failure.HANGING])
def test_without_the_store_an_unlisted_event_is_not_lost(driver: Driver, failure: Failure) -> None:
    """The store can neither say whether its address was accepted nor hold it: on the queue in time, with its mark."""
    for mode in (Mode.QUARANTINE, Mode.REJECT, Mode.OBSERVE):
        driver.build({**QUICK, "SOURCE_IP_MODE": mode}, keys=[KEY])
        driver.fault(Port.STORE, failure)
        answer = driver.post(signed(client=UNLISTED))
        assert answer == ACCEPTED
        assert answer.seconds < BUDGET + SLACK
        driver.lift()
        assert driver.messages()[-1].attributes["sourceipcheck"] == "unlisted"


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not accepted"])
def test_an_event_whose_address_could_not_be_looked_up_is_decided_by_the_redrive(
    driver: Driver, *, accepted: bool
) -> None:
    """A list that answers too late costs no person's time: the event waits in the spool, then goes where it belongs."""
    request = signed(client=UNLISTED)
    # One adapter asks a second time within a look; and a crowded machine may be late with the write as well.
    for tries in (1, 2) * 3:
        driver.build({**QUICK, "SOURCE_IP_MODE": Mode.QUARANTINE}, keys=[KEY])
        driver.reset()
        if accepted:
            driver.accept(UNLISTED)
        driver.slow(SLOWER_THAN_A_LOOK)
        driver.fault(Port.STORE, Failure.SLOW, times=tries)
        if driver.post(request) == SPOOLED:
            break
        request = signed(client=UNLISTED)  # a queue may drop a second one of the same id
    driver.lift()
    (waiting,) = driver.stored("spool/")
    assert waiting.metadata["reason"] == "address_unknown"
    driver.redrive()
    assert driver.stored("spool/") == []
    assert [sent.body for sent in driver.messages()] == [request.body] * accepted
    assert all("sourceipcheck" not in sent.attributes for sent in driver.messages())
    assert [held.metadata["reason"] for held in driver.stored("quarantine/")] == ["unlisted_address"] * (not accepted)


def test_with_neither_queue_nor_store_an_unlisted_event_is_503(driver: Driver) -> None:
    """Nothing durable has it."""
    driver.build({**QUICK, "SOURCE_IP_MODE": Mode.QUARANTINE}, keys=[KEY])
    driver.fault(Port.STORE, Failure.REFUSED)
    driver.fault(Port.QUEUE, Failure.REFUSED)
    assert driver.post(signed(client=UNLISTED)) == UNAVAILABLE
