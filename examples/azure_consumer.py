"""A consumer on Azure: a program that takes messages off the queue, completes them, or puts them with the dead letters.

Delivery is at least once, so an event's id is remembered once it was handled: best in the transaction of your own work.
A message that cannot be read comes no better a second time, hence the dead letters; one that could not be handled is
given back, and Service Bus itself dead-letters it after as many deliveries as the queue says.

It reads from its environment ``DASTRA_QUEUE`` (the queue), ``DASTRA_STORE`` (the container's URL) and
``DASTRA_SIGNATURE_KEYS`` (the validation keys), all in the receiver's notation, and signs in as whoever ``az login``
says, or as the managed identity where there is one. With your own values:

    export DASTRA_QUEUE=my-namespace.servicebus.windows.net/dastra-events
    export DASTRA_STORE=https://myaccount.blob.core.windows.net/my-container
    export DASTRA_SIGNATURE_KEYS=00000000-1111-4222-8333-444444444444
    .venv/bin/python examples/azure_consumer.py
"""

import logging
import os
from collections.abc import Callable, Iterable
from functools import partial

from azure.identity import DefaultAzureCredential
from azure.servicebus import AutoLockRenewer, ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import ServiceBusError
from azure.storage.blob import ContainerClient

from azure_function.consumer import blob_fetch
from core.event import Event, EventError, Fetch, Verification
from core.signature import SignatureKey, parse_keys

LONGEST_WORK = 300
"""Seconds for which a message's lock is renewed while you work on it; the queue's own lock is 60 seconds long."""

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


def read(message: ServiceBusReceivedMessage, keys: Iterable[SignatureKey], fetch: Fetch) -> Event:
    """The event in a message, checked: Dastra signed it, or it is only a hint.

    Raises:
        EventError: the message is not one of ours, was changed, or lacks its signature.
    """
    event = Event.from_service_bus(message, keys=keys, fetch=fetch)
    if event.verification is Verification.INVALID:
        raise EventError("signed with none of our keys")
    return event


def take(event: Event, handled: set[str], work: Callable[[Event], None], hint: Callable[[Event], None]) -> None:
    """Do with an event what its signature allows, with a signed one once."""
    if event.is_sample:
        return
    if event.verification is not Verification.VALID:
        # Its id is the word of whoever wrote it: remembered, it could keep out the event that really has that id.
        hint(event)
    elif event.id not in handled:
        work(event)
        handled.add(event.id)


def settle(message: ServiceBusReceivedMessage, how: Callable[[ServiceBusReceivedMessage], None]) -> None:
    """Tell the queue what becomes of a message.

    Where that fails, mostly because its lock was lost meanwhile, this message comes again and no other is touched.
    """
    try:
        how(message)
    except ServiceBusError as error:
        logger.warning("%s: not settled, comes again: %s", message.message_id, type(error).__name__)


def consume(
    receiver: ServiceBusReceiver,
    keys: tuple[SignatureKey, ...],
    fetch: Fetch,
    handled: set[str],
    work: Callable[[Event], None] = handle,
    hint: Callable[[Event], None] = look_up,
) -> None:
    """Take what the receiver has, until it has had nothing for as long as it was told to wait.

    Raises:
        ServiceBusError: the queue cannot be read, and the SDK has tried several times.
    """
    with AutoLockRenewer(max_lock_renewal_duration=LONGEST_WORK) as renewer:
        for message in receiver:
            renewer.register(receiver, message)
            try:
                take(read(message, keys, fetch), handled, work, hint)
            except EventError as error:
                logger.warning("%s: %s", message.message_id, error)
                bury = partial(receiver.dead_letter_message, reason="unreadable", error_description=str(error))
                settle(message, bury)
            except Exception as error:  # noqa: BLE001 - whatever it is, the message comes again
                logger.warning("%s: %s", message.message_id, type(error).__name__)
                settle(message, receiver.abandon_message)
            else:
                settle(message, receiver.complete_message)


def main() -> None:
    """Consume for ever; let whatever starts this start it again where the queue was out of reach for too long."""
    logging.basicConfig(level=logging.INFO)  # at DEBUG the SDK logs whole messages, personal data and all
    credential = DefaultAzureCredential()
    namespace, _, queue = os.environ["DASTRA_QUEUE"].partition("/")
    keys = parse_keys(os.environ["DASTRA_SIGNATURE_KEYS"])
    store = ContainerClient.from_container_url(os.environ["DASTRA_STORE"], credential)
    handled: set[str] = set()
    with ServiceBusClient(namespace, credential) as client, client.get_queue_receiver(queue) as receiver:
        consume(receiver, keys, blob_fetch(store), handled)


if __name__ == "__main__":
    main()
