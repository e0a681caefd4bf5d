"""SQS as the queue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aws_lambda.sdk import Lazy, config, port_error
from core.message import QueueMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

MAX_BYTES: Final = 1_048_576
"""Body and attributes together: names, types and values (SQS quotas, since January 2026)."""
PREFIX: Final = "ce-"
_TYPE: Final = "String"
_REFUSED: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What SendMessage does not take (its API reference), less the surrogates, which UTF-8 cannot hold."""
_PERMANENT: Final = frozenset(
    {
        "AWS.SimpleQueueService.InvalidMessageContents",
        "InvalidMessageContents",
        "InvalidParameterValue",
        "InvalidParameterValueException",
    }
)


class SqsQueue:
    """A standard queue by its URL.

    Args:
        url: the queue's URL.
        seconds: what one send may take in all; the client's time-outs and retries follow from it.
        connections: how many sends run at once.
    """

    def __init__(self, url: str, seconds: float, connections: int) -> None:
        self._url: Final = url
        self._client: Final[Lazy[SQSClient]] = Lazy(
            lambda session: session.client("sqs", config=config(seconds, connections))
        )

    def connect(self) -> None:
        """Make the client now, while a cold start has a full core."""
        self._client.get()

    def takes(self, message: QueueMessage) -> bool:
        """Whether SQS accepts the message's size and characters, and whether its text round-trips to the same bytes."""
        attributes = sum(len(PREFIX + name) + len(_TYPE) + len(value) for name, value in message.attributes.items())
        if not message.body or len(message.body) + attributes > MAX_BYTES:
            return False
        try:
            return _REFUSED.search(message.body.decode()) is None
        except UnicodeDecodeError:
            return False

    def send(self, message: QueueMessage, timeout: float) -> None:  # noqa: ARG002 - set when the client was made
        """Send the message; SQS has stored it when this returns.

        Raises:
            PortError: it has not, or nobody knows.
        """
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            PREFIX + name: {"DataType": _TYPE, "StringValue": value} for name, value in message.attributes.items()
        }
        try:
            self._client.get().send_message(
                QueueUrl=self._url, MessageBody=message.body.decode(), MessageAttributes=attributes
            )
        except Exception as error:
            raise port_error(error, _PERMANENT) from error

    def discard(self) -> None:
        """Throw the client away."""
        self._client.discard()
