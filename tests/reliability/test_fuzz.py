"""Fuzzing, the short run: what is kept is replayed and changed blindly; the oracle sees what is broken on purpose."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest

from core.source_ip import normalise
from reliability.fuzz import corpus
from reliability.fuzz.inputs import Choices, split
from reliability.fuzz.mutate import mutations
from reliability.fuzz.targets import NAMES
from tests import planted

ROOT = Path(__file__).resolve().parents[2]

ENTRY_POINTS = tuple(name for name in NAMES if name != "screening")
# Each is code that a process runs before it replays what is kept, and the targets that must then complain.
BREAKS = {
    "everybody is believed": (
        "screening.matching_key = lambda body, digest, keys: keys[0] if keys else None",
        NAMES,
    ),
    "nobody is believed": ("screening.matching_key = lambda *_: None", NAMES),
    "the signature is read with an exception": (
        "def fail(_):\n    raise UnicodeDecodeError('ascii', b'x', 0, 1, 'broken')\nscreening.read_signature = fail",
        NAMES,
    ),
    "a body is changed on its way": (
        """
make = QueueMessage.of_event.__func__
QueueMessage.of_event = classmethod(lambda cls, body, *args, **more: make(cls, body + b' ', *args, **more))
""",
        NAMES,
    ),
    "a log line holds what was sent": (
        """
def record(port, event, /, **fields):
    port.write(event, {'agent': 'planted-fuzz-9b3d@example.org'})
receiver.record = log.record = record
""",
        ENTRY_POINTS,
    ),
    "an event goes to two places": (
        """
accept = delivery.Delivery.accept
delivery.Delivery.accept = lambda self, *args: (accept(self, *args), accept(self, *args))[0]
""",
        ENTRY_POINTS,
    ),
    "an event is answered and not kept": (
        "delivery.Delivery.accept = lambda *_: delivery.Placed.QUEUE",
        ENTRY_POINTS,
    ),
}
REPLAY = """
import sys
from core import delivery, log, receiver, screening
from core.message import QueueMessage
from reliability.fuzz import corpus
from reliability.fuzz.targets import load
{broken}
target = load({name!r})
for data in corpus.read({name!r}):
    target(data)
"""


@pytest.mark.parametrize("name", NAMES)
def test_no_input_breaks_a_promise(name: str) -> None:
    """Everything that is kept, and 2,000 inputs made of it: no exception, no lie, no leak."""
    words = ("fuzz", "--blind", "--json", "--target", name, "--runs", "2000")
    done = subprocess.run(
        [sys.executable, "-m", "reliability", *words], cwd=ROOT, capture_output=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr[-3000:].decode("utf-8", "replace")
    (result,) = json.loads(done.stdout)
    assert result["inputs"] == 2000 + len(corpus.read(name))
    assert len(corpus.read(name)) > 20


@pytest.mark.parametrize(
    ("code", "name"),
    [pytest.param(code, name, id=f"{what}, {name}") for what, (code, names) in BREAKS.items() for name in names],
)
def test_the_oracle_sees_what_is_broken(code: str, name: str) -> None:
    """With one part broken on purpose, the inputs that are kept are enough to notice."""
    program = REPLAY.format(broken=code, name=name)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, timeout=110)
    assert done.returncode == 1
    assert b"ViolationError" in done.stderr or b"UnicodeDecodeError" in done.stderr, done.stderr[-3000:]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_small_and_invented(name: str) -> None:
    """At most 200 kB for a target, no input above its limit, no input twice, nothing of the suite's own secrets."""
    kept = corpus.read(name)
    assert len(set(kept)) == len(kept)
    assert max(map(len, kept)) <= corpus.MOST_BYTES
    assert (corpus.FOLDER / f"{name}.jsonl").stat().st_size < 200_000
    assert not any(planted.found_in(data.decode("latin-1")) for data in kept)


def test_an_input_is_choices_and_a_body() -> None:
    """The first line decides, the rest is the body as it is, line ends included."""
    choices, body = split(b"\x01\x06ab\0\x03\n{}\n")
    assert (choices.number(4), choices.number(4), choices.text(), choices.number(4)) == (1, 2, "ab", 3)
    assert choices.number(4) == 0, "once they are used up, the first there is"
    assert body == b"{}\n"
    assert Choices(b"\xff").text() == "ÿ"


def test_kept_inputs_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte survives the file, in the fuzzer's folder as in ours."""
    monkeypatch.setattr(corpus, "FOLDER", tmp_path / "kept")
    inputs = [bytes(range(256)), b"", b"\n", Random(1).randbytes(500)]
    corpus.write("x", [*inputs, b""])
    assert sorted(corpus.read("x")) == sorted(inputs)
    corpus.unpack("x", tmp_path / "one")
    assert sorted(path.read_bytes() for path in (tmp_path / "one").iterdir()) == sorted(inputs)


def test_what_reaches_nothing_new_is_not_kept() -> None:
    """Of inputs that take the same steps through the receiver the shortest stays; one that takes others stays too."""

    def target(data: bytes) -> None:
        normalise(data.decode())

    kept = corpus.least(target, [b"192.0.2.1", b"a", b"bb", b"x"])
    assert kept == [b"a", b"192.0.2.1"]


def test_who_traced_before_does_so_again() -> None:
    """A measurement of coverage, or a debugger, goes on where the search for inputs has ended."""

    def other(_frame: object, _event: str, _argument: object) -> None:
        return None

    def target(data: bytes) -> None:
        normalise(data.decode())

    before = sys.gettrace(), threading.gettrace()
    try:
        sys.settrace(other)
        threading.settrace(other)
        corpus.least(target, [b"a"])
        assert (sys.gettrace(), threading.gettrace()) == (other, other)
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])


def test_blind_changes_follow_the_seed() -> None:
    """A failure can be had again; different seeds go different ways, and no input is above the limit."""
    first, again, other = (mutations([b"a" * 4000, b"\n{}"], seed) for seed in (1, 1, 2))
    made = [next(first) for _ in range(200)]
    assert made == [next(again) for _ in range(200)]
    assert made != [next(other) for _ in range(200)]
    assert max(map(len, made)) <= corpus.MOST_BYTES
    assert len(set(made)) > 150
