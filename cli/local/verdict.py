"""What became of a request, in words: from the answer and from what the receiver logged about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cli.local.cloud import Handled
from core.signature import HEADER, SignatureFault, read_signature

_REFUSALS: Final = {
    401: "unauthorized",
    403: "forbidden",
    405: "not allowed",
    413: "too large",
    502: "crashed",
    503: "unavailable",
}
_SAID: Final = frozenset({"accepted", "spooled", "quarantined", "event_lost", "no_key", "internal_error"})
"""Log events that say best what became of a request."""


def told(handled: Handled) -> dict[str, Any]:
    """What a line says. The receiver's own log knows most, but of scanners it logs one in 100 only."""
    status = handled.answer.status
    logged: Mapping[str, Any] = next((line for line in reversed(handled.lines) if line.get("message") in _SAID), {})
    verdict = logged.get("message") or _REFUSALS.get(status, "answered")
    refused: Mapping[str, Any] = next((line for line in reversed(handled.lines) if "reason" in line), {})
    return {
        "time": datetime.fromtimestamp(handled.request.received_at).astimezone().isoformat(timespec="milliseconds"),
        "status": status,
        "verdict": verdict,
        "reason": logged.get("reason") or refused.get("reason") or _reason(handled, str(verdict)),
        "event_type": logged.get("event_type"),
        "source": handled.request.client,
        "method": handled.request.method,
        "path": handled.request.path.decode("ascii", "backslashreplace"),
        "size": handled.size,
        "key": logged.get("key"),
        "milliseconds": round(handled.milliseconds, 1),
    }


def _reason(handled: Handled, verdict: str) -> str | None:
    match verdict:
        case "spooled":
            failure = next((line for line in handled.lines if line.get("message") == "queue_failed"), None)
            return str(failure.get("error")) if failure else "queue_rests"
        case "unauthorized":
            return _fault(handled)
        case _:
            return None


def _fault(handled: Handled) -> str:
    values = [value.decode("latin-1") for name, value in handled.request.headers if name.lower() == HEADER.encode()]
    found = read_signature(values)
    return found.value if isinstance(found, SignatureFault) else SignatureFault.MISMATCH.value
