"""Whether a deployed receiver takes a key: a signed sample is posted until it is accepted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cli.dastra.urls import short_url
from cli.exits import CliError, Exit
from cli.output import Output
from cli.samples import Sample, sample
from cli.sending import Answer, post
from cli.target import Target
from core.message import event_id
from core.ports import NotFoundError, PortError
from core.records import QUARANTINE_PREFIX
from core.signature import SignatureKey

_OURS: Final = frozenset({"accepted", "spooled", "quarantined"})
_LATER: Final = frozenset({401, 429, 500, 502, 503, 504})
"""Answers that a new key's way to the receiver, or a start of it, may explain."""
_PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries. The receiver reads its keys again for a few unknown ones at once, then one in 10 s."""
_WHY: Final = {
    401: "It does not know the key: does it read the secret that the key is in? dastra-webhooks key list shows it.",
    403: "It refuses this machine's address (mode reject), signed or not, so nothing can be proved from here.\n"
    "Run this from an accepted address, or add --no-probe.",
    404: "Nothing is at this path; is the URL complete?",
    405: "It takes no POST; is it the receiver's URL?",
    503: "It knows no key yet, or neither its queue nor its store takes anything.",
}


@dataclass(frozen=True, slots=True)
class Probed:
    """A sample that was taken."""

    verdict: str
    event: Sample


def takes(url: str, key: SignatureKey) -> Probed | None:
    """Post one sample; None where the receiver does not know the key.

    Raises:
        CliError: the URL does not answer, or not as the receiver does.
    """
    event = sample()
    answer = post(url, event.body, key)
    if _taken(answer):
        return Probed(answer.verdict or "", event)
    if answer.status in (401, 503):
        return None
    raise _failure(url, answer)


def wait_until_taken(
    url: str,
    key: SignatureKey,
    out: Output,
    seconds: float,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Probed:
    """Post samples until one is taken, for at most ``seconds``.

    Raises:
        CliError: none was, the URL does not answer, or not as the receiver does.
    """
    ends_at = monotonic() + seconds
    with out.status(f"Waiting until {short_url(url)} takes the key {key.fingerprint}"):
        for attempt in range(1_000_000):
            event = sample()
            answer = post(url, event.body, key)
            if _taken(answer):
                return Probed(answer.verdict or "", event)
            pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
            later = answer.status is None or answer.status in _LATER
            if not later or monotonic() + pause > ends_at:
                raise _failure(url, answer)
            sleep(pause)
    raise AssertionError("never so many")


def put_away(probed: Probed, target: Target, out: Output) -> None:
    """Remove a probe of ours that is held in quarantine, since nobody needs to look at it."""
    if probed.verdict != "quarantined":
        return
    mine = event_id(probed.event.body)
    redrive = target.redrive()
    try:
        for entry in redrive.records(QUARANTINE_PREFIX):
            if entry.key.endswith(mine):
                redrive.drop(entry.key)
    except NotFoundError:
        pass
    except PortError as error:
        out.note(f"The probe stays in quarantine ({error.code}); drop it: dastra-webhooks quarantine list")


def _taken(answer: Answer) -> bool:
    return answer.good and answer.verdict in _OURS


def _failure(url: str, answer: Answer) -> CliError:
    url = short_url(url)
    if answer.status is None:
        return CliError(f"{url} does not answer within 10 s.", "Dastra would count that as an error.", Exit.UNREACHABLE)
    if answer.good:
        return CliError(
            f"{url} answers 200, but not as this receiver does.", "Is it the receiver's URL?", Exit.UNREACHABLE
        )
    return CliError(
        f"{url} does not take an event signed with this key: it answers {answer.status}.",
        _WHY.get(answer.status, "Something else than the receiver may answer; is the URL right?"),
        Exit.UNREACHABLE,
    )
