"""What the two forms of the HTTP function share: a request from its parts, and the receiver at work on a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from azure.functions import Context

from azure_function.telemetry import AzureLog, Line
from core.http import Headers, Request, Response
from core.receiver import Receiver
from core.settings import Settings
from core.source_ip import from_forwarded
from core.trace import from_w3c, traceparent_of

_FORWARDED: Final = "x-forwarded-for"
_WAITED_SECONDS: Final = 2.0


def trace_of(context: Context | None) -> str | None:
    """What the host says about an invocation's trace, as it stands there: it may be nothing, or no trace at all."""
    found = getattr(getattr(context, "trace_context", None), "trace_parent", None)
    return found if isinstance(found, str) else None


class Webhook:
    """The receiver, as a coroutine calls it. One per instance.

    Args:
        receiver: what answers.
        settings: how to read a request.
        log: gathers what is said on the threads.
        workers: how many requests are worked on at once; further ones wait, which counts as their time.
        started_at: when the instance began to start, in seconds since the epoch.
        afterwards: what is done once, aside, when the first answer is out: nothing that it should wait for.
    """

    def __init__(
        self,
        receiver: Receiver,
        settings: Settings,
        log: AzureLog,
        workers: int,
        started_at: float | None = None,
        afterwards: Callable[[], None] | None = None,
    ) -> None:
        self.settings: Final = settings
        self._receiver: Final = receiver
        self._log: Final = log
        self._threads: Final = ThreadPoolExecutor(workers, "request")
        self._ready_at: Final = time.time()
        self._started_at: Final = started_at
        self._afterwards = afterwards

    def request(
        self,
        method: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        arrived_at: float,
        length: int | None = None,
        trace: str | None = None,
    ) -> Request:
        """A request from its parts; ``trace`` is what the host says about the invocation's own.

        The client's address is the element of ``X-Forwarded-For`` that ``trusted_proxy_hops`` names, counted from the
        right: the last is what Azure's front end wrote, with a port; behind Front Door the last but one.
        """
        found = Headers(headers)
        source = from_forwarded(found.get_all(_FORWARDED), self.settings.trusted_proxy_hops)
        traceparent = traceparent_of(from_w3c(trace))
        return Request(method, found, body, source, self._waiting_since(arrived_at), length, traceparent)

    async def answer(self, request: Request) -> Response:
        """The answer to a request. Never raises."""
        lines: list[Line] = []
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._log.gather, lambda: self._receiver.receive(request), lines
            )
        finally:
            self._log.emit(lines)
            afterwards, self._afterwards = self._afterwards, None
            if afterwards is not None:
                threading.Thread(target=afterwards, name="afterwards", daemon=True).start()

    def say(self, lines: list[Line]) -> None:
        """Write what a form of the function has to say itself."""
        self._log.emit(lines)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    def _waiting_since(self, arrived_at: float) -> float:
        """When the request reached the platform, as far as that can be known.

        A request that comes as soon as the instance is ready is the one that it was started for.
        """
        if self._started_at is not None and arrived_at - self._ready_at < _WAITED_SECONDS:
            return self._started_at
        return arrived_at
