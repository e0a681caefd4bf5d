"""The page's live stream: server-sent events of what changed, so that a page that reconnects misses nothing.

A stream has no queue of its own. It remembers how far it has told, and asks the recorder what changed since: a slow
reader gets fewer and later news, and costs no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from cli.local.console.recorder import Entry, Note, Recorder
from cli.local.console.view import note, summary

PAUSE_SECONDS: Final = 0.1
"""Between two messages at least: a flood of requests becomes a few messages."""
TICK_SECONDS: Final = 1.0
"""How often the state is looked at while nothing comes."""
KEEP_ALIVE_SECONDS: Final = 15.0
_RETRY_MILLISECONDS: Final = 1000
_MOST_AT_ONCE: Final = 100

State = Callable[[], Awaitable[dict[str, Any]]]


async def stream(recorder: Recorder, run: str, state: State, last: str | None) -> AsyncIterator[bytes]:
    """The messages, without end, until the run ends.

    Args:
        recorder: what is told.
        run: names this run, so that a page that knew another one begins anew.
        state: counts and switches, told when they differ from what was told.
        last: the ``Last-Event-ID`` of a page that comes back.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def wake() -> None:
        # Called on other threads; the loop may be gone when the run ends.
        if not loop.is_closed():
            loop.call_soon_threadsafe(changed.set)

    told = _resume(run, last)
    known: dict[str, Any] | None = None
    said_at = time.monotonic()
    with recorder.watched(wake):
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        if told == 0:
            yield _message("hello", {"run": run, "most": recorder.most}, f"{run}-0")
        while not recorder.closed:
            changed.clear()
            news = recorder.since(told)
            items: list[Entry | Note] = sorted((*news.entries, *news.notes), key=lambda item: item.changed)
            for at in range(0, len(items), _MOST_AT_ONCE):
                part = items[at : at + _MOST_AT_ONCE]
                told = part[-1].changed
                shown = [summary(item) if isinstance(item, Entry) else note(item) for item in part]
                yield _message("requests", {"items": shown, "oldest": news.oldest}, f"{run}-{told}")
                await asyncio.sleep(0)  # the requests themselves come first
            if news.changed > told:  # cleared: nothing new, yet something is gone
                told = news.changed
                yield _message("requests", {"items": [], "oldest": news.oldest}, f"{run}-{told}")
            now = await state()
            if now != known:
                known, said_at = now, time.monotonic()
                yield _message("state", now)
            elif time.monotonic() - said_at > KEEP_ALIVE_SECONDS:
                said_at = time.monotonic()
                yield b": still here\n\n"
            await _wait(changed)


async def _wait(changed: asyncio.Event) -> None:
    await asyncio.sleep(PAUSE_SECONDS)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(changed.wait(), TICK_SECONDS - PAUSE_SECONDS)


def _resume(run: str, last: str | None) -> int:
    """How far the page was told; 0 where it knows nothing of this run."""
    name, _, number = (last or "").rpartition("-")
    return int(number) if name == run and number.isdecimal() and len(number) < 19 else 0


def _message(event: str, data: dict[str, Any], id_: str | None = None) -> bytes:
    # In ASCII, so on one line and safe against half a surrogate pair.
    lines = [f"event: {event}", *([f"id: {id_}"] if id_ else []), f"data: {json.dumps(data, separators=(',', ':'))}"]
    return ("\n".join(lines) + "\n\n").encode()
