"""Who sends a case, and with what signature: what the three clouds' cases have in common."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from core.signature import sign
from reliability.fuzz.inputs import Choices
from reliability.fuzz.world import FAULTS, KEY, LISTED, MARKER, MOST, OTHER_KEY, World

_NAMES: Final = ("Dastra-Signature", "dastra-signature", "DASTRA-SIGNATURE")
_METHODS: Final = ("POST", "POST", "POST", "GET", "post", "PUT", "HEAD", "")
_SOURCES: Final = (LISTED, LISTED, "198.51.100.7", "::ffff:192.0.2.44", "[2001:db8::1]:443", "unknown", "")
_TRACES: Final = ("", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-ff-01", "é", MARKER)


@dataclass(frozen=True, slots=True)
class Case:
    """A request, before a cloud's front has it. ``genuine``: the receiver must keep it and answer 200."""

    genuine: bool
    method: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source: str

    def arrives(self, *, whole: bool) -> bool | None:
        """What :func:`reliability.fuzz.oracle.check` is to expect of it."""
        return None if self.genuine and not whole else self.genuine


def case(choices: Choices, body: bytes, world: World) -> Case:
    """Draw one, and how the queue is meanwhile."""
    world.clear()
    world.queue.error = choices.of(FAULTS)
    genuine = choices.number(2) == 0
    method = "POST" if genuine else choices.of(_METHODS)
    signature = sign(body, KEY) if genuine else _forged(choices, body)
    values = [signature] if signature is not None else []
    if values and choices.flag():
        values *= 2  # sent twice is still one signature
    padding = " " if choices.flag() else ""
    name = choices.of(_NAMES)
    headers = [(name, f"{padding}{value}{padding}") for value in values]
    headers += [("User-Agent", MARKER), ("Content-Type", choices.of(("application/json", "", "text/plain")))]
    if trace := choices.of(_TRACES):
        headers.append(("traceparent", trace))
    if choices.flag():
        headers.append((choices.of(("X-Cloud-Trace-Context", "X-Forwarded-Proto", "Cookie")), choices.text()))
    return Case(genuine and len(body) <= MOST, method, tuple(headers), body, choices.of(_SOURCES))


def _forged(choices: Choices, body: bytes) -> str | None:
    """A signature that does not hold, or none: whoever makes it has no key."""
    right = sign(body, KEY)
    match choices.number(10):
        case 0:
            return sign(body, OTHER_KEY)
        case 1:
            return sign(body + b" ", KEY)  # overheard with another body
        case 2:
            return None
        case 3:
            return right.lower()
        case 4:
            return right[: choices.number(44)]
        case 5:
            return f"{right},{sign(body, OTHER_KEY)}"
        case 6:
            return base64.b64encode(KEY.digest(body)[: choices.number(32)]).decode()
        case 7:
            return f"{right[:-2]}{chr(ord(right[-2]) ^ 1)}="
        case 8:
            return KEY.digest(body).hex()
        case _:
            return choices.text()
