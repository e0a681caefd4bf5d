r"""Another queue on AWS: an SNS topic, whose subscriptions are queues of their own, each with a filter.

The receiver publishes once; SNS copies the event to every queue whose filter policy lets it through. With raw delivery
the queues hold exactly what the contract says, so consumers need no change. For each queue, once, with your own ARNs:

    aws sns subscribe --topic-arn arn:aws:sns:eu-west-3:123456789012:dastra-events \
      --protocol sqs --notification-endpoint arn:aws:sqs:eu-west-3:123456789012:team-a \
      --attributes '{"RawMessageDelivery": "true", "FilterPolicy": "{\"ce-source\": [\"urn:dastra:webhook:1041\"]}"}'

Copied into ``aws_lambda/``, since a bundle holds nothing else, it takes the place of ``SqsQueue`` in ``wiring.py``.
In the template ``DASTRA_QUEUE`` is then the topic's ARN, and the roles of receiver and redrive may ``sns:Publish`` to
it. An event that no filter lets through is gone: give one queue no filter, or a dead-letter queue to each subscription
and an alarm.
"""

from __future__ import annotations

from typing import Any, Final

from aws_lambda.sdk import Lazy, config, port_error
from aws_lambda.sqs_queue import PREFIX, SqsQueue
from core.message import QueueMessage

MAX_BYTES: Final = 262_144
"""Body and attributes together (SNS's Publish, API reference); a larger event becomes a claim check."""
_PERMANENT: Final = frozenset({"InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid"})


class TopicQueue:
    """A standard topic by its ARN.

    Args:
        arn: the topic's ARN.
        seconds: what one publish may take in all; the client's time-outs and retries follow from it.
        connections: how many run at once.
    """

    def __init__(self, arn: str, seconds: float, connections: int) -> None:
        self._arn: Final = arn
        self._of_subscribers: Final = SqsQueue("", seconds, connections)
        self._client: Final[Lazy[Any]] = Lazy(
            lambda session: session.client("sns", config=config(seconds, connections))
        )

    def connect(self) -> None:
        """Make the client now, while a cold start has a full core."""
        self._client.get()

    def takes(self, message: QueueMessage) -> bool:
        """Whether the topic takes the message's size, and the queues behind it its characters."""
        size = sum(len(PREFIX + name) + len(value) + len("String") for name, value in message.attributes.items())
        return self._of_subscribers.takes(message) and len(message.body) + size <= MAX_BYTES

    def send(self, message: QueueMessage, timeout: float) -> None:  # noqa: ARG002 - set when the client was made
        """Publish the message; SNS has stored it when this returns.

        Raises:
            PortError: it has not, or nobody knows.
        """
        attributes = {
            PREFIX + name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        }
        try:
            self._client.get().publish(TopicArn=self._arn, Message=message.body.decode(), MessageAttributes=attributes)
        except Exception as error:
            raise port_error(error, _PERMANENT) from error

    def discard(self) -> None:
        """Throw the client away."""
        self._client.discard()
