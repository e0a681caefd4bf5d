"""A log of any length is reconciled in the same memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = """
import json, resource, sys, tracemalloc
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from cli.dastra.access import ApiKey
from cli.dastra.client import DastraApi
from cli.dastra.logs import LogQuery
from cli.dastra.pace import Pace
from cli.reconcile.arrivals import Arrival
from cli.reconcile.plan import keep_arrivals, resolve
from cli.reconcile.reading import query_of, read_log
from cli.reconcile.sending import send_missing
from cli.reconcile.state import State, Window
from core.delivery import Delivery
from tests.dastra.logs import NOON
from tests.fakes import FakeStore, RecordingLog

url, key, path, count, traced = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "traced"


class Counting:
    sent = 0

    def takes(self, message):
        return True

    def send(self, message, timeout):
        self.sent += 1

    def discard(self):
        pass


window = Window(("7",), NOON - timedelta(hours=1), NOON + timedelta(days=30), ("DataSubjectCreation",), 1, NOON)
arrivals = (
    Arrival(str(place), "DataSubjectCreation", str(10_000 + place), NOON + timedelta(seconds=place), "7", "records")
    for place in range(1000)
)
queue = Counting()
delivery = Delivery(queue, FakeStore(), RecordingLog())
if traced:
    tracemalloc.start()
with DastraApi(url, ApiKey(key), pace=Pace(1_000_000)) as api, State.open(path) as state:
    state.db.execute("PRAGMA synchronous = OFF")  # of no interest here, and slow
    progress = read_log(api, state, state.begin(window))
    keep_arrivals(state, arrivals)
    found = resolve(state, window, 10)
    sent = send_missing(api, state, delivery, query_of(window), "7", lambda *_: None)
print(json.dumps({
    "arrived": found.arrived,
    "sent": sent.sent,
    "queue": queue.sent,
    "peak": tracemalloc.get_traced_memory()[1] if traced else 0,
    "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def measure(path: Path, count: int, *, traced: bool) -> dict[str, int]:
    """Reconcile a log of so many entries, of which a thousand arrived, in a process of its own."""
    from tests.dastra.logs import Log, LongLog
    from tests.dastra.standin import API_KEY, StandIn

    with StandIn() as dastra:
        Log(LongLog(count)).plug(dastra)
        arguments = [dastra.url, API_KEY, str(path), str(count), "traced" if traced else "untraced"]
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, capture_output=True, check=False, timeout=900
        )
    assert ended.returncode == 0, ended.stderr.decode()
    found: dict[str, int] = json.loads(ended.stdout)
    assert (found["arrived"], found["sent"], found["queue"]) == (1000, count - 1000, count - 1000)
    return found


def test_a_longer_log_in_the_same_memory(tmp_path: Path) -> None:
    """At 8,000 entries the process peaks at no more than 10 % above 1,500; each is read, judged and sent."""
    small, large = (measure(tmp_path / str(count), count, traced=False) for count in (1_500, 8_000))
    assert large["rss"] <= small["rss"] * 1.1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_100_000_entries_in_constant_memory(tmp_path: Path) -> None:
    """Python's own peak at 100,000 entries is at most 10 % above that at 10,000, and so is the whole process's."""
    for traced, what in ((True, "peak"), (False, "rss")):
        small, large = (
            measure(tmp_path / f"{count}-{what}", count, traced=traced)[what] for count in (10_000, 100_000)
        )
        assert large <= small * 1.1, (what, small, large)
