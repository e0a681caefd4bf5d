"""What an HTTP answer of Dastra's API means: a value, or an error in words.

Nothing of a body is quoted but the title and the field names of a problem report (RFC 9457), which Dastra's framework
writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cli.dastra.errors import DastraError, GoneError
from cli.exits import Exit

AGAIN: Final = frozenset({500, 502, 503, 504})
"""Statuses after which a request that changes nothing twice is sent again."""
_SHOWN: Final = 200
_WHO: Final = "API keys are made by the account's owners in Dastra, and may be limited to permissions and a workspace."
_PERMISSIONS: Final = {
    ("/v1/WebHookUrls/test", "GET"): "send test webhooks",
    ("/v1/WebHookUrls/test", "POST"): "send test webhooks",
    ("/v1/WebHookUrls", "GET"): "read webhooks",
    ("/v1/WebHookUrls", "POST"): "create webhooks",
    ("/v1/WebHookUrls", "PUT"): "change webhooks",
    ("/v1/WebHookUrls", "DELETE"): "delete webhooks",
    ("/v1/Logs", "GET"): "read the log",
    ("/v1/Workspaces", "GET"): "read workspaces",
}
"""What a call needs, by the start of its path: the more exact path first. What Dastra calls these permissions is not
documented."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def is_page(self) -> bool:
        """Whether it is a web page, so not from the API itself."""
        start = self.body.lstrip()[:15].lower()
        return "html" in self.headers.get("content-type", "").lower() or start.startswith((b"<!doctype", b"<html"))


def value(answer: Answer, what: str) -> Any:
    """The JSON of a good answer; None where its body is empty.

    Raises:
        DastraError: it is no JSON.
    """
    if not answer.body.strip():
        return None
    if answer.is_page:
        raise DastraError(
            f"{what} was answered with a web page ({answer.status}), not by the API.",
            "Is the address right (DASTRA_API_URL, --api-url), and does a proxy stand in between?",
            status=answer.status,
        )
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise DastraError(
            f"{what} was answered with something that is no JSON ({answer.status}, {len(answer.body)} bytes).",
            "It may have been cut on the way: try again.",
            status=answer.status,
        ) from None


def failure(answer: Answer, method: str, path: str, what: str) -> DastraError:
    """The error to raise for an answer that is not good."""
    status = answer.status
    said = "with a web page" if answer.is_page else problem(answer)
    match status:
        case 401:
            return DastraError(
                "Dastra does not know this API key (401).",
                f"Give the private key, whole, of a key that is still active. {_WHO}",
                Exit.REFUSED,
                status,
            )
        case 403:
            return DastraError(
                f"this API key may not {permission(method, path)} (403).",
                f"It lacks that permission, or the workspace is not its own. {_WHO}",
                Exit.REFUSED,
                status,
            )
        case 404 | 405:
            return GoneError(
                f"there is nothing at {path} ({status}).",
                "Was it deleted, or is it another workspace's? Is the address right (DASTRA_API_URL)?",
                Exit.NOT_FOUND,
                status,
            )
        case 429:
            return DastraError(
                f"Dastra still says that there are too many requests ({what}, 429).",
                "It allows 500 a minute to all that use this account's API. Try again later.",
                status=status,
            )
        case _ if 300 <= status < 400:
            return DastraError(
                f"{what} was redirected ({status}), which is not followed: the key would go along.",
                "Give the API's own address (DASTRA_API_URL, --api-url).",
                status=status,
            )
        case _ if status >= 500:
            return DastraError(
                f"Dastra's API is not well: {what} was answered {status}{said and f' {said}'}.",
                "Its state is on https://status.dastra.eu. Try again later.",
                status=status,
            )
        case _:
            return DastraError(f"Dastra refused: {what} was answered {status}{said and f' {said}'}.", "", status=status)


def problem(answer: Answer) -> str:
    """The title and the field names of a problem report, in brackets; empty where there is none."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict):
        return ""
    title, errors = found.get("title"), found.get("errors")
    parts = [title[:_SHOWN]] if isinstance(title, str) and title.strip() else []
    if isinstance(errors, dict) and errors:
        parts.append("fields: " + ", ".join(str(name)[:40] for name in list(errors)[:10]))
    return f"({'; '.join(parts)})" if parts else ""


def permission(method: str, path: str) -> str:
    """What a key must be allowed to, to make this call."""
    for (start, verb), words in _PERMISSIONS.items():
        if verb == method and (path == start or path.startswith(start + "/")):
            return words
    return f"call {method} {path}"
