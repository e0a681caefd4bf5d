"""Following a claim check on AWS, pinned to one bucket's claims."""

from __future__ import annotations

import os

import boto3
import pytest
from botocore.exceptions import ClientError

from aws_lambda.consumer import MAX_BYTES, s3_fetch
from core.event import Event, EventError, Fetch, Verification
from tests.unit.aws_lambda.stub import Answer, Stub
from tests.unit.samples import KEY, event, message

BODY = event()
SENT = message()
PLACE = f"s3://invented-bucket/claims/{SENT.id}"


@pytest.fixture
def fetch(aws: Stub) -> Fetch:
    """As a consumer makes it, with a limit that the sample just reaches."""
    assert os.environ["AWS_ENDPOINT_URL"] == aws.url
    return s3_fetch(boto3.client("s3"), "invented-bucket", max_bytes=len(BODY))


def test_a_claim_is_read_from_the_bucket(aws: Stub, fetch: Fetch) -> None:
    """Its object's bytes, as they are."""
    aws.answer = Answer(BODY)
    assert fetch(PLACE) == BODY
    assert [(method, path) for method, path, _, _ in aws.asked] == [("GET", f"/invented-bucket/claims/{SENT.id}")]


def test_an_event_of_a_claim_check_verifies(aws: Stub, fetch: Fetch) -> None:
    """From the queue's record to the signed bytes."""
    aws.answer = Answer(BODY)
    pointer = SENT.as_pointer(PLACE)
    record = {
        "body": pointer.body.decode(),
        "messageAttributes": {
            f"ce-{name}": {"stringValue": value, "dataType": "String"} for name, value in pointer.attributes.items()
        },
    }
    found = Event.from_sqs(record, keys=[KEY], fetch=fetch)
    assert found.body == BODY
    assert found.verification is Verification.VALID


@pytest.mark.parametrize(
    "dataref",
    [
        "",
        "claims/abc",
        "/etc/passwd",
        "https://example.org/claims/abc",
        "s3://other-bucket/claims/abc",
        "s3://invented-bucket-2/claims/abc",
        "s3://invented-bucket/abc",
        "s3://invented-bucket/quarantine/abc",
        "s3://invented-bucket/claims/",
        "s3://invented-bucket/claims/../spool/abc",
        "s3://invented-bucket/claims/a/b",
        "s3://invented-bucket/claims//abc",
        "s3://invented-bucket/claims/abc?versionId=1",
        "s3://invented-bucket/claims/a%2Fb",
        "s3://invented-bucket/claims/abc ",
        "s3://invented-bucket/claims/abc\n",
        "S3://invented-bucket/claims/abc",
        f"x{PLACE}",
        f"{PLACE}{PLACE}",
    ],
)
def test_a_reference_to_anywhere_else_is_not_followed(aws: Stub, fetch: Fetch, dataref: str) -> None:
    """Whoever can write to the queue must not make a consumer read elsewhere: nothing is asked."""
    with pytest.raises(EventError, match=r"^the claim check does not point below s3://invented-bucket/claims/$"):
        fetch(dataref)
    assert aws.asked == []


def test_a_larger_object_is_not_read(aws: Stub, fetch: Fetch) -> None:
    """By one byte beyond the limit; at it, it is."""
    aws.answer = Answer(BODY + b"x")
    with pytest.raises(EventError, match=f"^the claim check's object is larger than {len(BODY)} bytes$"):
        fetch(PLACE)


def test_the_limit_is_four_times_what_a_receiver_takes() -> None:
    """16 MiB, unless a consumer says otherwise."""
    assert MAX_BYTES == 4 * 4 * 1024 * 1024


def test_an_error_of_s3_passes_through(aws: Stub, fetch: Fetch) -> None:
    """It is no fault of the message: the consumer tries again."""
    aws.answer = Answer(b"<Error><Code>AccessDenied</Code><Message>x</Message></Error>", 403)
    with pytest.raises(ClientError, match="AccessDenied"):
        fetch(PLACE)
