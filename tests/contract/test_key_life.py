"""Runs the tables of ``key_life.py``, and what happens to keys while requests flow."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import planted
from tests.contract.answers import ACCEPTED, UNAUTHORIZED, UNAVAILABLE
from tests.contract.bypass import signed, with_header
from tests.contract.key_life import SECRETS, WITHOUT_A_KEY
from tests.contract.steps import until_a_key_is_known
from tests.drivers import LISTED, UNLISTED, Answer, Driver, HttpRequest, Mode, Port
from tests.planted import KEY, NEWER_KEY, OTHER_KEY

pytestmark = pytest.mark.emulator


def forged(client: str = UNLISTED) -> HttpRequest:
    """Well formed, and made with a key that nobody ever configured."""
    return signed(key=OTHER_KEY, client=client)


def elsewhere() -> Callable[[], str]:
    """Gives another unlisted address each time."""
    count = itertools.count()
    return lambda: f"203.0.{next(count) % 250}.{next(count) % 250}"


@pytest.mark.parametrize(("form", "expected"), WITHOUT_A_KEY.values(), ids=WITHOUT_A_KEY)
def test_without_a_key(driver: Driver, form: str | None, expected: Answer) -> None:
    """No key yet: the instance starts; what may be the sender's gets 503, all else 401, and nothing is kept."""
    driver.build()
    request = with_header(lambda right: "" if form is None else form.format(right))()
    if form is None:
        request = HttpRequest(request.body)
    assert driver.post(request) == expected
    assert not driver.messages()
    assert not driver.stored("")


@pytest.mark.parametrize(("text", "expected"), SECRETS.values(), ids=SECRETS)
def test_whatever_stands_in_the_key_store(driver: Driver, text: str, expected: Answer) -> None:
    """Every form in which people store keys is read, and what holds no key opens no door."""
    driver.put_secret(text.format(KEY, NEWER_KEY))
    driver.build()
    request = signed()
    assert driver.post(request) == expected
    assert [message.body for message in driver.messages()] == [request.body] * (expected == ACCEPTED)
    assert driver.post(signed(key="")) in (UNAUTHORIZED, UNAVAILABLE)
    # The text of the store itself is no key, unless it is one.
    itself = driver.post(signed(key=text.format(KEY, NEWER_KEY)))
    assert itself == (ACCEPTED if text in ("{0}", "{1}") else UNAVAILABLE if expected == UNAVAILABLE else UNAUTHORIZED)


def test_a_key_is_found_without_a_restart(driver: Driver) -> None:
    """The key is stored after the first request was turned away; the next one is accepted."""
    driver.build()
    assert driver.post(signed()) == UNAVAILABLE
    driver.put_keys(KEY)
    assert driver.post(signed()) == ACCEPTED
    assert driver.post(forged()) == UNAUTHORIZED


def test_rotation_while_requests_flow(driver: Driver) -> None:
    """Four senders at work, the key rotated among them, both keys in use from then on: not one event is refused."""
    driver.put_keys(KEY)
    driver.build()
    until_a_key_is_known(driver)
    rotated = threading.Event()
    done = itertools.count()

    def send(number: int) -> tuple[bytes, Answer]:
        newer = rotated.is_set() and number % 2
        request = signed(key=NEWER_KEY if newer else KEY)
        answer = driver.post(request)
        if next(done) == 60:
            driver.put_keys(NEWER_KEY, KEY)
            rotated.set()
        return request.body, answer

    fetched = driver.requests(Port.KEYS)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(send, range(200)))
    assert rotated.is_set()
    assert [answer for _, answer in results] == [ACCEPTED] * 200
    assert sorted(message.body for message in driver.messages()) == sorted(body for body, _ in results)
    assert driver.requests(Port.KEYS) - fetched <= 4  # one for each sender that met the new key first


def test_a_second_rotation_is_seen_too(driver: Driver) -> None:
    """No key is cached for good: each new one is known with its first event."""
    driver.build()
    for key in (KEY, NEWER_KEY, planted.key("0d4c3b2a-1f0e-4d9c-8b7a-6f5e4d3c2b1a")):
        driver.put_keys(key)
        assert driver.post(signed(key=key)) == ACCEPTED


@pytest.mark.parametrize("mode", [Mode.REFUSED, Mode.HANGING])
def test_known_keys_serve_while_their_store_is_down(driver: Driver, mode: Mode) -> None:
    """Genuine events are accepted, forged ones refused, and the key store is not waited for again and again."""
    driver.put_keys(KEY)
    driver.build()
    until_a_key_is_known(driver)
    driver.fault(Port.KEYS, mode)
    for _ in range(2):
        assert driver.post(signed()) == ACCEPTED
        assert driver.post(forged()) == UNAUTHORIZED
    driver.lift()
    driver.put_keys(NEWER_KEY)
    assert driver.post(signed(key=NEWER_KEY)) == ACCEPTED


def test_a_flood_of_forged_requests_cannot_use_up_the_refresh(driver: Driver) -> None:
    """Hundreds of forged requests from many addresses cost few look-ups, and a rotation after them is seen at once."""
    driver.put_keys(KEY)
    driver.build()
    until_a_key_is_known(driver)
    fetched, started, client = driver.requests(Port.KEYS), time.monotonic(), elsewhere()
    for _ in range(300):
        assert driver.post(forged(client())) == UNAUTHORIZED
    driver.put_keys(NEWER_KEY, KEY)
    assert driver.post(signed(key=NEWER_KEY)) == ACCEPTED
    assert driver.post(signed()) == ACCEPTED
    elapsed = time.monotonic() - started
    assert driver.requests(Port.KEYS) - fetched <= 7 + elapsed / 10
    assert len(driver.messages()) == 2


def test_a_flood_and_a_rotation_at_an_accepted_address(driver: Driver) -> None:
    """The sender's address may be an accepted one: it too is served before those who only pretend, from the start."""
    driver.accept(UNLISTED)
    driver.put_keys(KEY)
    driver.build()
    until_a_key_is_known(driver)
    client = elsewhere()
    for _ in range(30):
        assert driver.post(forged(client())) == UNAUTHORIZED
    driver.put_keys(NEWER_KEY)
    assert driver.post(signed(key=NEWER_KEY, client=UNLISTED)) == ACCEPTED


def test_a_rotation_in_the_midst_of_a_flood(driver: Driver) -> None:
    """While forged requests keep coming on other threads, every event signed with the new key is accepted."""
    driver.put_keys(KEY)
    driver.build()
    until_a_key_is_known(driver)
    stop, client = threading.Event(), elsewhere()
    refused: list[Answer] = []

    def flood() -> None:
        while not stop.is_set():
            refused.append(driver.post(forged(client())))

    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        driver.put_keys(NEWER_KEY)
        answers = [driver.post(signed(key=NEWER_KEY)) for _ in range(20)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert answers == [ACCEPTED] * 20
    assert refused
    assert all(answer == UNAUTHORIZED for answer in refused)
    assert len(driver.messages()) == 20


def test_a_flood_from_a_listed_address(driver: Driver) -> None:
    """The sender's addresses are shared with others: a flood from one of them delays a rotation, no more."""
    driver.put_keys(KEY)
    driver.build()
    until_a_key_is_known(driver)
    for _ in range(11):
        assert driver.post(forged(LISTED)) == UNAUTHORIZED
    driver.put_keys(NEWER_KEY)
    assert driver.post(signed(key=NEWER_KEY)) == ACCEPTED


def test_a_flood_before_there_is_a_key(driver: Driver) -> None:
    """Forged requests meet 503 while no key is known, and cannot keep the first key from being found."""
    driver.build()
    client = elsewhere()
    for _ in range(50):
        assert driver.post(forged(client())) == UNAVAILABLE
    driver.put_keys(KEY)
    assert driver.post(signed()) == ACCEPTED
    assert driver.post(forged(client())) == UNAUTHORIZED


def test_a_flood_while_the_key_store_hangs(driver: Driver) -> None:
    """Waiting look-ups do not hold up events whose key is known."""
    driver.put_keys(KEY)
    driver.build({"TIME_BUDGET_SECONDS": "2.4", "QUEUE_BUDGET_SECONDS": "1.0"})
    until_a_key_is_known(driver)
    driver.fault(Port.KEYS, Mode.HANGING)
    with ThreadPoolExecutor(4) as pool:
        flood = [pool.submit(driver.post, forged(f"198.51.100.{number}")) for number in range(40)]
        answers = [driver.post(signed()) for _ in range(20)]
    assert answers == [ACCEPTED] * 20
    assert [done.result() for done in flood] == [UNAUTHORIZED] * 40
