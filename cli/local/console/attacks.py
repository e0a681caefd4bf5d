"""What the page's buttons send: samples, every attack that the doctor knows, and events that are held or unusual."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from cli.doctor.attacks import ATTACKS, Attack, Group, Sent
from cli.doctor.attacks.base import JSON, NAME
from cli.local.console.post import Raw
from cli.samples import sample
from core.signature import SignatureKey

_TOO_LARGE: Final = 4 * 1024 * 1024 + 1
_LARGE: Final = 1_200_000

KINDS: Final[Mapping[Group, str]] = MappingProxyType(
    {
        Group.HEADER: "Signature missing, doubled or elsewhere",
        Group.ENCODING: "Signature in another encoding",
        Group.PARTIAL: "Signature right in part",
        Group.KEY: "Another key",
        Group.ALGORITHM: "Another algorithm",
        Group.BODY: "Body changed on the way",
        Group.PARSER: "Body that breaks a parser",
        Group.METHOD: "Another method",
        Group.WAY_ROUND: "A way round the check",
    }
)
"""What each group of attacks is called on its button."""


@dataclass(slots=True)
class EventSender:
    """Makes what the attacks are made of: sample events, signed with the run's key."""

    key: str
    other_key: str = "5f0d9a52-0000-4000-8000-c0ffee000000"

    def envelope(self, **fields: Any) -> dict[str, Any]:
        """A sample's envelope, with text outside ASCII in it."""
        found: dict[str, Any] = json.loads(sample().body)
        return found | {"eventName": "Demande créée (exemple)"} | fields

    def body(self, **fields: Any) -> bytes:
        """The same as compact JSON in UTF-8."""
        return json.dumps(self.envelope(**fields), ensure_ascii=False, separators=(",", ":")).encode()

    def signature(self, body: bytes, key: str | bytes) -> str:
        """Base64 of HMAC-SHA256. Not through ``SignatureKey``, which takes no key that is empty or no text."""
        secret = key.encode() if isinstance(key, str) else key
        return b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()


@dataclass(frozen=True, slots=True)
class Special:
    """A genuine request that is out of the ordinary. ``expects`` is the verdict."""

    title: str
    expects: str
    body: Callable[[EventSender], bytes]
    extra: tuple[tuple[str, str], ...] = field(default=())


def _hostile(sender: EventSender) -> bytes:
    """Every text of it would like to run in a page, or to steer a terminal."""
    script = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\u202e\x1b[31m"
    return sender.body(eventType=script, eventName=script, data={script: script})


SPECIALS: Final[Mapping[str, Special]] = MappingProxyType(
    {
        "not-an-object": Special("No JSON object", "quarantined", lambda s: b"[" + s.body() + b"]"),
        "not-text": Special("No text at all", "quarantined", lambda s: b"\xff\x00\x1b" + s.body()),
        "large": Special("Larger than the queue takes", "accepted", lambda s: s.body(pad="x" * _LARGE)),
        "too-large": Special("Larger than the receiver takes", "refused", lambda s: s.body(pad="x" * _TOO_LARGE)),
        "hostile": Special(
            "Markup in every field",
            "accepted",
            _hostile,
            (("X-Note", "<script>document.title='owned'</script>"), ("X-Empty", "")),
        ),
    }
)
"""By the name that the page uses, in its order."""


class Choices:
    """The requests by name. A group's button sends the next of the group each time."""

    def __init__(self) -> None:
        self._attacks: Final = {attack.name: attack for attack in ATTACKS}
        self._turns: Final[dict[Group, int]] = {}

    def sample(self, event_type: str, key: SignatureKey) -> Raw:
        """A genuine event.

        Raises:
            CliError: there is no such type.
        """
        return _genuine(EventSender(key.reveal()), sample(event_type).body)

    def special(self, name: str, key: SignatureKey) -> Raw:
        """An unusual one; KeyError where there is none of the name."""
        found, sender = SPECIALS[name], EventSender(key.reveal())
        return _genuine(sender, found.body(sender), *found.extra)

    def attack(self, name: str, key: SignatureKey) -> Raw:
        """An attack; KeyError where there is none of the name."""
        return _raw(self._attacks[name].make(EventSender(key.reveal())))

    def next_of(self, group: str) -> Attack:
        """The next attack of a group; ValueError where there is no such group."""
        wanted = Group(group)
        members = [attack for attack in ATTACKS if attack.group is wanted]
        turn = self._turns.get(wanted, 0)
        self._turns[wanted] = turn + 1
        return members[turn % len(members)]


def from_address(raw: Raw, source: str) -> Raw:
    """The same from another address of this machine."""
    return replace(raw, source=source)


def _genuine(sender: EventSender, body: bytes, *extra: tuple[str, str]) -> Raw:
    return _raw(Sent(body, (JSON, (NAME, sender.signature(body, sender.key)), *extra)))


def _raw(sent: Sent) -> Raw:
    headers = [(name.encode("latin-1"), _wire(value)) for name, value in sent.headers]
    target = (sent.path or "/") + (f"?{sent.query}" if sent.query else "")
    return Raw(sent.method, target.encode(), headers, sent.body)


def _wire(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()
