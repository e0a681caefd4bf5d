"""How an event is written to the store, and read back: the body as it is, everything else as metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from core.message import ATTRIBUTE_NAMES, QueueMessage, event_id
from core.ports import StoredObject

SPOOL_PREFIX: Final = "spool/"
QUARANTINE_PREFIX: Final = "quarantine/"
ADDRESSES_PREFIX: Final = "addresses/"
LEASE_KEY: Final = "leases/redrive"

_KEY_TIME: Final = "%Y%m%dT%H%M%S"


class RecordError(ValueError):
    """An object in the store is not a record of ours, or does not hold what its metadata says."""


def record_key(prefix: str, id_: str, now: float) -> str:
    """A key that sorts by time: ``spool/20261124T102030123Z-<id>``. ``now`` in seconds since the epoch."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{prefix}{moment.strftime(_KEY_TIME)}{moment.microsecond // 1000:03d}Z-{id_}"


def record_time(key: str) -> datetime | None:
    """When a record was written, as its key says; None for a key of another form."""
    stamp = key.rpartition("/")[2].partition("-")[0]
    try:
        return datetime.strptime(stamp[:15], _KEY_TIME).replace(tzinfo=UTC, microsecond=int(stamp[15:18]) * 1000)
    except ValueError:
        return None


def metadata_of(message: QueueMessage, reason: str, address: str | None = None) -> dict[str, str]:
    """What stands beside the body: the message's attributes, why it is here, and the address that sent it."""
    return {**message.attributes, "reason": reason, **({"address": address} if address else {})}


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A spooled or quarantined event."""

    key: str
    message: QueueMessage
    reason: str
    address: str | None

    @classmethod
    def read(cls, stored: StoredObject) -> StoredRecord:
        """Read an object back.

        Raises:
            RecordError: attributes are missing, or the body is not the one that the id names.
        """
        metadata: Mapping[str, str] = {name.lower(): value for name, value in stored.metadata.items()}
        attributes = {name: metadata[name] for name in ATTRIBUTE_NAMES if metadata.get(name)}
        missing = {"id", "source", "specversion", "type"} - attributes.keys()
        if missing:
            raise RecordError(f"{stored.key}: metadata lacks {', '.join(sorted(missing))}")
        message = QueueMessage(attributes["id"], stored.body, MappingProxyType(attributes))
        if not message.is_pointer and "signature" in attributes and event_id(stored.body) != message.id:
            raise RecordError(f"{stored.key}: the body is not the one its id names")
        return cls(stored.key, message, metadata.get("reason", "unknown"), metadata.get("address"))
