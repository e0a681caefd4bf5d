"""Events in the store: keys that sort by time, and what comes back."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from core.message import QueueMessage, event_id
from core.ports import StoredObject
from core.records import (
    QUARANTINE_PREFIX,
    SPOOL_PREFIX,
    RecordError,
    StoredRecord,
    metadata_of,
    record_key,
    record_time,
)
from tests.fakes import NOON
from tests.unit.samples import message

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("later", "stamp"),
    [
        (0, "20260302T120000000Z"),
        (0.001, "20260302T120000001Z"),
        (0.0999, "20260302T120000099Z"),
        (0.9999, "20260302T120000999Z"),
        (1, "20260302T120001000Z"),
        (-NOON, "19700101T000000000Z"),
    ],
)
def test_a_key_says_when_and_which(later: float, stamp: str) -> None:
    """To the millisecond, in UTC, then the id."""
    assert record_key(SPOOL_PREFIX, SHA, NOON + later) == f"spool/{stamp}-{SHA}"
    assert record_key(QUARANTINE_PREFIX, SHA, NOON + later) == f"quarantine/{stamp}-{SHA}"


def test_keys_sort_by_time() -> None:
    """As text, whatever the ids, across every unit that can roll over."""
    steps = [0, 0.002, 0.01, 0.1, 1, 10, 60, 3600, 36_000, 86_400, 40 * 86_400, 400 * 86_400]
    keys = [record_key(SPOOL_PREFIX, f"{9 - number % 10}" * 64, NOON + step) for number, step in enumerate(steps)]
    assert sorted(keys) == keys


@pytest.mark.parametrize("later", [0, 0.001, 0.5, 0.999, 59, 86_399.75])
def test_the_time_of_a_key_is_read_back(later: float) -> None:
    """To the millisecond."""
    expected = datetime.fromtimestamp(NOON, UTC) + timedelta(seconds=later)
    assert record_time(record_key(QUARANTINE_PREFIX, SHA, NOON + later + 0.0001)) == expected


@pytest.mark.parametrize(
    "key",
    [
        "",
        "spool/",
        f"spool/{SHA}",
        "spool/readme.txt",
        f"spool/20260302T120000-{SHA}",
        f"spool/20260302T120000Z-{SHA}",
        f"spool/2026-03-02T12:00:00Z-{SHA}",
        f"spool/20261302T120000000Z-{SHA}",
        f"spool/20260230T120000000Z-{SHA}",
        f"spool/20260302T250000000Z-{SHA}",
        f"spool/20260302T120000-12Z-{SHA}",
        f"claims/{SHA}",
    ],
)
def test_a_key_of_another_form_has_no_time(key: str) -> None:
    """And is no error."""
    assert record_time(key) is None


def test_metadata_are_the_attributes_and_why_and_from_where() -> None:
    """The address is left out where it is not known."""
    sent = message()
    attributes = dict(sent.attributes)
    assert metadata_of(sent, "too_old", "192.0.2.1") == {**attributes, "reason": "too_old", "address": "192.0.2.1"}
    assert metadata_of(sent, "too_old") == {**attributes, "reason": "too_old"}
    assert metadata_of(sent, "too_old", "") == {**attributes, "reason": "too_old"}
    assert dict(sent.attributes) == attributes


def test_metadata_have_names_that_every_store_takes() -> None:
    """Lower-case letters and digits."""
    names = metadata_of(message(unlisted=True).as_pointer("x"), "reason", "192.0.2.1")
    assert all(name.isascii() and name.isalnum() and name.islower() for name in names)


def stored(sent: QueueMessage, body: bytes | None = None, /, **metadata: str | None) -> StoredObject:
    """A message as it was kept; a metadata value of None is taken out."""
    complete = {**metadata_of(sent, "queue_failed", "192.0.2.1"), **metadata}
    kept = {name: value for name, value in complete.items() if value is not None}
    return StoredObject("spool/key", sent.body if body is None else body, kept)


@pytest.mark.parametrize(
    "sent",
    [
        message(),
        message(unlisted=True),
        message().as_pointer("fake://store/x"),
        QueueMessage.of_unreadable(b"\xff", "s"),
    ],
    ids=["event", "unlisted", "pointer", "unreadable"],
)
def test_what_was_stored_comes_back(sent: QueueMessage) -> None:
    """Message, reason and address."""
    record = StoredRecord.read(stored(sent))
    assert record == StoredRecord("spool/key", sent, "queue_failed", "192.0.2.1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.reason = "other"  # type: ignore[misc]


def test_metadata_names_are_read_in_any_case() -> None:
    """Some stores capitalise what they were given."""
    kept = stored(message())
    capitalised = StoredObject(kept.key, kept.body, {name.title(): value for name, value in kept.metadata.items()})
    assert StoredRecord.read(capitalised) == StoredRecord.read(kept)


def test_reason_and_address_may_be_missing_and_other_metadata_are_not_attributes() -> None:
    """The reason is then unknown; what is no attribute of ours does not reach a queue."""
    record = StoredRecord.read(stored(message(), reason=None, address=None, other="x", time=""))
    assert (record.reason, record.address) == ("unknown", None)
    assert set(record.message.attributes) == {"specversion", "id", "source", "type", "signature"}


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ({"id": None}, "id"),
        ({"source": None}, "source"),
        ({"type": ""}, "type"),
        ({"specversion": None}, "specversion"),
        ({"type": None, "id": None, "source": ""}, "id, source, type"),
    ],
)
def test_an_object_that_lacks_attributes_is_no_record(missing: dict[str, str | None], named: str) -> None:
    """The error names the key and what is missing; an empty value is missing."""
    with pytest.raises(RecordError) as raised:
        StoredRecord.read(stored(message(), **missing))
    assert str(raised.value) == f"spool/key: metadata lacks {named}"


def test_a_body_that_is_not_the_one_of_the_id_is_no_record() -> None:
    """One byte changed, or another event's id."""
    for kept in (stored(message(), message().body + b"\n"), stored(message(), id=SHA)):
        with pytest.raises(RecordError, match=r"^spool/key: the body is not the one its id names$"):
            StoredRecord.read(kept)


def test_a_pointer_and_an_event_without_a_signature_are_not_hashed() -> None:
    """Their id names another body: the claim's, or an entry of Dastra's log."""
    pointer = message().as_pointer("fake://store/x")
    assert event_id(pointer.body) != pointer.id
    assert StoredRecord.read(stored(pointer)).message == pointer
    assert StoredRecord.read(stored(message(), id=SHA, signature=None)).message.id == SHA
