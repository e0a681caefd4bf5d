"""Pub/Sub as the queue."""

from __future__ import annotations

import os
from typing import Final

from google.api_core.exceptions import InvalidArgument
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.types import PublishRequest

from core.message import QueueMessage
from gcp_function.sdk import SOFT, Lazy, attempt, grpc_transport

MAX_BYTES: Final = 10_000_000
"""A whole publish request (Pub/Sub quotas: 10 MB)."""
MAX_ATTRIBUTES: Final = 100
MAX_NAME_BYTES: Final = 256
MAX_VALUE_BYTES: Final = 1024
PREFIX: Final = "ce-"
_RESERVED: Final = "goog"


def publisher() -> PublisherClient:
    """The generated client over gRPC, whose deadline covers connecting, TLS, credentials and the answer.

    Not ``google.cloud.pubsub_v1``, which publishes from a thread of its own that goes on after its caller gave up.
    """
    return PublisherClient(transport=grpc_transport(PublisherGrpcTransport, os.environ.get("PUBSUB_EMULATOR_HOST")))


class PubsubQueue:
    """A topic by its path, ``projects/PROJECT/topics/TOPIC``."""

    def __init__(self, topic: str) -> None:
        self._topic: Final = topic
        self._client: Final = Lazy(publisher)

    def takes(self, message: QueueMessage) -> bool:
        """Whether Pub/Sub accepts the message's size and attributes. A body may be any bytes."""
        if not message.body and not message.attributes:
            return False
        attributes = {(PREFIX + name).encode(): value.encode() for name, value in message.attributes.items()}
        if len(attributes) > MAX_ATTRIBUTES or any(
            len(name) > MAX_NAME_BYTES or name.startswith(_RESERVED.encode()) or len(value) > MAX_VALUE_BYTES
            for name, value in attributes.items()
        ):
            return False
        # The exact size only where it matters: the request is then made twice.
        roughly = len(message.body) + sum(len(name) + len(value) + 16 for name, value in attributes.items()) + 1024
        return roughly <= MAX_BYTES or self._size(message) <= MAX_BYTES

    def send(self, message: QueueMessage, timeout: float) -> None:
        """Publish the message; Pub/Sub has stored it when this returns.

        Raises:
            PortError: it has not, or nobody knows.
        """
        request = self._request(message)

        def publish(client: PublisherClient, seconds: float) -> None:
            client.publish(request=request, retry=None, timeout=seconds)

        attempt(self._client, publish, timeout * SOFT, InvalidArgument)

    def discard(self) -> None:
        """Throw the client away."""
        self._client.discard()

    def _request(self, message: QueueMessage) -> PublishRequest:
        request = PublishRequest(topic=self._topic)
        # Through the plain protobuf class beneath: the wrapper would hold the body twice.
        PublishRequest.pb(request).messages.add(
            data=message.body, attributes={PREFIX + name: value for name, value in message.attributes.items()}
        )
        return request

    def _size(self, message: QueueMessage) -> int:
        return int(PublishRequest.pb(self._request(message)).ByteSize())
