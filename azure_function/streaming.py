"""The HTTP function as it is deployed: the host passes the request on as it comes, chunked or not.

The classic form gets an empty body where a request is chunked, see ``classic.py`` and docs/adr/0006. The worker lets an
extension bring the web server for this; the published one is built on FastAPI and has faults of its own (the decision
record lists them), so this module is an extension itself: the four classes at its end are what the worker looks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final

import uvicorn
from azure.functions import Context
from azurefunctions.extensions import base
from starlette.requests import ClientDisconnect
from starlette.requests import Request as WebRequest
from starlette.responses import Response as WebResponse

from azure_function.webhook import Webhook, trace_of
from core.http import Request, Response

Endpoint = Callable[[WebRequest], Awaitable[WebResponse]]
Function = Callable[..., Coroutine[Any, Any, WebResponse]]

ARRIVAL_SECONDS: Final = 10.0
"""How long an invocation waits for the request that belongs to it: as long as a sender waits for an answer."""
_ANSWER_SECONDS: Final = 230.0
"""How long Azure's front end waits for an answer (its documentation of HTTP triggers)."""
_KEEP_ALIVE_SECONDS: Final = 150
"""Longer than the host keeps an idle connection: the host must end it, or a request meets a closed door."""
_HEADERS_BYTES: Final = 128 * 1024
_MOST_DRAINED: Final = 100 * 1024 * 1024
"""What the host lets through as one request (``FUNCTIONS_REQUEST_BODY_SIZE_LIMIT``)."""
_DRAIN_SECONDS: Final = 2.0


def function(webhook: Webhook) -> Function:
    """The function, for the programming model to register."""

    # The worker gives a context to whoever has a parameter of this name, and insists on this very type.
    async def receive(req: WebRequest, context: Context = None) -> WebResponse:  # type: ignore[assignment]
        answer = await webhook.answer(await read_request(req, webhook, trace_of(context)))
        await drain(req)
        return write_response(answer)

    return receive


async def read_request(incoming: WebRequest, webhook: Webhook, trace: str | None = None) -> Request:
    """The request, its body exactly as it was sent, and of a body that is too large not more than that it is.

    Of a body that does not arrive whole in time, what has arrived: no signature holds for it, so it is refused and
    seen.
    """
    arrived_at = time.time()
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in incoming.headers.raw]
    most = webhook.settings.max_body_bytes
    length = _declared(incoming)
    if incoming.method != "POST" or (length is not None and length > most):
        return webhook.request(incoming.method, headers, b"", arrived_at, length, trace)
    pieces: list[bytes] = []
    read = 0
    with contextlib.suppress(ClientDisconnect, TimeoutError):
        async with asyncio.timeout(webhook.settings.time_budget_seconds):
            async for piece in incoming.stream():
                read += len(piece)
                if read > most:
                    return webhook.request(incoming.method, headers, b"", arrived_at, read, trace)
                pieces.append(piece)
    return webhook.request(incoming.method, headers, b"".join(pieces), arrived_at, trace=trace)


async def drain(incoming: WebRequest) -> None:
    """Read what is left of the request and keep none of it.

    A connection that is closed under a sender takes the answer with it, and the host would make a 502 of it.
    """
    left = _MOST_DRAINED
    with contextlib.suppress(ClientDisconnect, RuntimeError, TimeoutError):  # gone, or read to its end already
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for piece in incoming.stream():
                left -= len(piece)
                if left < 0:
                    return


def write_response(response: Response) -> WebResponse:
    """The answer."""
    return WebResponse(response.body, response.status, dict(response.headers))


def _declared(incoming: WebRequest) -> int | None:
    text = incoming.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


# -- the web extension, as azurefunctions-extensions-base describes it -------------------------------------------------


class _RouteParameters(base.RequestSynchronizer):  # type: ignore[misc] # the package has no types
    def sync_route_params(self, request: Any, path_params: MutableMapping[str, str]) -> None:
        """Give the request what the host found in its path."""
        request.path_params.clear()
        request.path_params.update(path_params)


class TrackedRequest(metaclass=base.RequestTrackerMeta):  # type: ignore[metaclass]
    """Tells the worker which annotation means a request."""

    request_type = WebRequest
    synchronizer = _RouteParameters()


class TrackedResponse(metaclass=base.ResponseTrackerMeta):  # type: ignore[metaclass]
    """Tells the worker which annotation means an answer."""

    label = base.ResponseLabels.STANDARD
    response_type = WebResponse


class WebApp(base.WebApp):  # type: ignore[misc]
    """The application that the host's requests reach: every path and method is the worker's one endpoint."""

    def __init__(self) -> None:
        self._endpoint: Endpoint | None = None

    def route(self, func: Endpoint) -> Endpoint:
        """Take the worker's endpoint."""
        self._endpoint = func
        bound_the_worker()
        return func

    def get_app(self) -> Any:
        """The ASGI application."""
        return self

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http" or self._endpoint is None:
            return
        try:
            answer = await self._endpoint(WebRequest(scope, receive))
        except Exception as error:  # noqa: BLE001 - the invocation has failed and the host has its own record of why
            logging.getLogger(__name__).error("no answer: %s", type(error).__name__)  # noqa: TRY400
            answer = WebResponse(status_code=500)
        await answer(scope, receive, send)


class WebServer(base.WebServer):  # type: ignore[misc]
    """Serves the application to the host, on loopback."""

    async def serve(self) -> None:
        """Serve until the process ends."""
        config = uvicorn.Config(
            self.web_app,
            host=self.hostname,
            port=self.port,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=_HEADERS_BYTES,
        )
        await uvicorn.Server(config).serve()


def bound_the_worker() -> bool:
    """Put bounds on two waits of the worker that have none; False where it is another worker than the one known.

    It waits for an invocation's request for ever, though the host may have failed to pass it on, and it never forgets
    an invocation: two kilobytes each, so that junk alone would fill the memory (azure-functions-runtime 1.3.0).
    """
    worker = sys.modules.get("azure_functions_runtime.http_v2")
    coordinator = getattr(worker, "http_coordinator", None)
    known = getattr(coordinator, "_context_references", None)
    get_request = getattr(coordinator, "get_http_request_async", None)
    get_answer = getattr(coordinator, "await_http_response_async", None)
    if coordinator is None or not isinstance(known, dict) or get_request is None or get_answer is None:
        return False

    async def bounded_request(invocation_id: str) -> Any:
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                return await get_request(invocation_id)
        except TimeoutError:
            # Not at once: the worker still notes the failure under this id.
            asyncio.get_running_loop().call_later(1.0, known.pop, invocation_id, None)
            raise TimeoutError("the host did not pass the request on") from None

    async def bounded_answer(invocation_id: str) -> Any:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await get_answer(invocation_id)
        finally:
            known.pop(invocation_id, None)

    coordinator.get_http_request_async = bounded_request
    coordinator.await_http_response_async = bounded_answer
    return True
