"""The consumer's side on real messages: what the receiver put on the queue, read back as a user's code reads it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import boto3
import pytest
from cloudevents.http import from_http

from aws_lambda.consumer import s3_fetch
from cli.doctor.sender import DoctorSender
from cli.samples import sample
from core.event import RECONCILED_PREFIX, Event, EventError, Verification
from core.message import event_id
from core.signature import SignatureKey
from tests import planted
from tests.contract.answers import ACCEPTED, QUARANTINED
from tests.contract.bypass import signed, sized
from tests.drivers import UNLISTED, HttpRequest, Port
from tests.drivers.aws import AwsDriver
from tests.planted import KEY, OTHER_KEY

pytestmark = pytest.mark.emulator

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "aws_consumer.py"
TRACE: Final = f"00-{'1f' * 16}-{'0a' * 8}-01"


def as_record(message: Mapping[str, Any]) -> dict[str, Any]:
    """What Lambda hands to a consumer of the message that ``receive_message`` returned (AWS's SQS event)."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {
            name: {
                "stringValue": value["StringValue"],
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value["DataType"],
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:example",
        "awsRegion": "eu-west-1",
    }


def on_the_queue(aws: AwsDriver, *requests: HttpRequest) -> list[dict[str, Any]]:
    """Post the requests and return the messages as ``receive_message`` gave them."""
    aws.build({"SOURCE_IP_MODE": "observe"}, keys=[KEY])
    for request in requests:
        assert aws.post(request) == ACCEPTED
    aws.messages()
    return aws.records


def without(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The attributes less one."""
    return {key: value for key, value in attributes.items() if key != name}


@pytest.mark.parametrize("shape", ["lambda", "receive_message"])
def test_an_event_is_read_from_both_shapes(aws: AwsDriver, shape: str) -> None:
    """A record of a Lambda function and a message of boto3 give the same typed event, verified again."""
    request = signed(planted.body(webhookId=7, eventType="TaskEdit"))
    (message,) = on_the_queue(aws, request)
    event = Event.from_sqs(as_record(message) if shape == "lambda" else message, keys=[SignatureKey(KEY)])
    assert event.id == event_id(request.body)
    assert (event.type, event.source, event.time) == ("TaskEdit", "urn:dastra:webhook:7", "2026-03-02T09:16:03.700000Z")
    assert event.body == request.body
    assert event.verification is Verification.VALID
    assert not event.unlisted_address
    assert event.envelope is not None
    assert event.envelope.data["email"].startswith(planted.MARKER)


def test_an_event_is_checked_again(aws: AwsDriver) -> None:
    """With another key or no signature it is invalid, without a key not verified, and a changed body is an error."""
    (message,) = on_the_queue(aws, signed(client=UNLISTED))
    assert Event.from_sqs(message, keys=[SignatureKey(OTHER_KEY)]).verification is Verification.INVALID
    assert Event.from_sqs(message).verification is Verification.UNVERIFIABLE
    assert Event.from_sqs(message).unlisted_address
    unsigned = {**message, "MessageAttributes": without(message["MessageAttributes"], "ce-signature")}
    assert Event.from_sqs(unsigned, keys=[SignatureKey(KEY)]).verification is Verification.INVALID
    with pytest.raises(EventError, match="id names"):
        Event.from_sqs({**message, "Body": message["Body"] + " "})
    with pytest.raises(EventError, match="lacks ce-id, ce-source, ce-type"):
        Event.from_sqs({"Body": message["Body"]})


def test_a_claim_check_is_followed(aws: AwsDriver) -> None:
    """A body above the queue's limit comes back whole through the pinned fetch, and not without one."""
    request = signed(sized(aws.queue_limit))
    (message,) = on_the_queue(aws, request)
    assert len(message["Body"]) < 1000
    event = Event.from_sqs(message, keys=[SignatureKey(KEY)], fetch=s3_fetch(boto3.client("s3"), aws.bucket))
    assert event.body == request.body
    assert event.verification is Verification.VALID
    with pytest.raises(EventError, match="fetch"):
        Event.from_sqs(message)
    small = s3_fetch(boto3.client("s3"), aws.bucket, max_bytes=1000)
    with pytest.raises(EventError, match="larger than 1000"):
        Event.from_sqs(message, fetch=small)


def test_characters_that_sqs_refuses_make_a_claim_check(aws: AwsDriver) -> None:
    """U+FFFE is JSON but no message body on SQS: the bytes travel through the store."""
    request = signed(planted.body(eventName=f"\ufffe {planted.MARKER}"))
    (message,) = on_the_queue(aws, request)
    event = Event.from_sqs(message, keys=[SignatureKey(KEY)], fetch=s3_fetch(boto3.client("s3"), aws.bucket))
    assert (event.body, event.verification) == (request.body, Verification.VALID)


@pytest.mark.parametrize(
    "place",
    [
        "s3://other-bucket/claims/{name}",
        "s3://{bucket}/spool/{name}",
        "s3://{bucket}/quarantine/{name}",
        "s3://{bucket}/claims/../spool/{name}",
        "s3://{bucket}/claims/%2e%2e/spool/{name}",
        "s3://{bucket}/claims//{name}",
        "s3://{bucket}/claims/",
        "s3://{bucket}/claims",
        "s3://{bucket}x/claims/{name}",
        "s3://{bucket}/claims/{name}?versionId=1",
        "s3://{bucket}/claims/{name}/..",
        "s3://{bucket}@evil.example/claims/{name}",
        "S3://{bucket}/claims/{name}",
        "https://{bucket}.s3.amazonaws.com/claims/{name}",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "/etc/passwd",
        " s3://{bucket}/claims/{name}",
        "s3://{bucket}/claims/{name}\n",
        "",
    ],
)
def test_the_fetch_reads_nowhere_else(aws: AwsDriver, place: str) -> None:
    """Whoever can write to the queue chooses the reference: all but the bucket's ``claims/`` is refused, unread."""
    name = "a" * 64
    for key in (f"claims/{name}", f"spool/{name}", f"quarantine/{name}"):
        aws.plant(key, b"{}", {})
    fetch = s3_fetch(boto3.client("s3"), aws.bucket)
    assert fetch(f"s3://{aws.bucket}/claims/{name}") == b"{}"
    asked = aws.requests(Port.STORE)
    with pytest.raises(EventError):
        fetch(place.format(bucket=aws.bucket, name=name))
    assert aws.requests(Port.STORE) == asked


def test_a_forged_pointer_is_refused(aws: AwsDriver) -> None:
    """A pointer that names another body, or two places, is an error and not an event."""
    (message,) = on_the_queue(aws, signed(sized(aws.queue_limit)))
    fetch = s3_fetch(boto3.client("s3"), aws.bucket)
    name = event_id(b"{}")
    aws.plant(f"claims/{name}", b"{}", {})
    place = f"s3://{aws.bucket}/claims/{name}"
    attributes = {**message["MessageAttributes"], "ce-dataref": {"DataType": "String", "StringValue": place}}
    for body in (message["Body"], f'{{"dataref":"{place}","sha256":"{name}","size":2}}', "{}", "[]", "x"):
        with pytest.raises(EventError):
            Event.from_sqs({**message, "Body": body, "MessageAttributes": attributes}, fetch=fetch)


def test_a_released_event_that_is_no_envelope(aws: AwsDriver) -> None:
    """What a person released from quarantine is an event without an envelope, verified all the same."""
    aws.build(keys=[KEY])
    request = signed(f'["{planted.MARKER}"]'.encode())
    assert aws.post(request) == QUARANTINED
    aws.release(aws.stored("quarantine/")[0].key, vouched=False)
    aws.messages()
    event = Event.from_sqs(aws.records[0], keys=[SignatureKey(KEY)])
    assert (event.envelope, event.type, event.body) == (None, "unclassified", request.body)
    assert event.verification is Verification.VALID


@pytest.mark.parametrize("large", [False, True])
def test_the_official_sdk_reads_our_attributes(aws: AwsDriver, large: bool) -> None:
    """The ``cloudevents`` SDK takes body and attributes for an event, and its fields equal ours."""
    body = sized(aws.queue_limit) if large else planted.body()
    (message,) = on_the_queue(aws, signed(body, ("traceparent", TRACE), client=UNLISTED))
    headers = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    theirs = from_http({**headers, "content-type": "application/json"}, message["Body"])
    ours = Event.from_sqs(message, fetch=s3_fetch(boto3.client("s3"), aws.bucket))
    attributes = dict(theirs.get_attributes())
    assert attributes.pop("datacontenttype") == "application/json"
    assert attributes == dict(ours.attributes)
    assert (theirs["specversion"], theirs["id"], theirs["source"]) == ("1.0", ours.id, ours.source)
    assert theirs["type"] == f"eu.dastra.{ours.type}"
    assert ours.time is not None
    assert datetime.fromisoformat(theirs["time"]) == ours.occurred_at
    assert (theirs["traceparent"], theirs["sourceipcheck"]) == (TRACE, "unlisted")
    assert ("dataref" in attributes) is large
    data = theirs.get_data()
    assert isinstance(data, dict)
    if large:
        assert data["dataref"] == attributes["dataref"]
    else:
        assert ours.envelope is not None
        assert data["eventType"] == ours.envelope.event_type


@pytest.fixture
def example(aws: AwsDriver, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example, imported with its settings and its table."""
    table = boto3.client("dynamodb")
    table.create_table(
        TableName=aws.bucket,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    monkeypatch.setenv("DASTRA_STORE", aws.bucket)
    monkeypatch.setenv("DASTRA_SIGNATURE_KEYS", KEY)
    monkeypatch.setenv("HANDLED_TABLE", aws.bucket)
    spec = importlib.util.spec_from_file_location("aws_consumer", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_consumer(aws: AwsDriver, example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """It handles each event once, follows claim checks, and reports exactly the records that failed."""
    small, large, failing = signed(), signed(sized(aws.queue_limit)), signed(planted.body(eventType="Failing"))
    records = [as_record(message) for message in on_the_queue(aws, small, large, failing, small)]
    foreign = {**records[0], "messageId": "foreign", "messageAttributes": {}}
    changed = {**records[0], "messageId": "changed", "body": records[0]["body"].replace("17", "18")}
    other = signed(key=OTHER_KEY)
    aws.build({"SOURCE_IP_MODE": "observe"}, keys=[OTHER_KEY])
    assert aws.post(other) == ACCEPTED
    aws.messages()
    unsigned = as_record(aws.records[-1])
    handled: list[bytes] = []

    def handle(event: Event) -> None:
        if event.type == "Failing":
            raise RuntimeError("the work failed")
        handled.append(event.body)

    monkeypatch.setattr(example, "handle", handle)
    answer = example.handler({"Records": [*records, foreign, changed, unsigned]}, None)
    assert handled == [small.body, large.body]
    failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert failed == [records[2]["messageId"], "foreign", "changed", unsigned["messageId"]]

    again = example.handler({"Records": records[:2]}, None)
    assert again == {"batchItemFailures": []}
    assert handled == [small.body, large.body]


def test_the_example_acts_on_nothing_that_dastra_did_not_sign(
    aws: AwsDriver, example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that lacks its signature fails; what was rebuilt from Dastra's log is a hint, and holds up no event."""
    (message,) = on_the_queue(aws, signed())
    genuine = as_record(message)
    forged = {
        **genuine,
        "messageId": "forged",
        "messageAttributes": without(genuine["messageAttributes"], "ce-signature"),
    }
    source = {"stringValue": f"{RECONCILED_PREFIX}7", "dataType": "String"}
    hint = {**forged, "messageId": "hint", "messageAttributes": {**forged["messageAttributes"], "ce-source": source}}
    handled: list[Event] = []
    looked_up: list[Event] = []
    monkeypatch.setattr(example, "handle", handled.append)
    monkeypatch.setattr(example, "look_up", looked_up.append)
    # The hint has the genuine event's id, and comes first.
    answer = example.handler({"Records": [forged, hint, genuine]}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "forged"}]}
    assert [event.source for event in looked_up] == [f"{RECONCILED_PREFIX}7"]
    assert [event.verification for event in handled] == [Verification.VALID]


def test_the_example_drops_samples(aws: AwsDriver, example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line made up is taken off the queue and not handled, small or large."""
    doctor = DoctorSender(KEY)
    records = [as_record(message) for message in on_the_queue(aws, *map(signed, (sample().body, doctor.large())))]
    monkeypatch.setattr(example, "handle", lambda _: pytest.fail("handled"))
    assert example.handler({"Records": records}, None) == {"batchItemFailures": []}


def test_the_example_logs_no_event(aws: AwsDriver, example: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    """As it stands it logs the type and the id; the log check looks for the rest."""
    caplog.set_level("INFO", logger="aws_consumer")
    records = [as_record(message) for message in on_the_queue(aws, signed())]
    assert example.handler({"Records": records}, None) == {"batchItemFailures": []}
    assert event_id(records[0]["body"].encode()) in caplog.text
