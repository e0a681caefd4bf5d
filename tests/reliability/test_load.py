"""The load program: small runs of it on real parts, and that its verdict sees what it is there to see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.commands.run import CLOUDS
from core.message import event_id
from reliability.load.instance import Size
from reliability.load.plan import Plan
from reliability.load.sender import Answered
from reliability.load.verdict import Allowed, Found, Growth, Verdict, found_in, judge

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str, code: int = 0) -> list[dict[str, Any]]:
    """The reports of a run of its own process, since it changes its environment for good."""
    command = [sys.executable, "-m", "reliability", "load", "--json", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True, timeout=110)
    assert done.returncode == code, done.stderr + done.stdout
    reports: list[dict[str, Any]] = json.loads(done.stdout)
    return reports


SMALL = ("--large", "60", "--connections", "16", "--instances", "1")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_event_is_kept_once_and_no_attack(cloud: str) -> None:
    """150 events among 150 attacks on a cloud's real parts: each event is kept once, each attack refused."""
    (report,) = run("--cloud", cloud, "--scenario", "calm", "--events", "150", "--attacks", "150", *SMALL)
    assert report["genuine"] == {"200": 150}
    assert sum(report["attacks"].values()) == sum(report["attacks"].get(status, 0) for status in ("401", "405", "413"))
    assert sum(report["first"]["places"].values()) == 150


@pytest.mark.parametrize("cloud", CLOUDS)
def test_nothing_is_lost_and_nothing_forged_under_faults_and_kills(cloud: str) -> None:
    """Six seconds with a queue that fails and an instance that is killed: all that was answered 200 is kept."""
    (report,) = run("--cloud", cloud, "--scenario", "storm", "--minutes", "0.1", *SMALL)
    assert report["weather"]["kill -9"] > 0
    assert any(name.startswith("queue ") for name in report["weather"])
    assert report["genuine"]["200"] > 0


def test_the_same_seed_sends_the_same() -> None:
    """A run that went wrong can be had again: bodies, signatures and their order follow the seed alone."""
    first, again, other = (list(Plan(seed, 40, 40).samples()) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert len({sample.id for sample in [*first, *other]}) == 160


def test_half_of_a_plan_is_genuine_and_attacks_have_ids_of_their_own() -> None:
    """No attack has the bytes of a genuine event, or it could not be told apart where events are kept."""
    samples = list(Plan(1, 200, 100).samples())
    genuine = {sample.id for sample in samples if sample.genuine}
    assert len(genuine) == 200
    assert genuine.isdisjoint(sample.id for sample in samples if not sample.genuine)


# -- the verdict -------------------------------------------------------------------------------------------------------


def told(name: str, status: int | None = 200, *, genuine: bool = True, right: bool = True) -> Answered:
    """An answer to a request whose body is its name."""
    return Answered(event_id(name.encode()), "event", genuine, right, status, 0.1)


def kept(name: str, place: str = "queue", body: str | None = None) -> Found:
    """An event in a durable place."""
    return Found(place, event_id(name.encode()), event_id((name if body is None else body).encode()))


def verdict(answers: list[Answered], found: list[Found], allowed: Allowed | None = None) -> Verdict:
    """The judgement."""
    return judge(answers, found, allowed or Allowed())


def test_all_accounted_for_is_right() -> None:
    """Events in all three places, an attack that was refused: nothing to say."""
    answers = [told("a"), told("b"), told("c"), told("x", 401, genuine=False)]
    judged = verdict(answers, [kept("a"), kept("b", "spool"), kept("c", "quarantine")])
    assert judged.faults == ()
    assert judged.places == {"queue": 1, "spool": 1, "quarantine": 1}


@pytest.mark.parametrize(
    ("answers", "found", "fault"),
    [
        pytest.param([told("a")], [], "answered 200 and in no durable place", id="lost"),
        pytest.param(
            [told("a"), told("x", 401, genuine=False)], [kept("a"), kept("x")], "not sent as genuine", id="forged"
        ),
        pytest.param([told("a")], [kept("a"), kept("z")], "not sent as genuine", id="from nowhere"),
        pytest.param([told("a")], [kept("a", body="b")], "other bytes than were signed", id="altered"),
        pytest.param([told("a")], [kept("a"), kept("a", "spool")], "more than once", id="twice"),
        pytest.param([told("a", 503, right=False)], [], "wrong answer (event: 503)", id="a genuine event refused"),
        pytest.param([told("x", 500, genuine=False, right=False)], [], "wrong answer", id="an attack answered 5xx"),
        pytest.param([told("a", None, right=False)], [], "no answer", id="no answer though nothing was killed"),
    ],
)
def test_each_fault_is_seen(answers: list[Answered], found: list[Found], fault: str) -> None:
    """A run with exactly one thing wrong is told with exactly that."""
    (said,) = verdict(answers, found).faults
    assert fault in said


def test_what_a_scenario_allows_is_counted_and_not_a_fault() -> None:
    """Duplicates after a lost acknowledgement and requests that died with an instance are figures, no faults."""
    answers = [told("a"), told("b", None, right=False), told("c", None, right=False)]
    judged = verdict(answers, [kept("a"), kept("a"), kept("b")], Allowed(unanswered=True, duplicates=True))
    assert judged.faults == ()
    assert (judged.duplicates, judged.unanswered_kept, judged.unanswered_gone) == (1, 1, 1)


def test_a_send_that_failed_may_have_taken_effect() -> None:
    """An event whose send timed out may be there twice, and no other event."""
    answers, found = [told("a"), told("b")], [kept("a"), kept("a", "spool"), kept("b")]
    assert judge(answers, found, Allowed(), {event_id(b"a")}).faults == ()
    assert judge(answers, found, Allowed(), {event_id(b"b")}).faults == ("1 kept more than once",)


def test_a_kill_excuses_no_wrong_answer() -> None:
    """Where instances are killed a request may go unanswered, but a 503 is still one."""
    assert verdict([told("a", 503, right=False)], [], Allowed(unanswered=True)).faults


def test_what_the_local_deployment_shows_is_read() -> None:
    """A message, a spooled text and a quarantined body that is not UTF-8: place and hash of each."""
    messages = [{"id": "1", "attributes": {}, "body": "é"}]
    stored = [
        {"key": "spool/x-2", "attributes": {"id": "2"}, "body": "b"},
        {"key": "quarantine/x-3", "attributes": {"id": "3"}, "body_base64": "/w=="},
    ]
    assert found_in(messages, stored) == [
        Found("queue", "1", event_id("é".encode())),
        Found("spool", "2", event_id(b"b")),
        Found("quarantine", "3", event_id(b"\xff")),
    ]


@pytest.mark.parametrize(
    ("end", "large", "flat"),
    [
        pytest.param(Size(123, 12), False, True, id="a cache that filled"),
        pytest.param(Size(125, 12), False, False, id="a leak"),
        pytest.param(Size(125, 12), True, True, id="large bodies"),
        pytest.param(Size(137, 12), True, False, id="a leak among large bodies"),
        pytest.param(Size(100, 17), False, False, id="threads"),
    ],
)
def test_growth_in_the_second_half_is_seen(end: Size, large: bool, flat: bool) -> None:
    """Memory and threads may settle until the half, and must then stay."""
    assert Growth(Size(40, 4), Size(60, 8), Size(100, 12), end).is_flat(1, large=large) is flat


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    """Exit code 2 and the list."""
    command = [sys.executable, "-m", "reliability", "load", "--scenario", "snow"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 2
    assert "calm, queue, kill, storm" in done.stderr
