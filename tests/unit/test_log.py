"""Names of events, fields and metrics, and what cannot get into a log."""

from __future__ import annotations

import pytest

from core import log
from core.log import NUMBER_FIELDS, TEXT_FIELDS, Level, LogEvent, Metric, Unit, Value, error_code, metric_values, record
from core.ports import PortError
from core.signature import SignatureKey
from tests.fakes import RecordingLog
from tests.unit.samples import KEY_TEXT, event, signature

EVENTS = [value for value in vars(log).values() if isinstance(value, LogEvent)]
WITHHELD = "(withheld)"
SHA = "0123456789abcdef" * 4


def written(**fields: Value | None) -> dict[str, Value]:
    """The fields of the one line that `record` writes."""
    recording = RecordingLog()
    record(recording, log.ACCEPTED, **fields)
    [(event_, line)] = recording.lines
    assert event_ is log.ACCEPTED
    return line


# Names


@pytest.mark.parametrize(
    ("event_", "name", "level", "metrics"),
    [
        (log.ACCEPTED, "accepted", "INFO", ["Accepted", "Duration"]),
        (log.SPOOLED, "spooled", "WARNING", ["Spooled", "Duration"]),
        (log.QUARANTINED, "quarantined", "WARNING", ["Quarantined", "Duration"]),
        (log.EVENT_LOST, "event_lost", "CRITICAL", ["EventLost", "Duration"]),
        (log.NO_KEY, "no_key", "CRITICAL", ["NoKey", "EventLost", "Duration"]),
        (log.BAD_SIGNATURE_LISTED, "bad_signature", "ERROR", ["BadSignatureFromListedAddress"]),
        (log.BAD_SIGNATURE_UNLISTED, "bad_signature", "WARNING", ["BadSignatureFromUnlistedAddress"]),
        (log.TOO_LARGE, "too_large", "ERROR", ["TooLarge"]),
        (log.REFUSED, "refused", "INFO", ["Refused"]),
        (log.UNLISTED_ADDRESS, "authentic_from_unlisted_address", "WARNING", ["AuthenticFromUnlistedAddress"]),
        (log.INTERNAL_ERROR, "internal_error", "CRITICAL", ["InternalError", "EventLost"]),
        (log.QUEUE_FAILED, "queue_failed", "WARNING", ["QueueFailed"]),
        (log.STORE_FAILED, "store_failed", "ERROR", ["StoreFailed"]),
        (log.KEYS_FAILED, "keys_failed", "ERROR", ["KeysFailed"]),
        (log.KEYS_LOADED, "keys_loaded", "INFO", []),
        (
            log.REDRIVE,
            "redrive",
            "INFO",
            [
                "Redriven",
                "RedriveFailed",
                "SpoolCount",
                "SpoolOldestAge",
                "QuarantineCount",
                "QuarantineOldestAge",
                "ExpiringCount",
            ],
        ),
        (log.REDRIVE_SKIPPED, "redrive_skipped", "INFO", []),
        (log.WEBHOOK_CHECK, "webhook_check", "INFO", ["WebhookChecks", "WebhookErrors", "WebhooksBlocked"]),
        (log.WEBHOOK_ERRORS, "webhook_errors", "WARNING", []),
        (log.WEBHOOK_BLOCKED, "webhook_blocked", "CRITICAL", []),
        (log.WEBHOOK_CHECK_FAILED, "webhook_check_failed", "ERROR", ["WebhookCheckFailed", "WebhookChecks"]),
    ],
)
def test_an_event_has_the_name_level_and_metrics_that_alarms_are_built_on(
    event_: LogEvent, name: str, level: str, metrics: list[str]
) -> None:
    """Templates and runbooks repeat these names, so a change here is a change of the contract."""
    assert (event_.name, event_.level.value) == (name, level)
    assert [metric.name for metric in event_.metrics] == metrics


def test_every_answer_of_503_counts_as_a_lost_event() -> None:
    """The alarm on `EventLost` needs no second metric beside it."""
    lost = {event_.name for event_ in EVENTS if any(metric.name == "EventLost" for metric in event_.metrics)}
    assert lost == {"event_lost", "no_key", "internal_error"}


def test_a_metric_has_one_unit_and_its_field_is_a_number() -> None:
    """Wherever it is emitted; ages are seconds, durations are milliseconds, the rest are counts."""
    metrics = {metric for event_ in EVENTS for metric in event_.metrics}
    assert len({(metric.name, metric.unit, metric.field) for metric in metrics}) == len({each.name for each in metrics})
    assert {metric.field for metric in metrics if metric.field} <= NUMBER_FIELDS
    for metric in metrics:
        expected = {"Duration": "Milliseconds", "SpoolOldestAge": "Seconds", "QuarantineOldestAge": "Seconds"}
        assert metric.unit.value == expected.get(metric.name, "Count")


def test_no_field_is_both_text_and_number() -> None:
    """Each name has one form."""
    assert not NUMBER_FIELDS & TEXT_FIELDS.keys()


# Fields


def test_fields_that_are_none_are_left_out() -> None:
    """And false or zero are not."""
    assert written(reason=None, listed=False, size=0, queue_ms=None) == {"listed": False, "size": 0}
    assert written() == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", SHA),
        ("event_id", "0123456789ab"),
        ("event_type", "TaskCreation"),
        ("event_type", "x" * 64),
        ("webhook_id", "4242"),
        ("webhook_id", "a-b_C"),
        ("key", "0123456789ab"),
        ("source_ip", "192.0.2.1"),
        ("source_ip", "2001:db8::1"),
        ("source_ip", "::"),
        ("source_ip", "2001:0db8:1111:2222:3333:4444:255.255.255.255"),
        ("reason", "unlisted_address"),
        ("error", "AWS.SimpleQueueService.NonExistentQueue"),
        ("error", "ValueError"),
        ("error", "x" * 80),
        ("during", "accepted_addresses"),
        ("at", "receiver.py:55"),
        ("place", f"spool/20260302T120000000Z-{SHA}"),
        ("place", "leases/redrive"),
        ("place", f"claims/{SHA}"),
        ("status", 200),
        ("duration_ms", 1.5),
        ("listed", True),
        ("size", 0),
    ],
)
def test_a_value_of_its_field_s_form_is_written(field: str, value: Value) -> None:
    """Unchanged."""
    assert written(**{field: value}) == {field: value}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", "0123456789AB"),
        ("event_id", SHA[:-1]),
        ("event_id", SHA + "0"),
        ("event_id", "0123456789abc"),
        ("event_type", "Tâche créée"),
        ("event_type", "two words"),
        ("event_type", ""),
        ("event_type", "x" * 65),
        ("event_type", "x\n"),
        ("webhook_id", "\u0661"),
        ("webhook_id", 'x", "forged": "'),
        ("key", KEY_TEXT),
        ("key", "planted"),
        ("source_ip", "for=192.0.2.1"),
        ("source_ip", "1"),
        ("source_ip", "1" * 46),
        ("source_ip", "192.0.2.1\nforged"),
        ("reason", "a b"),
        ("error", ""),
        ("error", "x" * 81),
        ("error", "x/y"),
        ("error", "x\n"),
        ("at", "/home/someone/receiver.py"),
        ("place", "spool"),
        ("place", "spool/"),
        ("place", "Spool/x"),
        ("place", "spool/a/b"),
        ("place", "spool/" + "x" * 101),
        ("place", "addresses/192.0.2.1"),
        ("event_id", 5),
        ("reason", True),
        ("status", "200"),
        ("size", "planted"),
        ("listed", "yes"),
    ],
)
def test_a_value_of_another_form_is_withheld(field: str, value: Value) -> None:
    """The line is written and says that something was there; the value is not in it."""
    assert written(**{field: value}) == {field: WITHHELD}


@pytest.mark.parametrize("field", sorted({*TEXT_FIELDS, *NUMBER_FIELDS}))
@pytest.mark.parametrize(
    "text", [event().decode(), signature(event()), KEY_TEXT + " ", "a name <b@example.org>", "a\r\nb", "\x1b[31m", "é"]
)
def test_no_field_carries_a_body_a_signature_or_a_person_s_text(field: str, text: str) -> None:
    """Whichever field it is put into by mistake."""
    assert written(**{field: text}) == {field: WITHHELD}


@pytest.mark.parametrize("field", sorted(NUMBER_FIELDS))
def test_a_number_field_takes_every_number(field: str) -> None:
    """Whole, broken, negative, and yes or no."""
    for value in (0, -1, 2.5, True):
        assert written(**{field: value}) == {field: value}


@pytest.mark.parametrize("value", ["text", 5, None])
def test_a_field_without_a_form_is_a_mistake_in_our_code(value: Value | None) -> None:
    """It raises with any value that would be written, and names the field."""
    recording = RecordingLog()
    if value is None:
        record(recording, log.ACCEPTED, body=value)
        assert recording.lines == [(log.ACCEPTED, {})]
    else:
        with pytest.raises(KeyError, match="body"):
            record(recording, log.ACCEPTED, body=value)
        assert recording.lines == []


# Metrics


def test_a_counting_metric_is_one() -> None:
    """It needs no field, and an event without metrics has none."""
    assert metric_values(log.REFUSED, {}) == [(Metric("Refused"), 1.0)]
    assert metric_values(log.KEYS_LOADED, {"count": 2}) == []


def test_a_failed_check_is_a_check_that_counts_for_nothing() -> None:
    """An alarm on too few checks sees zero, and not a gap that CloudWatch bridges with an older check."""
    values = {metric.name: value for metric, value in metric_values(log.WEBHOOK_CHECK_FAILED, {"error": "http_403"})}
    assert values == {"WebhookCheckFailed": 1.0, "WebhookChecks": 0.0}


def test_a_metric_of_a_field_has_its_value_and_is_left_out_without_it() -> None:
    """Zero is a value; a count that stands beside is emitted either way."""
    assert metric_values(log.ACCEPTED, {"duration_ms": 0}) == [(Metric("Accepted"), 1.0), (log.DURATION, 0.0)]
    assert metric_values(log.ACCEPTED, {"status": 200}) == [(Metric("Accepted"), 1.0)]
    values = metric_values(log.REDRIVE, {"sent": 3, "spool_oldest_seconds": 4.5})
    assert [(metric.name, metric.unit, value) for metric, value in values] == [
        ("Redriven", Unit.COUNT, 3.0),
        ("SpoolOldestAge", Unit.SECONDS, 4.5),
    ]


# Errors


class Coded(Exception):
    def __init__(self, code: object) -> None:
        super().__init__("planted")
        self.code = code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("planted"), "ValueError"),
        (PortError("resting"), "PortError.resting"),
        (Coded("E42"), "Coded.E42"),
        (Coded(42), "Coded"),
        (Coded(None), "Coded"),
        (UnicodeDecodeError("utf-8", b"planted", 0, 1, "planted"), "UnicodeDecodeError"),
        (KeyboardInterrupt("planted"), "KeyboardInterrupt"),
    ],
)
def test_of_an_error_its_class_and_code_may_be_logged(error: BaseException, code: str) -> None:
    """Never its message, which may quote what was sent."""
    assert error_code(error) == code


def test_a_key_cannot_be_logged_by_its_repr_either() -> None:
    """Even the safe form is not the fingerprint alone, so it is withheld."""
    assert written(key=repr(SignatureKey(KEY_TEXT))) == {"key": WITHHELD}


def test_levels_and_units_have_the_names_that_platforms_know() -> None:
    """Python's levels and CloudWatch's units."""
    assert [level.value for level in Level] == ["INFO", "WARNING", "ERROR", "CRITICAL"]
    assert [unit.value for unit in Unit] == ["Count", "Seconds", "Milliseconds"]
