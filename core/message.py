"""The message contract: what stands on the queue, the same on every cloud. See ``docs/message-contract.md``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final, Self

from core.envelope import Envelope
from core.trace import is_traceparent

CLAIMS_PREFIX: Final = "claims/"
TYPE_PREFIX: Final = "eu.dastra."
UNCLASSIFIED: Final = "unclassified"
SOURCE_PREFIX: Final = "urn:dastra:webhook:"
UNLISTED: Final = "unlisted"

ATTRIBUTE_NAMES: Final = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "signature",
    "dataref",
    "traceparent",
    "sourceipcheck",
)
"""Every attribute a message can have, by its CloudEvents name: nine, since SQS takes ten and a fork wants one."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def event_id(body: bytes) -> str:
    """The idempotency key of a signed body: its SHA-256, 64 hex digits."""
    return hashlib.sha256(body).hexdigest()


def plain_token(text: str | None) -> str | None:
    """``text`` when it can stand in a URN or a log as it is (1 to 64 of ``A-Za-z0-9_-``), else None."""
    return text if text is not None and _TOKEN.fullmatch(text) else None


def rfc3339(time: datetime) -> str:
    """A UTC time as CloudEvents 1.0 wants it, with ``Z``."""
    return time.isoformat().removesuffix("+00:00") + "Z"


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One message, before a queue's adapter gives it its cloud's form.

    ``body`` is the bytes that Dastra signed, or a pointer to them (a claim check), in which case the attribute
    ``dataref`` is present. ``attributes`` are CloudEvents 1.0 attributes by their bare names.
    """

    id: str
    body: bytes
    attributes: Mapping[str, str]

    @classmethod
    def of_event(
        cls, body: bytes, envelope: Envelope, signature: str, *, traceparent: str | None = None, unlisted: bool = False
    ) -> Self:
        """The message of a genuine event. ``signature`` is the header's value as it was checked."""
        attributes = _attributes(event_id(body), envelope.webhook_id, envelope.event_type, signature)
        if (time := envelope.time) is not None:
            attributes["time"] = rfc3339(time)
        return cls._complete(body, attributes, traceparent, unlisted)

    @classmethod
    def of_unreadable(
        cls, body: bytes, signature: str, *, traceparent: str | None = None, unlisted: bool = False
    ) -> Self:
        """The message of an authentic body that is no envelope; a person may release it from quarantine."""
        return cls._complete(body, _attributes(event_id(body), None, None, signature), traceparent, unlisted)

    @classmethod
    def _complete(cls, body: bytes, attributes: dict[str, str], traceparent: str | None, unlisted: bool) -> Self:
        if traceparent is not None and is_traceparent(traceparent):
            attributes["traceparent"] = traceparent
        if unlisted:
            attributes["sourceipcheck"] = UNLISTED
        return cls(attributes["id"], body, MappingProxyType(attributes))

    @property
    def is_pointer(self) -> bool:
        """Whether the body is a claim check's pointer and not the event itself."""
        return "dataref" in self.attributes

    @property
    def claim_key(self) -> str:
        """Where the body of a claim check stands in the store; the same event always has the same place."""
        return CLAIMS_PREFIX + self.id

    def as_pointer(self, dataref: str) -> QueueMessage:
        """The message that points at this one's body, which stands at ``dataref`` in the store."""
        pointer = {"dataref": dataref, "sha256": event_id(self.body), "size": len(self.body)}
        return replace(
            self,
            body=json.dumps(pointer, separators=(",", ":")).encode(),
            attributes=MappingProxyType({**self.attributes, "dataref": dataref}),
        )

    def vouched(self) -> QueueMessage:
        """The same message after a person accepted the address it came from."""
        attributes = {name: value for name, value in self.attributes.items() if name != "sourceipcheck"}
        return replace(self, attributes=MappingProxyType(attributes))


def _attributes(id_: str, webhook_id: str | None, event_type: str | None, signature: str) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": SOURCE_PREFIX + (plain_token(webhook_id) or "unknown"),
        "type": TYPE_PREFIX + (plain_token(event_type) or UNCLASSIFIED),
        "signature": signature,
    }
