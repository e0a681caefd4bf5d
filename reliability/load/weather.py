"""What goes wrong meanwhile: a queue that fails and recovers, instances that are killed. The order follows a seed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from cli.local.faults import Fault, FaultProxy
from core.ports import PortError
from reliability.load.instance import Instance

FAULTS: Final = (
    Fault.REFUSED,
    Fault.RESET,
    Fault.SILENT,
    Fault.HANGING,
    Fault.DRIPPING,
    Fault.ERROR_500,
    Fault.ERROR_503,
    Fault.THROTTLED,
    Fault.SLOW,
    Fault.CUT,
)
_REDRIVE_SECONDS: Final = 10.0


class Weather:
    """Threads that do things now and then while the ``with`` block runs; what each counted stands in ``counts``."""

    def __init__(self, seed: int) -> None:
        self._seed: Final = seed
        self._ends: Final = threading.Event()
        self._threads: Final[list[threading.Thread]] = []
        self.counts: Final[dict[str, int]] = {}
        self.failure: Exception | None = None
        """What ended one of the threads before its time."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()
        if self.failure is not None and error is None:
            raise self.failure

    def breaks(self, queue: FaultProxy) -> None:
        """Let the queue fail in every way there is, in a random order, and recover in between."""
        rng = Random(f"{self._seed}/faults")  # noqa: S311 - no secret

        def act() -> None:
            order = list(FAULTS)
            try:
                while True:
                    rng.shuffle(order)
                    for fault in order:
                        if self._ends.wait(rng.uniform(0.5, 3.0)):
                            return
                        queue.set(fault)
                        self._count(f"queue {fault.value}")
                        if self._ends.wait(rng.uniform(0.3, 2.0)):
                            return
                        queue.set(Fault.NONE)
            finally:
                queue.set(Fault.NONE)

        self._add(act)

    def kills(self, instances: Sequence[Instance]) -> None:
        """Kill one instance at a time, at random moments, and start it again."""
        rng = Random(f"{self._seed}/kills")  # noqa: S311 - no secret

        def act() -> None:
            while not self._ends.wait(rng.uniform(0.5, 3.0)):
                instance = rng.choice(instances)
                instance.kill()
                self._count("kill -9")
                instance.start()

        self._add(act)

    def redrives(self, redrive: Callable[[], Mapping[str, Any]]) -> None:
        """Run the redrive as its schedule would, only more often."""

        def act() -> None:
            while not self._ends.wait(_REDRIVE_SECONDS):
                try:
                    redrive()
                except PortError:
                    self._count("redrive without the store")
                else:
                    self._count("redrive")

        self._add(act)

    def _add(self, act: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                act()
            except Exception as error:  # noqa: BLE001 - handed to the one who waits
                self.failure = error

        self._threads.append(threading.Thread(target=guarded, daemon=True))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
