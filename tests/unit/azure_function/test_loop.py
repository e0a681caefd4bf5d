"""The event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from azure_function.loop import LoopThread, StuckError
from cli.local.front import listen


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """A loop, ended afterwards."""
    made = LoopThread("test-loop")
    yield made
    made.stop(5)


async def _value(value: int, seconds: float = 0.0) -> int:
    await asyncio.sleep(seconds)
    return value


async def _raise() -> None:
    raise LookupError("a reason")


def test_results_and_exceptions_come_back(loop: LoopThread) -> None:
    """To the thread that asked, its own time-outs included."""
    assert loop.run(_value(3), 5) == 3
    with pytest.raises(LookupError, match="a reason"):
        loop.run(_raise(), 5)

    async def own_timeout() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        loop.run(own_timeout(), 5)


def test_a_call_that_does_not_end_is_told_as_stuck(loop: LoopThread) -> None:
    """The caller goes on when its time is over, also where the loop's thread itself is blocked."""
    started = time.monotonic()
    with pytest.raises(StuckError):
        loop.run(_value(1, 5), 0.1)

    release = threading.Event()

    async def block() -> None:
        release.wait(10)

    with pytest.raises(StuckError):
        loop.run(block(), 0.1)
    assert time.monotonic() - started < 3
    release.set()
    assert loop.run(_value(2), 5) == 2


def test_many_threads_share_it(loop: LoopThread) -> None:
    """Each gets its own result."""
    results: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda number=number: results.update({number: loop.run(_value(number, 0.01), 5)}))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: number for number in range(20)}


def test_connections_are_known_and_cut(loop: LoopThread) -> None:
    """Whatever state their owner is in; before there is one, and after, none counts as open."""

    async def look() -> bool:
        return loop.is_connected()

    async def cut() -> None:
        loop.cut()

    with listen(0) as sock:
        address = sock.getsockname()
        assert not loop.run(look(), 5)

        async def connect() -> asyncio.StreamWriter:
            return (await asyncio.open_connection(*address))[1]

        writer = loop.run(connect(), 5)
        assert loop.run(look(), 5)
        loop.run(cut(), 5)
        assert not loop.run(look(), 5)
        assert writer.is_closing()


def test_stopping_ends_everything_under_way() -> None:
    """Tasks are cancelled, the thread ends, and a later call is refused instead of waiting for ever."""
    loop = LoopThread("ending")
    loop.start(_value(1, 60))
    loop.stop(5)
    assert "ending" not in [thread.name for thread in threading.enumerate()]
    loop.stop()
    with pytest.raises(RuntimeError):
        loop.run(_value(1), 1)
