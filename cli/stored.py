"""Events in the store as commands see them: listed with what stands beside each, named by part of a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from rich.text import Text

from cli.exits import CliError, Exit
from cli.output import BAD, HELD, Output, advance, assemble, plural, size, span
from cli.target import WORKERS, Target
from core.message import TYPE_PREFIX, UNLISTED
from core.ports import NotFoundError, PortError, StoredEntry
from core.records import RecordError, StoredRecord, record_time
from core.redrive import EXPIRY_WARNING_SECONDS, Redrive

KEPT: Final = timedelta(seconds=EXPIRY_WARNING_SECONDS) + timedelta(days=7)
"""How long the store keeps an event."""
MOST_SHOWN: Final = 100
Limit = Annotated[int, typer.Option(min=1, help="Show at most so many, the oldest first.")]
_SHORTEST: Final = 8
_LEAST_PART: Final = 4


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A stored event without its body. ``attributes`` is empty, and ``reason`` says why, where it is no record."""

    key: str
    short: str
    """The shortest part of the key, in these listings' style, that names it."""
    size: int
    stored_at: datetime
    reason: str
    address: str | None
    attributes: Mapping[str, str]

    @property
    def event_type(self) -> str:
        """Dastra's event type, or ``unclassified``."""
        return self.attributes.get("type", "").removeprefix(TYPE_PREFIX)

    @property
    def unlisted(self) -> bool:
        """Whether it came from an address off the list."""
        return self.attributes.get("sourceipcheck") == UNLISTED

    @property
    def age(self) -> float:
        """Seconds since it was stored."""
        return max(0.0, (datetime.now(UTC) - self.stored_at).total_seconds())

    @property
    def expires_at(self) -> datetime:
        """When the store removes it."""
        return self.stored_at + KEPT

    def as_json(self) -> dict[str, object]:
        """The form of ``--json``."""
        return {
            "key": self.key,
            "reason": self.reason,
            "address": self.address,
            "event_type": self.event_type or None,
            "size": self.size,
            "stored_at": self.stored_at.isoformat(),
            "age_seconds": round(self.age),
            "expires_at": self.expires_at.isoformat(),
            "attributes": dict(self.attributes),
        }


def entries(target: Target, prefix: str, out: Output) -> list[StoredEntry]:
    """What is stored below a prefix, oldest first.

    Raises:
        CliError: the store does not answer.
    """
    try:
        with out.status("Reading the store"):
            return target.redrive().records(prefix)
    except PortError as error:
        raise target.failure("the store cannot be listed", error) from error


def read_all(
    target: Target, listing: Sequence[StoredEntry], shorts: Mapping[str, str], out: Output
) -> list[StoredEvent]:
    """The events of a listing with what stands beside each; those that vanish meanwhile are left out.

    Raises:
        CliError: the store does not answer.
    """
    redrive = target.redrive()

    def read(entry: StoredEntry) -> StoredEvent | None:
        return _read(redrive, entry, shorts)

    found: list[StoredEvent] = []
    try:
        with ThreadPoolExecutor(WORKERS) as pool, out.bar("Reading", len(listing)) as bar:
            for event in pool.map(read, listing):
                advance(bar)
                if event is not None:
                    found.append(event)
    except PortError as error:
        raise target.failure("the store cannot be read", error) from error
    return found


def short_keys(listing: Iterable[StoredEntry]) -> dict[str, str]:
    """For each key a short part that names it alone: the start of the event's id, with the time before it in need."""
    keys = [entry.key for entry in listing]
    by_id: dict[str, list[str]] = {}
    for key in keys:
        by_id.setdefault(_id(key), []).append(key)
    ids = sorted(by_id)
    shorts: dict[str, str] = {}
    for place, id_ in enumerate(ids):
        # Sorted, so that the ids most alike are neighbours.
        beside = [ids[other] for other in (place - 1, place + 1) if 0 <= other < len(ids)]
        length = max([_SHORTEST, *(_common(id_, other) + 1 for other in beside)])
        for key in by_id[id_]:
            stamp = key.rpartition("/")[2].partition("-")[0]
            shorts[key] = id_[:length] if len(by_id[id_]) == 1 else f"{stamp}-{id_[:length]}"
    return shorts


def pick(parts: Sequence[str], listing: Sequence[StoredEntry], prefix: str) -> list[str]:
    """The keys that these parts name, each once.

    Raises:
        CliError: a part names none, or several.
    """
    picked: dict[str, None] = {}
    for part in parts:
        picked[_pick(part, listing, prefix)] = None
    return list(picked)


def show_list(events: Sequence[StoredEvent], total: int, out: Output) -> None:
    """A table of stored events."""
    roomy = out.stdout.width >= 100
    columns = [("KEY", "keep"), ("AGE", "right"), ("EXPIRES", "right"), ("REASON", "keep")]
    columns += [("ADDRESS", "cut"), ("EVENT TYPE", "cut")] + ([("SIZE", "right")] if roomy else [])
    rows = []
    for event in events:
        left = (event.expires_at - datetime.now(UTC)).total_seconds()
        expiry = Text(span(left), style=BAD if event.age > EXPIRY_WARNING_SECONDS else "")
        row: list[str | Text] = [event.short, span(event.age), expiry, Text(event.reason, style=HELD)]
        row += [event.address or "unknown", event.event_type or "?"] + ([size(event.size)] if roomy else [])
        rows.append(row)
    out.table(columns, rows)
    if total > len(events):
        out.note(f"{total - len(events)} more, newer ones; --limit {total} shows them all.")


def for_each(keys: Sequence[str], what: str, action: Callable[[str], StoredRecord | None], out: Output) -> int:
    """Do something to each key, tell of each that failed, and return how many did; JSON where it was asked for."""
    results: list[dict[str, object]] = []
    for key in out.each(keys, f"{what.capitalize()} events"):
        try:
            action(key)
        except (PortError, RecordError) as error:
            code = error.code if isinstance(error, PortError) else "not_a_record"
            results.append({"key": key, what: False, "error": code})
            if not out.as_json:
                out.stderr.print(assemble(("✗ ", BAD), f"{key}: {code}"))
        else:
            results.append({"key": key, what: True, "error": None})
    if out.as_json:
        out.data(results)
    return sum(result["error"] is not None for result in results)


def _read(redrive: Redrive, entry: StoredEntry, shorts: Mapping[str, str]) -> StoredEvent | None:
    stored_at = record_time(entry.key) or entry.modified
    short = shorts.get(entry.key, entry.key)
    try:
        record = redrive.read(entry.key)
    except NotFoundError:
        return None
    except RecordError:
        return StoredEvent(entry.key, short, entry.size, stored_at, "not_a_record", None, {})
    return StoredEvent(
        entry.key, short, entry.size, stored_at, record.reason, record.address, dict(record.message.attributes)
    )


def _pick(part: str, listing: Sequence[StoredEntry], prefix: str) -> str:
    place = prefix.rstrip("/")
    found = [entry.key for entry in listing if entry.key == part]
    if not found and len(part) >= _LEAST_PART:
        found = [entry.key for entry in listing if part.lower() in entry.key.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        shorts = short_keys(listing)
        lines = "\n".join(f"  {shorts[key]}" for key in found[:10]) + ("\n  …" if len(found) > 10 else "")
        raise CliError(f"{part} names {plural(len(found), 'event')} in the {place}:", lines, Exit.USAGE)
    if len(part) < _LEAST_PART:
        raise CliError(f"{part} is too short: give at least {_LEAST_PART} characters of a key.", code=Exit.USAGE)
    raise CliError(
        f"there is no event {part} in the {place}.",
        f"This lists what is there: dastra-webhooks {place} list",
        Exit.NOT_FOUND,
    )


def _id(key: str) -> str:
    return key.rpartition("/")[2].partition("-")[2] or key


def _common(one: str, other: str) -> int:
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length
