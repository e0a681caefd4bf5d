"""`send --break`: one fault or attack at a time, with what the endpoint must make of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any, Final
from uuid import uuid4

from cli.doctor.attacks import ATTACKS, Attack, Sender, Sent
from cli.doctor.attacks.base import hmac_of, signed
from cli.doctor.wire import Endpoint, NoAnswerError, Trouble, Wire
from cli.exits import CliError, Exit
from cli.sending import Answer, is_loopback, shown, unreachable
from core.deadline import SENDER_PATIENCE
from core.screening import Policy
from core.signature import SignatureKey

ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Break:
    """A request that is wrong in one way. ``status`` is what it must get, ``verdict`` the receiver's word where 200."""

    name: str
    what: str
    make: Callable[[Sender], Sent]
    status: int = 401
    verdict: str | None = None
    chunked: bool = False

    def expected(self) -> str:
        """What it must get, for a person."""
        return f"{self.status} {self.verdict}" if self.verdict else str(self.status)

    def met_by(self, answer: Answer) -> bool:
        """Whether an answer is as it must be."""
        return answer.status == self.status and (self.verdict is None or answer.verdict in (None, self.verdict))


_BY_NAME: Final[dict[str, Attack]] = {attack.name: attack for attack in ATTACKS}
_SHORT: Final = {
    "signature": ("wrong", "a signature of the right form that is wrong"),
    "missing": ("missing", "no signature"),
    "header": ("in-X-Dastra-Signature", "the right signature in a header of another name"),
    "twice": ("right-then-wrong", "two signature headers, the second one wrong"),
    "encoding": ("hex", "the right signature in hexadecimal"),
    "prefix": ("prefixed-sha256", "the right signature behind sha256="),
    "key": ("key-other", "signed with a key that nobody has"),
    "guid": ("key-guid-bytes-little-endian", "signed with the key as a GUID's bytes, in .NET's order"),
    "algorithm": ("algorithm-sha1", "HMAC-SHA1 in place of SHA-256"),
    "body": ("body-middle-bit", "one bit of the body changed after signing"),
    "json": ("body-re-encoded", "the JSON parsed and written anew after signing"),
    "newline": ("body-newline-added", "a line end added to the body after signing"),
    "cut": ("body-last-byte-cut", "the last byte of the body cut off"),
    "compressed": ("body-compressed", "the body compressed after signing"),
    "deep": ("unsigned-deep", "unsigned JSON that is nested 100,000 deep"),
    "method": ("method-PUT", "PUT in place of POST, all else genuine"),
    "query": ("query-test=1-unsigned", "no signature, and ?test=1 in the URL"),
}
"""Short names for one attack of each kind, with what it is."""


def kinds() -> tuple[Break, ...]:
    """The kinds that the help names; what is genuine but odd stands at the end."""
    attacks = (_of_attack(_BY_NAME[attack], short, what) for short, (attack, what) in _SHORT.items())
    return (*attacks, *_genuine())


def find(name: str) -> Break:
    """A kind by its name, or any attack of the doctor's table by its own.

    Raises:
        CliError: there is none of this name.
    """
    for kind in kinds():
        if kind.name == name:
            return kind
    if name in _BY_NAME:
        return _of_attack(_BY_NAME[name], name, _BY_NAME[name].stands_for)
    known = [kind.name for kind in kinds()]
    close = get_close_matches(name, [*known, ALL, *_BY_NAME], 3, 0.5)
    hint = f"Did you mean {' or '.join(close)}?\n" if close else ""
    raise CliError(f"{name!r} is no way to break an event.", f"{hint}Valid: {', '.join(known)}, {ALL}", Exit.USAGE)


def _of_attack(attack: Attack, name: str, what: str) -> Break:
    return Break(name, what, attack.make, attack.status)


def _genuine() -> Iterator[Break]:
    """Genuine requests that a receiver must take, hold or refuse for another reason than their signature."""
    yield Break("size", "genuine, and one byte above 4 MiB", partial(_sized, Policy().max_body_bytes + 1), 413)
    yield Break("array", "genuine, and a JSON list in place of an object", _array, 200, "quarantined")
    yield Break("text", "genuine, and no JSON at all", _no_json, 200, "quarantined")
    yield Break("chunked", "genuine, sent in chunks without a length", signed, 200, chunked=True)
    yield Break("content-type", "genuine, with the Content-Type of a form", _as_form, 200)


def _sized(size: int, sender: Sender) -> Sent:
    return signed(sender, sender.body(data="x" * (size - len(sender.body(data="")))))


def _array(sender: Sender) -> Sent:
    return signed(sender, b"[" + sender.body() + b"]")


def _no_json(sender: Sender) -> Sent:
    return signed(sender, b"This is no JSON: " + base64.b64encode(sender.body()))


def _as_form(sender: Sender) -> Sent:
    sent = signed(sender)
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    return Sent(sent.body, (kind, *(pair for pair in sent.headers if pair[0] != "Content-Type")))


@dataclass(frozen=True, slots=True)
class EventSender:
    """Breaks the events that ``make`` makes; a ``Sender`` of the attacks."""

    make: Callable[[], bytes]
    signature_key: SignatureKey
    other_key: str = field(default_factory=lambda: str(uuid4()))

    @property
    def key(self) -> str:
        """The genuine one."""
        return self.signature_key.reveal()

    def envelope(self, **fields: Any) -> dict[str, Any]:
        """The event with these members replaced."""
        found = json.loads(self.make())
        return {**(found if isinstance(found, dict) else {"data": found}), **fields}

    def body(self, **fields: Any) -> bytes:
        """The event's exact bytes, unless members are replaced."""
        if not fields:
            return self.make()
        return json.dumps(self.envelope(**fields), ensure_ascii=False, separators=(",", ":")).encode()

    def signature(self, body: bytes, key: str | bytes) -> str:
        """The header's value for any key."""
        return base64.b64encode(hmac_of(body, key)).decode()


class Breaker:
    """Sends broken events to one endpoint, byte for byte, where a tidy client would mend them."""

    def __init__(self, url: str) -> None:
        self._url: Final = url
        endpoint = Endpoint.parse(url)
        try:
            self._wire: Final = Wire(endpoint if endpoint.proxy else endpoint.resolve(SENDER_PATIENCE))
        except NoAnswerError as error:
            raise unreachable(url, str(error)) from error

    def send(self, kind: Break, sender: Sender) -> tuple[Sent, Answer]:
        """Send one.

        Raises:
            CliError: there was no connection, or it broke before an answer.
        """
        try:
            sent = kind.make(sender)
        except (ValueError, RecursionError):
            raise CliError(
                f"this event cannot be broken so ({kind.name}: {kind.what}).", "Take a sample, or another kind."
            ) from None
        try:
            reply = self._wire.exchange(sent, SENDER_PATIENCE, chunked=kind.chunked)
        except NoAnswerError as error:
            if error.trouble is Trouble.TIMEOUT:
                return sent, Answer(None, None, None, SENDER_PATIENCE * 1000)
            raise unreachable(self._url, str(error)) from error
        return sent, Answer(reply.status, shown(reply.body), reply.header("location"), reply.seconds * 1000)


def alarm(sent: Sent, url: str) -> str | None:
    """What a deployment's operators hear of a broken event; nothing from a run on this machine."""
    if is_loopback(url) or not sent.claims:
        return None
    return "A deployment alarms at this one (bad_signature): it carries a well-formed signature."
