"""What the contract tests need of a cloud, and the list of clouds that offer it.

A cloud joins by a module in this package that calls :func:`register`; no test changes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

LISTED: Final = "192.0.2.44"
"""The address that the receivers under test have on their list, and where requests come from unless they say else."""
UNLISTED: Final = "198.51.100.7"


class Duplicates(StrEnum):
    """What a front does with a header that is sent twice."""

    JOINED = "joined"
    """One value, the two with a comma in between."""
    LAST_ONLY = "last-only"
    """The last value; the others are gone."""
    KEPT = "kept"
    """All values."""


class Port(StrEnum):
    """What can fail."""

    QUEUE = "queue"
    STORE = "store"
    KEYS = "keys"


class Mode(StrEnum):
    """How it can fail. What each does on the wire: ``cli.local.faults.Fault``."""

    REFUSED = "refused"
    RESET = "reset"
    SILENT = "silent"
    HANGING = "hanging"
    DRIPPING = "dripping"
    ERROR_500 = "500"
    ERROR_503 = "503"
    THROTTLED = "throttled"
    SLOW = "slow"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Front:
    """A way from the internet to the function; ``body`` says in what form it hands a body over where it can choose."""

    name: str
    duplicates: Duplicates


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as the client sends it. ``client`` is its address; None where the front does not know one."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    path: str = "/dastra"
    query: str = ""
    client: str | None = LISTED


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets; header names in lower case. ``seconds`` is how long it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = field(compare=False, default=0.0)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as a consumer sees it: ``body`` with a claim check followed, attributes by their bare names."""

    body: bytes
    attributes: Mapping[str, str]
    claimed: bool

    @property
    def id(self) -> str:
        """The idempotency key."""
        return self.attributes["id"]


@dataclass(frozen=True, slots=True)
class Stored:
    """An object of the store."""

    key: str
    body: bytes
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """What a redrive run answered."""

    sent: int
    failed: int
    skipped: bool


class Driver(Protocol):
    """One deployment: a queue, a store and a key store of its own, and the real entry points in front of them."""

    queue_limit: int
    """Bytes that a message may have; a larger event becomes a claim check."""

    def build(
        self, settings: Mapping[str, str] | None = None, *, keys: Sequence[str] | None = None, rest: float | None = None
    ) -> None:
        """Start an instance of the receiver, in place of the one before.

        ``settings`` are names without their prefix. ``keys`` stand in the settings; with None the instance reads the
        key store. ``rest`` is how many seconds a queue that timed out is left alone, where not the default.
        """

    def post(self, request: HttpRequest, front: Front | None = None) -> Answer:
        """Send a request through the real entry point, behind ``front`` or the first of the cloud's."""

    def messages(self) -> list[Sent]:
        """Everything that reached the queue since the deployment began or was last reset."""

    def stored(self, prefix: str) -> list[Stored]:
        """What stands in the store below ``prefix``, in the order of the keys."""

    def plant(self, key: str, body: bytes, metadata: Mapping[str, str]) -> None:
        """Put an object into the store, past the receiver."""

    def put_keys(self, *keys: str) -> None:
        """Write keys to the key store, newest first."""

    def put_secret(self, text: str) -> None:
        """Write this text to the key store, whatever it is."""

    def fault(self, port: Port, mode: Mode, times: int | None = None) -> None:
        """Make a port fail, for good or for the next ``times`` requests."""

    def slow(self, seconds: float) -> None:
        """How long ``Mode.SLOW`` holds an answer."""

    def lift(self) -> None:
        """End every fault."""

    def requests(self, port: Port) -> int:
        """How many requests a port has had from the receiver."""

    def redrive(self, limit: int | None = None) -> Run:
        """Run the real schedule handler, in an instance of its own."""

    def watch(self, settings: Mapping[str, str]) -> Mapping[str, str | int]:
        """Run the real check of the webhooks, in an instance of its own whose API key is what the key store holds.

        ``settings`` are names without their prefix, beside those of the receiver.
        """

    def accept(self, entry: str) -> None:
        """Accept an address or a network, as the command line does."""

    def release(self, key: str, *, vouched: bool) -> None:
        """Send what the store holds under ``key`` to the queue, as the command line does."""

    def metrics(self, output: str) -> list[Mapping[str, float]]:
        """The metrics in what a handler printed: a mapping of names to values for each line that has any."""

    def reset(self) -> None:
        """Empty the queue and the store, and end every fault."""


class Platform(Protocol):
    """The emulator of a cloud, one for each test process."""

    def deploy(self) -> AbstractContextManager[Driver]:
        """A deployment of its own, gone afterwards."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud that the contract is tested on. ``start`` runs its emulator; it skips the tests where there is none."""

    name: str
    fronts: tuple[Front, ...]
    start: Callable[[], AbstractContextManager[Platform]]


CLOUDS: Final[dict[str, Cloud]] = {}


def register(cloud: Cloud) -> None:
    """Add a cloud to the tests."""
    CLOUDS[cloud.name] = cloud


def load() -> dict[str, Cloud]:
    """Every cloud that has a module here, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return CLOUDS
