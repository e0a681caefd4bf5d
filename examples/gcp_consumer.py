"""A consumer on Google Cloud: a program that pulls, or a function that Pub/Sub pushes to.

Delivery is at least once, so an event's id is remembered once it was handled: best in the transaction of your own work.
A message that is not acknowledged comes again; after as many times as the subscription says, it is with the dead
letters, and so is one that cannot be read.

    export SUBSCRIPTION=projects/<project>/subscriptions/<name> STORE=<bucket> SIGNATURE_KEYS=...
    python examples/gcp_consumer.py

A push subscription calls ``pushed`` (functions-framework --target pushed --source examples/gcp_consumer.py). Give it a
service account and let only that one in (roles/run.invoker): then the token is checked before this code runs.
"""

import logging
import os

import flask
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.pubsub_v1.subscriber.message import Message
from google.cloud.storage import Client

from core.event import Event, EventError, Verification
from core.signature import parse_keys
from gcp_function.consumer import gcs_fetch

FETCH = gcs_fetch(Client(), os.environ["STORE"])
KEYS = parse_keys(os.environ["SIGNATURE_KEYS"])
HANDLED: set[str] = set()
"""Yours is in a database."""

logger = logging.getLogger(__name__)


def handle(event: Event) -> None:
    """Your work goes here. ``event.envelope`` is personal data: keep it out of the log."""
    logger.info("%s %s", event.type, event.id)


def read(message: object) -> Event:
    """The event in a message, checked: nobody but the receiver's sender can have made it."""
    event = Event.from_pubsub(message, keys=KEYS, fetch=FETCH)
    if event.verification is Verification.INVALID:
        raise EventError("signed with none of our keys")
    return event


def take(message: object) -> bool:
    """Handle a message once; whether it may be acknowledged."""
    try:
        event = read(message)
        if event.id not in HANDLED:
            handle(event)
            HANDLED.add(event.id)
    except Exception as error:  # noqa: BLE001 - whatever it is, Pub/Sub gives it again, then to the dead letters
        logger.warning("not acknowledged: %s", type(error).__name__)
        return False
    return True


def pulled(message: Message) -> None:
    """What the client calls for each message."""
    if take(message):
        message.ack()
    else:
        message.nack()


def pushed(request: flask.Request) -> tuple[str, int]:
    """The HTTP function of a push subscription."""
    return ("", 204) if take(request.get_json(force=True, silent=True)) else ("", 500)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with SubscriberClient() as client:
        client.subscribe(os.environ["SUBSCRIPTION"], callback=pulled).result()
