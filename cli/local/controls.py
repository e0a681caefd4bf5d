"""What `/_local/` answers: look-ups and switches of the local run, in JSON, and its page, for this machine only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cli.local.cloud import LocalCloud
from cli.local.console import page
from cli.local.faults import Fault, FaultProxy
from cli.local.front import Threads
from cli.local.guard import ThisMachineOnly
from cli.version import version
from core.ports import PortError

ENDPOINTS: Final = {
    "GET /_local/": "this list; in a browser the console",
    "GET /_local/messages": "every message on the queue, oldest first, without taking any",
    "GET /_local/stored": "every event in spool and quarantine",
    "GET /_local/faults": "which fault is on in front of each service",
    "PUT /_local/faults": 'switch faults, for example {"queue": "hanging"}; "none" switches off',
    "POST /_local/redrive": "put the spool back on the queue now",
}


def controls(
    local: LocalCloud,
    switched: Callable[[Mapping[str, str]], None],
    redriven: Callable[[Mapping[str, Any]], None],
    console: Sequence[Route] = (),
) -> ASGIApp:
    """The application below `/_local/`.

    Args:
        local: what is looked at.
        switched: is told the faults after a change.
        redriven: is told what a redrive did.
        console: the page's own routes.
    """
    # Few, and not those of the entry point: a look-up must not wait behind requests that a fault holds.
    threads = Threads(4, "control")

    async def index(request: Request) -> Response:
        # A browser asks for HTML by name; curl and programs do not.
        if "text/html" in request.headers.get("accept", "") and (found := page.file("index.html")) is not None:
            return found
        return JSONResponse({"program": "dastra-webhooks", "version": version(), "endpoints": ENDPOINTS})

    async def messages(_: Request) -> Response:
        return JSONResponse(await threads.run(local.messages))

    async def stored(_: Request) -> Response:
        return JSONResponse(await threads.run(local.stored))

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                wanted = _faults(_parse(await request.body()), local.faults)
            except ValueError as error:
                return _error(400, str(error))
            before = _modes(local.faults)
            for name, fault in wanted.items():
                await threads.run(partial(local.faults[name].set, fault))
            if before != _modes(local.faults):
                switched(_modes(local.faults))
        return JSONResponse(_modes(local.faults))

    async def redrive(_: Request) -> Response:
        try:
            report = await threads.run(local.redrive)
        except PortError as error:
            return _error(503, f"the store does not answer: {error.code}")
        redriven(report)
        return JSONResponse(report)

    async def unknown(request: Request, _: Exception) -> Response:
        return _error(404, f"there is no {request.url.path} here", endpoints=ENDPOINTS)

    async def broken(_: Request, error: Exception) -> Response:
        return _error(500, f"the emulator does not answer: {type(error).__name__}")

    app = Starlette(
        routes=[
            Route("/_local/", index),
            Route("/_local/messages", messages),
            Route("/_local/stored", stored),
            Route("/_local/faults", faults, methods=["GET", "PUT"]),
            Route("/_local/redrive", redrive, methods=["POST"]),
            *console,
        ],
        exception_handlers={404: unknown, 405: _wrong_method, Exception: broken},
        middleware=[Middleware(ThisMachineOnly)],
    )
    app.router.redirect_slashes = False
    return app


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _faults(wanted: object, known: Mapping[str, FaultProxy]) -> dict[str, Fault]:
    """Which fault to switch on where.

    Raises:
        ValueError: a name or a fault is not known; the message lists what is.
    """
    if not isinstance(wanted, dict):
        raise ValueError('expected a JSON object such as {"queue": "hanging"}')  # noqa: TRY004 - the caller's one case
    found = {}
    for name, fault in wanted.items():
        if name not in known:
            raise ValueError(f"{str(name)[:40]!r} is none of: {', '.join(known)}")
        try:
            found[name] = Fault(fault)
        except ValueError:
            raise ValueError(f"{str(fault)[:40]!r} is no fault; there are: {', '.join(Fault)}") from None
    return found


def _modes(known: Mapping[str, FaultProxy]) -> dict[str, str]:
    return {name: proxy.mode.value for name, proxy in known.items()}


def _error(status: int, text: str, **more: object) -> JSONResponse:
    return JSONResponse({"error": text, **more}, status)


async def _wrong_method(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None)
    return JSONResponse({"error": f"{request.method} is not for this path", "endpoints": ENDPOINTS}, 405, headers)
