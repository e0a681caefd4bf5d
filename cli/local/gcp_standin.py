"""Pub/Sub and Secret Manager in this process, in their own gRPC, with the limits that Google documents.

Google has no emulator of Secret Manager, and its emulator of Pub/Sub is a Java program that is not always there and
enforces almost no limit. Sources of the limits: Pub/Sub's "Quotas and limits" and its REST reference of PubsubMessage;
Secret Manager's "Quotas and limits".
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Self

import grpc
from google.cloud.secretmanager_v1 import types as secret_types
from google.protobuf import empty_pb2
from google.pubsub_v1 import types as pubsub_types

from cli.local.faults import LOOPBACK

MOST_REQUEST_BYTES: Final = 10_000_000
MOST_MESSAGES: Final = 1000
MOST_ATTRIBUTES: Final = 100
MOST_NAME_BYTES: Final = 256
MOST_VALUE_BYTES: Final = 1024
MOST_SECRET_BYTES: Final = 65_536
_ANY_SIZE: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

Method = Callable[[Any, grpc.ServicerContext], Any]


@dataclass(slots=True)
class _Waiting:
    message: pubsub_types.PubsubMessage
    attempts: int = 0


@dataclass(slots=True)
class _Subscription:
    topic: str
    ack_seconds: float
    waiting: deque[_Waiting] = field(default_factory=deque)
    out: dict[str, tuple[float, _Waiting]] = field(default_factory=dict)


class GcpStandIn:
    """A gRPC server on a free port of 127.0.0.1 while the ``with`` block runs.

    Args:
        credentials: the server's certificate; without it the server speaks clear text.
    """

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self._credentials: Final = credentials
        self._lock: Final = threading.Lock()
        self._ids: Final = itertools.count(1)
        self._topics: Final[set[str]] = set()
        self._subscriptions: Final[dict[str, _Subscription]] = {}
        self._secrets: Final[dict[str, list[bytes]]] = {}
        self._server: Final = grpc.server(ThreadPoolExecutor(32, "gcp-stand-in"), options=_ANY_SIZE)
        self._port = 0

    def __enter__(self) -> Self:
        self._server.add_generic_rpc_handlers((self._pubsub_publisher(), self._pubsub_subscriber(), self._secret()))
        free = f"{LOOPBACK}:0"
        self._port = (
            self._server.add_insecure_port(free)
            if self._credentials is None
            else self._server.add_secure_port(free, self._credentials)
        )
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"{LOOPBACK}:{self._port}"

    def add_topic(self, name: str) -> None:
        """Make a topic."""
        self._topics.add(name)

    # -- Pub/Sub -----------------------------------------------------------------------------------------------------

    def _pubsub_publisher(self) -> grpc.GenericRpcHandler:
        return _service(
            "google.pubsub.v1.Publisher",
            {
                "CreateTopic": (pubsub_types.Topic, pubsub_types.Topic, self._create_topic),
                "GetTopic": (pubsub_types.GetTopicRequest, pubsub_types.Topic, self._get_topic),
                "Publish": (pubsub_types.PublishRequest, pubsub_types.PublishResponse, self._publish),
                "ListTopicSubscriptions": (
                    pubsub_types.ListTopicSubscriptionsRequest,
                    pubsub_types.ListTopicSubscriptionsResponse,
                    self._list_topic_subscriptions,
                ),
            },
        )

    def _pubsub_subscriber(self) -> grpc.GenericRpcHandler:
        return _service(
            "google.pubsub.v1.Subscriber",
            {
                "CreateSubscription": (
                    pubsub_types.Subscription,
                    pubsub_types.Subscription,
                    self._create_subscription,
                ),
                "Pull": (pubsub_types.PullRequest, pubsub_types.PullResponse, self._pull),
                "Acknowledge": (pubsub_types.AcknowledgeRequest, empty_pb2.Empty, self._acknowledge),
                "ModifyAckDeadline": (pubsub_types.ModifyAckDeadlineRequest, empty_pb2.Empty, self._modify),
            },
        )

    def _create_topic(self, topic: pubsub_types.Topic, context: grpc.ServicerContext) -> pubsub_types.Topic:
        if topic.name in self._topics:
            _abort(context, grpc.StatusCode.ALREADY_EXISTS, "the topic exists")
        self._topics.add(topic.name)
        return topic

    def _get_topic(self, request: pubsub_types.GetTopicRequest, context: grpc.ServicerContext) -> pubsub_types.Topic:
        self._known(request.topic, context)
        return pubsub_types.Topic(name=request.topic)

    def _list_topic_subscriptions(
        self, request: pubsub_types.ListTopicSubscriptionsRequest, context: grpc.ServicerContext
    ) -> pubsub_types.ListTopicSubscriptionsResponse:
        self._known(request.topic, context)
        names = [name for name, found in self._subscriptions.items() if found.topic == request.topic]
        return pubsub_types.ListTopicSubscriptionsResponse(subscriptions=names)

    def _publish(
        self, request: pubsub_types.PublishRequest, context: grpc.ServicerContext
    ) -> pubsub_types.PublishResponse:
        self._known(request.topic, context)
        if fault := limit_broken(request):
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, fault)
        ids = []
        with self._lock:
            for message in request.messages:
                message.message_id = str(next(self._ids))
                ids.append(message.message_id)
                # As in the service: what a topic without a subscription acknowledges is gone.
                for subscription in self._subscriptions.values():
                    if subscription.topic == request.topic:
                        subscription.waiting.append(_Waiting(message))
        return pubsub_types.PublishResponse(message_ids=ids)

    def _create_subscription(
        self, request: pubsub_types.Subscription, context: grpc.ServicerContext
    ) -> pubsub_types.Subscription:
        self._known(request.topic, context)
        with self._lock:
            if request.name in self._subscriptions:
                _abort(context, grpc.StatusCode.ALREADY_EXISTS, "the subscription exists")
            self._subscriptions[request.name] = _Subscription(request.topic, request.ack_deadline_seconds or 10)
        return request

    def _pull(self, request: pubsub_types.PullRequest, context: grpc.ServicerContext) -> pubsub_types.PullResponse:
        found = self._subscribed(request.subscription, context)
        received: list[pubsub_types.ReceivedMessage] = []
        now = time.monotonic()
        with self._lock:
            for ack_id in [ack_id for ack_id, (until, _) in found.out.items() if until < now]:
                found.waiting.append(found.out.pop(ack_id)[1])
            while found.waiting and len(received) < request.max_messages:
                waiting = found.waiting.popleft()
                waiting.attempts += 1
                ack_id = f"ack-{next(self._ids)}"
                found.out[ack_id] = (now + found.ack_seconds, waiting)
                received.append(
                    pubsub_types.ReceivedMessage(
                        ack_id=ack_id, message=waiting.message, delivery_attempt=waiting.attempts
                    )
                )
        return pubsub_types.PullResponse(received_messages=received)

    def _acknowledge(self, request: pubsub_types.AcknowledgeRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        found = self._subscribed(request.subscription, context)
        with self._lock:
            for ack_id in request.ack_ids:
                found.out.pop(ack_id, None)
        return empty_pb2.Empty()

    def _modify(self, request: pubsub_types.ModifyAckDeadlineRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        found = self._subscribed(request.subscription, context)
        with self._lock:
            for ack_id in request.ack_ids:
                if ack_id in found.out:
                    found.out[ack_id] = (time.monotonic() + request.ack_deadline_seconds, found.out[ack_id][1])
        return empty_pb2.Empty()

    def _known(self, topic: str, context: grpc.ServicerContext) -> None:
        if topic not in self._topics:
            _abort(context, grpc.StatusCode.NOT_FOUND, "the topic does not exist")

    def _subscribed(self, name: str, context: grpc.ServicerContext) -> _Subscription:
        found = self._subscriptions.get(name)
        if found is None:
            _abort(context, grpc.StatusCode.NOT_FOUND, "the subscription does not exist")
        return found

    # -- Secret Manager ----------------------------------------------------------------------------------------------

    def _secret(self) -> grpc.GenericRpcHandler:
        return _service(
            "google.cloud.secretmanager.v1.SecretManagerService",
            {
                "CreateSecret": (secret_types.CreateSecretRequest, secret_types.Secret, self._create_secret),
                "AddSecretVersion": (
                    secret_types.AddSecretVersionRequest,
                    secret_types.SecretVersion,
                    self._add_version,
                ),
                "AccessSecretVersion": (
                    secret_types.AccessSecretVersionRequest,
                    secret_types.AccessSecretVersionResponse,
                    self._access,
                ),
            },
        )

    def _create_secret(
        self, request: secret_types.CreateSecretRequest, context: grpc.ServicerContext
    ) -> secret_types.Secret:
        name = f"{request.parent}/secrets/{request.secret_id}"
        if name in self._secrets:
            _abort(context, grpc.StatusCode.ALREADY_EXISTS, "the secret exists")
        self._secrets[name] = []
        return secret_types.Secret(name=name)

    def _add_version(
        self, request: secret_types.AddSecretVersionRequest, context: grpc.ServicerContext
    ) -> secret_types.SecretVersion:
        versions = self._secrets.get(request.parent)
        if versions is None:
            _abort(context, grpc.StatusCode.NOT_FOUND, "the secret does not exist")
        if not 0 < len(request.payload.data) <= MOST_SECRET_BYTES:
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the payload is empty or larger than 64 KiB")
        versions.append(bytes(request.payload.data))
        return secret_types.SecretVersion(name=f"{request.parent}/versions/{len(versions)}")

    def _access(
        self, request: secret_types.AccessSecretVersionRequest, context: grpc.ServicerContext
    ) -> secret_types.AccessSecretVersionResponse:
        secret, _, version = request.name.partition("/versions/")
        versions = self._secrets.get(secret, [])
        number = len(versions) if version == "latest" else int(version) if version.isdecimal() else 0
        if not 0 < number <= len(versions):
            _abort(context, grpc.StatusCode.NOT_FOUND, "the secret or its version does not exist")
        return secret_types.AccessSecretVersionResponse(
            name=f"{secret}/versions/{number}", payload=secret_types.SecretPayload(data=versions[number - 1])
        )


def limit_broken(request: pubsub_types.PublishRequest) -> str | None:
    """Which of Pub/Sub's limits a request breaks, in words; None when it breaks none."""
    if pubsub_types.PublishRequest.pb(request).ByteSize() > MOST_REQUEST_BYTES:
        return "the request is larger than 10 MB"
    if not 1 <= len(request.messages) <= MOST_MESSAGES:
        return "a request has 1 to 1,000 messages"
    for message in request.messages:
        if not message.data and not message.attributes:
            return "a message has data or an attribute"
        if len(message.attributes) > MOST_ATTRIBUTES:
            return "a message has at most 100 attributes"
        for name, value in message.attributes.items():
            if not 1 <= len(name.encode()) <= MOST_NAME_BYTES or name.startswith("goog"):
                return "an attribute's name has 1 to 256 bytes and does not start with goog"
            if len(value.encode()) > MOST_VALUE_BYTES:
                return "an attribute's value has at most 1,024 bytes"
        if len(message.ordering_key.encode()) > MOST_VALUE_BYTES:
            return "an ordering key has at most 1,024 bytes"
    return None


def _service(name: str, methods: dict[str, tuple[Any, Any, Method]]) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        name,
        {
            method: grpc.unary_unary_rpc_method_handler(
                function,
                request_deserializer=getattr(request, "deserialize", None) or request.FromString,
                response_serializer=getattr(response, "serialize", None) or response.SerializeToString,
            )
            for method, (request, response, function) in methods.items()
        },
    )


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, text: str) -> NoReturn:
    context.abort(code, text)
    raise AssertionError("abort raises")
