"""From log and arrivals to a verdict on every entry, through the state file."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.exits import CliError, Exit
from cli.reconcile.arrivals import Arrival
from cli.reconcile.plan import Reason, findings, keep_arrivals, resolve
from cli.reconcile.reading import read_log
from cli.reconcile.state import State, Window, default_path
from core.reconciled import reconciled_id
from tests import planted
from tests.dastra.logs import NOON, Direct, Entry, Log, entry, stamp

WINDOW = Window(
    ("7", "x", ""), NOON - timedelta(hours=1), NOON + timedelta(hours=1), ("DataSubjectCreation", "TaskEdit"), 1, NOON
)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """An empty state file."""
    with State.open(tmp_path / "state" / "reconcile.sqlite3") as opened:
        yield opened


def arrival(number: int = 0, seconds: float = 0, **fields: object) -> Arrival:
    """The arrival of the event of the entry of this number, its date so many seconds off."""
    made = Arrival(
        f"{number}-{seconds}",
        "DataSubjectCreation",
        str(10_000 + number),
        NOON + timedelta(seconds=number + seconds),
        "7",
        "records",
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def verdicts(
    state: State, entries: list[Entry], *arrivals: Arrival, tolerance: float = 10
) -> dict[str, tuple[str, str | None]]:
    """Verdict and reason by the entry's number."""
    log = Log()
    log.add(*entries)
    read_log(Direct(log), state, state.begin(WINDOW))
    keep_arrivals(state, arrivals)
    resolve(state, WINDOW, tolerance)
    numbers = {found["id"]: str(place) for place, found in enumerate(entries)}
    rows = state.db.execute("SELECT log_id, verdict, reason FROM entries").fetchall()
    return {numbers[log_id]: (verdict, reason) for log_id, verdict, reason in rows}


def test_the_plain_cases(state: State) -> None:
    """What arrived is set aside, by its very date or near it; the rest is missing."""
    found = verdicts(state, [entry(0), entry(100), entry(200)], arrival(0), arrival(100, 4))
    assert found == {"0": ("arrived", None), "1": ("arrived", None), "2": ("missing", None)}


def test_by_type_and_object(state: State) -> None:
    """An arrival of another type or object does not count, however near."""
    entries = [entry(0), entry(1), entry(2, channel="TaskEdit")]
    found = verdicts(
        state, entries, arrival(0), arrival(1, object_id="9"), arrival(2, event_type="DataSubjectCreation")
    )
    assert found["1"] == ("missing", None)
    assert found["2"] == ("missing", None)


@pytest.mark.parametrize("ref", ["8E7F-AB", "8e7f-ab", " 8e7f-ab "])
def test_ids_as_text(state: State, ref: str) -> None:
    """The case of a GUID does not count; nor does that of a type."""
    found = verdicts(state, [entry(0, refId=ref)], arrival(0, object_id="8e7f-AB", event_type="datasubjectcreation"))
    assert found == {"0": ("arrived", None)}


def test_the_id_inside_data(state: State) -> None:
    """Where no arrival has the entry's refId, the id inside its data stands in, also where there is no refId."""
    entries = [entry(0, refId="parent", data={"ID": 7}), entry(100, refId=None, data={"id": "8"})]
    found = verdicts(state, entries, arrival(0, object_id="7"), arrival(100, object_id="8"))
    assert found == {"0": ("arrived", None), "1": ("arrived", None)}


def test_fewer_came(state: State) -> None:
    """Of two near each other one came, and not which one: both are ambiguous."""
    entries = [entry(0), entry(5, refId="10000")]
    assert set(verdicts(state, entries, arrival(0, 2)).values()) == {("ambiguous", Reason.FEWER)}


def test_which_object_is_not_known(state: State) -> None:
    """An arrival of no object could be any near it of its type; an entry of no object could have any near it."""
    assert verdicts(state, [entry(0), entry(100)], arrival(3, object_id=None)) == {
        "0": ("ambiguous", Reason.NO_OBJECT),
        "1": ("missing", None),
    }
    without = entry(0, refId=None, data=None)
    assert verdicts(state, [without], arrival(3)) == {"0": ("ambiguous", Reason.NO_OBJECT)}
    assert verdicts(state, [without]) == {"0": ("missing", None)}


def test_when_is_not_known(state: State) -> None:
    """An arrival without a date could be any of its object, and an entry without one could have any."""
    assert verdicts(state, [entry(0), entry(1)], arrival(0, time=None)) == {
        "0": ("ambiguous", Reason.NO_DATE),
        "1": ("missing", None),
    }


def test_what_is_not_known(state: State) -> None:
    """An entry without a type is never sent by itself."""
    assert verdicts(state, [entry(0, channel=None)]) == {"0": ("ambiguous", Reason.NO_TYPE)}


def test_ids_that_do_not_compare(state: State) -> None:
    """Where events of a type came in the window and not one is in the log, the log cannot be compared: no guess."""
    found = verdicts(state, [entry(0), entry(1, channel="TaskEdit")], arrival(0, object_id="something else"))
    assert found == {"0": ("ambiguous", Reason.NONE_MATCHES), "1": ("missing", None)}


def test_one_event_that_two_webhooks_brought(state: State) -> None:
    """It counts once: its double must not hide another that is missing."""
    entries = [entry(0), entry(5, refId="10000")]
    found = verdicts(state, entries, arrival(0, 2), replace(arrival(0, 2), id="other", webhook_id="8"))
    assert set(found.values()) == {("ambiguous", Reason.FEWER)}
    twice = verdicts(state, entries, arrival(0, 2), replace(arrival(0, 2), id="other"))
    assert set(twice.values()) == {("arrived", None)}


def test_a_reconciled_message_names_its_entry(state: State) -> None:
    """Its entry has arrived, whatever the dates; and it stands for no other entry."""
    entries = [entry(0), entry(3, refId="10000")]
    found = verdicts(state, entries, arrival(0, id=reconciled_id(entries[0]["id"])))
    assert found == {"0": ("arrived", None), "1": ("missing", None)}


def test_what_was_sent_is_not_sent_again(state: State) -> None:
    """Also by a run over another window; what was about to be sent when a run was killed is."""
    state.sent(entry(0)["id"])
    state.sending(entry(1)["id"])
    found = verdicts(state, [entry(0), entry(1)])
    assert found == {"0": ("sent", None), "1": ("missing", None)}
    assert [row.log_id for rows in state.pending() for row in rows] == [entry(1)["id"]]


def test_naming_one_that_is_ambiguous(state: State) -> None:
    """It counts as missing; one that arrived does not, whoever names it."""
    entries = [entry(0), entry(5, refId="10000"), entry(100)]
    verdicts(state, entries, arrival(0, 2), arrival(100))
    resolve(state, WINDOW, 10, [entries[1]["id"], entries[2]["id"]])
    assert (findings(state).missing, findings(state).ambiguous, findings(state).arrived) == (1, 1, 1)


def test_how_far_apart_dates_were(state: State) -> None:
    """The largest difference of a pair is told, in seconds."""
    log = Log()
    log.add(entry(0), entry(100))
    read_log(Direct(log), state, state.begin(WINDOW))
    keep_arrivals(state, [arrival(0, 2.5), arrival(100)])
    assert resolve(state, WINDOW, 10).widest == 2.5


def test_an_entry_counts_once(state: State) -> None:
    """Entries come twice at the seams of pages; each is one row."""
    log = Log()
    log.add(*(entry(number, date=stamp(NOON + timedelta(seconds=number / 4))) for number in range(60)))
    read_log(Direct(log), state, state.begin(WINDOW), size=7)
    assert state.count() == 60


def test_what_is_pending_comes_in_stretches(state: State) -> None:
    """Each stretch is no longer than one page of the log, and together they are all, in the order of the log."""
    entries = [entry(number) for number in range(1200)]
    verdicts(state, entries, *(arrival(number) for number in range(300, 900)), tolerance=0.1)
    stretches = list(state.pending())
    assert [row.log_id for rows in stretches for row in rows] == [
        entries[number]["id"] for number in (*range(300), *range(900, 1200))
    ]
    assert all(rows[-1].position - rows[0].position < 500 for rows in stretches)


# The file


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    """Nobody else can read it, whatever the umask, nor what SQLite puts beside it."""
    before = os.umask(0)
    try:
        path = tmp_path / "new" / "state.sqlite3"
        with State.open(path) as opened, opened.transaction() as db:
            db.execute("INSERT INTO sent VALUES ('x', 1, '')")
            modes = [stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()]
            assert len(modes) == 2
            assert set(modes) == {0o600}
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_file_that_others_could_read(tmp_path: Path) -> None:
    """One that is there already is closed to others."""
    path = tmp_path / "state.sqlite3"
    path.touch(0o644)
    with State.open(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_personal_is_in_the_file(tmp_path: Path) -> None:
    """No data, no label, no user: what the log says of people is in none of its bytes."""
    path = tmp_path / "state.sqlite3"
    log = Log()
    log.add(*(entry(number) for number in range(50)))
    with State.open(path) as opened:
        read_log(Direct(log), opened, opened.begin(WINDOW))
        resolve(opened, WINDOW, 10)
    assert entry(3)["id"].encode() in path.read_bytes()
    assert planted.MARKER.encode() not in path.read_bytes()


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second run is told that another is at work, with the exit code for that."""
    path = tmp_path / "state.sqlite3"
    with State.open(path), pytest.raises(CliError, match="another reconcile") as raised, State.open(path):
        pass
    assert raised.value.code is Exit.BUSY
    with State.open(path):
        pass


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\0" * 5000])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    """Another file is refused and left as it is."""
    path = tmp_path / "state.sqlite3"
    path.write_bytes(content)
    with pytest.raises(CliError, match="no state file"), State.open(path):
        pass
    assert path.read_bytes() == content


def test_a_file_of_another_version(tmp_path: Path) -> None:
    """It is refused: what it knows to be sent must not be misread."""
    path = tmp_path / "state.sqlite3"
    with State.open(path) as opened:
        opened.db.execute("PRAGMA user_version = 99")
    with pytest.raises(CliError, match="of this version"), State.open(path):
        pass


def test_where_it_cannot_be(tmp_path: Path) -> None:
    """A place that cannot be written is a usage error that names another way."""
    (tmp_path / "file").touch()
    with pytest.raises(CliError, match="cannot be written") as raised, State.open(tmp_path / "file" / "state"):
        pass
    assert "--state" in raised.value.hint


def test_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Below the directory for states; one for each queue and webhook."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    places = {default_path(queue, webhook) for queue in ("a", "b") for webhook in ("1", "2")}
    assert len(places) == 4
    assert {place.parent for place in places} == {tmp_path / "dastra-webhooks"}


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """A page whose writing breaks off leaves neither entries nor progress."""
    path = tmp_path / "state.sqlite3"
    log = Log()
    log.add(*(entry(number) for number in range(50)))
    with State.open(path) as opened:
        progress = opened.begin(WINDOW)
        opened.db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entries WHEN NEW.position > 20 BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        with pytest.raises(sqlite3.IntegrityError):
            read_log(Direct(log), opened, progress, size=15)
    with State.open(path) as opened:
        left = opened.progress()
        assert left is not None
        assert opened.count() == 15
        assert left.resume_at is not None
        assert left.resume_at < NOON + timedelta(seconds=15)


def test_reading_goes_on_where_it_stopped(state: State) -> None:
    """After an error the next read asks for the rest alone, and in the end all is there."""
    log = Log()
    log.add(*(entry(number) for number in range(120)))
    api = Direct(log)
    progress = state.begin(WINDOW)

    def fail(page: int) -> None:
        if page == 10:
            raise CliError("no network")

    log.before = fail
    with pytest.raises(CliError):
        read_log(api, state, progress, size=10)
    log.before = None
    left = state.progress()
    assert left is not None
    asked = log.pages
    done = read_log(api, state, left, size=10)
    assert done.resume_at is None
    assert state.count() == 120
    assert log.pages - asked < 10
    assert state.progress() == done


def test_progress_survives_as_it_is(state: State) -> None:
    """What is kept of a run is what was kept."""
    progress = state.begin(WINDOW)
    changed = replace(
        progress, finished=True, others=3, unreadable=1, resume_at=datetime(2026, 3, 2, 9, 1, 2, 345, UTC)
    )
    state.save(changed)
    assert state.progress() == changed
