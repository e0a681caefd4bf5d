"""The page's own files, and the headers that keep it to itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from starlette.responses import Response

_FOLDER: Final = Path(__file__).with_name("static")
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    # A browser that knows this refuses text that would become markup, even if a mistake of ours asked for it.
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)
"""Of every answer below ``/_local/``."""


@cache
def names() -> frozenset[str]:
    """The files there are."""
    return frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in _TYPES)


def file(name: str) -> Response | None:
    """A file of the page; None where there is none of the name."""
    if name not in names():
        return None
    path = _FOLDER / name
    return Response(path.read_bytes(), headers=dict(HEADERS), media_type=_TYPES[path.suffix])
