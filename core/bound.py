"""A hard bound on calls whose own time-outs cannot be trusted.

A socket time-out bounds one wait, not a call: a server that drips a byte every half second keeps an HTTP client busy
for ever. So a call runs on a worker thread, and its caller stops waiting when the time is up. The standard library's
executor has no bound on abandoned calls and joins its threads at exit, which a hanging call would block.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_IDLE_SECONDS: Final = 30.0
"""How long a worker waits for its next call before it ends."""


class HardTimeoutError(Exception):
    """The call was still running when its time was up. It may yet succeed; nobody will hear of it."""


class NoFreeWorkerError(Exception):
    """Every worker was held by other calls all the time, which most likely hang."""


class _Job(Generic[T]):
    __slots__ = ("_call", "_done", "_error", "_result")

    def __init__(self, call: Callable[[], T]) -> None:
        self._call: Callable[[], T] = call
        self._done: Final = threading.Event()
        self._error: BaseException | None = None
        self._result: T | None = None

    def execute(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            self._error = error

    def announce(self) -> None:
        self._done.set()

    def wait(self, timeout: float) -> T:
        if not self._done.wait(timeout):
            raise HardTimeoutError
        try:
            if self._error is not None:
                raise self._error
            return self._result  # type: ignore[return-value]
        finally:
            self._error = None  # breaks the cycle of exception, traceback and frame


class HardBound:
    """Runs calls on at most ``workers`` daemon threads, each started when it is first needed."""

    def __init__(self, name: str, workers: int) -> None:
        self._name: Final = name
        self._free: Final = threading.Semaphore(workers)
        self._jobs: Final[SimpleQueue[_Job[Any]]] = SimpleQueue()
        self._lock: Final = threading.Lock()
        self._idle = 0
        self._threads = 0

    def run(self, call: Callable[[], T], timeout: float) -> T:
        """The result of ``call``, or its exception.

        Where every worker is busy, waiting for one is part of the time.

        Raises:
            HardTimeoutError: it took longer than ``timeout`` seconds. Its worker stays taken until it returns.
            NoFreeWorkerError: no worker became free in that time; nothing was started.
        """
        ends_at = time.monotonic() + timeout
        if not self._free.acquire(timeout=max(0.0, timeout)):
            raise NoFreeWorkerError
        job = _Job(call)
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                try:
                    threading.Thread(target=self._work, name=f"{self._name}-{self._threads + 1}", daemon=True).start()
                except BaseException:  # the system has no thread to give now; it may have one for the next call
                    self._free.release()
                    raise
                self._threads += 1
        self._jobs.put(job)
        return job.wait(max(0.0, ends_at - time.monotonic()))

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._idle:  # else a caller counts on this worker, and its job is on the way
                        self._idle -= 1
                        self._threads -= 1
                        return
                continue
            job.execute()
            # Free before the caller hears of it: its next call must find this worker and not start another.
            with self._lock:
                self._idle += 1
            self._free.release()
            job.announce()
            del job
