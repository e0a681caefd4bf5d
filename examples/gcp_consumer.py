"""A consumer on Google Cloud: a program that pulls, or a function that Pub/Sub pushes to.

Delivery is at least once, so an event's id is remembered once it was handled: best in the transaction of your own work.
A message that is not acknowledged comes again; after as many times as the subscription says, it is with the dead
letters, and so is one that cannot be read.

It reads from its environment ``DASTRA_STORE`` (the bucket's name) and ``DASTRA_SIGNATURE_KEYS`` (the validation keys),
both in the receiver's notation, and where it pulls also ``SUBSCRIPTION``. With your own values:

    export DASTRA_STORE=my-bucket
    export DASTRA_SIGNATURE_KEYS=00000000-1111-4222-8333-444444444444
    export SUBSCRIPTION=projects/my-project/subscriptions/my-subscription
    .venv/bin/python examples/gcp_consumer.py

A push subscription calls ``pushed``. Give it a service account and let only that one in (roles/run.invoker): then the
token is checked before this code runs. To try it on this machine, at port 8080 or the one in ``PORT``:

    .venv/bin/functions-framework --target pushed --source examples/gcp_consumer.py
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

FETCH = gcs_fetch(Client(), os.environ["DASTRA_STORE"])
KEYS = parse_keys(os.environ["DASTRA_SIGNATURE_KEYS"])
HANDLED: set[str] = set()
"""Yours is in a database."""

logger = logging.getLogger(__name__)


def handle(event: Event) -> None:
    """Your work with an event that Dastra signed. ``event.envelope`` is personal data: keep it out of the log."""
    logger.info("%s %s", event.type, event.id)


def look_up(event: Event) -> None:
    """Your work with an event that was rebuilt from Dastra's log: a hint that nobody signed.

    Whoever can write to the topic can make one. So read the object that it names from Dastra's API and act on what you
    find there, on nothing that the event says. It is not remembered and may come twice.
    """
    # %r, since text that nobody signed may hold line breaks.
    logger.info("to be looked up: %r %r", event.type, event.id)


def read(message: object) -> Event:
    """The event in a message, checked: Dastra signed it, or it is only a hint.

    Raises:
        EventError: the message is not one of ours, was changed, or lacks its signature.
    """
    event = Event.from_pubsub(message, keys=KEYS, fetch=FETCH)
    if event.verification is Verification.INVALID:
        raise EventError("signed with none of our keys")
    return event


def work(event: Event) -> None:
    """Do with an event what its signature allows, with a signed one once."""
    if event.is_sample:
        return
    if event.verification is not Verification.VALID:
        # Its id is the word of whoever wrote it: remembered, it could keep out the event that really has that id.
        look_up(event)
    elif event.id not in HANDLED:
        handle(event)
        HANDLED.add(event.id)


def take(message: object) -> bool:
    """Do what there is to do with a message; whether it may be acknowledged."""
    try:
        work(read(message))
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
