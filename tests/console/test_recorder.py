"""What is remembered of requests: bounded, and without a part in their answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cli.local.cloud import Handled
from cli.local.console.recorder import MOST_OF_ONE, START_BYTES, Recorded, Recorder
from cli.local.console.view import detail, steps, summary
from cli.local.front import HttpAnswer, HttpRequest

OK = HttpAnswer(200, [("Content-Type", "application/json")], b'{"status":"accepted"}')


def request(body: bytes = b"{}", port: int = 0, **fields: Any) -> HttpRequest:
    """A request from this machine."""
    values = {"method": "POST", "path": b"/", "query": b"", "headers": (), "client": "127.0.0.1"}
    return HttpRequest(**{**values, "received_at": time.time(), "body": body, "client_port": port, **fields})


def recorder(**limits: int) -> Recorder:
    """A recorder at work."""
    made = Recorder(**limits)
    made.recording = True
    return made


def through(found: Recorder, lines: Callable[[HttpRequest], tuple[dict[str, Any], ...]] = lambda _: ()) -> Recorded:
    """An entry point that tells the recorder as a cloud does."""

    class Entry:
        most_bytes = 100

        def __call__(self, request: HttpRequest) -> HttpAnswer:
            found.finish(Handled(request, len(request.body), OK, 1.5, lines(request)))
            return OK

        def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
            answer = HttpAnswer(413, [], b"")
            found.finish(Handled(request, size, answer, 1.5))
            return answer

    return Recorded(Entry(), found)


def accepted(found: HttpRequest) -> tuple[dict[str, Any], ...]:
    """The log line of an accepted event whose id is its body."""
    return ({"message": "accepted", "event_id": found.body.decode(), "duration_ms": 1.0},)


def test_requests_are_there_before_their_answer() -> None:
    """Seen from inside the entry point, the request stands there as under way; afterwards with its answer."""
    found = recorder()
    kinds: list[str] = []

    class Entry:
        most_bytes = 1

        def __call__(self, request: HttpRequest) -> HttpAnswer:
            kinds.extend(summary(entry)["kind"] for entry in found.since(0).entries)
            found.finish(Handled(request, 2, OK, 1, ({"message": "accepted"},)))
            return OK

        def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
            raise NotImplementedError

    assert Recorded(Entry(), found)(request()) is OK
    kinds += [summary(entry)["kind"] for entry in found.since(0).entries]
    assert kinds == ["pending", "accepted"]


def test_only_the_latest_are_kept() -> None:
    """Beyond the limit the oldest go, and with them what is known of their ids."""
    found = recorder(most=3)
    entry_point = through(found, accepted)
    for number in range(10):
        entry_point(request(b"%d" % number))
    assert [entry.number for entry in found.since(0).entries] == [8, 9, 10]
    assert found.since(0).oldest == 8
    assert found.get(7) is None
    entry_point(request(b"0"))
    assert found.since(0).entries[-1].duplicate_of is None
    entry_point(request(b"0"))
    assert found.since(0).entries[-1].duplicate_of == 11


def test_bodies_are_bounded_together() -> None:
    """When all bodies are more than the limit, the oldest long ones are cut; short ones and the newest stay."""
    found = recorder(most_bytes=5 * START_BYTES)
    entry_point = through(found)
    for size in (10, 3 * START_BYTES, 3 * START_BYTES):
        entry_point(request(b"x" * size))
    first, second, third = found.since(0).entries
    assert first.whole
    assert (second.whole, len(second.body)) == (False, START_BYTES)
    assert third.whole
    assert summary(second)["kept"] is False


def test_one_huge_body_is_kept_by_its_start() -> None:
    """And what the platform turned away has a size and no body."""
    found = recorder()
    entry_point = through(found)
    entry_point(request(b"x" * (MOST_OF_ONE + 1)))
    assert entry_point.turn_away(request(b""), 7_000_000).status == 413
    huge, turned = found.since(0).entries
    assert (huge.whole, len(huge.body), huge.size) == (False, START_BYTES, MOST_OF_ONE + 1)
    assert (turned.whole, turned.size) == (False, 7_000_000)
    assert detail(huge)["shown"] == START_BYTES


def test_a_flood_keeps_memory_flat() -> None:
    """After thousands of requests on many threads nothing is left open, and no more than the limit is kept."""
    found = recorder(most=50)
    entry_point = through(found, accepted)

    def work(number: int) -> None:
        for count in range(200):
            entry_point(request(b"%d-%d" % (number, count), port=count))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found.since(0).entries) == 50
    assert found._open == {}
    assert len(found._first) == 50
    assert found._bytes == sum(len(entry.body) for entry in found.since(0).entries)
    assert found.since(0).entries[-1].number == 1600


def test_what_was_forgotten_under_way_is_nobodys_first() -> None:
    """A request that outlasts its place in the memory leaves nothing behind, and its answer still goes out."""
    found = recorder(most=1)
    late, other = request(b"a"), request(b"b")
    found.begin(late, 1)
    found.begin(other, 1)
    found.finish(Handled(late, 1, OK, 1, accepted(late)))
    found.end(late)
    assert found._first == {}
    through(found, accepted)(request(b"a"))
    assert found.since(0).entries[-1].duplicate_of is None


def test_notes_are_bounded_and_stand_between() -> None:
    """A note sorts after the request before it and before the next one; of many the last fifty stay."""
    found = recorder()
    entry_point = through(found)
    found.note("faults", "first of all")
    entry_point(request())
    found.note("faults", "between")
    entry_point(request())
    news = found.since(0)
    assert [note.number for note in news.notes] == sorted(note.number for note in news.notes)
    assert 0 < news.notes[0].number < 1 < news.notes[1].number < 2
    for _ in range(100):
        found.note("faults", "x")
    assert len(found.since(0).notes) == 50


def test_only_what_changed_is_told() -> None:
    """A point in time, and what changed after it, an answer of an older request included."""
    found = recorder()
    one, two = request(), request()
    found.begin(one, 2)
    found.begin(two, 2)
    point = found.since(0).changed
    assert found.since(point).entries == ()
    found.finish(Handled(one, 2, OK, 1))
    assert [entry.number for entry in found.since(point).entries] == [1]


def test_clearing_forgets_and_tells() -> None:
    """Pages learn that what they have is older than all that is there; a request under way is forgotten too."""
    found = recorder()
    under_way = request()
    found.begin(under_way, 2)
    found.note("faults", "x")
    point = found.since(0).changed
    found.clear()
    found.finish(Handled(under_way, 2, OK, 1))
    found.end(under_way)
    news = found.since(point)
    assert (news.entries, news.notes) == ((), ())
    assert news.changed > point
    assert news.oldest > 1
    through(found)(request())
    assert found.since(0).entries[0].number >= news.oldest


def test_an_entry_point_that_fails_is_told() -> None:
    """A request whose thread ends without an answer does not stay under way for ever, and the error goes on."""
    found = recorder()

    class Broken:
        most_bytes = 1

        def __call__(self, request: HttpRequest) -> HttpAnswer:
            raise RuntimeError

        def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
            raise NotImplementedError

    with pytest.raises(RuntimeError):
        Recorded(Broken(), found)(request())
    assert summary(found.since(0).entries[0])["kind"] == "failed"
    assert found._open == {}


def test_the_greeting_is_not_recorded() -> None:
    """Until the run says so, requests pass unseen."""
    found = Recorder()
    assert through(found)(request()) is OK
    assert found.since(0).entries == ()


def test_own_requests_are_known_by_their_port() -> None:
    """The next request from an awaited port, and only that one, says why it was sent."""
    found = recorder()
    found.await_port(4000, "replay of 3")
    entry_point = through(found)
    for port in (5000, 4000, 4000):
        entry_point(request(port=port))
    assert [entry.origin for entry in found.since(0).entries] == [None, "replay of 3", None]
    found.await_port(4001, "x")
    assert found.still_awaits(4001)
    assert not found.still_awaits(4001)
    assert not found.still_awaits(4000)


def test_held_events_are_followed() -> None:
    """While it is in the store, when it went to the queue, and when it is nowhere any more; each change is news."""
    found = recorder()
    through(found, lambda r: ({"message": "spooled", "event_id": r.body.decode(), "duration_ms": 1},))(request(b"ab"))
    asked = []

    def otherwise(event_id: str) -> str:
        asked.append(event_id)
        return "queue"

    found.put_in_place({"ab": "spool"}, otherwise)
    [entry] = found.since(0).entries
    assert (entry.place, asked) == ("spool", [])
    point = found.since(0).changed
    found.put_in_place({}, otherwise)
    found.put_in_place({}, otherwise)
    assert (entry.place, asked) == ("queue", ["ab"])
    assert [changed.number for changed in found.since(point).entries] == [1]


def test_watchers_are_woken_and_let_go() -> None:
    """Each change wakes whoever watches, until it stops."""
    found = recorder()
    woken: list[int] = []
    with found.watched(lambda: woken.append(1)):
        through(found)(request())
        found.note("x", "y")
        assert len(woken) == 3
    found.note("x", "y")
    found.close()
    assert len(woken) == 3
    assert found.closed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            {"duration_ms": 9.0, "screen_ms": 5.0, "keys_ms": 4.0, "queue_ms": 3.0},
            {"screen": 1.0, "keys": 4.0, "queue": 3.0, "around": 1.0},
        ),
        (
            {"duration_ms": 9.0, "screen_ms": 1.0, "queue_ms": 3.0, "store_ms": 4.0},
            {"screen": 1.0, "queue": 3.0, "store": 4.0, "around": 1.0},
        ),
        ({"duration_ms": 9.0}, {"screen": 9.0, "around": 1.0}),
        ({"duration_ms": 10.04, "screen_ms": 0.1, "keys_ms": 0.2}, {"screen": 0.0, "keys": 0.2, "around": 0.0}),
        ({"seen": 1}, {"whole": 10.0}),
    ],
)
def test_milliseconds_are_divided(line: dict[str, Any], expected: dict[str, float]) -> None:
    """Screening without the refresh that it waited for; the entry point has the rest; never below 0."""
    found = {step["name"]: step["ms"] for step in steps(10.0, (line,))}
    assert found == expected
