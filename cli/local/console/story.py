"""Why a request got its answer, in a sentence for a person, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from core.delivery import UNDECIDED
from core.screening import HoldReason, RefusalReason


class Kind(StrEnum):
    """What a page filters by."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    SPOOLED = "spooled"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Story:
    """``why`` and ``next`` are sentences; ``next`` may be empty."""

    why: str
    next: str = ""


REFUSALS: Final[Mapping[RefusalReason, Story]] = {
    RefusalReason.METHOD: Story("Only POST is taken.", "Dastra always posts: this is somebody else."),
    RefusalReason.TOO_LARGE: Story(
        "The body is larger than the receiver takes.", "The limit is DASTRA_MAX_BODY_BYTES, 4 MiB by default."
    ),
    RefusalReason.UNLISTED_ADDRESS: Story(
        "The mode is reject, the address is not on the list, and nothing proves that it is Dastra's.",
        "With a right signature it would be kept in quarantine.",
    ),
    RefusalReason.NO_KEY: Story(
        "No key is known, so nothing can be checked; it may be Dastra's, hence 503 and not 401.",
        "dastra-webhooks key set puts a key there.",
    ),
    RefusalReason.MISSING_SIGNATURE: Story(
        "There is no Dastra-Signature header.", "Dastra signs every event: this is a scanner, or a proxy took it away."
    ),
    RefusalReason.CONFLICTING_SIGNATURES: Story(
        "There are two different signatures; none of them is tried.", "Look for a proxy that adds a header."
    ),
    RefusalReason.MALFORMED_SIGNATURE: Story(
        "The Dastra-Signature is not base64 of 32 bytes, as HMAC-SHA256 makes it.",
        "Is it in hex? Explain tells.",
    ),
    RefusalReason.WRONG_SIGNATURE: Story(
        "The signature is well formed, but none of the known keys makes it of these bytes.",
        "Another key, or a body that was changed on its way: Explain tries what it may be.",
    ),
}
HELD: Final[Mapping[HoldReason, Story]] = {
    HoldReason.NOT_AN_OBJECT: Story(
        "The signature is right, but the body is not a JSON object: a person must look at it.",
        "Release it if your consumer can read it, else drop it.",
    ),
    HoldReason.UNLISTED_ADDRESS: Story(
        "The signature is right, but the address is not on the list of Dastra's.",
        "Is it Dastra's? Then accept the address: what is held goes to the queue, and later events pass.",
    ),
    HoldReason.TOO_OLD: Story(
        "The signature is right, but the event is older than DASTRA_MAX_EVENT_AGE_SECONDS: it may be a replay.",
        "Release it if you know why it is late, else drop it.",
    ),
}
_QUEUE: Final = (
    "The queue did not take it in time ({reason}), so the store has it. The answer is 200 all the same.",
    "It goes back to the queue by itself once that works; Redrive does it now.",
)
_RESTS: Final = (
    "The queue timed out a moment ago and is left alone for 15 seconds; events go straight to the store.",
    "It goes back to the queue by itself; Redrive does it now.",
)
_UNDECIDED: Final = Story(
    "The signature is right, but the store did not answer when the address was looked up: it may have been accepted. "
    "So the event waits in the spool.",
    "The redrive reads the list and decides: to the queue, or into quarantine. Redrive does it now.",
)
_UNDECIDED_QUEUED: Final = Story(
    "The signature is right, but the store could neither say whether the address was accepted nor hold the event: it "
    "is on the queue, marked unlisted.",
    "A consumer that must not act on such an event looks at the mark.",
)
_RESTING: Final = frozenset({"queue_rests", "resting"})


def kind_of(verdict: str, status: int) -> Kind:
    """The kind of an answered request."""
    if verdict in (Kind.ACCEPTED, Kind.SPOOLED, Kind.QUARANTINED):
        return Kind(verdict)
    return Kind.FAILED if status >= 500 else Kind.REFUSED


def story_of(told: Mapping[str, Any], final: Mapping[str, Any]) -> Story:
    """The story of an answered request, from what ``cli.local.verdict.told`` says and the receiver's last log line."""
    verdict, reason = str(told["verdict"]), str(told["reason"] or "")
    match verdict:
        case "accepted":
            return _UNDECIDED_QUEUED if reason == UNDECIDED else _accepted(final)
        case "spooled" if reason == UNDECIDED:
            return _UNDECIDED
        case "spooled":
            return Story(*_RESTS) if reason in _RESTING else Story(_QUEUE[0].format(reason=reason), _QUEUE[1])
        case "quarantined" if reason in set(HoldReason):
            return HELD[HoldReason(reason)]
        case "event_lost":
            return Story(
                "Neither the queue nor the store took it: 503, and it is lost, since Dastra never sends again.",
                "This raises the most severe alarm. Mend the store first.",
            )
        case "no_key":
            return REFUSALS[RefusalReason.NO_KEY]
        case "internal_error" | "crashed":
            return Story("The receiver itself failed.", "The log says where.")
        case "not allowed":
            return REFUSALS[RefusalReason.METHOD]
        case "too large":
            return REFUSALS[RefusalReason.TOO_LARGE]
    if reason in set(RefusalReason):
        return REFUSALS[RefusalReason(reason)]
    return Story(f"It was answered {told['status']}.")


def _accepted(final: Mapping[str, Any]) -> Story:
    if final.get("claim_check"):
        return Story(
            "Signature and address are right. The queue does not take the body as it is, so that is in the store and a "
            "pointer to it on the queue.",
            "A consumer follows the pointer: the message contract says how.",
        )
    if final.get("listed") is False:
        return Story("The signature is right. The address is off the list, but the mode is observe: it passes, marked.")
    return Story("The signature is right, the address is on the list, and the queue has it.")
