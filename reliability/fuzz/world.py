"""What stands at the three ports while the entry points are fuzzed: it keeps what it is given, and fails when told."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Final

from core.assembly import assemble
from core.delivery import Delivery
from core.keys import StaticKeys
from core.log import Log
from core.message import CLAIMS_PREFIX, QueueMessage
from core.ports import NotFoundError, PortError, StoredEntry, StoredObject
from core.receiver import Receiver
from core.settings import Settings
from core.signature import SignatureKey

KEY: Final = SignatureKey("8d4e1b7a-0c35-4f92-a6b8-5e7f3d2c1a90")
OTHER_KEY: Final = SignatureKey("1f2e3d4c-5b6a-4798-8190-a1b2c3d4e5f6")
"""Never configured."""
LISTED: Final = "192.0.2.44"
MARKER: Final = "planted-fuzz-9b3d@example.org"
"""Stands in headers and paths of every request, and in bodies; nothing that is logged may hold it."""
MOST: Final = 2048
"""The body limit of the receivers here, in bytes: low, so that inputs can reach it."""
_QUEUE_MOST: Final = 1024


class Output(io.StringIO):
    """Everything that is printed and logged, until it is taken."""

    def take(self) -> str:
        """What there is; afterwards there is nothing."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class MemoryQueue:
    """Keeps messages; ``error`` is raised in place of taking one. As SQS does, it refuses NUL and what is large."""

    def __init__(self) -> None:
        self.messages: Final[list[QueueMessage]] = []
        self.error: Exception | None = None

    def takes(self, message: QueueMessage) -> bool:
        """As the port says."""
        return len(message.body) <= _QUEUE_MOST and b"\0" not in message.body

    def send(self, message: QueueMessage, timeout: float) -> None:
        """As the port says."""
        del timeout
        if self.error is not None:
            raise self.error
        self.messages.append(message)

    def discard(self) -> None:
        """As the port says."""


class MemoryStore:
    """Keeps objects."""

    def __init__(self) -> None:
        self.objects: Final[dict[str, StoredObject]] = {}

    def put(
        self, key: str, body: bytes, metadata: Mapping[str, str], timeout: float, *, only_if_absent: bool = False
    ) -> bool:
        """As the port says."""
        del timeout
        if only_if_absent and key in self.objects:
            return False
        self.objects[key] = StoredObject(key, body, metadata)
        return True

    def get(self, key: str, timeout: float) -> StoredObject:
        """As the port says."""
        del timeout
        if key not in self.objects:
            raise NotFoundError
        return self.objects[key]

    def list(self, prefix: str, limit: int, timeout: float) -> Sequence[StoredEntry]:
        """As the port says; nobody has accepted an address here."""
        del prefix, limit, timeout
        return ()

    def delete(self, key: str, timeout: float) -> None:
        """As the port says."""
        del timeout
        self.objects.pop(key, None)

    def url(self, key: str) -> str:
        """As the port says."""
        return f"memory://store/{key}"

    def discard(self) -> None:
        """As the port says."""


FAULTS: Final[tuple[Exception | None, ...]] = (
    None,
    None,
    None,
    PortError("refused"),
    PortError("too_long", permanent=True),
    RuntimeError("a fault in an adapter"),
)
"""What the queue may answer; no time-out, after which it would rest, and one input would depend on another."""


class World:
    """Queue, store and output of one harness."""

    def __init__(self) -> None:
        self.queue: Final = MemoryQueue()
        self.store: Final = MemoryStore()
        self.output: Final = Output()

    def clear(self) -> None:
        """Forget everything."""
        self.queue.messages.clear()
        self.queue.error = None
        self.store.objects.clear()
        self.output.take()

    def receiver(self, settings: Settings, log: Log) -> Receiver:
        """The core's receiver on these ports."""
        return assemble(settings, Delivery(self.queue, self.store, log), StaticKeys((KEY,)))

    def kept(self) -> list[bytes]:
        """The bodies of everything in a durable place, claim checks followed."""
        bodies = [
            self.store.objects[message.claim_key].body if message.is_pointer else message.body
            for message in self.queue.messages
        ]
        for key, stored in self.store.objects.items():
            if key.startswith(CLAIMS_PREFIX):
                continue
            pointed = self.store.objects.get(CLAIMS_PREFIX + stored.metadata["id"])
            bodies.append(pointed.body if "dataref" in stored.metadata and pointed else stored.body)
        return bodies


def environment(queue: str) -> dict[str, str]:
    """Settings of a receiver here."""
    return {
        "DASTRA_QUEUE": queue,
        "DASTRA_STORE": "store",
        "DASTRA_SIGNATURE_KEYS": KEY.reveal(),
        "DASTRA_SOURCE_IP_ALLOWLIST": LISTED,
        "DASTRA_MAX_BODY_BYTES": str(MOST),
    }
