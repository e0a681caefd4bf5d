"""Screening on whatever arrives: one of three outcomes, and "authentic" exactly when the HMAC says so."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from core.http import Headers, Request
from core.screening import Accepted, Policy, Quarantined, Refused, SourceIpMode, screen
from core.signature import SignatureKey
from core.source_ip import AllowList
from tests import planted
from tests.planted import KEY, NEWER_KEY, OTHER_KEY

HEADER: Final = "Dastra-Signature"
NOW: Final = 1_772_442_964.0

common = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

# Text as JSON can carry it into a function: every code point, unpaired surrogates and NUL included.
any_text = st.text(st.characters(exclude_categories=()), max_size=60)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["webhookId", "eventType", "eventName", "date", "data", "EVENTTYPE", "DATE", "userId", "x"])


@st.composite
def json_bodies(draw: st.DrawFn) -> bytes:
    """JSON text, mostly an envelope with odd members, in several encodings."""
    import json

    value: Any = draw(st.dictionaries(names, json_values, max_size=6) | json_values)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32-le", "latin-1"]))
    return text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")


@st.composite
def nested_bodies(draw: st.DrawFn) -> bytes:
    """Brackets without end."""
    depth = draw(st.integers(1, 50_000))
    opening = draw(st.sampled_from([b"[", b'{"a":', b'{"data":[']))
    return opening * depth + draw(st.sampled_from([b"", b"1" + b"]" * depth, b"1" + b"}" * depth]))


bodies = (
    st.binary(max_size=300)
    | json_bodies()
    | nested_bodies()
    | any_text.map(lambda text: text.encode("utf-8", "surrogatepass"))
)
keys = st.lists(st.sampled_from([KEY, NEWER_KEY]), unique=True, max_size=2)
addresses = st.none() | st.sampled_from(["192.0.2.44", "198.51.100.7", "2001:db8::1"])
methods = st.sampled_from(["POST", "POST", "POST", "POST", "GET", "post"]) | any_text
policies = st.builds(
    Policy,
    st.sampled_from(SourceIpMode),
    st.sampled_from([AllowList(), AllowList.parse("192.0.2.44, 2001:db8::/32")]),
    st.sampled_from([10, 200, 4 * 1024 * 1024]),
    st.sampled_from([0.0, 60.0, 1e12]),
)


def mac(body: bytes, key: str) -> str:
    """The right signature, registered."""
    return planted.signature(body, key)


@st.composite
def signature_values(draw: st.DrawFn, body: bytes) -> list[str]:
    """Values of the signature's header: right ones, wrong ones, mutilated ones, rubbish, several."""
    right = mac(body, draw(st.sampled_from([KEY, NEWER_KEY, OTHER_KEY])))
    at = draw(st.integers(0, len(right)))
    values = st.sampled_from(
        [
            right,
            right,
            right,
            f" {right}\t",
            f"{right},{right}",
            right[:at],
            right[:at] + "x" + right[at:],
            right.lower(),
        ]
    )
    return draw(st.lists(values | any_text, max_size=3))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A request with a body, headers and an address of any kind."""
    body = draw(bodies)
    spelling = st.sampled_from([HEADER, HEADER.lower(), HEADER.upper()])
    pairs = [(draw(spelling), value) for value in draw(signature_values(body))]
    pairs += draw(st.lists(st.tuples(any_text, any_text), max_size=3))
    if draw(st.booleans()):
        pairs.append(("traceparent", draw(any_text)))
    length = draw(st.none() | st.integers(-1, 5_000_000))
    return Request(draw(methods), Headers(draw(st.permutations(pairs))), body, draw(addresses), None, length)


def genuine(request: Request, configured: Sequence[str]) -> bool:
    """Whether one value, perhaps repeated, is the canonical base64 of an HMAC over the body with a configured key."""
    parts = {part.strip(" \t") for value in request.headers.get_all(HEADER) for part in value.split(",")}
    right = {
        base64.b64encode(hmac.new(key.encode(), request.body, hashlib.sha256).digest()).decode() for key in configured
    }
    return len(parts) == 1 and parts <= right


@settings(common, max_examples=400)
@given(requests(), keys, policies)
@example(Request("POST", Headers([(HEADER, "é" * 44)]), b"{}", None), [KEY], Policy())
@example(Request("POST", Headers([(HEADER, "\ud800" * 44)]), b"{}", None), [KEY], Policy())
@example(Request("POST", Headers([("\0", "\0"), (HEADER, "\0")]), b"\0", None), [KEY], Policy())
@example(Request("POST", Headers([(HEADER, mac(b"[" * 200_000, KEY))]), b"[" * 200_000, None), [KEY], Policy())
def test_three_outcomes_and_authentic_only_by_the_signature(
    request: Request, configured: list[str], policy: Policy
) -> None:
    """Never an exception; accepted or held if and only if it is a POST within the limit whose HMAC is right."""
    outcome = screen(request, [SignatureKey(key) for key in configured], policy, NOW)
    within = max(len(request.body), request.length or 0) <= policy.max_body_bytes
    authentic = request.method == "POST" and within and genuine(request, configured)
    event(type(outcome).__name__)
    match outcome:
        case Accepted() | Quarantined():
            assert authentic
            assert outcome.message.body == request.body
            assert outcome.message.id == hashlib.sha256(request.body).hexdigest()
            values = [outcome.message.attributes[name] for name in outcome.message.attributes]
            assert all(value.isascii() and value.isprintable() and 0 < len(value) <= 1024 for value in values)
            held = request.source not in policy.allow_list and policy.source_ip_mode in (
                SourceIpMode.QUARANTINE,
                SourceIpMode.REJECT,
            )
            assert isinstance(outcome, Quarantined) or not held
        case Refused():
            assert not authentic
            assert outcome.status in (401, 403, 405, 413, 503)
            assert outcome.status != 503 or not configured
            assert (outcome.status == 405) is (request.method != "POST")


@settings(common, max_examples=200)
@given(bodies, st.sampled_from([KEY, NEWER_KEY]), addresses, policies)
def test_what_is_genuine_is_never_refused(body: bytes, key: str, source: str | None, policy: Policy) -> None:
    """Whatever bytes were signed and wherever they come from: accepted or held, as long as they are in the limit."""
    request = Request("POST", Headers([(HEADER, mac(body, key))]), body, source)
    outcome = screen(request, [SignatureKey(NEWER_KEY), SignatureKey(KEY)], policy, NOW)
    assert isinstance(outcome, Refused) is (len(body) > policy.max_body_bytes)


@settings(common, max_examples=200)
@given(st.binary(min_size=1, max_size=300), st.data())
def test_one_changed_byte_is_always_refused(body: bytes, data: st.DataObject) -> None:
    """A signature belongs to one body alone."""
    at, by = data.draw(st.integers(0, len(body) - 1)), data.draw(st.integers(1, 255))
    changed = body[:at] + bytes([body[at] ^ by]) + body[at + 1 :]
    request = Request("POST", Headers([(HEADER, mac(body, KEY))]), changed, "192.0.2.44")
    outcome = screen(request, [SignatureKey(KEY)], Policy(), NOW)
    assert isinstance(outcome, Refused)
    assert outcome.status == 401
