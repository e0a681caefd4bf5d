"""Trace context: what a request, or the platform in its place, says about the trace that it belongs to.

It reaches the message as W3C's ``traceparent``, so that a consumer's spans join the trace. Everything here is text that
a sender may have written: what has not exactly the form is None, and never an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

HEADER: Final = "traceparent"
CLOUD_HEADER: Final = "x-cloud-trace-context"
XRAY_HEADER: Final = "x-amzn-trace-id"

_W3C: Final = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})")
_CLOUD_TRACE: Final = re.compile(r"((?!0{32})[0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=([01]))?", re.IGNORECASE | re.ASCII)
_XRAY_ROOT: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_SPAN: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
_MOST: Final = 1024
"""Characters of an X-Ray header that are looked at: the parts that are read stand at its beginning."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The ids in hex (32 and 16 digits); ``span_id`` is None where the platform names the trace alone."""

    trace_id: str
    span_id: str | None
    sampled: bool

    @property
    def traceparent(self) -> str:
        """W3C's form (Trace Context, 3.2), which knows no trace without a span.

        Where there is none, the end of the trace's own id stands for it: the trace is joined, below a span that nobody
        recorded, and a request that comes twice makes the same message twice.
        """
        span = self.span_id or self.trace_id[16:]
        if not _SPAN.fullmatch(span):
            span = f"{1:016x}"
        return f"00-{self.trace_id}-{span}-{int(self.sampled):02x}"


def from_w3c(text: str | None) -> TraceContext | None:
    """Read a ``traceparent``, also one of a later version that has the parts of the first."""
    match = _W3C.fullmatch(text or "")
    return TraceContext(match[1], match[2], bool(int(match[3], 16) & 1)) if match else None


def from_cloud_trace(text: str | None) -> TraceContext | None:
    """Read ``X-Cloud-Trace-Context``: ``TRACE/SPAN;o=1``, the span in decimal (Google Cloud, "Trace context")."""
    match = _CLOUD_TRACE.fullmatch(text or "")
    if match is None:
        return None
    span = int(match[2] or 0)
    return TraceContext(match[1].lower(), f"{span:016x}" if 0 < span < 1 << 64 else None, match[3] == "1")


def from_xray(text: str | None) -> TraceContext | None:
    """Read ``X-Amzn-Trace-Id``, or what Lambda calls ``_X_AMZN_TRACE_ID`` (AWS X-Ray, "Tracing header").

    ``Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1``, in any order; where nothing is
    traced there is a root alone.
    """
    parts: dict[str, str] = {}
    for part in (text or "")[:_MOST].split(";"):
        name, _, value = part.strip(" \t").partition("=")
        parts.setdefault(name.lower(), value.lower())
    root = _XRAY_ROOT.fullmatch(parts.get("root", ""))
    if root is None or set(root[1] + root[2]) == {"0"}:
        return None
    parent = parts.get("parent", "")
    return TraceContext(root[1] + root[2], parent if _SPAN.fullmatch(parent) else None, parts.get("sampled") == "1")


def traceparent_of(*contexts: TraceContext | None) -> str | None:
    """The ``traceparent`` of the first that there is."""
    return next((context.traceparent for context in contexts if context is not None), None)


def is_traceparent(text: str | None) -> bool:
    """Whether a text has W3C's form."""
    return _W3C.fullmatch(text or "") is not None
