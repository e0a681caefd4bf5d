"""A message as it stands on each of the three queues: one contract, three notations."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from core.message import QueueMessage

PREFIXES: Final = {"aws": "ce-", "gcp": "ce-", "azure": "cloudEvents:"}
"""What stands before an attribute's name; a test compares it with the adapters, which need their clouds' SDKs."""
TITLES: Final = {"aws": "SQS", "gcp": "Pub/Sub", "azure": "Service Bus"}
_MOST_SHOWN: Final = 2048


def bare(attributes: Mapping[str, str], cloud: str) -> dict[str, str]:
    """CloudEvents attributes by their own names, from a message of this cloud."""
    prefix = PREFIXES[cloud]
    return {name.removeprefix(prefix): value for name, value in attributes.items() if name.startswith(prefix)}


def message_of(attributes: Mapping[str, str], body: bytes) -> QueueMessage:
    """The message of these attributes; ``body`` is the event's, also where the message only points at it."""
    plain = {name: value for name, value in attributes.items() if name != "dataref"}
    message = QueueMessage(attributes.get("id", ""), body, MappingProxyType(plain))
    return message.as_pointer(attributes["dataref"]) if "dataref" in attributes else message


def notations(message: QueueMessage) -> dict[str, dict[str, Any]]:
    """The message in the words of each cloud's own API; a long body is cut for showing."""
    text, data = _text(message.body), base64.b64encode(message.body[:_MOST_SHOWN]).decode()
    named = {
        cloud: {prefix + name: value for name, value in message.attributes.items()}
        for cloud, prefix in PREFIXES.items()
    }
    cut = len(message.body) > _MOST_SHOWN
    return {
        "aws": {
            "MessageBody": text,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in named["aws"].items()
            },
        },
        "gcp": {"data": data + ("…" if cut else ""), "attributes": named["gcp"]},
        "azure": {"message_id": message.id, "application_properties": named["azure"], "body": text},
    }


def _text(body: bytes) -> str:
    shown = body[:_MOST_SHOWN].decode("utf-8", "backslashreplace")
    return shown + ("…" if len(body) > _MOST_SHOWN else "")
