"""A consumer on AWS: a Lambda function on the queue, with ``ReportBatchItemFailures`` switched on.

Delivery is at least once, so an event's id is remembered once it was handled, in a DynamoDB table whose key is ``id``.
A record that cannot be read or handled is reported by itself: the others of its batch do not come again.
"""

import logging
import os
from typing import Any

import boto3

from aws_lambda.consumer import s3_fetch
from core.event import Event, EventError, Verification
from core.signature import parse_keys

FETCH = s3_fetch(boto3.client("s3"), os.environ["STORE"])
KEYS = parse_keys(os.environ["SIGNATURE_KEYS"])
HANDLED = boto3.resource("dynamodb").Table(os.environ["HANDLED_TABLE"])

logger = logging.getLogger(__name__)


def handle(event: Event) -> None:
    """Your work goes here. ``event.envelope`` is personal data: keep it out of the log."""
    logger.info("%s %s", event.type, event.id)


def read(record: dict[str, Any]) -> Event:
    """The event in a record, checked: nobody but the receiver's sender can have made it."""
    event = Event.from_sqs(record, keys=KEYS, fetch=FETCH)
    if event.verification is Verification.INVALID:
        raise EventError("signed with none of our keys")
    return event


def handler(batch: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's form
    """Handle each record once; name those that failed."""
    failures = []
    for record in batch["Records"]:
        try:
            event = read(record)
            if "Item" not in HANDLED.get_item(Key={"id": event.id}):
                handle(event)
                HANDLED.put_item(Item={"id": event.id})
        except Exception as error:  # noqa: BLE001 - whatever it is, SQS gives the record again, then to the dead letters
            logger.warning("%s: %s", record["messageId"], type(error).__name__)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
