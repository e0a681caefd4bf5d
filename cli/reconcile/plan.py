"""From the log and the arrivals to a verdict on every entry. All in the state file, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import Final

from cli.reconcile.arrivals import Arrival
from cli.reconcile.matching import Verdict, differences, judge
from cli.reconcile.state import State, Window, milliseconds

SENT: Final = "sent"
GONE: Final = "gone"
_BATCH: Final = 500


class Reason(StrEnum):
    """Why an entry is ambiguous."""

    FEWER = "fewer_arrived"
    NO_OBJECT = "object_unknown"
    NO_DATE = "date_unknown"
    NO_TYPE = "type_unknown"
    NONE_MATCHES = "no_arrival_matches"


REASONS: Final[Mapping[str, str]] = {
    Reason.FEWER: "several events of this type on this object within the tolerance, and fewer arrived",
    Reason.NO_OBJECT: "an event of this type arrived near it, and which object one of the two concerns is not known",
    Reason.NO_DATE: "an event of this type and object arrived, and when one of the two happened is not known",
    Reason.NO_TYPE: "the log does not say of what type it is",
    Reason.NONE_MATCHES: "events of this type arrived in the window, and not one of them is in the log: ids or dates "
    "of this type may not be comparable",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """How many entries of the log have which verdict, and what was learnt on the way."""

    arrived: int
    missing: int
    ambiguous: int
    sent: int
    """Sent by an earlier run from the same state file."""
    gone: int
    """Were to be sent, and the log no longer has them."""
    widest: float | None
    """The largest difference in seconds between an entry's date and that of the arrival it was matched with."""

    @property
    def entries(self) -> int:
        """All of them."""
        return self.arrived + self.missing + self.ambiguous + self.sent + self.gone


def keep_arrivals(state: State, arrivals: Iterable[Arrival]) -> None:
    """Replace what the state file knows of arrivals."""
    with state.transaction() as db:
        db.execute("DELETE FROM arrivals")
        db.executemany(
            "INSERT OR IGNORE INTO arrivals (id, kind, object, time, webhook, origin) VALUES (?, ?, ?, ?, ?, ?)",
            (arrival.values for arrival in arrivals),
        )


def resolve(state: State, window: Window, tolerance: float, also: Sequence[str] = ()) -> Findings:
    """Give every entry its verdict.

    Args:
        state: has the entries and the arrivals.
        window: which of the arrivals should be in the log.
        tolerance: seconds by which an event's date may differ from its entry's.
        also: ids of entries that are to be sent although they are ambiguous.
    """
    margin = round(tolerance * 1000)
    inner = (milliseconds(window.since) + margin, milliseconds(window.until) - margin)
    widest = -1
    with state.transaction() as db:
        db.execute("UPDATE entries SET verdict = NULL, reason = NULL, object = ref WHERE verdict IS NOT 'gone'")
        db.execute(_BY_INNER_ID)
        db.execute(_BY_ID)
        db.execute(_BY_SENT)
        db.execute("CREATE TEMP TABLE IF NOT EXISTS judged (log_id TEXT PRIMARY KEY, verdict TEXT) WITHOUT ROWID")
        db.execute("DELETE FROM judged")
        for batch in _batches(_judgements(state, margin)):
            db.executemany("INSERT INTO judged VALUES (?, ?)", ((log_id, verdict) for log_id, verdict, _ in batch))
            widest = max(widest, *(difference for *_, difference in batch))
        db.execute(_BY_JUDGEMENT)
        db.execute("UPDATE entries SET verdict = 'missing' WHERE verdict IS NULL")
        for statement in (_NO_TYPE, _NO_OBJECT, _NO_DATE):
            db.execute(statement, {"tolerance": margin})
        db.execute(_NONE_MATCHES, {"since": inner[0], "until": inner[1]})
        db.executemany(
            "UPDATE entries SET verdict = 'missing' WHERE verdict = 'ambiguous' AND log_id = ?",
            ((log_id,) for log_id in also),
        )
    return findings(state, None if widest < 0 else widest / 1000)


def findings(state: State, widest: float | None = None) -> Findings:
    """How many entries have which verdict now."""
    counts = state.counts()
    return Findings(
        arrived=counts.get(Verdict.ARRIVED, 0),
        missing=counts.get(Verdict.MISSING, 0),
        ambiguous=counts.get(Verdict.AMBIGUOUS, 0),
        sent=counts.get(SENT, 0),
        gone=counts.get(GONE, 0),
        widest=widest,
    )


def _judgements(state: State, tolerance: int) -> Iterator[tuple[str, Verdict, int]]:
    """Entry, verdict, and the difference to its arrival or -1, for those of which an arrival has type and object.

    One object and type at a time, cut where nothing happened for longer than the tolerance.
    """
    rows = state.db.execute(_SIDE_BY_SIDE)
    for _, group in groupby(rows, key=itemgetter(0, 1)):
        for chunk in _chunks(group, tolerance):
            ours = [(time, log_id) for _, _, time, log_id, _ in chunk if log_id is not None]
            theirs = [time for _, _, time, log_id, count in chunk if log_id is None for _ in range(count)]
            if not ours:
                continue
            times = [time for time, _ in ours]
            apart = max(differences(times, theirs, tolerance), default=-1)
            for (_, log_id), verdict in zip(ours, judge(times, theirs, tolerance), strict=True):
                yield log_id, verdict, apart


_Side = tuple[str, str, int, str | None, int]
"""Type, object, time, the entry's id or None for arrivals, how many."""


def _chunks(rows: Iterable[_Side], tolerance: int) -> Iterator[list[_Side]]:
    chunk: list[_Side] = []
    for row in rows:
        if chunk and row[2] - chunk[-1][2] > tolerance:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def _batches(items: Iterable[tuple[str, Verdict, int]]) -> Iterator[list[tuple[str, Verdict, int]]]:
    batch: list[tuple[str, Verdict, int]] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


# The id inside ``data`` stands in where no arrival of the type has the entry's ``refId``.
_BY_INNER_ID: Final = """
UPDATE entries SET object = data_id WHERE data_id IS NOT NULL AND verdict IS NULL AND (ref IS NULL OR (
    NOT EXISTS (SELECT 1 FROM arrivals AS a WHERE a.kind = entries.kind AND a.object = entries.ref)
    AND EXISTS (SELECT 1 FROM arrivals AS a WHERE a.kind = entries.kind AND a.object = entries.data_id)))
"""
# A reconciled message that arrived names its entry.
_BY_ID: Final = """
UPDATE entries SET verdict = 'arrived' WHERE verdict IS NULL AND reconciled_id IN (SELECT id FROM arrivals)
"""
_BY_SENT: Final = """
UPDATE entries SET verdict = 'sent' WHERE verdict IS NULL AND log_id IN (SELECT log_id FROM sent WHERE done)
"""
_BY_JUDGEMENT: Final = """
UPDATE entries SET
    verdict = (SELECT verdict FROM judged WHERE judged.log_id = entries.log_id),
    reason = (SELECT CASE verdict WHEN 'ambiguous' THEN 'fewer_arrived' END FROM judged
        WHERE judged.log_id = entries.log_id)
WHERE verdict IS NULL AND log_id IN (SELECT log_id FROM judged)
"""
# Entries that have a verdict already stay out, and so do reconciled messages, whose entries are among these. One event
# that two webhooks brought counts once.
_SIDE_BY_SIDE: Final = """
SELECT kind, object, time, log_id, 1 FROM entries
    WHERE verdict IS NULL AND kind IS NOT NULL AND object IS NOT NULL AND time IS NOT NULL
    AND EXISTS (SELECT 1 FROM arrivals AS a WHERE a.kind = entries.kind AND a.object = entries.object)
UNION ALL
SELECT kind, object, time, NULL, MAX(n) FROM (
    SELECT kind, object, time, COUNT(*) AS n FROM arrivals
    WHERE kind IS NOT NULL AND object IS NOT NULL AND time IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM entries AS e WHERE e.reconciled_id = arrivals.id)
    GROUP BY kind, object, time, webhook
) GROUP BY kind, object, time
ORDER BY 1, 2, 3
"""
_NO_TYPE: Final = """
UPDATE entries SET verdict = 'ambiguous', reason = 'type_unknown' WHERE verdict = 'missing' AND kind IS NULL
"""
_NO_OBJECT: Final = """
UPDATE entries SET verdict = 'ambiguous', reason = 'object_unknown' WHERE verdict = 'missing' AND EXISTS (
    SELECT 1 FROM arrivals AS a WHERE a.kind = entries.kind AND (a.object IS NULL OR entries.object IS NULL)
    AND (a.time IS NULL OR entries.time IS NULL
        OR a.time BETWEEN entries.time - :tolerance AND entries.time + :tolerance))
"""
_NO_DATE: Final = """
UPDATE entries SET verdict = 'ambiguous', reason = 'date_unknown' WHERE verdict = 'missing' AND EXISTS (
    SELECT 1 FROM arrivals AS a WHERE a.kind = entries.kind AND a.object = entries.object
    AND (a.time IS NULL OR entries.time IS NULL))
"""
_NONE_MATCHES: Final = """
UPDATE entries SET verdict = 'ambiguous', reason = 'no_arrival_matches'
WHERE verdict = 'missing'
    AND kind IN (SELECT kind FROM arrivals WHERE object IS NOT NULL AND time BETWEEN :since AND :until)
    AND kind NOT IN (SELECT kind FROM entries WHERE kind IS NOT NULL
        AND (verdict IN ('arrived', 'sent') OR reason = 'fewer_arrived'))
"""
