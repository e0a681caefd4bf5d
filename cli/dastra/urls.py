"""A webhook's URL: when two are one, and how much of it may be shown."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pydantic_core import Url

_SHOWN_PATH: Final = 24


def same_url(one: str, other: str) -> bool:
    """Whether two URLs are one, however their host, their default port and an empty path are written."""
    try:
        return str(Url(one)) == str(Url(other))
    except ValueError:
        return one == other


def short_url(url: str) -> str:
    """A URL for a table: the host and the start of the path. What follows ``?`` is left out: it may be a secret."""
    parts = urlsplit(url)
    path = parts.path if len(parts.path) <= _SHOWN_PATH else f"{parts.path[: _SHOWN_PATH - 1]}…"
    return f"{parts.netloc}{path}{'?…' if parts.query else ''}" or url
