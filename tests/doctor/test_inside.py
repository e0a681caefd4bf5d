"""What the three clouds' rows share: the order of retentions, who hears an alarm, and errors that become rows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from cli.doctor.inside import QUEUE, Absent, Looking, Retentions, judge_alarms, judge_recipients
from cli.doctor.model import Result, Status

RIGHT = Retentions(queue=4, dead_letters=14, claims=50, spool=30, quarantine=30)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"queue": 14}, "dead letters"),
        ({"queue": 15}, "dead letters"),
        ({"queue": None}, "queue"),
        ({"dead_letters": None}, "dead letters"),
        ({"claims": 47}, "48 d"),
        ({"claims": None}, "for ever"),
        ({"spool": 29}, "spool/"),
        ({"spool": None}, "spool/"),
        ({"quarantine": 31}, "quarantine/"),
        ({"quarantine": None}, "quarantine/"),
    ],
)
def test_a_retention_out_of_order_fails(change: dict[str, float | None], said: str) -> None:
    """Each inequality of the design, broken alone, fails the row, which names what is wrong."""
    row = replace(RIGHT, **change).judge()
    assert row.status is Status.FAIL
    assert said in row.found


def test_retentions_in_order_pass() -> None:
    """The templates' own days pass, and so do dead letters without an end where that is as it should be."""
    assert RIGHT.judge().status is Status.PASS
    assert replace(RIGHT, claims=48).judge().status is Status.PASS
    assert replace(RIGHT, dead_letters=None).judge(endless_dead_letters=True).status is Status.PASS


def test_who_hears_an_alarm() -> None:
    """Somebody passes; nobody fails with what to set; an unconfirmed address fails with the mail to look for."""
    assert judge_recipients(["a"], [], "set it").status is Status.PASS
    nobody = judge_recipients([], [], "set it")
    assert (nobody.status, nobody.advice) == (Status.FAIL, "set it")
    waiting = judge_recipients([], ["someone@example.org"], "set it")
    assert waiting.status is Status.FAIL
    assert "mail" in waiting.advice
    assert "someone" not in str(waiting)


def test_alarms_that_are_not_expected_do_not_count() -> None:
    """An alarm of one's own, switched off, fails nothing; a missing one of the template's does."""
    assert judge_alarms(["a"], {"a": None, "mine": "it is switched off"}).status is Status.PASS
    assert judge_alarms(["a", "b"], {"a": None}).details == ("b: there is none",)


def _always(absent: Absent, _: Exception) -> Absent:
    return absent


def test_an_error_becomes_a_row() -> None:
    """What is missing fails, what cannot be seen warns, each with the code and no text of the exception."""

    def look() -> Result:
        raise ValueError("a secret text")

    for absent, status in ((Absent(True, "SomeCode"), Status.FAIL), (Absent(False, "SomeCode"), Status.WARN)):
        row = Looking(partial(_always, absent)).at(QUEUE, look)
        assert row.status is status
        assert "SomeCode" in row.found
        assert "secret" not in str(row)
        assert row.advice
