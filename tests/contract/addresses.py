"""What the source address changes, by mode. Data only; ``test_addresses.py`` runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.contract.answers import ACCEPTED, FORBIDDEN, QUARANTINED, UNAUTHORIZED
from tests.contract.bypass import signed, unsigned
from tests.drivers import LISTED, UNLISTED, Answer, HttpRequest
from tests.planted import OTHER_KEY


class Where(StrEnum):
    """Where the event is."""

    QUEUE = "queue"
    MARKED = "queue, marked unlisted"
    HELD = "quarantine"
    NOWHERE = "nowhere"


class Mode(StrEnum):
    """``SOURCE_IP_MODE``."""

    OFF = "off"
    OBSERVE = "observe"
    QUARANTINE = "quarantine"
    REJECT = "reject"


CLIENTS: Final[dict[str, str | None]] = {"listed": LISTED, "unlisted": UNLISTED, "unknown": None}
REQUESTS: Final[dict[str, Callable[[str | None], HttpRequest]]] = {
    "genuine": lambda client: signed(client=client),
    "forged": lambda client: signed(client=client, key=OTHER_KEY),
    "unsigned": lambda client: unsigned(client=client),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One mode, one kind of address, one kind of request."""

    mode: Mode
    client: str
    request: str
    answer: Answer
    where: Where

    @property
    def title(self) -> str:
        """The row's name in reports."""
        return f"{self.mode}-{self.client}-{self.request}"


def _rows() -> Iterator[Row]:
    genuine_from_elsewhere = {
        Mode.OFF: (ACCEPTED, Where.QUEUE),
        Mode.OBSERVE: (ACCEPTED, Where.MARKED),
        Mode.QUARANTINE: (QUARANTINED, Where.HELD),
        Mode.REJECT: (FORBIDDEN, Where.HELD),
    }
    for mode in Mode:
        for client in CLIENTS:
            elsewhere = client != "listed"
            answer, where = genuine_from_elsewhere[mode] if elsewhere else (ACCEPTED, Where.QUEUE)
            yield Row(mode, client, "genuine", answer, where)
            # Refused alike, whatever the signature: the address decides, and says nothing about the key.
            no = FORBIDDEN if elsewhere and mode is Mode.REJECT else UNAUTHORIZED
            yield Row(mode, client, "forged", no, Where.NOWHERE)
            yield Row(mode, client, "unsigned", no, Where.NOWHERE)


ROWS: Final = tuple(_rows())

ACCEPTING: Final[dict[str, tuple[str, str, str]]] = {
    "address": (UNLISTED, UNLISTED, "198.51.100.8"),
    "network": ("198.51.100.0/25", UNLISTED, "198.51.100.200"),
    "address-6": ("2001:db8::17", "2001:db8::17", "2001:db8::18"),
    "network-6": ("2001:db8:7::/48", "2001:db8:7:1::1", "2001:db8:8::1"),
    "mapped": (UNLISTED, f"::ffff:{UNLISTED}", "::ffff:198.51.100.8"),
}
"""What is accepted, an address that it lets in, and one that it does not."""
