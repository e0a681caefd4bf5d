"""The request and the answer, free of any cloud's spelling of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


class Headers:
    """HTTP header fields, looked up without regard to case; a name may occur several times.

    Built from ``(name, value)`` pairs in the order of arrival. Values are kept as they came.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        values: dict[str, tuple[str, ...]] = {}
        for name, value in pairs:
            key = name.lower()
            values[key] = (*values[key], value) if key in values else (value,)
        self._values: Final = values

    def get_all(self, name: str) -> tuple[str, ...]:
        """Every value of ``name``, in order of arrival; empty when the header is absent."""
        return self._values.get(name.lower(), ())

    def get(self, name: str) -> str | None:
        """The first value of ``name``, or None."""
        values = self._values.get(name.lower())
        return values[0] if values else None

    def __repr__(self) -> str:
        # Values may hold a signature, and a repr may reach a log.
        return f"Headers({sorted(self._values)})"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as an entry point hands it over."""

    method: str
    headers: Headers
    body: bytes
    """The bytes that were sent; the platform's own base64 wrapping is undone, nothing else is."""
    source: str | None
    """The client's address as the platform itself vouches for it, normalised; None when it cannot be known."""
    received_at: float | None = None
    """When the platform got the request, in seconds since the epoch; None where the platform does not say."""
    length: int | None = None
    """The declared length in bytes of a body that was not read because it is too large; else None."""
    trace: str | None = None
    """The platform's own trace context as a W3C ``traceparent``, for a request that brings none of its own."""

    def __repr__(self) -> str:
        return f"Request(method={self.method!r}, body=<{len(self.body)} bytes>, source={self.source!r})"


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. The body is fixed per outcome and says nothing about the reason."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


def _answer(status: int, body: str, *extra: tuple[str, str]) -> Response:
    return Response(
        status, body.encode(), (("Content-Type", "application/json"), ("Cache-Control", "no-store"), *extra)
    )


ACCEPTED: Final = _answer(200, '{"status":"accepted"}')
SPOOLED: Final = _answer(200, '{"status":"spooled"}')
QUARANTINED: Final = _answer(200, '{"status":"quarantined"}')
BAD_REQUEST: Final = _answer(400, '{"error":"bad request"}')
"""For what is no HTTP request at all, such as an event of another service sent to the function by hand."""
UNAUTHORIZED: Final = _answer(401, '{"error":"unauthorized"}')
FORBIDDEN: Final = _answer(403, '{"error":"forbidden"}')
METHOD_NOT_ALLOWED: Final = _answer(405, '{"error":"method not allowed"}', ("Allow", "POST"))
TOO_LARGE: Final = _answer(413, '{"error":"too large"}')
UNAVAILABLE: Final = _answer(503, '{"error":"unavailable"}')

REFUSALS: Final = {
    response.status: response for response in (UNAUTHORIZED, FORBIDDEN, METHOD_NOT_ALLOWED, TOO_LARGE, UNAVAILABLE)
}
"""The one answer of each status that is not 200."""
