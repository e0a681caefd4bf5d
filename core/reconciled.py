"""A message for an event that never came: rebuilt from an entry of Dastra's log. See ``docs/message-contract.md``.

Of the log's entries only their shape is known (``LogDto`` of Dastra's API description, August 2022). That an event has
exactly one entry, and that ``data`` and ``refId`` say what the event's ``data`` would, is inferred.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from core.envelope import Envelope, Opaque
from core.event import RECONCILED_PREFIX
from core.message import TYPE_PREFIX, UNCLASSIFIED, QueueMessage, plain_token, rfc3339

_ID_PREFIX: Final = "log:"


class LogEntryError(ValueError):
    """It is no entry of the log: no JSON object, or one without an id. The message never holds any of it."""


class LogEntry(BaseModel):
    """One entry of ``GET /v1/Logs``, read as leniently as the envelope: only an id is required of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    channel: Opaque = Field(default=None, description="The event type: the same names as the envelope's.")
    ref_id: Opaque = Field(default=None, alias="refid", description="Id of the object concerned.")
    object_type: Opaque = Field(default=None, alias="objecttype", description="Kind of that object, for example Task.")
    date: Opaque = Field(default=None, description="When it happened, as Dastra wrote it; the zone may be missing.")
    label: Opaque = Field(default=None, description="Text for a person, in the account's language.")
    is_deletion: Any = Field(default=None, alias="isdeletion", description="Whether the object was deleted.")
    workspace_id: Opaque = Field(default=None, alias="workspaceid", description="Workspace of the object.")
    url: Opaque = Field(default=None, description="Page of the object in Dastra.")
    user: Any = Field(default=None, description="Who did it.")
    data: Any = Field(default=None, description="Presumably the object concerned.")

    @classmethod
    def read(cls, found: object) -> Self:
        """Read a decoded entry; names in any case.

        Raises:
            LogEntryError: it is not an object, or has no id.
        """
        if not isinstance(found, Mapping):
            raise LogEntryError("an entry of the log is no JSON object")
        fields = {str(name).lower(): value for name, value in found.items()}
        id_ = fields.get("id")
        if isinstance(id_, bool) or not isinstance(id_, str | int) or not str(id_).strip():
            raise LogEntryError("an entry of the log has no id")
        return cls.model_validate({**fields, "id": str(id_).strip()})

    @property
    def time(self) -> datetime | None:
        """``date`` in UTC, read as the envelope's is; None when it cannot be read."""
        return Envelope(date=self.date).time

    @property
    def data_id(self) -> str | None:
        """The id inside ``data``, as text, where there is one."""
        return Envelope(data=self.data).data_id

    @property
    def object_id(self) -> str | None:
        """``refId``, else the id inside ``data``."""
        return self.ref_id or self.data_id


def reconciled_id(log_id: str) -> str:
    """The idempotency key of an entry's message: the same entry always has the same, whoever rebuilds it."""
    return hashlib.sha256((_ID_PREFIX + log_id).encode()).hexdigest()


def reconciled_message(entry: LogEntry, webhook_id: str) -> QueueMessage:
    """The message for an entry; the same entry makes the same message, byte for byte.

    Args:
        entry: the entry.
        webhook_id: of the webhook that should have brought the event.
    """
    id_ = reconciled_id(entry.id)
    attributes = {
        "specversion": "1.0",
        "id": id_,
        "source": RECONCILED_PREFIX + (plain_token(webhook_id) or "unknown"),
        "type": TYPE_PREFIX + (plain_token(entry.channel) or UNCLASSIFIED),
    }
    if (time := entry.time) is not None:
        attributes["time"] = rfc3339(time)
    return QueueMessage(id_, _body(entry, webhook_id), MappingProxyType(attributes))


def _body(entry: LogEntry, webhook_id: str) -> bytes:
    """An envelope as Dastra would have posted it, as far as the log tells, with the entry beside it as ``log``."""
    envelope = {
        "webhookId": _as_number(webhook_id),
        "userId": _user_id(entry.user),
        "date": entry.date,
        "eventType": entry.channel,
        "eventName": entry.label,
        "data": _data(entry),
        "log": {
            "id": entry.id,
            "objectType": entry.object_type,
            "refId": entry.ref_id,
            "isDeletion": entry.is_deletion,
            "workSpaceId": _as_number(entry.workspace_id),
            "url": entry.url,
        },
    }
    # ASCII, so that a lone surrogate in a label cannot stop it.
    return json.dumps(envelope, separators=(",", ":")).encode()


def _data(entry: LogEntry) -> Any:
    """``data``, given the object's id where it has none, since that is what consumers look for."""
    if entry.data_id is not None or entry.ref_id is None:
        return entry.data
    id_ = _as_number(entry.ref_id)
    match entry.data:
        case None:
            return {"id": id_}
        case dict() as fields:
            return {"id": id_, **{name: value for name, value in fields.items() if name.lower() != "id"}}
        case other:
            return other


def _user_id(user: object) -> int | str | None:
    """The user's id and nothing else of them: the envelope has no more."""
    return _as_number(Envelope(data=user).data_id)


def _as_number(text: str | None) -> int | str | None:
    """Ids of the log are text, those of an envelope may be numbers: a plain number becomes one again."""
    if text is not None and len(text) <= 18 and text.isascii() and text.isdigit() and str(int(text)) == text:
        return int(text)
    return text
