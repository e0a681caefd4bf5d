"""A request as the local run remembers it."""

from __future__ import annotations

import base64
from typing import Any, Final

import httpx

from cli.exits import CliError, Exit
from cli.explain.capture import MOST_BYTES, Capture, declared_length
from cli.local.state import RunState

_SECONDS: Final = 10.0


def local_request(run: RunState, number: int | None) -> Capture:
    """The request of this number, else the last one that the run refused for its signature, else its last one.

    Raises:
        CliError: there is none, or the run does not answer.
    """
    try:
        with httpx.Client(base_url=f"{run.url}_local/console/", timeout=_SECONDS, trust_env=False) as client:
            wanted = number if number is not None else _last(client)
            found = _get(client, f"requests/{wanted}")
            if not found.get("whole"):
                raise CliError(
                    f"request {wanted} of the local run is not kept whole: it was too large, or cut off.",
                    "Take a smaller one.",
                    Exit.NOT_FOUND,
                )
            body = base64.b64decode(found["body"])
            if found.get("size", 0) > len(body):
                answer = client.get(f"requests/{wanted}/body").raise_for_status()
                body = answer.content[:MOST_BYTES]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        raise CliError(
            f"the local run at {run.url} does not give its requests.",
            "Was it started by an older version? Start it again: dastra-webhooks run",
            Exit.UNREACHABLE,
        ) from None
    headers = tuple((str(name), str(value)) for name, value in found["headers"])
    return Capture(
        str(found["method"]), str(found["path"]), headers, body, declared_length(headers), (), str(found.get("at", ""))
    )


def _last(client: httpx.Client) -> int:
    requests = _get(client, "requests")["requests"]
    if not requests:
        raise CliError("the local run has had no request yet.", "Send one: dastra-webhooks send", Exit.NOT_FOUND)
    newest = sorted(requests, key=lambda request: int(request["n"]), reverse=True)
    return int(next((request for request in newest if request.get("status") == 401), newest[0])["n"])


def _get(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(path)
    if answer.status_code == httpx.codes.NOT_FOUND and path != "requests":
        raise CliError(
            f"the local run has no request {path.rpartition('/')[2]}, or no longer.",
            "Its page lists those that it remembers.",
            Exit.NOT_FOUND,
        )
    found = answer.raise_for_status().json()
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found
