"""Whatever is fed to `explain`: it does not raise, it calls valid what the receiver would, and it invents nothing."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cli.breaking import EventSender
from cli.doctor.attacks import ATTACKS, Group
from cli.exits import CliError
from cli.explain.capture import Capture, read_captures
from cli.explain.key_forms import GivenKey
from cli.explain.verdict import Outcome, Verdict, explain_request
from core.signature import SignatureKey, matching_key, read_signature
from tests import planted
from tests.cli.test_explain_captures import dump, har, har_entry, packet, raw

KEY: Final = SignatureKey(planted.KEY)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
bodies = (
    st.binary(max_size=60)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.text(max_size=40).map(lambda text: text.encode("utf-16", "surrogatepass"))
    | st.binary(max_size=40).map(base64.b64encode)
)
headers = st.lists(
    st.text(max_size=60)
    | st.binary(max_size=70).map(lambda data: base64.b64encode(data).decode())
    | st.binary(min_size=32, max_size=32).map(bytes.hex)
    | st.text(alphabet="ABCab01+/-_=%\"' ,sha256:", max_size=60),
    min_size=1,
    max_size=3,
)


def bounded(body: bytes, values: tuple[str, ...], tries: int) -> Verdict:
    """A verdict after so many tries, by a clock that goes on with each."""
    capture = Capture("POST", "/", tuple(("Dastra-Signature", value) for value in values), body)
    return explain_request(capture, [GivenKey(KEY, "test")], seconds=tries, clock=itertools.count().__next__)


@given(body=bodies, other=st.binary(min_size=16, max_size=40))
@settings(max_examples=25, deadline=None)
def test_a_random_unrelated_body_is_never_explained(body: bytes, other: bytes) -> None:
    """A signature over another, random body is never explained, though every combination is tried."""
    capture = Capture("POST", "/", (("Dastra-Signature", planted.signature(b"unrelated" + other)),), body)
    verdict = explain_request(capture, [GivenKey(KEY, "test")], seconds=60)
    assert verdict.outcome in (Outcome.UNEXPLAINED, Outcome.SUSPECTED)
    assert verdict.because == ()
    assert verdict.complete


@given(body=bodies, short=st.binary(min_size=1, max_size=15))
@settings(max_examples=40, deadline=None)
def test_a_short_signature_is_never_explained(body: bytes, short: bytes) -> None:
    """A few bytes would match something by chance, so they count as no signature, in base64 and in hexadecimal."""
    for value in (base64.b64encode(short).decode(), short.hex()):
        assert bounded(body, (value,), tries=2000).because == ()


@given(body=bodies, values=headers)
@example(b"", ("",))
@example(b"{}", ("A" * 100_000,))
@example(b"{}", ("," * 10_000,))
@example(b"{}", ("é" * 44, "\ud800"))
@example(b'{"a":' * 20_000, ("A" * 43 + "=",))
@example(b'{"a":%b}' % (b"9" * 5000), ("A" * 43 + "=",))
@example(b'{"a":"\\ud800","b":1e999,"c":-Infinity}', ("A" * 43 + "=",))
@settings(max_examples=150, deadline=None)
def test_no_input_makes_it_raise(body: bytes, values: list[str]) -> None:
    """Any body with any headers gets a verdict; `valid` is what the receiver's own check says, and nothing else."""
    verdict = bounded(body, tuple(values), tries=3000)
    digest = read_signature(values)
    accepted = isinstance(digest, bytes) and matching_key(body, digest, [KEY]) is not None
    assert (verdict.outcome is Outcome.VALID) == accepted
    json.dumps(verdict.as_json())


@given(body=bodies)
@settings(max_examples=50, deadline=None)
def test_what_is_right_is_valid(body: bytes) -> None:
    """A right signature is valid for any body, whatever else is odd about it."""
    assert bounded(body, (planted.signature(body),), tries=10).outcome is Outcome.VALID


def test_no_attack_is_called_valid() -> None:
    """Of all that the receiver must refuse, only what fails by its method carries a right signature."""
    sender = EventSender(planted.body, KEY)
    valid = set[Group]()
    for attack in ATTACKS:
        sent = attack.make(sender)
        if bounded(sent.body, tuple(v for n, v in sent.headers if n.lower() == "dastra-signature"), 500).outcome is (
            Outcome.VALID
        ):
            valid.add(attack.group)
    assert valid == {Group.METHOD}


def _captures() -> list[bytes]:
    body = planted.body()
    trace = (
        b"=> Send header, 20 bytes (0x14)\n0000: 50 4f 53 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d POST\n0010: 0a 0d\n"
    )
    return [raw(body), har(har_entry(body)), dump(packet(raw(body), 1)), trace, b"> POST / HTTP/1.1\n> Host: x\n> \n"]


CAPTURES: Final = _captures()
"""Made once: a nonce changes their lengths, and what is drawn depends on these."""


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_capture_makes_it_raise(data: st.DataObject) -> None:
    """Captures that were cut, joined and written into give requests or an error of ours, never anything else."""
    pieces: list[Any] = []
    for whole in data.draw(st.lists(st.sampled_from(CAPTURES), min_size=1, max_size=3)):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
        pieces += [whole[start:end], data.draw(st.binary(max_size=8))]
    try:
        found = read_captures(b"".join(pieces), "capture")
    except CliError:
        return
    assert all(isinstance(capture.body, bytes) for capture in found)
