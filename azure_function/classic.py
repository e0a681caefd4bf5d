"""The HTTP function in its classic form: the host reads the request, the worker hands it over whole.

Whole but for one case: of a request without a length (chunked, or HTTP/2) the host passes on no body at all. Such an
event cannot be received in this form; it is at least told apart, and raises an alarm of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from azure.functions import Context, HttpRequest, HttpResponse

from azure_function.telemetry import AzureLog
from azure_function.webhook import Webhook, trace_of
from core import http
from core.http import Headers, Response
from core.log import Level, LogEvent, Metric, record
from core.signature import HEADER, claims_signature

Function = Callable[..., Coroutine[Any, Any, HttpResponse]]

BODY_MISSING: Final = LogEvent("body_not_received", Level.ERROR, (Metric("BodyNotReceived"),))
"""What looks like a genuine event came without its body: switch the streaming form on (docs/adr/0006)."""


def function(webhook: Webhook, log: AzureLog) -> Function:
    """The function, for the programming model to register."""

    # The worker gives a context to whoever has a parameter of this name, and insists on this very type.
    async def receive(req: HttpRequest, context: Context = None) -> HttpResponse:  # type: ignore[assignment]
        arrived_at = time.time()
        headers = list(req.headers.items())
        body = req.get_body()
        if req.method == "POST" and not body and _lost_its_body(Headers(headers)):
            lines: list[tuple[int, str]] = []
            log.gather(lambda: record(log, BODY_MISSING, status=http.UNAUTHORIZED.status), lines)
            webhook.say(lines)
            return write_response(http.UNAUTHORIZED)
        request = webhook.request(req.method, headers, body, arrived_at, trace=trace_of(context))
        return write_response(await webhook.answer(request))

    return receive


def write_response(response: Response) -> HttpResponse:
    """The answer."""
    return HttpResponse(response.body, status_code=response.status, headers=dict(response.headers))


def _lost_its_body(headers: Headers) -> bool:
    length = headers.get("content-length")
    return (length is None or headers.get("transfer-encoding") is not None) and claims_signature(
        headers.get_all(HEADER)
    )
