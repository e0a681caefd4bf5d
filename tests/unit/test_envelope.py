"""The lenient envelope: what is understood, what is let through, and what is no envelope at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations

import pydantic
import pytest

from core.envelope import Envelope, EnvelopeError

FIELDS = {
    "webhook_id": "webhookId",
    "signature_url": "signatureUrl",
    "user_id": "userId",
    "event_type": "eventType",
    "event_name": "eventName",
    "date": "date",
}
"""The opaque fields: ours, and Dastra's."""

fields = pytest.mark.parametrize(("ours", "theirs"), FIELDS.items(), ids=list(FIELDS))


def parse(**members: object) -> Envelope:
    """An envelope with these members, through JSON."""
    return Envelope.parse(json.dumps(members).encode())


# Names


@fields
def test_a_field_is_read_under_its_documented_name(ours: str, theirs: str) -> None:
    """And no other field takes it."""
    assert parse(**{theirs: "value"}).model_dump(exclude_none=True) == {ours: "value"}


@fields
@pytest.mark.parametrize(
    "case", [str.lower, str.upper, str.title, str.swapcase], ids=["lower", "upper", "title", "swap"]
)
def test_a_name_in_another_case_is_understood(ours: str, theirs: str, case: Callable[[str], str]) -> None:
    """Dastra's naming policy is not known for sure, so case does not matter."""
    assert getattr(parse(**{case(theirs): "value"}), ours) == "value"


@pytest.mark.parametrize("names", list(permutations(["eventType", "EventType", "eventtype"])), ids="-".join)
def test_the_exact_name_wins_over_one_in_another_case(names: tuple[str, ...]) -> None:
    """Whatever the order in which they stand."""
    assert parse(**{name: f"of {name}" for name in names}).event_type == "of eventType"


def test_of_two_names_in_other_cases_the_last_wins() -> None:
    """As with a key that JSON repeats."""
    assert parse(EVENTTYPE="first", EventType="last").event_type == "last"


def test_a_complete_envelope_keeps_its_exact_names_beside_others() -> None:
    """All seven documented names, and more besides, in other cases and new ones: the seven count."""
    full: dict[str, object] = {name: f"of {name}" for name in FIELDS.values()}
    envelope = parse(**full, data=[1], WEBHOOKID="other", webhook_id="other", extra={"nested": True})
    assert envelope.model_dump(by_alias=True) == {**full, "data": [1]}


@pytest.mark.parametrize("name", ["webhook_id", "webhook-id", "webhookIds", "ebhookId", " webhookId"])
def test_a_name_that_differs_by_more_than_case_is_no_field(name: str) -> None:
    """Lenient in case only."""
    assert parse(**{name: "value"}) == Envelope()


# Values


@fields
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("", ""),
        (" padded ", " padded "),
        ("Tâche créée", "Tâche créée"),
        (0, "0"),
        (-7, "-7"),
        (4242, "4242"),
        (2**63, "9223372036854775808"),
        (10**40, "1" + "0" * 40),
        (1.5, "1.5"),
        (None, None),
        (True, None),
        (False, None),
        ([], None),
        (["text"], None),
        ({}, None),
        ({"id": 1}, None),
    ],
    ids=repr,
)
def test_ids_and_labels_are_text_whether_a_number_or_a_string_was_sent(
    ours: str, theirs: str, value: object, text: str | None
) -> None:
    """What is neither is None, and never an error."""
    assert getattr(parse(**{theirs: value}), ours) == text


def test_a_number_that_python_does_not_convert_is_none() -> None:
    """Beyond 4,300 digits, `str` refuses; an id of that length is none."""
    assert Envelope(webhook_id=10**5000).webhook_id is None  # type: ignore[arg-type]


def test_a_number_of_any_length_does_not_make_an_object_unreadable() -> None:
    """Beyond the digits that Python converts it is carried as the text that was sent; others stay numbers."""
    digits = b"9" * 5000
    envelope = Envelope.parse(b'{"webhookId":' + digits + b',"userId":17,"data":[-' + digits + b",18,1.5]}")
    assert envelope.webhook_id == digits.decode()
    assert envelope.user_id == "17"
    assert envelope.data == ["-" + digits.decode(), 18, 1.5]


@pytest.mark.parametrize("data", [None, True, 0, 1.5, "text", "", [], [1, {"a": None}], {}, {"id": {"deep": [1]}}])
def test_data_is_whatever_was_sent(data: object) -> None:
    """Any JSON value, unchanged."""
    assert parse(data=data).data == data


def test_an_empty_object_is_an_envelope() -> None:
    """No field is required."""
    assert Envelope.parse(b"{}") == Envelope()
    assert all(value is None for value in Envelope.parse(b"{}").model_dump().values())


@pytest.mark.parametrize(
    ("body", "event_type"),
    [
        pytest.param(b'\xef\xbb\xbf{"eventType":"x"}', "x", id="byte-order mark"),
        pytest.param(b' \r\n\t{"eventType" : "x" }\n ', "x", id="white space"),
        pytest.param(b'{"eventType":"x","eventType":"y"}', "y", id="repeated key"),
        pytest.param(b'{"eventType":"x","data":NaN}', "x", id="NaN"),
        pytest.param(b'{"eventType":"x","data":[Infinity,-Infinity]}', "x", id="Infinity"),
        pytest.param(b'{"eventType":"x","data":"\\ud800"}', "x", id="unpaired surrogate in data"),
        pytest.param(b'{"eventType":"\\ud800"}', "\ud800", id="unpaired surrogate in a field"),
        pytest.param(b'\xef\xbb\xbf{"eventType":"\\ud800"}', "\ud800", id="unpaired surrogate and byte-order mark"),
        pytest.param(b'{"eventType":"a\\u0000b"}', "a\0b", id="NUL"),
        pytest.param(b'{"eventType":"\xc3\xa9\xf0\x9f\x98\x80"}', "é😀", id="raw UTF-8"),
        pytest.param(b'{"eventType":"\\u00e9\\ud83d\\ude00"}', "é😀", id="escapes"),
        pytest.param(b'{"eventType":"x","data":' + b"[" * 100 + b"]" * 100 + b"}", "x", id="100 levels"),
    ],
)
def test_what_a_writer_of_json_may_produce_is_read(body: bytes, event_type: str) -> None:
    """Also where it is not what a strict parser takes."""
    assert Envelope.parse(body).event_type == event_type


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="white space"),
        pytest.param(b"\xef\xbb\xbf", id="byte-order mark only"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbf{}", id="two byte-order marks"),
        pytest.param(b"planted", id="text"),
        pytest.param(b"planted=1&a=b", id="form"),
        pytest.param(b"<planted/>", id="XML"),
        pytest.param(b'{"planted":', id="cut"),
        pytest.param(b"{'planted':1}", id="single quotes"),
        pytest.param(b'{"planted":1}{"planted":2}', id="two objects"),
        pytest.param(b'{"planted":1},', id="comma behind"),
        pytest.param(b'{"planted":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"planted":"\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param('{"planted":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"\x1f\x8b\x08planted", id="gzip"),
        pytest.param(b'{"planted":"a\nb"}', id="line end in a string"),
        pytest.param(b'{"planted":' + b"[" * 200_000 + b"]" * 200_000 + b"}", id="200,000 levels"),
        pytest.param(b'{"planted":' + b'{"a":' * 100_000, id="100,000 objects, unclosed"),
        pytest.param(b"[" * 200_000, id="200,000 brackets"),
    ],
)
def test_what_is_not_json_in_utf8_is_an_envelope_error_without_the_body(body: bytes) -> None:
    """No other exception, however odd or deep, and nothing of the body in the message or its cause."""
    with pytest.raises(EnvelopeError, match=r"^the body is not JSON in UTF-8$") as raised:
        Envelope.parse(body)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "body", [b"[]", b'["planted"]', b'[{"planted":1}]', b'"planted"', b"0", b"1.5", b"null", b"true"]
)
def test_json_that_is_no_object_is_an_envelope_error(body: bytes) -> None:
    """An object is the one thing that is required."""
    with pytest.raises(EnvelopeError, match=r"^the body is JSON but not an object$"):
        Envelope.parse(body)


def test_an_envelope_is_frozen() -> None:
    """It cannot change between the decision and the queue."""
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        parse(eventType="x").event_type = "y"  # type: ignore[misc]


# The date

DIGITS = "123456789012"


@pytest.mark.parametrize("digits", range(13))
@pytest.mark.parametrize("zone", ["", "Z"], ids=["no zone", "Z"])
def test_a_date_may_have_from_none_to_twelve_fraction_digits(digits: int, zone: str) -> None:
    """The first six count, the others are cut and not rounded."""
    fraction = f".{DIGITS[:digits]}" if digits else ""
    microsecond = int(DIGITS[: min(digits, 6)].ljust(6, "0")) if digits else 0
    expected = datetime(2026, 3, 2, 9, 16, 3, microsecond, UTC)
    assert parse(date=f"2026-03-02T09:16:03{fraction}{zone}").time == expected


def test_digits_past_the_sixth_are_cut_and_not_rounded() -> None:
    """The last microsecond of a second stays in it."""
    assert parse(date="2026-12-31T23:59:59.9999999").time == datetime(2026, 12, 31, 23, 59, 59, 999_999, UTC)


@pytest.mark.parametrize("fraction", ["", ".5"])
@pytest.mark.parametrize(
    ("zone", "minutes"),
    [
        ("", 0),
        ("Z", 0),
        ("z", 0),
        (" Z", 0),
        ("+00:00", 0),
        ("-00:00", 0),
        ("+0000", 0),
        ("+02:00", 120),
        ("+0200", 120),
        (" +02:00", 120),
        ("-02:00", -120),
        ("-0930", -570),
        ("+05:45", 345),
        ("+14:00", 840),
        ("+23:59", 1439),
        ("-23:59", -1439),
    ],
)
def test_a_date_is_brought_to_utc_whatever_its_zone(fraction: str, zone: str, minutes: int) -> None:
    """UTC is assumed where no zone is named."""
    time = parse(date=f"2026-03-02T00:16:03{fraction}{zone}").time
    local = datetime(2026, 3, 2, 0, 16, 3, 500_000 if fraction else 0, timezone(timedelta(minutes=minutes)))
    assert time == local
    assert time is not None
    assert time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("2026-03-02 09:16:03", datetime(2026, 3, 2, 9, 16, 3, tzinfo=UTC)),
        ("2026-03-02t09:16:03z", datetime(2026, 3, 2, 9, 16, 3, tzinfo=UTC)),
        (" 2026-03-02T09:16:03\n", datetime(2026, 3, 2, 9, 16, 3, tzinfo=UTC)),
        ("2026-03-02T09:16:03,25", datetime(2026, 3, 2, 9, 16, 3, 250_000, UTC)),
        ("2026-03-02T09:16", datetime(2026, 3, 2, 9, 16, tzinfo=UTC)),
        ("2026-03-02T09:16Z", datetime(2026, 3, 2, 9, 16, tzinfo=UTC)),
        ("2026-03-02T09:16+01:00", datetime(2026, 3, 2, 8, 16, tzinfo=UTC)),
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.9999999", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
    ],
)
def test_other_spellings_of_a_date_are_read(date: str, time: datetime) -> None:
    """A space or a small t, a comma, no seconds, white space around, the first and the last year."""
    assert parse(date=date).time == time


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        " ",
        0,
        1772442963,
        True,
        "yesterday",
        "2026-03-02",
        "20260302T091603Z",
        "02/03/2026 09:16:03",
        "2026-3-2T9:16:03",
        "2026-02-30T09:16:03",
        "2025-02-29T09:16:03",
        "2026-13-01T09:16:03",
        "2026-00-01T09:16:03",
        "2026-03-02T25:16:03",
        "2026-03-02T09:60:03",
        "2026-03-02T09:16:61",
        "2026-03-02T09:16:03.",
        "2026-03-02T09:16:03.Z",
        "2026-03-02T09:16:03.1234567890123",
        "2026-03-02T09:16:03  Z",
        "2026-03-02T09:16:03+02",
        "2026-03-02T09:16:03+2:00",
        "2026-03-02T09:16:03+24:00",
        "2026-03-02T09:16:03+02:00Z",
        "2026-03-02T09:16:03 CET",
        "2026-03-02T09:16:03Z and more",
        "-2026-03-02T09:16:03",
        "12026-03-02T09:16:03",
        "0000-01-01T00:00:00",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "\u0662\u0660\u0662\u0666-03-02T09:16:03",
        "2026-03-02T09:16:03\ud800",
        "/Date(1772442963000)/",
    ],
    ids=ascii,
)
def test_a_date_that_cannot_be_read_is_none_and_no_error(date: object) -> None:
    """Also where it looks like one, or lies outside the calendar; the text stays as it was sent."""
    envelope = parse(date=date)
    assert envelope.time is None
    assert envelope.date == (date if isinstance(date, str) else None if date in (None, True) else str(date))


def test_a_fraction_of_a_minute_is_not_taken_for_nothing() -> None:
    """ISO 8601 allows it, nobody sends it: half a minute is read as such or not at all, but not dropped."""
    assert parse(date="2026-03-02T09:16.5").time in (None, datetime(2026, 3, 2, 9, 16, 30, tzinfo=UTC))


# The object concerned


@pytest.mark.parametrize(
    ("data", "id_"),
    [
        ({"id": 7}, "7"),
        ({"id": "7d0f8a52"}, "7d0f8a52"),
        ({"Id": 7}, "7"),
        ({"ID": 7, "label": "x"}, "7"),
        ({"label": "x", "id": 0}, "0"),
        ({"id": None}, None),
        ({"id": True}, None),
        ({"id": [7]}, None),
        ({"ids": 7, "_id": 8}, None),
        ({"nested": {"id": 7}}, None),
        ({}, None),
        ([{"id": 7}], None),
        ("id", None),
        (7, None),
        (None, None),
    ],
    ids=repr,
)
def test_the_id_of_the_object_concerned_is_derived_only_when_present(data: object, id_: str | None) -> None:
    """From an object's own `id`, in any case, as text."""
    assert parse(data=data).data_id == id_
