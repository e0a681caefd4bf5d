"""One webhook takes the place of another, key and all, without an event that is refused or never sent.

    new webhook, no events ─▶ its key beside the old one ─▶ receiver takes it ─▶ new one gets the events
      ─▶ wait, both send ─▶ old one deleted ─▶ wait ─▶ old key removed

Dastra delivers up to 120 s late (its webhook page), and whether it still delivers for a webhook that was deleted or
lost its events meanwhile is not documented. So both send for longer than that: whatever is late for the old one, the
new one sends as well. Consumers get such events twice, which the message contract allows; none is lost. Afterwards the
old key stays for as long again, for what Dastra may still post.

What a later run needs to go on is kept in the deployment's store, under ``rotations/``: ids, times, and the old key's
fingerprint. It holds no key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final, Self

from cli.dastra.models import Id, WebHook, same_id
from cli.dastra.urls import short_url
from cli.exits import CliError, Exit
from cli.target import SECONDS, Target
from core.ports import NotFoundError, PortError

PREFIX: Final = "rotations/"
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far a rotation is. Times in UTC; None: not yet."""

    old: Id
    new: Id
    old_key: str | None
    """The old key's fingerprint; None where Dastra did not show the key."""
    both_since: datetime | None = None
    deleted_at: datetime | None = None

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read what `write` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            found = json.loads(body)
            return cls(
                found["old"], found["new"], found["old_key"], _time(found["both_since"]), _time(found["deleted_at"])
            )
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("no record of a rotation") from error

    def write(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), default=datetime.isoformat).encode()


@dataclass(frozen=True, slots=True)
class Journal:
    """The rotations under way, in a deployment's store."""

    target: Target

    def find(self, old: Id | None) -> Rotation | None:
        """The rotation of a webhook; with None the only one that is under way.

        Raises:
            CliError: the store does not answer.
        """
        try:
            if old is None:
                keys = [entry.key for entry in self.target.store.list(PREFIX, _MOST, SECONDS)]
                return self._read(keys[0]) if len(keys) == 1 else None
            return self._read(_key(old))
        except PortError as error:
            raise self.target.failure("the store cannot be read", error) from error

    def keep(self, rotation: Rotation) -> Rotation:
        """Write down how far it is, and give it back.

        Raises:
            CliError: the store does not take it.
        """
        try:
            self.target.store.put(_key(rotation.old), rotation.write(), {}, SECONDS)
        except PortError as error:
            raise self.target.failure("how far the rotation is was not stored", error) from error
        return rotation

    def end(self, rotation: Rotation) -> None:
        """Forget it.

        Raises:
            CliError: the store does not answer.
        """
        try:
            self.target.store.delete(_key(rotation.old), SECONDS)
        except NotFoundError:
            pass
        except PortError as error:
            raise self.target.failure("the record of the rotation was not removed", error) from error

    def _read(self, key: str) -> Rotation | None:
        try:
            return Rotation.read(self.target.store.get(key, SECONDS).body)
        except (NotFoundError, ValueError):
            return None


def choose_old(id_: Id | None, hooks: Sequence[WebHook]) -> WebHook | None:
    """The webhook to replace; None where the one that was named is gone.

    Raises:
        CliError: none is named, and there is not exactly one.
    """
    if id_ is not None:
        return next((hook for hook in hooks if same_id(hook.id, id_)), None)
    if len(hooks) == 1:
        return hooks[0]
    lines = "\n".join(f"  {hook.id}  {short_url(hook.url)}" for hook in hooks[:20])
    raise CliError(
        f"which webhook to replace is not said; there are {len(hooks)}.",
        f"Name one by its id:\n{lines}" if hooks else "This makes one: dastra-webhooks register",
        Exit.USAGE if hooks else Exit.NOT_FOUND,
    )


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def left(since: datetime, seconds: float) -> float:
    """What is left of a wait that began at ``since``."""
    return max(0.0, min(seconds, seconds - (now() - since).total_seconds()))


def both_send(rotation: Rotation) -> Rotation:
    """From now on both webhooks send, if they did not before."""
    return rotation if rotation.both_since else replace(rotation, both_since=now())


def deleted(rotation: Rotation) -> Rotation:
    """From now on the old webhook is gone, if it was not before."""
    return rotation if rotation.deleted_at else replace(rotation, deleted_at=now())


def _key(old: Id) -> str:
    return f"{PREFIX}{''.join(c if c.isascii() and c.isalnum() else '-' for c in str(old))}.json"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
