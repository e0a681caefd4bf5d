"""One signed request through the real entry points of two clouds: the two messages are one message.

pytest tests/integration/test_gcp_same_message.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from cloudevents.http import from_http

from core.event import Event, Verification
from core.signature import SignatureKey
from tests import planted
from tests.contract.answers import ACCEPTED
from tests.contract.bypass import NAME, signed, sized
from tests.drivers import HttpRequest, Platform
from tests.drivers.aws import AwsDriver
from tests.drivers.gcp import GcpDriver

pytestmark = pytest.mark.emulator

Pair = tuple[AwsDriver, GcpDriver]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def both(platform_of: Callable[[str], Platform]) -> Iterator[Pair]:
    """A deployment on each, with the same key."""
    with ExitStack() as stack:
        aws = stack.enter_context(platform_of("aws").deploy())
        gcp = stack.enter_context(platform_of("gcp").deploy())
        assert isinstance(aws, AwsDriver)
        assert isinstance(gcp, GcpDriver)
        for driver in (aws, gcp):
            driver.build({"SOURCE_IP_MODE": "observe"}, keys=[planted.KEY])
        yield aws, gcp


def accepted(both: Pair, request: HttpRequest) -> tuple[Mapping[str, Any], Any]:
    """The one message that each queue has of the request, in the queue's own form."""
    aws, gcp = both
    assert aws.post(request) == ACCEPTED
    assert gcp.post(request) == ACCEPTED
    aws.messages(), gcp.messages()
    (record,), (received,) = aws.records, gcp.received
    return record, received.message


def requests() -> dict[str, HttpRequest]:
    """Genuine requests that differ in what the message says of them."""
    return {
        "plain": signed(),
        "traced": signed(None, ("traceparent", TRACE)),
        "unlisted": signed(client="198.51.100.7"),
        "without a date": signed(planted.body(date=None)),
        "nothing known": signed(b'{"x":"' + planted.nonce().encode() + b'"}'),
        "accents": signed(planted.body(eventName="événement 😀 " + planted.MARKER)),
        "bytes before": signed(b"\xef\xbb\xbf" + planted.body()),
    }


@pytest.mark.parametrize("name", requests())
def test_the_official_sdk_reads_two_equal_events(both: Pair, name: str) -> None:
    """Attribute by attribute and byte by byte, as the CloudEvents SDK reads them from the two queues."""
    request = requests()[name]
    record, message = accepted(both, request)
    on_sqs = {key: value["StringValue"] for key, value in record["MessageAttributes"].items()}
    on_pubsub = dict(message.attributes)
    assert on_sqs == on_pubsub
    first = from_http(on_sqs, record["Body"].encode(), data_unmarshaller=lambda data: data)
    second = from_http(on_pubsub, bytes(message.data), data_unmarshaller=lambda data: data)
    # Where there is no time, the SDK gives the event its own.
    own = set() if "ce-time" in on_sqs else {"time"}
    attributes = [{name: event[name] for name in event if name not in own} for event in (first, second)]
    assert attributes[0] == attributes[1]
    assert {f"ce-{name}" for name in attributes[0]} == on_sqs.keys()
    assert first.get_data() == second.get_data() == request.body
    assert first["specversion"] == "1.0"
    assert first["signature"] == dict(request.headers)[NAME]
    assert first["id"] == second["id"]


def test_consumers_of_both_clouds_see_one_event(both: Pair) -> None:
    """Our own typed event is equal too, verified on both sides; a consumer may be moved from one to the other."""
    record, message = accepted(both, signed())
    keys = [SignatureKey(planted.KEY)]
    first, second = Event.from_sqs(record, keys=keys), Event.from_pubsub(message, keys=keys)
    assert first == second
    assert first.verification is Verification.VALID


def test_claim_checks_differ_in_their_place_alone(both: Pair) -> None:
    """The pointers of a large event name two places, the same hash and the same size."""
    aws, gcp = both
    request = signed(sized(aws.queue_limit))
    assert aws.post(request) == gcp.post(request) == ACCEPTED
    (first,), (second,) = aws.messages(), gcp.messages()
    assert first.body == second.body == request.body
    places = first.attributes["dataref"], second.attributes["dataref"]
    assert places == (f"s3://{aws.bucket}/claims/{first.id}", f"gs://{gcp.bucket}/claims/{first.id}")
    assert {**first.attributes, "dataref": ""} == {**second.attributes, "dataref": ""}
