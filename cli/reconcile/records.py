"""A file of what a consumer has kept: one JSON object a line, in any of the forms in which consumers keep events.

A line that cannot be read ends the run. Passing over it would take an event for missing that has arrived.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cli.exits import CliError, Exit
from cli.reconcile.arrivals import Arrival, Tally, follow, webhook_of
from cli.target import Target
from core.envelope import Envelope
from core.event import Event, EventError, Fetch
from core.ports import PortError

ORIGIN: Final = "records"
_OBJECT_NAMES: Final = ("object", "objectid", "object_id", "dataid", "data_id", "subject")
_PREFIXES: Final = ("ce-", "cloudevents:", "cloudevents_")
_FORM: Final = (
    'A record is one JSON object on one line, such as {"id": "…", "type": "TaskEdit", "time": "2026-03-02T09:16:03Z", '
    '"object": "7"}, or a message as the queue gives it.\nOf a JSON array, jq -c \'.[]\' makes such lines.'
)


class RecordLineError(ValueError):
    """A line is no record. The message never holds any of it."""


def read_records(path: Path, target: Target, tally: Tally) -> Iterator[Arrival]:
    """Every record of a file, or of stdin for ``-``.

    Raises:
        CliError: it cannot be read, or a line is no record.
    """
    with _open(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                records = found if isinstance(found, list) else [found]
                for record in records:
                    tally.count(ORIGIN)
                    yield arrival_of(record, target)
            except PortError as error:
                raise target.failure(f"the claim check in line {number} of {path} cannot be followed", error) from error
            except (RecordLineError, EventError, ValueError, RecursionError) as error:
                why = str(error) if isinstance(error, RecordLineError | EventError) else "it is no JSON"
                raise CliError(f"line {number} of {path} is no record: {why}.", _FORM, Exit.USAGE) from None


def arrival_of(record: object, target: Target | None = None) -> Arrival:
    """What one record says. ``target`` has the store, where a record is a claim check.

    Raises:
        RecordLineError: it is in no form that is known, or lacks the event's type.
        EventError: it is a queue's message that cannot be trusted.
        PortError: the store does not have what a claim check points at.
    """
    if not isinstance(record, Mapping):
        raise RecordLineError("it is no JSON object")
    fields = {str(name).lower(): value for name, value in record.items()}
    match fields:
        case {"messageattributes": Mapping()}:
            return Arrival.of_event(Event.from_sqs(record, fetch=_fetch(target)), ORIGIN)
        case {"message": Mapping()}:
            return Arrival.of_event(Event.from_pubsub(record, fetch=_fetch(target)), ORIGIN)
        case {"attributes": Mapping() as attributes}:
            return _of_local(fields, attributes)
        case {"eventtype": _}:
            envelope = Envelope.parse(json.dumps(record).encode())
            return _flat(None, envelope.event_type, envelope.data_id, envelope.date, envelope.webhook_id)
        case {"type": str() as type_, "data": Mapping() as data}:
            envelope = Envelope.parse(json.dumps(data).encode())
            time = _text(fields.get("time")) or envelope.date
            return _flat(fields.get("id"), type_, envelope.data_id, time, webhook_of(_text(fields.get("source"))))
        case {"type": str() as type_}:
            object_ = next((fields[name] for name in _OBJECT_NAMES if fields.get(name) is not None), None)
            source = webhook_of(_text(fields.get("source")))
            return _flat(fields.get("id"), type_, object_, _text(fields.get("time")), source)
    raise RecordLineError("it has no type")


def _of_local(fields: Mapping[str, Any], attributes: Mapping[str, Any]) -> Arrival:
    """As `/_local/messages` and `/_local/stored` show it, whose claim checks are followed already."""
    bare = {_bare(str(name)): value for name, value in attributes.items()}
    bare.pop("dataref", None)
    body = fields.get("body")
    if isinstance(body, str):
        data = body.encode("utf-8", "surrogatepass")
    elif isinstance(packed := fields.get("body_base64"), str):
        data = base64.b64decode(packed, validate=True)
    else:
        raise RecordLineError("it has no body")
    return Arrival.of_event(Event.from_message(data, bare), ORIGIN)


def _flat(id_: object, type_: str | None, object_: object, time: str | None, webhook_id: str | None) -> Arrival:
    if not type_:
        raise RecordLineError("it has no type")
    return Arrival(_text(id_), type_, _text(object_), Envelope(date=time).time, webhook_id, ORIGIN)


def _fetch(target: Target | None) -> Fetch | None:
    if target is None:
        return None

    def fetch(dataref: str) -> bytes:
        return follow(target.store, dataref.rpartition("/")[2])(dataref)

    return fetch


def _bare(name: str) -> str:
    name = name.lower()
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None


@contextmanager
def _open(path: Path) -> Iterator[Iterator[bytes]]:
    try:
        if str(path) == "-":
            yield iter(sys.stdin.buffer)
        else:
            with path.open("rb") as file:
                yield iter(file)
    except OSError as error:
        raise CliError(f"{path} cannot be read: {(error.strerror or '').lower()}.", code=Exit.USAGE) from None
