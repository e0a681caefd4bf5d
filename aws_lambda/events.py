"""The HTTP request inside a Lambda event, and the answer in the form that the same front expects.

Four fronts, two families: payload 2.0 (function URL, HTTP API) and payload 1.0 (REST API, HTTP API on request, and
load balancers, which have no version). Field names: AWS Lambda's and API Gateway's documentation of each integration.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from core.http import Headers, Request, Response
from core.source_ip import from_forwarded, normalise
from core.trace import XRAY_HEADER, from_xray, traceparent_of

_FORWARDED: Final = "x-forwarded-for"
_FAR_FUTURE: Final = 1e14
"""Milliseconds since the epoch that no clock shows before the year 5138."""


class NotHttpError(ValueError):
    """The event is of no front that this function knows."""


def read_request(event: Any, trusted_proxy_hops: int, trace: str | None = None) -> Request:
    """Read the request that an event carries.

    The client's address comes from the request context. Only behind a load balancer, whose context has none, it is the
    element of ``X-Forwarded-For`` that ``trusted_proxy_hops`` names, counted from the right. ``trace`` is what Lambda
    says about the invocation's trace; without it the front's own ``X-Amzn-Trace-Id`` counts.

    Raises:
        NotHttpError: the event is not an HTTP event of a known shape.
    """
    try:
        context = event["requestContext"]
        headers = Headers(_pairs(event))
        body = _body(event)
        traceparent = traceparent_of(from_xray(trace), from_xray(headers.get(XRAY_HEADER)))
        if "http" in context:
            http = context["http"]
            source, received_at = normalise(http.get("sourceIp")), _seconds(context.get("timeEpoch"))
            return Request(str(http["method"]), headers, body, source, received_at, trace=traceparent)
        if "elb" in context:
            source = from_forwarded(headers.get_all(_FORWARDED), trusted_proxy_hops)
            return Request(str(event["httpMethod"]), headers, body, source, trace=traceparent)
        source, received_at = normalise(context["identity"].get("sourceIp")), _seconds(context.get("requestTimeEpoch"))
        return Request(str(event["httpMethod"]), headers, body, source, received_at, trace=traceparent)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NotHttpError(
            "not an HTTP event: expected one of a function URL, API Gateway (payload 1.0 or 2.0) or a load balancer"
        ) from error


def write_response(response: Response, event: Any) -> dict[str, Any]:
    """The answer in the form of the front that sent the event."""
    answer: dict[str, Any] = {
        "statusCode": response.status,
        "body": response.body.decode(),
        "isBase64Encoded": False,
    }
    if not isinstance(event, Mapping) or not isinstance(context := event.get("requestContext"), Mapping):
        return {**answer, "headers": dict(response.headers)}
    if "elb" in context:
        answer["statusDescription"] = f"{response.status} {HTTPStatus(response.status).phrase}"
        if isinstance(event.get("multiValueHeaders"), Mapping):
            # A target group with multi-value headers switched on ignores `headers`.
            return {**answer, "multiValueHeaders": {name: [value] for name, value in response.headers}}
    return {**answer, "headers": dict(response.headers)}


def _pairs(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Headers, from the form that keeps duplicates where the front sends it."""
    many = event.get("multiValueHeaders")
    if many:
        for name, values in many.items():
            for value in values or ():
                yield name, str(value)
        return
    for name, value in (event.get("headers") or {}).items():
        if value is not None:
            yield name, str(value)


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body")
    if body is None:
        return b""
    if event.get("isBase64Encoded"):
        return base64.b64decode(body, validate=True)
    # A front passes text only where the bytes were UTF-8; anything else fails the signature and nothing more.
    return str(body).encode("utf-8", "surrogatepass")


def _seconds(milliseconds: Any) -> float | None:
    is_number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    return milliseconds / 1000 if is_number and 0 < milliseconds < _FAR_FUTURE else None
