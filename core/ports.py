"""The three ports: where keys come from, where messages go, and where an event waits that the queue did not take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.message import QueueMessage
from core.signature import SignatureKey


class PortError(Exception):
    """A queue, a store or a key source did not do what was asked.

    Args:
        code: the service's error code or a word of our own; it may be logged, so it never quotes what was sent.
        timed_out: no answer in time: the call may have taken effect, and the service is likely to hang again.
        permanent: the service will refuse this message for ever, by its size or its characters.
    """

    def __init__(self, code: str, *, timed_out: bool = False, permanent: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.timed_out = timed_out
        self.permanent = permanent


class NotFoundError(PortError):
    """The store has no object of that key."""

    def __init__(self, code: str = "not_found") -> None:
        super().__init__(code)


class Queue(Protocol):
    """The user's queue. Called from several threads at once where the platform is concurrent."""

    def takes(self, message: QueueMessage) -> bool:
        """Whether the service accepts a message of this size and these characters. No I/O."""

    def send(self, message: QueueMessage, timeout: float) -> None:
        """Return once the service has acknowledged the message; ``timeout`` in seconds is a hint for its waits.

        Raises:
            PortError: it did not. Any other exception counts the same.
        """

    def discard(self) -> None:
        """Throw the client away after a time-out; the next call makes a new one. Returns at once."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the store: its key, its bytes, and its metadata by lower-case alphanumeric names."""

    key: str
    body: bytes
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A line of a listing; ``size`` in bytes, ``modified`` in UTC."""

    key: str
    size: int
    modified: datetime


class Store(Protocol):
    """The user's object store. ``timeout`` in seconds is a hint for the waits of one call; all raise PortError."""

    def put(
        self, key: str, body: bytes, metadata: Mapping[str, str], timeout: float, *, only_if_absent: bool = False
    ) -> bool:
        """Write an object; return False when it exists and ``only_if_absent`` was asked for."""

    def get(self, key: str, timeout: float) -> StoredObject:
        """Read an object.

        Raises:
            NotFoundError: there is none.
        """

    def list(self, prefix: str, limit: int, timeout: float) -> Sequence[StoredEntry]:
        """The first ``limit`` objects below ``prefix`` in the order of their keys."""

    def delete(self, key: str, timeout: float) -> None:
        """Remove an object; no error when there is none."""

    def url(self, key: str) -> str:
        """What a claim check's ``dataref`` says for an object: ``s3://``, ``gs://`` or the blob's URL."""

    def discard(self) -> None:
        """Throw the client away after a time-out; the next call makes a new one. Returns at once."""


class KeySource(Protocol):
    """Where the validation keys are kept."""

    def fetch(self, timeout: float) -> tuple[SignatureKey, ...]:
        """Read the keys, newest first, from the secret store itself and not from a cache.

        Raises:
            PortError: the store did not answer, or it holds no usable key.
        """
