"""Where an event went: what can be seen of it without taking anything from anybody.

On the local run everything can be seen. Of a deployment the store can: events in spool and quarantine. Its queue
cannot: SQS and Pub/Sub show a message only to somebody who takes it for a while, which a consumer would notice, and the
command line may send to Service Bus but not read from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx

from cli.dastra.models import Id
from cli.exits import CliError, Exit
from cli.local.state import find_run
from cli.target import START, Target
from core.message import SOURCE_PREFIX, TYPE_PREFIX
from core.ports import NotFoundError, PortError
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX, RecordError
from core.redrive import Redrive

QUEUE: Final = "queue"
_SECONDS: Final = 10.0
_BINDING: Final = re.compile(r"ce-|cloudEvents[:_]")
"""What the three queues put before an attribute's name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An event that came."""

    place: str
    """``queue``, ``spool`` or ``quarantine``."""
    attributes: Mapping[str, str]
    """Without their binding's prefix."""
    reason: str | None = None
    address: str | None = None

    def is_of(self, hook: Id, event_type: str) -> bool:
        """Whether it is an event of this type from this webhook."""
        return (
            self.attributes.get("type") == TYPE_PREFIX + event_type
            and self.attributes.get("source") == f"{SOURCE_PREFIX}{hook}"
        )


class Trail:
    """Sees what comes after it was taken up.

    Raises:
        CliError: the local run or the store does not answer.
    """

    def __init__(self, target: Target) -> None:
        self._target: Final = target
        self.sees_queue: Final = target.is_local
        """Whether an event on the queue can be seen."""
        self._known: Final[set[str]] = set()
        self._known.update(self._places())

    def find(self, hook: Id, event_type: str) -> Seen | None:
        """An event of this type from this webhook that has come since; None while there is none."""
        for key, read in self._places().items():
            if key in self._known:
                continue
            seen = read()
            if seen is not None and seen.is_of(hook, event_type):
                return seen
        return None

    def _places(self) -> Mapping[str, Callable[[], Seen | None]]:
        """What is there by its key, each with the way to read it."""
        if self.sees_queue:
            queued = {f"{QUEUE}/{found['id']}": partial(_queued, found) for found in _ask("messages")}
            return queued | {str(found["key"]): partial(_held, found) for found in _ask("stored")}
        redrive = self._target.redrive()
        try:
            keys = [entry.key for prefix in (SPOOL_PREFIX, QUARANTINE_PREFIX) for entry in redrive.records(prefix)]
        except PortError as error:
            raise self._target.failure("the store cannot be listed", error) from error
        return {key: partial(self._read, redrive, key) for key in keys}

    def _read(self, redrive: Redrive, key: str) -> Seen | None:
        try:
            record = redrive.read(key)
        except (NotFoundError, RecordError):
            return None
        except PortError as error:
            raise self._target.failure("the store cannot be read", error) from error
        return Seen(key.partition("/")[0], _shown(record.message.attributes), record.reason, record.address)


def _queued(found: Mapping[str, Any]) -> Seen:
    plain = {_BINDING.sub("", name, count=1): value for name, value in found["attributes"].items()}
    return Seen(QUEUE, _shown(plain))


def _shown(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if name != "signature"}


def _held(found: Mapping[str, Any]) -> Seen:
    place = str(found["key"]).partition("/")[0]
    return Seen(place, _shown(found["attributes"]), found.get("reason"), found.get("address"))


def _ask(name: str) -> list[dict[str, Any]]:
    run = find_run()
    if run is None:
        raise CliError("the local run has ended.", START, Exit.NO_DEPLOYMENT)
    try:
        answer = httpx.get(f"{run.url}_local/{name}", timeout=_SECONDS, trust_env=False).raise_for_status()
        found: list[dict[str, Any]] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise CliError(f"the local run at {run.url} does not answer.", code=Exit.UNREACHABLE) from error
    return found
