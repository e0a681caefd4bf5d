"""The decision about one request: a pure function of its bytes, headers and address, the keys, and a frozen policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from core.envelope import Envelope, EnvelopeError
from core.http import Request
from core.message import QueueMessage
from core.signature import HEADER, SignatureFault, SignatureKey, claims_signature, matching_key, read_signature
from core.source_ip import EMPTY, AllowList
from core.trace import HEADER as TRACE_HEADER
from core.trace import is_traceparent


class SourceIpMode(StrEnum):
    """What happens to an authentic event from an address off the list."""

    OFF = "off"
    OBSERVE = "observe"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class HoldReason(StrEnum):
    """Why an authentic event is held for a person."""

    NOT_AN_OBJECT = "not_a_json_object"
    UNLISTED_ADDRESS = "unlisted_address"
    TOO_OLD = "too_old"


class RefusalReason(StrEnum):
    """Why a request is refused; for logs and metrics, never for the answer."""

    METHOD = "method_not_allowed"
    TOO_LARGE = "body_too_large"
    UNLISTED_ADDRESS = "unlisted_address"
    NO_KEY = "no_key"
    MISSING_SIGNATURE = SignatureFault.MISSING
    CONFLICTING_SIGNATURES = SignatureFault.CONFLICTING
    MALFORMED_SIGNATURE = SignatureFault.MALFORMED
    WRONG_SIGNATURE = SignatureFault.MISMATCH


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator decided. ``max_event_age`` is in seconds, 0 for off; ``max_body_bytes`` counts the raw body."""

    source_ip_mode: SourceIpMode = SourceIpMode.QUARANTINE
    allow_list: AllowList = EMPTY
    max_body_bytes: int = 4 * 1024 * 1024
    max_event_age: float = 0

    def listed(self, address: str | None) -> bool:
        """Whether an address counts as Dastra's; every address does while the check is off."""
        return self.source_ip_mode is SourceIpMode.OFF or address in self.allow_list

    def also(self, accepted: AllowList) -> Policy:
        """This policy with more addresses on its list."""
        return replace(self, allow_list=self.allow_list | accepted)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Authentic, understood, every check passed: goes to the queue."""

    message: QueueMessage
    envelope: Envelope
    key: SignatureKey
    listed: bool


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Authentic, and a person must look at it: goes to the store. ``refused`` asks for 403 in place of 200."""

    message: QueueMessage
    envelope: Envelope | None
    key: SignatureKey
    listed: bool
    reason: HoldReason
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Not authentic, as far as can be told: goes nowhere. ``claimed`` says that it carries a well-formed signature."""

    status: int
    reason: RefusalReason
    claimed: bool = False


Outcome = Accepted | Quarantined | Refused
Screen = Callable[[Request, Sequence[SignatureKey], Policy, float], Outcome]
"""The form of ``screen``: a pure function that never raises, one for each kind of sender."""

_METHOD: Final = Refused(405, RefusalReason.METHOD)
_WRONG: Final = Refused(401, RefusalReason.WRONG_SIGNATURE, claimed=True)
_NO_KEY: Final = Refused(503, RefusalReason.NO_KEY, claimed=True)


def screen(request: Request, keys: Sequence[SignatureKey], policy: Policy, now: float) -> Outcome:
    """Decide what a request is: never raises, whatever the sender wrote.

    Args:
        request: the request, its body exactly as it was sent.
        keys: the known keys, newest first; empty while none is known, and then a well-formed signature gets 503.
        policy: the operator's settings.
        now: seconds since the epoch, for the age check.
    """
    if request.method != "POST":
        return _METHOD
    values = request.headers.get_all(HEADER)
    if len(request.body) > policy.max_body_bytes or (request.length or 0) > policy.max_body_bytes:
        return Refused(413, RefusalReason.TOO_LARGE, claims_signature(values))
    digest = read_signature(values)
    key = None if isinstance(digest, SignatureFault) else matching_key(request.body, digest, keys)
    if key is None:
        return _refusal(request, values, digest, keys, policy)
    return _admit(request, values[0].partition(",")[0].strip(" \t"), key, policy, now)


def _refusal(
    request: Request,
    values: Sequence[str],
    digest: bytes | SignatureFault,
    keys: Sequence[SignatureKey],
    policy: Policy,
) -> Refused:
    if isinstance(digest, bytes) and not keys:
        return _NO_KEY
    if policy.source_ip_mode is SourceIpMode.REJECT and request.source not in policy.allow_list:
        return Refused(403, RefusalReason.UNLISTED_ADDRESS, isinstance(digest, bytes))
    if isinstance(digest, bytes):
        return _WRONG
    return Refused(401, RefusalReason(digest), claims_signature(values))


def _admit(request: Request, signature: str, key: SignatureKey, policy: Policy, now: float) -> Outcome:
    listed = policy.listed(request.source)
    given = request.headers.get(TRACE_HEADER)
    traceparent = given if is_traceparent(given) else request.trace
    refused = not listed and policy.source_ip_mode is SourceIpMode.REJECT
    try:
        envelope = Envelope.parse(request.body)
    except EnvelopeError:
        unreadable = QueueMessage.of_unreadable(request.body, signature, traceparent=traceparent, unlisted=not listed)
        return Quarantined(unreadable, None, key, listed, HoldReason.NOT_AN_OBJECT, refused)
    message = QueueMessage.of_event(request.body, envelope, signature, traceparent=traceparent, unlisted=not listed)
    if not listed and policy.source_ip_mode is not SourceIpMode.OBSERVE:
        return Quarantined(message, envelope, key, listed, HoldReason.UNLISTED_ADDRESS, refused)
    if policy.max_event_age and (time := envelope.time) and now - time.timestamp() > policy.max_event_age:
        return Quarantined(message, envelope, key, listed, HoldReason.TOO_OLD)
    return Accepted(message, envelope, key, listed)
