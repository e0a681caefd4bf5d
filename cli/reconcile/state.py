"""What a reconcile knows, in one SQLite file: the window it reads, what it found, and what it has sent.

In a file, so that a run that was killed goes on, and that a log of any length takes no memory. Every step is one
transaction, on disk before the next begins. Nothing personal is in it: ids, event types and dates, never ``data``.

What was sent stays, also when a later run has another window: no entry is sent twice from the same file.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from pydantic import TypeAdapter

from cli.exits import CliError, Exit
from core.reconciled import LogEntry, reconciled_id

_VERSION: Final = 1
_FOLDER: Final = "dastra-webhooks"
_BATCH: Final = 500
_SCHEMA: Final = """
CREATE TABLE run (content TEXT NOT NULL);
CREATE TABLE entries (
    log_id TEXT PRIMARY KEY, reconciled_id TEXT NOT NULL, position INTEGER NOT NULL, type TEXT, kind TEXT, ref TEXT,
    data_id TEXT, object TEXT, time INTEGER, verdict TEXT, reason TEXT
) WITHOUT ROWID;
CREATE INDEX entries_position ON entries (position);
CREATE INDEX entries_reconciled ON entries (reconciled_id);
CREATE INDEX entries_object ON entries (kind, object, time);
CREATE TABLE arrivals (
    id TEXT PRIMARY KEY, kind TEXT, object TEXT, time INTEGER, webhook TEXT, origin TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX arrivals_object ON arrivals (kind, object, time);
CREATE TABLE sent (log_id TEXT PRIMARY KEY, done INTEGER NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Window:
    """What a run reads. ``asked`` is how it was put on the command line, by which a later run goes on with it."""

    asked: tuple[str, ...]
    since: datetime
    until: datetime
    channels: tuple[str, ...]
    workspace_id: int | str | None
    started: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come. ``resume_at`` is where reading goes on; None once the log is read to its end."""

    window: Window
    resume_at: datetime | None
    finished: bool = False
    others: int = 0
    unreadable: int = 0


_FORM: Final = TypeAdapter(Progress)


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of the log, without what it says."""

    log_id: str
    position: int
    type: str | None
    object: str | None
    time: int | None
    """Milliseconds since the epoch; None where the date cannot be read."""
    reason: str | None

    @property
    def at(self) -> datetime | None:
        """``time`` in UTC."""
        return None if self.time is None else datetime.fromtimestamp(self.time / 1000, UTC)


def milliseconds(time: datetime) -> int:
    """A point in time as the file holds it."""
    return int(time.timestamp() * 1000 // 1)


def normal(text: str | None) -> str | None:
    """An event type or an id as it is compared: GUIDs come in both cases, ids with and without white space."""
    return (text.strip().lower() or None) if text is not None else None


def default_path(queue: str, webhook_id: str) -> Path:
    """Where the file of a deployment's queue and a webhook is: below the XDG base directory for states."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    digest = hashlib.sha256(f"{queue}\n{webhook_id}".encode()).hexdigest()[:16]
    return Path(base) / _FOLDER / f"reconcile-{digest}.sqlite3"


class State:
    """The open file. One process at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path: Final = path
        self.db: Final = connection

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open or make the file, readable by its owner alone, and keep others out of it.

        Raises:
            CliError: another run has it, it is not ours, or the disk refuses.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            path.chmod(0o600)
        except OSError as error:
            raise CliError(
                f"the state file {path} cannot be written: {(error.strerror or '').lower()}.",
                "Name another with --state FILE.",
                Exit.USAGE,
            ) from None
        with closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as connection:
            try:
                _prepare(connection)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise _broken(path) from error
                raise CliError(
                    f"another reconcile is at work with {path}.", "Wait for it, or end it.", Exit.BUSY
                ) from None
            except sqlite3.DatabaseError as error:
                raise _broken(path) from error
            yield cls(path, connection)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on disk afterwards."""
        self.db.execute("BEGIN")
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def progress(self) -> Progress | None:
        """What the last run has left, where it has any."""
        found = self.db.execute("SELECT content FROM run").fetchone()
        return _FORM.validate_json(found[0]) if found else None

    def begin(self, window: Window) -> Progress:
        """Start over with a window; what was sent stays."""
        progress = Progress(window, window.since)
        with self.transaction() as db:
            db.execute("DELETE FROM entries")
            _save(db, progress)
        return progress

    def add(self, entries: Iterable[LogEntry], progress: Progress) -> int:
        """Keep a page's entries with how far it came; how many of them are new."""
        rows = [
            (
                entry.id,
                reconciled_id(entry.id),
                entry.channel,
                normal(entry.channel),
                normal(entry.ref_id),
                normal(entry.data_id),
                None if entry.time is None else milliseconds(entry.time),
            )
            for entry in entries
        ]
        with self.transaction() as db:
            before = db.total_changes
            db.executemany(
                "INSERT OR IGNORE INTO entries (log_id, reconciled_id, type, kind, ref, data_id, time, position) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT 1 + COALESCE(MAX(position), 0) FROM entries))",
                rows,
            )
            new = db.total_changes - before
            _save(db, progress)
        return new

    def save(self, progress: Progress) -> None:
        """Keep how far the run has come."""
        with self.transaction() as db:
            _save(db, progress)

    def count(self) -> int:
        """How many entries there are."""
        return int(self.db.execute("SELECT COUNT(*) FROM entries").fetchone()[0])

    def counts(self) -> Mapping[str, int]:
        """How many entries have each verdict."""
        return dict(self.db.execute("SELECT verdict, COUNT(*) FROM entries GROUP BY verdict").fetchall())

    def reasons(self) -> list[tuple[str, int]]:
        """How many entries are ambiguous for which reason, the most frequent first."""
        found = self.db.execute(
            "SELECT reason, COUNT(*) FROM entries WHERE verdict = 'ambiguous' GROUP BY reason ORDER BY 2 DESC, 1"
        )
        return [(reason, count) for reason, count in found]

    def rows(self, verdict: str, limit: int = -1) -> Iterator[Row]:
        """The entries of a verdict, in the order of the log."""
        found = self.db.execute(_ROWS, (verdict, limit))
        return (Row(*row) for row in found)

    def pending(self) -> Iterator[list[Row]]:
        """What is missing, in stretches of the log that one request can hold."""
        position = 0
        while found := self._pending_after(position):
            stretch = [row for row in found if row.position - found[0].position < _BATCH]
            position = stretch[-1].position
            yield stretch

    def sending(self, log_id: str) -> None:
        """Note that an entry is about to be sent: should the run be killed, nobody knows whether it was."""
        self._note_sent(log_id, done=False)

    def sent(self, log_id: str) -> None:
        """Note that the queue has an entry's message."""
        self._note_sent(log_id, done=True)

    def not_sent(self, log_id: str) -> None:
        """Note that the queue has certainly not taken it."""
        self.db.execute("DELETE FROM sent WHERE log_id = ? AND NOT done", (log_id,))

    def gone(self, log_id: str) -> None:
        """Note that the log no longer has an entry that was to be sent."""
        self.db.execute("UPDATE entries SET verdict = 'gone' WHERE log_id = ?", (log_id,))

    def is_sent(self, log_id: str) -> bool:
        """Whether the queue has an entry's message for certain."""
        return self.db.execute("SELECT 1 FROM sent WHERE done AND log_id = ?", (log_id,)).fetchone() is not None

    def uncertain(self) -> int:
        """How many entries a run was killed over, or a time-out hid the answer for."""
        return int(self.db.execute("SELECT COUNT(*) FROM sent WHERE NOT done").fetchone()[0])

    def _pending_after(self, position: int) -> list[Row]:
        found = self.db.execute(_PENDING, (position, _BATCH))
        return [Row(*row) for row in found]

    def _note_sent(self, log_id: str, *, done: bool) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.db.execute("INSERT OR REPLACE INTO sent (log_id, done, at) VALUES (?, ?, ?)", (log_id, done, now))


_ROWS: Final = (
    "SELECT log_id, position, type, object, time, reason FROM entries WHERE verdict = ? ORDER BY position LIMIT ?"
)
_PENDING: Final = (
    "SELECT log_id, position, type, object, time, reason FROM entries "
    "WHERE verdict = 'missing' AND position > ? ORDER BY position LIMIT ?"
)


def _prepare(db: sqlite3.Connection) -> None:
    # The lock is the kernel's, so that it goes when the process does, however it ends.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA temp_store = FILE")
    db.execute("BEGIN EXCLUSIVE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in filter(str.strip, _SCHEMA.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise sqlite3.DatabaseError("of another version")
    finally:
        with suppress(sqlite3.OperationalError):
            db.execute("COMMIT")


def _broken(path: Path) -> CliError:
    return CliError(
        f"{path} is no state file of this version of reconcile.",
        "Name another with --state FILE. What this one knows to be sent is then not known.",
        Exit.USAGE,
    )


def _save(db: sqlite3.Connection, progress: Progress) -> None:
    db.execute("DELETE FROM run")
    db.execute("INSERT INTO run (content) VALUES (?)", (_FORM.dump_json(progress).decode(),))
