"""Keeps `/_local/` for this machine: against what a web page elsewhere could make this machine's browser ask.

A name that resolves to 127.0.0.1 makes any site same-origin with us, but its name stands in ``Host`` (DNS rebinding).
Another site's form or script may send to us, but says so in ``Origin`` and ``Sec-Fetch-Site``, which no page can write
(Fetch, "forbidden request-header"; Fetch Metadata).
"""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cli.local.console.page import HEADERS

_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST: Final = re.compile(r"(\[[0-9a-f:]+\]|[^:\[\]]+)(?::\d{1,5})?", re.IGNORECASE)
_READS: Final = frozenset({"GET", "HEAD"})
_FOREIGN: Final = frozenset({"cross-site", "same-site"})
_REFUSAL: Final = "only for this machine: ask for 127.0.0.1 or localhost, from its own page or from a program"
CONSOLE_PATH: Final = "/_local/console/"
MARK: Final = "x-dastra-console"
"""A header that the page sends with what changes something: no form can, and another site would have to ask first."""


class ThisMachineOnly:
    """Refuses a foreign ``Host``, a foreign page, and a form; every answer gets the headers that keep it to itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if _is_ours(scope["method"], scope["path"], Headers(scope=scope)):
            await self._app(scope, receive, guarded)
        else:
            await JSONResponse({"error": _REFUSAL}, 403)(scope, receive, guarded)


def _is_ours(method: str, path: str, headers: Headers) -> bool:
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _is_loopback(hosts[0]):
        return False
    # Another port of this machine is another origin: who knows what runs there.
    if any(origin.lower() != f"http://{hosts[0]}".lower() for origin in headers.getlist("origin")):
        return False
    reads = method in _READS
    if any(site in _FOREIGN for site in headers.getlist("sec-fetch-site")):
        # Following a link to the page is no harm: nothing is told to the site that has the link.
        return reads and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return reads or not path.startswith(CONSOLE_PATH) or MARK in headers


def _is_loopback(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and match[1].lower() in _HOSTS
