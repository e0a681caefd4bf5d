"""One run against one endpoint: what it may do, and everything that came back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cli.doctor.attacks import ATTACKS, Attack, Sent
from cli.doctor.sender import DoctorSender
from cli.doctor.wire import NoAnswerError, Reply, Wire
from cli.sending import is_loopback
from core.deadline import SENDER_PATIENCE
from core.message import event_id

BUDGET: Final = 6.0
"""Seconds after which the receiver's own answer is out, by its default settings."""
SLOW: Final = 3.0
"""Seconds at which the alarm `slow` fires."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. ``whole`` bounds all of it; what has not begun by then is skipped."""

    patience: float = SENDER_PATIENCE
    budget: float = BUDGET
    slow: float = SLOW
    whole: float = 180.0
    parallel: int = 4
    """Requests at a time: a small account has ten instances in all, and what it throttles alarms."""


UNLISTED: Final = (
    "authentic_from_unlisted_address and quarantined, if this machine's address is not on the receiver's list"
)
BAD_SIGNATURE: Final = "bad_signature: many wrong signatures are sent (high, if this machine's address is on the list)"
TOO_LARGE: Final = "too_large: a body above the limit is sent, with a signature"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does to an endpoint."""

    url: str
    sender: DoctorSender
    probe: bool = True
    """Whether genuine events may be sent."""
    gentle: bool = False
    """Whether nothing else may be sent that alarms."""
    limits: Limits = field(default_factory=Limits)
    attacks: Sequence[Attack] = ATTACKS

    def alarms(self) -> list[str]:
        """The alarms that it will set off, or may, with why; none on this machine, where they go to nobody."""
        if is_loopback(self.url):
            return []
        said = [UNLISTED] if self.probe else []
        return said if self.gentle else [*said, BAD_SIGNATURE, TOO_LARGE]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request by its name, and its answer."""

    name: str
    sent: Sent
    reply: Reply


@dataclass(slots=True)
class Session:
    """What the checks share."""

    wire: Wire
    plan: Plan
    seen: list[Seen] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)
    """The ids of the genuine events that were sent."""
    ends_at: float = 0.0

    def __post_init__(self) -> None:
        self.ends_at = self.ends_at or time.monotonic() + self.plan.limits.whole

    @property
    def over(self) -> bool:
        """Whether the time for all of it has passed."""
        return time.monotonic() >= self.ends_at

    def send(
        self,
        name: str,
        sent: Sent,
        *,
        seconds: float | None = None,
        chunked: bool = False,
        ask_first: bool = False,
        wire: Wire | None = None,
    ) -> Reply | NoAnswerError:
        """Send a request and keep its answer."""
        try:
            reply = (wire or self.wire).exchange(
                sent, seconds or self.plan.limits.patience, chunked=chunked, ask_first=ask_first
            )
        except NoAnswerError as error:
            return error
        self.seen.append(Seen(name, sent, reply))
        return reply

    def send_genuine(self, name: str, sent: Sent, *, chunked: bool = False) -> Reply | NoAnswerError:
        """The same for an event that will be taken, whose id is kept."""
        self.probes.append(event_id(sent.body))
        return self.send(name, sent, chunked=chunked)
