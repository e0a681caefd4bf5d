"""What is known to have arrived: the deployment's spool and quarantine, and what a consumer has kept."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from cli.output import Output, advance
from cli.reconcile.state import milliseconds, normal
from cli.stored import entries
from cli.target import WORKERS, Target
from core.event import RECONCILED_PREFIX, Event, EventError, Fetch
from core.message import SOURCE_PREFIX, TYPE_PREFIX, UNCLASSIFIED
from core.ports import NotFoundError, PortError, Store, StoredEntry
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX, RecordError
from core.redrive import STORE_SECONDS, Redrive

Values = tuple[str, str | None, str | None, int | None, str | None, str]
"""A row of the state file: id, type, object, time, webhook, origin."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that came. Whatever is None is not known of it."""

    id: str | None
    event_type: str | None
    object_id: str | None
    time: datetime | None
    webhook_id: str | None
    origin: str

    @classmethod
    def of_event(cls, event: Event, origin: str) -> Self:
        """What an event says of itself."""
        envelope = event.envelope
        return cls(
            event.id,
            event.type,
            envelope.data_id if envelope is not None else None,
            event.occurred_at or (envelope.time if envelope is not None else None),
            webhook_of(event.source),
            origin,
        )

    @property
    def values(self) -> Values:
        """As the state file holds it. Without an id, what repeats is taken for one: rather too few than too many."""
        kind = normal((self.event_type or "").removeprefix(TYPE_PREFIX))
        kind = None if kind == UNCLASSIFIED else kind
        object_, time = normal(self.object_id), None if self.time is None else milliseconds(self.time)
        return (self.id or f"{kind}|{object_}|{time}", kind, object_, time, self.webhook_id, self.origin)


@dataclass(slots=True)
class Tally:
    """What reading arrivals came across."""

    by_origin: dict[str, int] = field(default_factory=dict)
    vanished: int = 0
    """Stored events that went on while they were listed."""
    unreadable: int = 0
    """Stored objects that are no records."""

    def count(self, origin: str) -> None:
        """One more from somewhere."""
        self.by_origin[origin] = self.by_origin.get(origin, 0) + 1


_ORIGINS: Final = {SPOOL_PREFIX: "spool", QUARANTINE_PREFIX: "quarantine"}


def webhook_of(source: str | None) -> str | None:
    """The webhook's id in a CloudEvents source of ours."""
    for prefix in (SOURCE_PREFIX, RECONCILED_PREFIX):
        if source is not None and source.startswith(prefix):
            return source.removeprefix(prefix)
    return None


def follow(store: Store, id_: str) -> Fetch:
    """Follows the claim check of an event, to the one place in the store where it can stand."""
    # As QueueMessage.claim_key has it.
    key = f"claims/{id_}"

    def fetch(dataref: str) -> bytes:
        if dataref != store.url(key):
            raise EventError("the claim check points to another place than this deployment's store")
        return store.get(key, STORE_SECONDS).body

    return fetch


def stored(target: Target, tally: Tally, out: Output) -> Iterator[Arrival]:
    """Every event in the spool and the quarantine.

    Raises:
        CliError: the store does not answer.
    """
    redrive = target.redrive()
    for prefix, origin in _ORIGINS.items():
        listing = entries(target, prefix, out)
        try:
            with ThreadPoolExecutor(WORKERS) as pool, out.bar(f"Reading the {origin}", len(listing)) as bar:
                for arrival in pool.map(lambda entry: _read(redrive, entry, tally), listing):
                    advance(bar)
                    if arrival is not None:
                        tally.count(origin)
                        yield arrival
        except PortError as error:
            raise target.failure("the store cannot be read", error) from error


def _read(redrive: Redrive, entry: StoredEntry, tally: Tally) -> Arrival | None:
    origin = next(origin for prefix, origin in _ORIGINS.items() if entry.key.startswith(prefix))
    try:
        message = redrive.read(entry.key).message
        event = Event.from_message(message.body, message.attributes, fetch=follow(redrive.delivery.store, message.id))
    except NotFoundError:
        tally.vanished += 1
    except (RecordError, EventError):
        tally.unreadable += 1
    else:
        return Arrival.of_event(event, origin)
    return None
