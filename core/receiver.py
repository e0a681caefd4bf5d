"""From request to answer: what an entry point calls, and all that it calls."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core import http, log
from core.addresses import READ_SECONDS, AcceptedAddresses
from core.deadline import Deadline, process_age
from core.delivery import UNDECIDED, Delivery, Placed, Trace
from core.http import Request, Response
from core.keys import REFRESH_SECONDS, Keys
from core.log import Log, LogEvent, Value, record
from core.message import plain_token
from core.screening import Accepted, HoldReason, Outcome, Policy, Quarantined, RefusalReason, Refused, Screen, screen

_SCANNER_SAMPLE: Final = 100
"""Of requests without a well-formed signature, one in so many is logged; all are counted."""


@dataclass(slots=True, eq=False)
class Receiver:
    """Answers requests. One per instance, safe under concurrent calls."""

    policy: Policy
    keys: Keys
    delivery: Delivery
    accepted_addresses: AcceptedAddresses
    log: Log
    budget_seconds: float = 6.0
    refresh_seconds: float = REFRESH_SECONDS
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    process_age: Callable[[], float] = process_age
    screen: Screen = screen
    """What decides about a request; another sender brings its own (``docs/forking.md``)."""
    _first: bool = field(default=True, init=False)
    _scanners: int = field(default=0, init=False)

    def receive(self, request: Request) -> Response:
        """The answer to one request: 200 only once a durable place has the event. Never raises."""
        started = self.monotonic()
        trace = Trace()
        try:
            deadline = Deadline.start(self.budget_seconds, self._already_spent(request), self.monotonic)
            outcome = self._screen(request, deadline, trace)
            trace.screen_ms = self._since(started)
            if isinstance(outcome, Refused):
                return self._refuse(request, outcome, started, trace)
            return self._place(request, outcome, deadline, started, trace)
        except Exception as error:  # noqa: BLE001 - the last line of defence: one log line that alarms, one plain answer
            record(self.log, log.INTERNAL_ERROR, error=log.error_code(error), at=_where(error))
            return http.UNAVAILABLE

    def _already_spent(self, request: Request) -> float:
        """Seconds gone before we had the request; the first of an instance has also waited for its start."""
        first, self._first = self._first, False
        if request.received_at is not None:
            return self.now() - request.received_at
        return self.process_age() if first else 0.0

    def _screen(self, request: Request, deadline: Deadline, trace: Trace) -> Outcome:
        policy = self._known_policy()
        allowance = Deadline(self.monotonic() + deadline.share(self.refresh_seconds), self.monotonic)
        asked = self.keys.due() and self._refresh(allowance, trace)
        outcome = self.screen(request, self.keys.current(), policy, self.now())
        if not asked and isinstance(outcome, Refused) and _may_be_new_key(outcome):
            # Dastra's address is most likely an accepted one, and must be served before those who only pretend.
            listed = policy.listed(request.source) or request.source in self.accepted_addresses.remembered(
                allowance.remaining() / 2
            )
            if self._refresh(allowance, trace, listed=listed):
                outcome = self.screen(request, self.keys.current(), policy, self.now())
        if not isinstance(outcome, Refused) and not outcome.listed:
            seconds = deadline.share(min(READ_SECONDS, self.refresh_seconds))
            accepted, trace.address_known = self.accepted_addresses.look_up(seconds)
            if request.source in accepted:
                outcome = self.screen(request, self.keys.current(), policy.also(accepted), self.now())
        return outcome

    def _refresh(self, allowance: Deadline, trace: Trace, *, listed: bool = False) -> bool:
        started = self.monotonic()
        try:
            return self.keys.refresh(allowance.remaining(), listed=listed)
        finally:
            trace.keys_ms = round((trace.keys_ms or 0.0) + self._since(started), 1)

    def _since(self, started: float) -> float:
        return round((self.monotonic() - started) * 1000, 1)

    def _known_policy(self) -> Policy:
        accepted = self.accepted_addresses.known()
        return self.policy.also(accepted) if accepted.addresses or accepted.networks else self.policy

    def _place(
        self,
        request: Request,
        outcome: Accepted | Quarantined,
        deadline: Deadline,
        started: float,
        trace: Trace,
    ) -> Response:
        if not outcome.listed:
            record(self.log, log.UNLISTED_ADDRESS, source_ip=request.source, key=outcome.key.fingerprint)
        if isinstance(outcome, Accepted):
            placed = self.delivery.accept(outcome.message, deadline, request.source, trace)
            reason = None
        elif outcome.reason is HoldReason.UNLISTED_ADDRESS and not trace.address_known:
            reason = UNDECIDED
            placed = self.delivery.postpone(outcome.message, deadline, request.source, trace)
        else:
            reason = outcome.reason.value
            placed = self.delivery.quarantine(outcome.message, reason, deadline, request.source, trace)
        response, event = _ANSWERS[placed]
        if isinstance(outcome, Quarantined) and outcome.refused and placed is Placed.QUARANTINE:
            response = http.FORBIDDEN
        envelope = outcome.envelope
        self._write(
            event,
            response,
            request,
            started,
            trace,
            reason=reason,
            event_id=outcome.message.id,
            event_type=plain_token(envelope.event_type) if envelope else None,
            webhook_id=plain_token(envelope.webhook_id) if envelope else None,
            key=outcome.key.fingerprint,
            listed=outcome.listed,
        )
        return response

    def _refuse(self, request: Request, outcome: Refused, started: float, trace: Trace) -> Response:
        response = http.REFUSALS[outcome.status]
        listed = self._known_policy().listed(request.source)
        event = _refusal_event(outcome, listed=listed)
        if event is log.REFUSED:
            self._scanners += 1
            seen = self._scanners
            if seen % _SCANNER_SAMPLE != 1:
                self.log.count(event)
                return response
            self._write(event, response, request, started, trace, reason=outcome.reason.value, seen=seen)
        else:
            self._write(event, response, request, started, trace, reason=outcome.reason.value, listed=listed)
        return response

    def _write(
        self,
        event: LogEvent,
        response: Response,
        request: Request,
        started: float,
        trace: Trace,
        **fields: Value | None,
    ) -> None:
        record(
            self.log,
            event,
            status=response.status,
            source_ip=request.source,
            size=request.length or len(request.body),
            duration_ms=self._since(started),
            screen_ms=trace.screen_ms,
            keys_ms=trace.keys_ms,
            queue_ms=trace.queue_ms,
            store_ms=trace.store_ms,
            claim_check=trace.claim_check or None,
            **fields,
        )


_ANSWERS: Final = {
    Placed.QUEUE: (http.ACCEPTED, log.ACCEPTED),
    Placed.SPOOL: (http.SPOOLED, log.SPOOLED),
    Placed.QUARANTINE: (http.QUARANTINED, log.QUARANTINED),
    Placed.NOWHERE: (http.UNAVAILABLE, log.EVENT_LOST),
}


_OF_A_KEY: Final = frozenset({RefusalReason.WRONG_SIGNATURE, RefusalReason.NO_KEY, RefusalReason.UNLISTED_ADDRESS})


def _may_be_new_key(outcome: Refused) -> bool:
    """Whether another key could turn the refusal: not where the method, the length or two values decided it."""
    return outcome.claimed and outcome.reason in _OF_A_KEY


def _refusal_event(outcome: Refused, *, listed: bool) -> LogEvent:
    if outcome.reason is RefusalReason.NO_KEY:
        return log.NO_KEY
    if not outcome.claimed:
        return log.REFUSED
    if outcome.reason is RefusalReason.TOO_LARGE:
        return log.TOO_LARGE
    return log.BAD_SIGNATURE_LISTED if listed else log.BAD_SIGNATURE_UNLISTED


def _where(error: Exception) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None
