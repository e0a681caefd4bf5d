"""The consumer's side: a typed event from a message of a queue, checked again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from core.envelope import Envelope, EnvelopeError, decode
from core.message import ATTRIBUTE_NAMES, TYPE_PREFIX, UNLISTED, QueueMessage, event_id
from core.signature import SignatureFault, SignatureKey, matching_key, read_signature

RECONCILED_PREFIX: Final = "urn:dastra:reconcile:"
SAMPLE_FIELD: Final = "sample"
"""The field of a body that makes it a sample. Dastra sends none of this name."""

Fetch = Callable[[str], bytes]
"""Follows a claim check: takes the ``dataref``, returns the body. Each cloud's folder supplies one that reads from one
bucket's ``claims/`` only."""


class EventError(ValueError):
    """The message cannot be trusted or read. Dead-letter it: trying again will not help."""


class Verification(StrEnum):
    """What checking the signature again has shown."""

    VALID = "valid"
    """One of the keys signed the body, and ``type`` and ``source`` are those of the body."""
    INVALID = "invalid"
    """Not so: the signature is wrong, or there is none and the source is one whose events are signed; or the attributes
    around a genuine body are another event's."""
    UNVERIFIABLE = "unverifiable"
    """No keys were given, or it was rebuilt from Dastra's log: nobody signs that. A hint, and no more."""


@dataclass(frozen=True, slots=True)
class Event:
    """One Dastra event as a consumer sees it."""

    id: str
    """The idempotency key. Delivery is at least once: remember ids that were handled."""
    type: str
    """Dastra's ``eventType``, or ``unclassified``."""
    source: str
    time: str | None
    """When it happened, RFC 3339 in UTC, where Dastra's date could be read."""
    envelope: Envelope | None
    """The parsed envelope; None for a body that a person released from quarantine and that is no envelope."""
    body: bytes
    """The bytes that Dastra signed."""
    verification: Verification
    """``unverifiable`` without keys, and for events that were rebuilt from Dastra's log; refuse ``invalid``."""
    unlisted_address: bool
    """Whether it came from an address off the list."""
    attributes: Mapping[str, str]

    @classmethod
    def from_sqs(
        cls, record: Mapping[str, Any], *, keys: Iterable[SignatureKey] = (), fetch: Fetch | None = None
    ) -> Self:
        """Read a record of a Lambda SQS event, or a message as boto3's ``receive_message`` returns it.

        ``receive_message`` leaves attributes out unless asked: pass ``MessageAttributeNames=["All"]``.

        Args:
            record: the record.
            keys: with them the signature is checked again; one that is missing is then as bad as a wrong one.
            fetch: follows a claim check; without it a message that is one is an error.

        Raises:
            EventError: attributes are missing, the body is not the one that the id names, or the claim check is not
                one of ours. What ``fetch`` raises passes through: a store that is down is a reason to try again.
        """
        text = record.get("body", record.get("Body"))
        found = record.get("messageAttributes", record.get("MessageAttributes")) or {}
        attributes = {
            name.lower().removeprefix("ce-"): value.get("stringValue", value.get("StringValue"))
            for name, value in found.items()
        }
        if not isinstance(text, str):
            raise EventError("the SQS record has no body")
        try:
            body = text.encode()
        except UnicodeEncodeError:
            raise EventError("the SQS record's body is not text that SQS can hold") from None
        return cls.from_message(body, attributes, keys=keys, fetch=fetch)

    @classmethod
    def from_pubsub(cls, message: object, *, keys: Iterable[SignatureKey] = (), fetch: Fetch | None = None) -> Self:
        """Read a Pub/Sub message, pulled or pushed.

        Args:
            message: pulled, what ``google.cloud.pubsub_v1`` gives to a callback, or a ``ReceivedMessage`` or
                ``PubsubMessage``; pushed, the request's decoded JSON, whose ``message`` has its data in base64, or the
                CloudEvent that Eventarc makes of it. For a push without a wrapper: ``from_message``.
            keys: as in ``from_sqs``.
            fetch: as in ``from_sqs``.

        Raises:
            EventError: as in ``from_sqs``.
        """
        data, attributes = _of_pubsub(message)
        return cls.from_message(
            data,
            {name.lower().removeprefix("ce-"): value for name, value in attributes.items()},
            keys=keys,
            fetch=fetch,
        )

    @classmethod
    def from_message(
        cls,
        body: bytes,
        attributes: Mapping[str, Any],
        *,
        keys: Iterable[SignatureKey] = (),
        fetch: Fetch | None = None,
    ) -> Self:
        """Read a message's body and its attributes by their bare names; arguments and errors as in ``from_sqs``."""
        known = {name: value for name in ATTRIBUTE_NAMES if isinstance(value := attributes.get(name), str) and value}
        missing = {"id", "source", "type"} - known.keys()
        if missing:
            raise EventError(
                f"the message lacks {', '.join(f'ce-{name}' for name in sorted(missing))}: it is not from this "
                "receiver, or its attributes were not asked for"
            )
        reconciled = known["source"].startswith(RECONCILED_PREFIX)
        if "dataref" in known:
            body = _claimed(body, known["dataref"], fetch)
        if not reconciled and event_id(body) != known["id"]:
            raise EventError("the body is not the one that the message's id names")
        try:
            envelope = Envelope.parse(body)
        except EnvelopeError:
            envelope = None
        verification = _verify(body, known.get("signature"), tuple(keys), reconciled=reconciled)
        time = known.get("time")
        if verification is Verification.VALID:
            signed = _signed_attributes(body, envelope)
            time = signed.get("time")
            if any(known[name] != signed[name] for name in ("source", "type")):
                verification = Verification.INVALID
        return cls(
            known["id"],
            known["type"].removeprefix(TYPE_PREFIX),
            known["source"],
            time,
            envelope,
            body,
            verification,
            known.get("sourceipcheck") == UNLISTED,
            MappingProxyType(known),
        )

    @classmethod
    def from_service_bus(cls, message: Any, *, keys: Iterable[SignatureKey] = (), fetch: Fetch | None = None) -> Self:
        """Read a Service Bus message, received with the SDK or handed over by a Functions trigger.

        Args:
            message: a ``ServiceBusReceivedMessage`` of ``azure.servicebus``, or the ``ServiceBusMessage`` of
                ``azure.functions``.
            keys: as in ``from_sqs``.
            fetch: as in ``from_sqs``.

        Raises:
            EventError: as in ``from_sqs``.
        """
        body, properties = _of_service_bus(message)
        attributes = {}
        for name, value in properties.items():
            # AMQP's binding of CloudEvents writes a colon; readers are to take an underscore too.
            bare = _text(name).lower().removeprefix("cloudevents").removeprefix(":").removeprefix("_")
            attributes[bare] = _text(value)
        return cls.from_message(body, attributes, keys=keys, fetch=fetch)

    @property
    def is_sample(self) -> bool:
        """Whether ``dastra-webhooks`` made it up (``send``, ``doctor``, ``register``, ``rotate``): drop it.

        It is one when its body has a field ``sample`` with text in it. Reads the body again at each call.
        """
        try:
            mark = decode(self.body).get(SAMPLE_FIELD)
        except EnvelopeError:
            return False
        return isinstance(mark, str) and mark != ""

    @property
    def occurred_at(self) -> datetime | None:
        """``time`` as a datetime; None where there is none, or no date in it."""
        try:
            return datetime.fromisoformat(self.time) if self.time else None
        except ValueError:
            return None


def _of_pubsub(message: object) -> tuple[bytes, Mapping[str, Any]]:
    """Data and attributes of a message in any of its forms."""
    wrapped = _part(message, "data")
    envelope = wrapped if isinstance(wrapped, Mapping) else message
    inner = _part(envelope, "message")
    found = envelope if inner is None else inner
    data, attributes = _part(found, "data"), _part(found, "attributes")
    if isinstance(data, str):
        try:
            data = base64.b64decode(data, validate=True)
        except ValueError:
            raise EventError("the Pub/Sub message's data is not base64") from None
    data = b"" if data is None else data
    attributes = {} if attributes is None else attributes
    if not isinstance(data, bytes) or not isinstance(attributes, Mapping):
        raise EventError("this is no Pub/Sub message")
    return data, attributes


def _part(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _claimed(pointer: bytes, dataref: str, fetch: Fetch | None) -> bytes:
    if fetch is None:
        raise EventError("the message is a claim check: pass fetch= to follow it")
    try:
        decoded = json.loads(pointer)
        stated, digest = decoded["dataref"], decoded["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise EventError("the claim check's pointer is not readable") from None
    if stated != dataref:
        raise EventError("the claim check names two places")
    body = fetch(dataref)
    if event_id(body) != digest:
        raise EventError("what stands at the claim check's place is not what it names")
    return body


def _signed_attributes(body: bytes, envelope: Envelope | None) -> Mapping[str, str]:
    """What the receiver makes of a body: attributes are not signed, so around a genuine body anything may stand."""
    if envelope is None:
        return QueueMessage.of_unreadable(body, "").attributes
    return QueueMessage.of_event(body, envelope, "").attributes


def _verify(body: bytes, signature: str | None, keys: tuple[SignatureKey, ...], *, reconciled: bool) -> Verification:
    if not keys:
        return Verification.UNVERIFIABLE
    if signature is None:
        # Whoever can write to the queue can leave it out, so only an event that never has one may come without.
        return Verification.UNVERIFIABLE if reconciled else Verification.INVALID
    digest = read_signature([signature])
    # The id of a reconciled event does not name its body: with a signature it would be a genuine event under a new id.
    if reconciled or isinstance(digest, SignatureFault) or matching_key(body, digest, keys) is None:
        return Verification.INVALID
    return Verification.VALID


def _of_service_bus(message: Any) -> tuple[bytes, Mapping[Any, Any]]:
    """Body and application properties of a message in either form."""
    get_body = getattr(message, "get_body", None)
    body = get_body() if get_body is not None else getattr(message, "body", None)
    properties = getattr(message, "application_properties", None) or {}
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    elif not isinstance(body, bytes) and isinstance(body, Iterable):
        # The SDK hands over the sections of the body, of which there may be several.
        parts = list(body)
        body = b"".join(parts) if all(isinstance(part, bytes) for part in parts) else None
    if not isinstance(body, bytes) or not isinstance(properties, Mapping):
        raise EventError("this is no Service Bus message with a body of bytes")
    return body, properties


def _text(value: object) -> str:
    """Text as the SDK gives it: a ``str``, or its UTF-8."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
