"""A consumer on Azure: a program that takes messages off the queue, completes them, or puts them with the dead letters.

Delivery is at least once, so an event's id is remembered once it was handled: best in the transaction of your own work.
A message that cannot be read comes no better a second time, hence the dead letters; one that could not be handled is
given back, and Service Bus itself dead-letters it after as many deliveries as the queue says.

It wants three names in its environment: DASTRA_QUEUE (<namespace>.servicebus.windows.net/<queue>), DASTRA_STORE (the
container's URL) and DASTRA_SIGNATURE_KEYS, and somebody who is logged in.
"""

import logging
import os
from collections.abc import Callable, Iterable

from azure.identity import DefaultAzureCredential
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver
from azure.storage.blob import ContainerClient

from azure_function.consumer import blob_fetch
from core.event import Event, EventError, Fetch, Verification
from core.signature import SignatureKey, parse_keys

logger = logging.getLogger(__name__)


def handle(event: Event) -> None:
    """Your work goes here. ``event.envelope`` is personal data: keep it out of the log."""
    logger.info("%s %s", event.type, event.id)


def read(message: ServiceBusReceivedMessage, keys: Iterable[SignatureKey], fetch: Fetch) -> Event:
    """The event in a message, checked: nobody but the receiver's sender can have made it.

    Raises:
        EventError: the message is not one of ours, or was changed.
    """
    event = Event.from_service_bus(message, keys=keys, fetch=fetch)
    if event.verification is Verification.INVALID:
        raise EventError("signed with none of our keys")
    return event


def consume(
    receiver: ServiceBusReceiver,
    keys: tuple[SignatureKey, ...],
    fetch: Fetch,
    handled: set[str],
    work: Callable[[Event], None] = handle,
) -> None:
    """Take what the receiver has, until it has had nothing for as long as it was told to wait."""
    for message in receiver:
        try:
            event = read(message, keys, fetch)
            if event.id not in handled:
                work(event)
                handled.add(event.id)
        except EventError as error:
            logger.warning("%s: %s", message.message_id, error)
            receiver.dead_letter_message(message, reason="unreadable", error_description=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the message comes again
            logger.warning("%s: %s", message.message_id, type(error).__name__)
            receiver.abandon_message(message)
        else:
            receiver.complete_message(message)


def main() -> None:
    """Consume for ever."""
    logging.basicConfig(level=logging.INFO)
    credential = DefaultAzureCredential()
    namespace, _, queue = os.environ["DASTRA_QUEUE"].partition("/")
    keys = parse_keys(os.environ["DASTRA_SIGNATURE_KEYS"])
    store = ContainerClient.from_container_url(os.environ["DASTRA_STORE"], credential)
    handled: set[str] = set()
    with ServiceBusClient(namespace, credential) as client, client.get_queue_receiver(queue) as receiver:
        consume(receiver, keys, blob_fetch(store), handled)


if __name__ == "__main__":
    main()
