"""What `/_local/` answers: look-ups and switches of the local run, in JSON, for this machine only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cli.local.cloud import LocalCloud
from cli.local.faults import Fault, FaultProxy
from cli.local.front import Threads
from cli.version import version
from core.ports import PortError

ENDPOINTS: Final = {
    "GET /_local/": "this list",
    "GET /_local/messages": "every message on the queue, oldest first, without taking any",
    "GET /_local/stored": "every event in spool and quarantine",
    "GET /_local/faults": "which fault is on in front of each service",
    "PUT /_local/faults": 'switch faults, for example {"queue": "hanging"}; "none" switches off',
    "POST /_local/redrive": "put the spool back on the queue now",
}
_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST: Final = re.compile(r"(\[[0-9a-f:]+\]|[^:\[\]]+)(?::\d{1,5})?", re.IGNORECASE)


def controls(
    local: LocalCloud, switched: Callable[[Mapping[str, str]], None], redriven: Callable[[Mapping[str, Any]], None]
) -> ASGIApp:
    """The application below `/_local/`. ``switched`` is told the faults after a change, ``redriven`` what a run did."""
    # Few, and not those of the entry point: a look-up must not wait behind requests that a fault holds.
    threads = Threads(4, "control")

    async def index(_: Request) -> Response:
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
        ],
        exception_handlers={404: unknown, 405: _wrong_method, Exception: broken},
        middleware=[Middleware(_ThisMachineOnly)],
    )
    app.router.redirect_slashes = False
    return app


class _ThisMachineOnly:
    """Refuses what a web page elsewhere could make this machine's browser ask.

    A name that resolves to 127.0.0.1 makes any site same-origin with us, but its name stands in `Host`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if len(hosts) == 1 and _is_ours(hosts[0]) and all(_is_ours(urlsplit(origin).netloc) for origin in origins):
            await self._app(scope, receive, send)
        else:
            answer = _error(403, "only for this machine: ask for 127.0.0.1 or localhost")
            await answer(scope, receive, send)


def _is_ours(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and match[1].lower() in _HOSTS


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
