"""Trace contexts of W3C and of two platforms, and what only looks like one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.trace import TraceContext, from_cloud_trace, from_w3c, from_xray, is_traceparent, traceparent_of

TRACE, SPAN = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
ROOT = f"Root=1-{TRACE[:8]}-{TRACE[8:]}"
W3C = f"00-{TRACE}-{SPAN}-01"
NOUGHT = "0" * 32
FULL = TraceContext(TRACE, SPAN, True)


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (W3C, FULL),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", FULL),
        (f"fe-{TRACE}-{SPAN}-01", FULL),
    ],
)
def test_w3cs_header_is_read(text: str, context: TraceContext) -> None:
    """Ids as they are; of the flags the one that all versions have."""
    assert from_w3c(text) == context
    assert is_traceparent(text)


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (f"{ROOT};Parent={SPAN};Sampled=1", FULL),
        (f"Sampled=1;Parent={SPAN};{ROOT}", FULL),
        (f"Self=1-67891234-12456789abcdef012345678a;{ROOT};Parent={SPAN};Sampled=1", FULL),
        (f"{ROOT};Parent={SPAN};Sampled=1;Lineage=1:a87bd80c:0", FULL),
        (f"{ROOT}; Parent={SPAN}; Sampled=1", FULL),
        (f"{ROOT};Parent={SPAN};Sampled=0", TraceContext(TRACE, SPAN, False)),
        (f"{ROOT};Parent={SPAN};Sampled=?", TraceContext(TRACE, SPAN, False)),
        (f"{ROOT};Lineage=1:a87bd80c:0", TraceContext(TRACE, None, False)),
        (ROOT, TraceContext(TRACE, None, False)),
        (ROOT.upper(), TraceContext(TRACE, None, False)),
        (f"{ROOT};Parent=x;Sampled=1", TraceContext(TRACE, None, True)),
        (f"{ROOT};Parent={'0' * 16}", TraceContext(TRACE, None, False)),
        (f"{ROOT};Root=1-00000001-{'1' * 24}", TraceContext(TRACE, None, False)),
    ],
)
def test_amazons_header_is_read(text: str, context: TraceContext) -> None:
    """As load balancers, API Gateway and Lambda write it, with a parent or without, in any order."""
    assert from_xray(text) == context


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (f"{TRACE}/{int(SPAN, 16)};o=1", FULL),
        (f"{TRACE}/{int(SPAN, 16)};o=0", TraceContext(TRACE, SPAN, False)),
        (f"{TRACE}/{int(SPAN, 16)}", TraceContext(TRACE, SPAN, False)),
        (f"{TRACE.upper()}/7;o=1", TraceContext(TRACE, f"{7:016x}", True)),
        (f"{TRACE}/{(1 << 64) - 1}", TraceContext(TRACE, "f" * 16, False)),
        (f"{TRACE}/{1 << 64}", TraceContext(TRACE, None, False)),
        (f"{TRACE}/0;o=1", TraceContext(TRACE, None, True)),
        (TRACE, TraceContext(TRACE, None, False)),
    ],
)
def test_googles_header_is_read(text: str, context: TraceContext) -> None:
    """The span is a decimal number there, and may be missing."""
    assert from_cloud_trace(text) == context


HOSTILE = [
    None,
    "",
    ";",
    "Root=",
    "Root",
    "é" * 55,
    "\x00",
    f"00-{NOUGHT}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"ff-{TRACE}-{SPAN}-01",
    f"{W3C}-x",
    f"{W3C}\n",
    W3C.upper(),
    f"{W3C},{W3C}",
    f"{NOUGHT}/1;o=1",
    f"{TRACE}/{'1' * 5000};o=1",
    f"{TRACE}/\u0663;o=1",
    f"{TRACE}/x",
    f"{TRACE}\n",
    f"Root=1-{NOUGHT[:8]}-{NOUGHT[8:]}",
    f"Root=2-{TRACE[:8]}-{TRACE[8:]}",
    f"Root=1-{TRACE[:8]}-{TRACE[8:]}x",
    f"Root=1-{TRACE[:8]}-\u0663{TRACE[9:]}",
    f"{'x' * 2000};{ROOT}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_has_not_the_form_is_none(text: str | None) -> None:
    """For every reader, and without an error; what one platform understands, another may not."""
    assert [from_w3c(text), from_cloud_trace(text), from_xray(text)] == [None] * 3
    assert not is_traceparent(text)


@given(st.one_of(st.text(), st.from_regex(r"(Root|Parent|Sampled|root)=1-[0-9a-fA-F]{8}-[0-9a-f]{24}(;.*)?")))
def test_no_text_is_an_error_and_every_result_is_w3cs(text: str) -> None:
    """Whatever a sender writes, what comes out can stand in a message."""
    for read in (from_w3c, from_cloud_trace, from_xray):
        context = read(text)
        assert context is None or is_traceparent(context.traceparent)


def test_a_trace_without_a_span_has_one_that_nobody_recorded() -> None:
    """The trace's own id ends in it, so that the same request makes the same attribute; never all noughts."""
    assert TraceContext(TRACE, None, False).traceparent == f"00-{TRACE}-{TRACE[16:]}-00"
    odd = f"{TRACE[:16]}{'0' * 16}"
    assert TraceContext(odd, None, True).traceparent == f"00-{odd}-{'0' * 15}1-01"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", FULL.traceparent)


def test_the_first_that_there_is_counts() -> None:
    """And none is none."""
    other = TraceContext(NOUGHT[1:] + "1", SPAN, False)
    assert traceparent_of(None, FULL, other) == W3C
    assert traceparent_of(None, None) is None
    assert traceparent_of() is None
