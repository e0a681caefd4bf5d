"""A few things at a time, on threads that no Ctrl-C has to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_LOOK: Final = 0.1
"""Seconds after which a wait looks up, so that Ctrl-C is heard on every system."""


def each(items: Sequence[T], work: Callable[[T], R], workers: int, stop: Callable[[], bool]) -> Iterator[tuple[T, R]]:
    """Each item with what came of it, as they are done; none is begun once ``stop`` says so.

    The standard library's pool joins its threads when the program ends, which a request that hangs would hold up.
    """
    todo: SimpleQueue[T] = SimpleQueue()
    done: SimpleQueue[tuple[T, R] | BaseException | None] = SimpleQueue()
    for item in items:
        todo.put(item)
    over = threading.Event()

    def run() -> None:
        try:
            while not over.is_set() and not stop():
                item = todo.get_nowait()
                done.put((item, work(item)))
        except Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.put(error)
        done.put(None)

    count = min(workers, len(items))
    for number in range(count):
        threading.Thread(target=run, name=f"doctor-{number + 1}", daemon=True).start()
    try:
        while count:
            try:
                found = done.get(timeout=_LOOK)
            except Empty:
                continue
            if found is None:
                count -= 1
            elif isinstance(found, BaseException):
                raise found
            else:
                yield found
    finally:
        over.set()
