"""An event loop on a thread of its own, for callers that are threads themselves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, TypeVar

T = TypeVar("T")


class StuckError(Exception):
    """The loop did not even end the call at the time-out that the call itself has."""


class _Loop(asyncio.SelectorEventLoop):
    """Knows what is connected on it, so that a connection can be cut off whatever state its owner is in.

    The SDK's ``close`` forgets a connection whose opening was cut short, and leaves its socket to the collector.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transports: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()

    async def create_connection(self, *arguments: Any, **options: Any) -> Any:
        """As the base class, and remember the transport."""
        made = await super().create_connection(*arguments, **options)
        self.transports.add(made[0])
        return made


class LoopThread:
    """Runs coroutines for other threads. The thread is a daemon: a call that hangs holds up no end."""

    def __init__(self, name: str) -> None:
        self._loop: Final = _Loop()
        self._thread: Final = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine and wait for nothing; what it raises is lost."""
        self._submit(coroutine)

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """The result of a coroutine, which must end itself before ``timeout`` seconds are over.

        Raises:
            StuckError: it did not; the loop is not to be used any more.
        """
        future = self._submit(coroutine)
        try:
            return future.result(timeout)
        except FutureTimeoutError:
            if future.done():  # the coroutine's own
                raise
            future.cancel()
            raise StuckError from None

    def is_connected(self) -> bool:
        """Whether any connection is open. Only on the loop's own thread."""
        return any(not transport.is_closing() for transport in self._loop.transports)

    def cut(self) -> None:
        """Cut off every connection, at once. Only on the loop's own thread."""
        for transport in list(self._loop.transports):
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    def stop(self, seconds: float = 0.0) -> None:
        """Cut everything off and end the thread; wait for that at most for so long."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._end)
        if seconds and threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _end(self) -> None:
        self.cut()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()

        async def finish() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)
            self._loop.stop()

        self._ending = self._loop.create_task(finish())
