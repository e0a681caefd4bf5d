"""A consumer on AWS: a Lambda function on the queue, with ``ReportBatchItemFailures`` switched on.

Delivery is at least once, so an event's id is remembered once it was handled, in a DynamoDB table whose key is ``id``.
A record that cannot be read or handled is reported by itself: the others of its batch do not come again.

Its handler is ``aws_consumer.handler``. It reads from its environment ``DASTRA_STORE`` (the bucket's name) and
``DASTRA_SIGNATURE_KEYS`` (the validation keys), both in the receiver's notation, and ``HANDLED_TABLE`` (the name of the
DynamoDB table).
"""

import logging
import os
from typing import Any

import boto3

from aws_lambda.consumer import s3_fetch
from core.event import Event, EventError, Verification
from core.signature import parse_keys

FETCH = s3_fetch(boto3.client("s3"), os.environ["DASTRA_STORE"])
KEYS = parse_keys(os.environ["DASTRA_SIGNATURE_KEYS"])
HANDLED = boto3.resource("dynamodb").Table(os.environ["HANDLED_TABLE"])

logger = logging.getLogger(__name__)


def handle(event: Event) -> None:
    """Your work with an event that Dastra signed. ``event.envelope`` is personal data: keep it out of the log."""
    logger.info("%s %s", event.type, event.id)


def look_up(event: Event) -> None:
    """Your work with an event that was rebuilt from Dastra's log: a hint that nobody signed.

    Whoever can write to the queue can make one. So read the object that it names from Dastra's API and act on what you
    find there, on nothing that the event says. It is not remembered and may come twice.
    """
    # %r, since text that nobody signed may hold line breaks.
    logger.info("to be looked up: %r %r", event.type, event.id)


def read(record: dict[str, Any]) -> Event:
    """The event in a record, checked: Dastra signed it, or it is only a hint.

    Raises:
        EventError: the record is not one of ours, was changed, or lacks its signature.
    """
    event = Event.from_sqs(record, keys=KEYS, fetch=FETCH)
    if event.verification is Verification.INVALID:
        raise EventError("signed with none of our keys")
    return event


def take(event: Event) -> None:
    """Do with an event what its signature allows, with a signed one once."""
    if event.is_sample:
        return
    if event.verification is not Verification.VALID:
        # Its id is the word of whoever wrote it: remembered, it could keep out the event that really has that id.
        look_up(event)
    elif "Item" not in HANDLED.get_item(Key={"id": event.id}):
        handle(event)
        HANDLED.put_item(Item={"id": event.id})


def handler(batch: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's form
    """Take each record; name those that failed."""
    failures = []
    for record in batch["Records"]:
        try:
            take(read(record))
        except Exception as error:  # noqa: BLE001 - whatever it is, SQS gives the record again, then to the dead letters
            logger.warning("%s: %s", record["messageId"], type(error).__name__)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
