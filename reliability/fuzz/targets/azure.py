"""Both forms of the HTTP function on Azure, from what the worker hands over on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from reliability.fuzz.inputs import Choices, split
from reliability.fuzz.oracle import check
from reliability.fuzz.sender import Case, case
from reliability.fuzz.targets import Target
from reliability.fuzz.world import MARKER, World, environment

_PATH: Final = f"/{MARKER}"
_PORTS: Final = ("", ":443", ":0", ":999999")


def make() -> Target:
    """The functions on ports in memory, on a loop that plays the worker's."""
    from azure.functions import HttpRequest
    from starlette.requests import Request

    from azure_function import classic, streaming
    from azure_function.telemetry import LOGGER, RECEIVER, AzureLog
    from azure_function.webhook import Webhook
    from core.settings import Settings

    world = World()
    logger = logging.getLogger(LOGGER)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(world.output))
    settings = Settings.from_env(environment("invented.servicebus.windows.net/queue"))
    log = AzureLog(RECEIVER)
    webhook = Webhook(world.receiver(settings, log), settings, log, 1)
    as_streaming, as_classic = streaming.function(webhook), classic.function(webhook, log)
    loop = asyncio.new_event_loop()

    def in_stream(sent: Case, choices: Choices) -> tuple[int, bytes, bool]:
        messages, whole = _messages(sent.body, choices)

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        answer = loop.run_until_complete(as_streaming(Request(_scope(sent, choices), receive)))
        return answer.status_code, bytes(answer.body), whole

    def in_classic(sent: Case, choices: Choices) -> tuple[int, bytes, bool]:
        chunked = choices.flag()  # of such a request the host passes on no body
        headers = _joined(sent, {} if chunked else {"content-length": str(len(sent.body))})
        request = HttpRequest(
            method=sent.method,
            url=f"https://x.azurewebsites.net{_PATH}",
            headers=headers,
            params={},
            route_params={},
            body=b"" if chunked else sent.body,
        )
        call: Coroutine[Any, Any, Any] = as_classic(request)
        answer = loop.run_until_complete(call)
        return answer.status_code, answer.get_body(), not chunked

    def target(data: bytes) -> None:
        choices, body = split(data)
        form = choices.of((in_stream, in_classic))
        sent = case(choices, body, world)
        status, answer, whole = form(sent, choices)
        check(world, status, answer, body, genuine=sent.arrives(whole=whole))

    return target


def _joined(sent: Case, more: dict[str, str]) -> dict[str, str]:
    """As the host hands headers on: in lower case, what was sent twice in one."""
    found = {"x-forwarded-for": f"203.0.113.1:1, {sent.source}", **more}
    for name, value in sent.headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _scope(sent: Case, choices: Choices) -> dict[str, Any]:
    length = choices.of((str(len(sent.body)), "", "-1", "é", "0" * 30))
    headers = _joined(sent, {"content-length": length} if length else {})
    headers["x-forwarded-for"] += choices.of(_PORTS)
    return {
        "type": "http",
        "method": sent.method,
        "path": _PATH,
        "query_string": MARKER.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
    }


def _messages(body: bytes, choices: Choices) -> tuple[list[dict[str, Any]], bool]:
    """The body in pieces; not whole where the sender hangs up within it."""
    size = max(1, choices.number(64) * 16 or len(body))
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": piece, "more_body": number + 1 < len(pieces)}
        for number, piece in enumerate(pieces)
    ]
    if choices.flag():
        del messages[choices.number(len(messages)) :]
        return messages, False
    return messages, True
