"""What is missing onto the queue, one message at a time.

Before a message is sent, the state file says that it is about to be, and afterwards that it was. A run that is killed
in between leaves one entry of which nobody knows; the next run sends it again, with the same id and the same bytes.
So nothing is lost, and at most one message per kill is on the queue twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from cli.dastra.logs import MOST_PER_PAGE, Api, LogQuery, pages
from cli.reconcile.state import Row, State
from core.deadline import Deadline
from core.delivery import Delivery, Trace
from core.ports import PortError
from core.reconciled import LogEntry, reconciled_message

GIVE_UP_AFTER: Final = 3
"""Failures in a row after which the queue is left alone."""
_MARGIN: Final = timedelta(seconds=1)


class Outcome(StrEnum):
    """What became of an entry."""

    SENT = "sent"
    FAILED = "failed"
    GONE = "gone"


OnOutcome = Callable[[Row, Outcome, str | None], None]
"""Is told of each entry; the text is an error's code."""


@dataclass(slots=True)
class Sent:
    """What a run of sending did. ``stopped_by`` is the error at which it gave up; None where it came to the end."""

    sent: int = 0
    failed: int = 0
    gone: int = 0
    stopped_by: PortError | None = None

    def count(self, outcome: Outcome) -> None:
        """One more."""
        setattr(self, outcome.value, getattr(self, outcome.value) + 1)


def send_missing(
    api: Api,
    state: State,
    delivery: Delivery,
    query: LogQuery,
    webhook_id: str,
    tell: OnOutcome,
    size: int = MOST_PER_PAGE,
) -> Sent:
    """Read each missing entry again, for what it says is kept nowhere, and send its message.

    Raises:
        DastraError: the log cannot be read. What was sent until then is noted.
    """
    result = Sent()
    in_a_row = 0
    for stretch in state.pending():
        left = {row.log_id: row for row in stretch}
        for page in pages(api, _slice(query, stretch), size):
            for entry in page.entries:
                row = left.pop(entry.id, None)
                if row is None:
                    continue
                error = _send(state, delivery, entry, webhook_id)
                outcome = Outcome.SENT if error is None else Outcome.FAILED
                result.count(outcome)
                tell(row, outcome, error.code if error else None)
                in_a_row = 0 if error is None or error.permanent else in_a_row + 1
                if in_a_row >= GIVE_UP_AFTER:
                    result.stopped_by = error
                    return result
            if not left:
                break
        for row in left.values():
            state.gone(row.log_id)
            result.count(Outcome.GONE)
            tell(row, Outcome.GONE, None)
    return result


def _send(state: State, delivery: Delivery, entry: LogEntry, webhook_id: str) -> PortError | None:
    message = reconciled_message(entry, webhook_id)
    limits = delivery.limits
    deadline = Deadline.start(2 * limits.queue_seconds + limits.store_seconds, 0, time.monotonic)
    state.sending(entry.id)
    try:
        delivery.enqueue(message, deadline, Trace())
    except PortError as error:
        if error.permanent:
            # Any other error may have come after the queue had it.
            state.not_sent(entry.id)
        return error
    state.sent(entry.id)
    return None


def _slice(query: LogQuery, stretch: Sequence[Row]) -> LogQuery:
    """The part of the window that holds these entries; all of it where one has no date."""
    dates = [row.at for row in stretch]
    known = [date for date in dates if date is not None]
    if len(known) < len(dates):
        return query
    return replace(query, since=min(known) - _MARGIN, until=max(known) + _MARGIN)
