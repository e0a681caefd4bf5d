"""The key ring: when it asks the secret store, who waits for the answer, and what an attacker cannot make it do.

The ring waits in real time and judges by the fake clock, so a thread that waits looks again every few milliseconds and
sees what the test has made of the clock.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from core.keys import MAX_AGE_SECONDS, MOST_WAITING, REFRESH_SECONDS, KeyRing, StaticKeys
from core.log import KEYS_FAILED, KEYS_LOADED
from core.ports import PortError
from core.signature import SignatureKey
from tests.fakes import FakeClock, FakeKeySource, Hang, RecordingLog
from tests.unit.samples import KEY, OTHER_KEY

WAIT = 30.0
"""For another thread, in real seconds: only a fault uses it up."""


class Rig:
    """A ring with its fakes. ``ask`` refreshes with a second to wait, ``ask_aside`` does so on another thread."""

    def __init__(self, *keys: SignatureKey) -> None:
        self.clock = FakeClock()
        self.source = FakeKeySource(keys)
        self.log = RecordingLog()
        self.ring = KeyRing(self.source, self.log, monotonic=self.clock.monotonic)
        self.pool = ThreadPoolExecutor(32)
        self.hang = Hang()

    def ask(self, *, listed: bool = False, timeout: float = 1) -> bool:
        return self.ring.refresh(timeout, listed=listed)

    def ask_aside(self, *, listed: bool = False, timeout: float = 1) -> Future[bool]:
        return self.pool.submit(self.ring.refresh, timeout, listed=listed)

    def exhaust(self, *, listed: bool) -> int:
        """Ask without time to wait until there is no token left; how many there were."""
        asked = 0
        while self.ask(listed=listed, timeout=0):
            asked += 1
        return asked


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A source that holds one key; nothing was fetched yet."""
    built = Rig(KEY)
    yield built
    built.hang.end()
    built.pool.shutdown()


def hanging_on(number: int, hang: Hang) -> Callable[[int], None]:
    """A source's hook that hangs on one fetch."""

    def before(fetch: int) -> None:
        if fetch == number:
            hang()

    return before


# One fetch


def test_a_ring_knows_nothing_until_it_is_told_to_ask(rig: Rig) -> None:
    """Making one does no I/O, and without keys none is due."""
    assert rig.ring.current() == ()
    assert rig.source.fetches == 0
    assert not rig.ring.due()


def test_a_refresh_brings_the_source_s_keys(rig: Rig) -> None:
    """Newest first, as the source gives them, logged by count and fingerprint of the newest."""
    rig.source.keys = (OTHER_KEY, KEY)
    assert rig.ask()
    assert rig.ring.current() == (OTHER_KEY, KEY)
    assert rig.source.timeouts == [1]
    assert rig.log.lines == [(KEYS_LOADED, {"count": 2, "key": OTHER_KEY.fingerprint})]


def test_the_same_keys_again_are_no_news(rig: Rig) -> None:
    """A line for each change and none for a refresh that changes nothing; another order is a change."""
    rig.ask()
    rig.ask()
    assert rig.log.events == [KEYS_LOADED]
    rig.source.keys = (OTHER_KEY, KEY)
    rig.ask()
    rig.source.keys = (KEY, OTHER_KEY)
    rig.ask()
    assert rig.log.events == [KEYS_LOADED] * 3
    assert rig.ring.current() == (KEY, OTHER_KEY)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PortError("ResourceNotFoundException"), "ResourceNotFoundException"),
        (PortError("ReadTimeoutError", timed_out=True), "ReadTimeoutError"),
        (ValueError("planted"), "ValueError"),
        (OSError("planted"), "OSError"),
    ],
    ids=lambda value: type(value).__name__ + getattr(value, "code", "") if isinstance(value, Exception) else None,
)
def test_a_fetch_that_fails_leaves_the_known_keys_in_use(rig: Rig, error: Exception, code: str) -> None:
    """It has ended all the same, so the answer is yes; the log names the code and nothing of the message."""

    def fail(_: int) -> None:
        raise error

    rig.source.before = fail
    assert rig.ask()
    assert rig.ring.current() == ()
    rig.source.before = None
    assert rig.ask()
    rig.source.before = fail
    assert rig.ask()
    assert rig.ring.current() == (KEY,)
    assert rig.log.of(KEYS_FAILED) == [{"error": code}] * 2


def test_a_fetch_that_is_interrupted_does_not_block_the_ring(rig: Rig) -> None:
    """What stops a thread passes through, and the next caller asks anew in place of waiting for ever."""

    def stop(number: int) -> None:
        if number == 2:
            raise SystemExit(1)

    rig.source.before = stop
    rig.ask()
    with pytest.raises(SystemExit):
        rig.ask()
    assert rig.ring.current() == (KEY,)
    assert rig.ask()
    assert rig.source.fetches == 3


def test_a_source_without_keys_takes_none_away(rig: Rig) -> None:
    """An empty answer is a fault of the source, and known keys go on serving."""
    rig.ask()
    rig.source.keys = ()
    assert rig.ask()
    assert rig.ring.current() == (KEY,)
    fresh = Rig()
    assert fresh.ask()
    assert fresh.ring.current() == ()
    assert fresh.log.of(KEYS_LOADED) == []


def test_while_no_key_is_known_each_request_asks_again(rig: Rig) -> None:
    """The first answer with a key ends that, without a restart."""
    rig.source.keys = ()
    for _ in range(3):
        assert rig.ask()
        assert rig.ring.current() == ()
    rig.source.keys = (KEY,)
    assert rig.ask()
    assert rig.ring.current() == (KEY,)
    assert rig.source.fetches == 4


# A source that hangs


def test_a_fetch_that_hangs_is_given_up_when_the_caller_s_time_is_over(rig: Rig) -> None:
    """Known keys stay, and the next refresh asks with a worker of its own."""
    rig.ask()
    rig.source.before = hanging_on(2, rig.hang)
    assert rig.ask(timeout=0.05)
    assert rig.ring.current() == (KEY,)
    assert rig.log.of(KEYS_FAILED) == [{"error": "hard_timeout"}]
    rig.source.keys = (OTHER_KEY,)
    assert rig.ask()
    assert rig.ring.current() == (OTHER_KEY,)


def test_the_late_answer_of_a_fetch_that_was_given_up_changes_nothing(rig: Rig) -> None:
    """It would bring back keys that have been replaced since."""
    rig.source.before = hanging_on(1, rig.hang)
    rig.ask(timeout=0.05)
    rig.source.keys = (OTHER_KEY,)
    rig.ask()
    rig.hang.end()
    assert rig.ask()
    assert rig.ring.current() == (OTHER_KEY,)
    assert rig.log.of(KEYS_LOADED) == [{"count": 1, "key": OTHER_KEY.fingerprint}]


def test_two_fetches_that_hang_are_the_most(rig: Rig) -> None:
    """Then no thread is added: the source is not asked again until one of them is back."""

    def hang(_: int) -> None:
        rig.hang()

    rig.source.before = hang
    for _ in range(4):
        assert rig.ask(timeout=0.05)
    assert [line["error"] for line in rig.log.of(KEYS_FAILED)] == ["hard_timeout"] * 2 + ["no_free_worker"] * 2
    assert rig.source.fetches == 2


def test_a_fetch_has_a_little_time_however_little_is_left(rig: Rig) -> None:
    """A caller at its end may be the one that the others wait for; it asks with a twentieth of a second."""
    assert rig.ask(timeout=0)
    assert rig.ask(timeout=0.01)
    assert rig.ask(timeout=0.06)
    assert rig.source.timeouts == [pytest.approx(0.05), pytest.approx(0.05), pytest.approx(0.06)]


# Several callers


def test_a_fetch_that_was_under_way_before_does_not_count(rig: Rig) -> None:
    """It may have read the secret before the new key was in it: the caller waits for the next fetch, and gets it."""
    rig.source.before = hanging_on(1, rig.hang)
    first = rig.ask_aside()
    assert rig.hang.began.wait(WAIT)
    rig.source.keys = (OTHER_KEY,)
    second = rig.ask_aside()
    _until(lambda: len(rig.ring._changed._waiters) == 1)  # type: ignore[attr-defined]
    assert rig.source.fetches == 1
    rig.hang.end()
    assert first.result(WAIT)
    assert second.result(WAIT)
    assert rig.source.fetches == 2
    assert rig.ring.current() == (OTHER_KEY,)


def test_one_fetch_answers_all_who_came_before_it_began(rig: Rig) -> None:
    """Twenty callers during one fetch cause one more, and a token each is not taken."""
    rig.source.before = hanging_on(1, rig.hang)
    first = rig.ask_aside()
    assert rig.hang.began.wait(WAIT)
    others = [rig.ask_aside() for _ in range(20)]
    _until(lambda: len(rig.ring._changed._waiters) == 20)  # type: ignore[attr-defined]
    rig.hang.end()
    assert first.result(WAIT)
    assert all(other.result(WAIT) for other in others)
    assert rig.source.fetches == 2
    assert rig.exhaust(listed=False) == 3


def test_at_most_one_fetch_is_under_way(rig: Rig) -> None:
    """However many ask at once."""
    under_way, most = [], []

    def before(number: int) -> None:
        under_way.append(number)
        most.append(len(under_way))
        under_way.remove(number)

    rig.source.before = before
    start = threading.Barrier(30)

    def ask(_: int) -> bool:
        start.wait(WAIT)
        return rig.ring.refresh(1, listed=True)

    assert all(rig.pool.map(ask, range(30)))
    assert set(most) == {1}
    assert rig.source.fetches <= 10


def test_a_caller_does_not_wait_for_another_s_fetch_beyond_its_time(rig: Rig) -> None:
    """When its second is over, the answer is no, and it has asked nothing itself."""
    rig.source.before = hanging_on(1, rig.hang)
    first = rig.ask_aside(timeout=WAIT)
    assert rig.hang.began.wait(WAIT)
    second = rig.ask_aside(timeout=0.01)
    _until(lambda: len(rig.ring._changed._waiters) == 1 or second.done())  # type: ignore[attr-defined]
    rig.clock.advance(0.01)
    assert second.result(WAIT) is False
    assert rig.source.fetches == 1
    rig.hang.end()
    assert first.result(WAIT)


def test_a_fetch_that_is_given_up_lets_the_next_caller_ask(rig: Rig) -> None:
    """A hanging source does not block the ring: who waited behind it asks anew."""
    rig.source.before = hanging_on(1, rig.hang)
    first = rig.ask_aside(timeout=0.05)
    assert rig.hang.began.wait(WAIT)
    second = rig.ask_aside(timeout=WAIT)
    assert first.result(WAIT)
    assert second.result(WAIT)
    assert rig.ring.current() == (KEY,)


# Tokens


@pytest.mark.parametrize(("listed", "tokens", "every"), [(True, 10, 0.5), (False, 5, 10)])
def test_each_bucket_holds_so_many_tokens_and_gets_one_back_in_so_many_seconds(
    rig: Rig, listed: bool, tokens: int, every: float
) -> None:
    """Without time to wait, an empty bucket means no; a token is back at its second and not before."""
    assert rig.exhaust(listed=listed) == tokens
    rig.clock.advance(every * 0.999)
    assert rig.exhaust(listed=listed) == 0
    rig.clock.advance(every * 0.001)
    assert rig.exhaust(listed=listed) == 1
    rig.clock.advance(every * 3.5)
    assert rig.exhaust(listed=listed) == 3
    rig.clock.advance(every * 0.5)
    assert rig.exhaust(listed=listed) == 1
    rig.clock.advance(every * 1000)
    assert rig.exhaust(listed=listed) == tokens


def test_others_cannot_empty_the_bucket_of_listed_addresses(rig: Rig) -> None:
    """Nor the reverse: each kind of caller has its own."""
    assert rig.exhaust(listed=False) == 5
    assert rig.exhaust(listed=True) == 10
    rig.clock.advance(10)
    assert rig.exhaust(listed=False) == 1
    assert rig.exhaust(listed=True) == 10


def test_a_caller_is_unlisted_unless_it_says_otherwise(rig: Rig) -> None:
    """The default is the bucket that an attacker may empty."""
    while rig.ring.refresh(0):
        pass
    assert rig.source.fetches == 5
    assert rig.exhaust(listed=True) == 10


def test_an_unlisted_caller_does_not_wait_for_a_token(rig: Rig) -> None:
    """Forged requests are answered at once, and the source is not asked."""
    rig.exhaust(listed=False)
    fetches = rig.source.fetches
    assert rig.ask(listed=False, timeout=10_000) is False
    assert rig.source.fetches == fetches


def test_a_listed_caller_waits_for_a_token(rig: Rig) -> None:
    """It may be Dastra with a new key: as soon as a token is there it asks, within its time."""
    rig.exhaust(listed=True)
    rig.clock.advance(0.45)
    fetches = rig.source.fetches
    waiting = rig.ask_aside(listed=True, timeout=0.55)
    _until(lambda: len(rig.ring._changed._waiters) == 1)  # type: ignore[attr-defined]
    assert rig.source.fetches == fetches
    rig.clock.advance(0.05)
    assert waiting.result(WAIT) is True
    assert rig.source.fetches == fetches + 1
    assert rig.source.timeouts[-1] == pytest.approx(0.5)


def test_a_listed_caller_does_not_wait_beyond_its_time(rig: Rig) -> None:
    """When a token comes after half of it, the answer is no: a fetch could not use the rest."""
    rig.exhaust(listed=True)
    waiting = rig.ask_aside(listed=True, timeout=0.8)
    _until(lambda: len(rig.ring._changed._waiters) == 1 or waiting.done())  # type: ignore[attr-defined]
    rig.clock.advance(0.4)
    assert waiting.result(WAIT) is False
    assert rig.exhaust(listed=True) == 0


class QuickCondition(threading.Condition):
    """A condition on which waiting takes the fake clock's time and no other; it remembers how long."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        self._clock.advance(timeout or 0)
        return False


@pytest.mark.parametrize(
    ("timeout", "found", "wait"),
    [(0.25, False, 0.125), (0.99, False, 0.495), (1, True, 0.5), (1.5, True, 0.5), (60, True, 0.5)],
)
def test_a_wait_for_a_token_leaves_half_of_the_time_to_the_fetch(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, timeout: float, found: bool, wait: float
) -> None:
    """It lasts until the token or half the time, whichever is first, in one go; a token at that very moment counts.

    So a second is enough for a token from an empty bucket and half a second of reading, whoever emptied it.
    """
    rig.exhaust(listed=True)
    condition = QuickCondition(rig.clock)
    monkeypatch.setattr(rig.ring, "_changed", condition)
    assert rig.ask(listed=True, timeout=timeout) is found
    assert condition.waits == [pytest.approx(wait)]
    if found:
        assert rig.source.timeouts[-1] == pytest.approx(timeout - wait)


def test_who_waits_for_a_token_is_answered_by_another_s_fetch(rig: Rig) -> None:
    """A fetch that began after the call counts, whoever paid for it."""
    rig.exhaust(listed=True)
    waiting = rig.ask_aside(listed=True, timeout=0.75)
    _until(lambda: len(rig.ring._changed._waiters) == 1)  # type: ignore[attr-defined]
    fetches = rig.source.fetches
    assert rig.ask(listed=False)
    assert waiting.result(WAIT) is True
    assert rig.source.fetches == fetches + 1


def test_few_wait_for_a_token_at_once(rig: Rig) -> None:
    """Forged requests from a shared address cannot hold every thread: beyond the few, the answer is no, at once."""
    rig.exhaust(listed=True)
    waiting = [rig.ask_aside(listed=True, timeout=0.5) for _ in range(MOST_WAITING)]
    _until(lambda: len(rig.ring._changed._waiters) == MOST_WAITING)  # type: ignore[attr-defined]
    assert rig.ask_aside(listed=True, timeout=10_000).result(WAIT) is False
    rig.clock.advance(0.25)
    assert [one.result(WAIT) for one in waiting] == [False] * MOST_WAITING
    rig.exhaust(listed=True)
    again = rig.ask_aside(listed=True, timeout=2)
    _until(lambda: len(rig.ring._changed._waiters) == 1)  # type: ignore[attr-defined]
    rig.clock.advance(1)
    assert again.result(WAIT) is True


def test_any_number_waits_for_a_fetch_that_is_under_way(rig: Rig) -> None:
    """A rotation in peace: one more fetch answers a burst of events with the new key, and none is turned away."""
    rig.source.before = hanging_on(1, rig.hang)
    first = rig.ask_aside(listed=True, timeout=60)
    _until(lambda: rig.source.fetches == 1)
    burst = [rig.ask_aside(listed=True, timeout=60) for _ in range(4 * MOST_WAITING)]
    _until(lambda: len(rig.ring._changed._waiters) == len(burst))  # type: ignore[attr-defined]
    rig.hang.end()
    assert [one.result(WAIT) for one in (first, *burst)] == [True] * (1 + len(burst))
    assert rig.source.fetches == 2
    rig.exhaust(listed=True)
    later = rig.ask_aside(listed=True, timeout=2)
    _until(lambda: len(rig.ring._changed._waiters) == 1 or later.done())  # type: ignore[attr-defined]
    rig.clock.advance(1)
    assert later.result(WAIT) is True


def test_forged_requests_cannot_keep_a_new_key_out(rig: Rig) -> None:
    """A thousand of them, then one from a listed address: the new key is known when its refresh returns."""
    rig.ask()
    for _ in range(1000):
        rig.ask(listed=False)
    rig.source.keys = (OTHER_KEY, KEY)
    assert rig.ask(listed=True)
    assert rig.ring.current() == (OTHER_KEY, KEY)
    assert rig.source.fetches <= 6


# Age


def test_keys_are_due_after_fifteen_minutes(rig: Rig) -> None:
    """At the second and not before; a refresh that brings keys begins the time anew."""
    rig.ask()
    for _ in range(2):
        rig.clock.advance(899.999)
        assert not rig.ring.due()
        rig.clock.advance(0.001)
        assert rig.ring.due()
        assert rig.ask()
        assert not rig.ring.due()


def test_a_key_that_was_taken_out_is_out_of_use_after_the_next_refresh(rig: Rig) -> None:
    """Nothing keeps it."""
    rig.source.keys = (OTHER_KEY, KEY)
    rig.ask()
    rig.source.keys = (OTHER_KEY,)
    rig.clock.advance(MAX_AGE_SECONDS)
    assert rig.ring.due()
    rig.ask()
    assert rig.ring.current() == (OTHER_KEY,)


@pytest.mark.parametrize("empty", [False, True])
def test_after_a_failure_stale_keys_serve_and_are_due_again_in_a_minute(rig: Rig, empty: bool) -> None:
    """Not with each request, or a store that is down would cost each of them a second."""

    def fail(_: int) -> None:
        raise PortError("down")

    rig.ask()
    rig.clock.advance(MAX_AGE_SECONDS)
    if empty:
        rig.source.keys = ()
    else:
        rig.source.before = fail
    for _ in range(3):
        assert rig.ring.due()
        assert rig.ask()
        assert rig.ring.current() == (KEY,)
        rig.clock.advance(59.999)
        assert not rig.ring.due()
        rig.clock.advance(0.001)


def test_the_times_are_those_of_the_design() -> None:
    """A second for a refresh, a quarter of an hour for a key."""
    assert (REFRESH_SECONDS, MAX_AGE_SECONDS) == (1, 900)


# Keys in the settings


def test_keys_of_the_settings_never_change() -> None:
    """There is nowhere to read newer ones from, so none is due and nobody waits for any."""
    keys = StaticKeys((KEY, OTHER_KEY))
    assert keys.current() == (KEY, OTHER_KEY)
    assert keys.due() is False
    assert keys.refresh(1) is False
    assert keys.refresh(1, listed=True) is False
    assert keys.current() == (KEY, OTHER_KEY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        keys.keys = ()  # type: ignore[misc]


def _until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    tick = threading.Event()
    for _ in range(int(WAIT * 1000)):
        if condition():
            return
        tick.wait(0.001)
    raise AssertionError("the other thread did not get there")
