from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from google.api_core.exceptions import (
    Aborted,
    DeadlineExceeded,
    InternalServerError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServiceUnavailable,
    Unknown,
)

from core.ports import PortError
from gcp_function.sdk import PAUSE_SECONDS, Lazy, attempt, port_error


class Client:
    """Stands for a generated client."""


def failing(*errors: Exception | None) -> tuple[Callable[[Client, float], str], list[tuple[Client, float]]]:
    """A call that raises these one after the other, and what it was given each time."""
    given: list[tuple[Client, float]] = []
    left = list(errors)

    def call(client: Client, seconds: float) -> str:
        given.append((client, seconds))
        error = left.pop(0)
        if error is not None:
            raise error
        return "done"

    return call, given


@pytest.mark.parametrize(
    "error",
    [ServiceUnavailable, InternalServerError, ResourceExhausted, Aborted, Unknown, DeadlineExceeded],
    ids=lambda error: error.__name__,
)
def test_what_may_pass_is_tried_twice(error: type[Exception]) -> None:
    """With all the time that is left; after a time-out on a client of its own, else on the same after a pause."""
    call, given = failing(error("x"), None)
    started = time.monotonic()
    assert attempt(Lazy(Client), call, 4) == "done"
    (first, share), (second, rest) = given
    assert share == pytest.approx(2, abs=0.1)
    assert rest > 3
    timed_out = error is DeadlineExceeded
    assert (first is not second) is timed_out
    assert (time.monotonic() - started >= PAUSE_SECONDS) is not timed_out


@pytest.mark.parametrize("error", [NotFound, PermissionDenied, InvalidArgument, ValueError])
def test_what_will_not_pass_is_tried_once(error: type[Exception]) -> None:
    """Its code is the exception's name, never its text."""
    call, given = failing(error("planted text"))
    with pytest.raises(PortError) as raised:
        attempt(Lazy(Client), call, 4, InvalidArgument)
    assert str(raised.value) == raised.value.code == error.__name__
    assert raised.value.permanent is (error is InvalidArgument)
    assert len(given) == 1


def test_no_attempt_begins_when_the_time_is_up() -> None:
    """Its caller has given it up, and the event has another place by then."""
    given: list[float] = []

    def call(_: Client, seconds: float) -> None:
        given.append(seconds)
        time.sleep(0.2)
        raise DeadlineExceeded("x")  # type: ignore[no-untyped-call]

    with pytest.raises(PortError) as raised:
        attempt(Lazy(Client), call, 0.2)
    assert raised.value.timed_out
    assert len(given) == 1


def test_the_second_failure_is_the_one_that_is_told() -> None:
    """A time-out after a refusal is a time-out: the queue then rests."""
    call, _ = failing(ServiceUnavailable("x"), DeadlineExceeded("x"))  # type: ignore[no-untyped-call]
    with pytest.raises(PortError) as raised:
        attempt(Lazy(Client), call, 4)
    assert (raised.value.code, raised.value.timed_out) == ("DeadlineExceeded", True)


def test_many_threads_share_one_client() -> None:
    """It is made once, however many ask at once, and again after it was thrown away."""
    made: list[Client] = []

    def make() -> Client:
        time.sleep(0.05)
        made.append(Client())
        return made[-1]

    lazy = Lazy(make)
    seen: list[Client] = []
    threads = [threading.Thread(target=lambda: seen.append(lazy.get(5))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == made * 16
    lazy.discard(Client())
    assert lazy.get(5) is made[0]
    lazy.discard(made[0])
    assert lazy.get(5) is made[1]
    lazy.discard()
    assert lazy.get(5) is made[2]


def test_a_client_whose_making_hangs_holds_up_nobody() -> None:
    """A metadata server that is silent: who waits for another's making gives up in time."""
    release = threading.Event()

    def make() -> Client:
        release.wait(30)
        return Client()

    lazy = Lazy(make)
    maker = threading.Thread(target=lazy.get, args=(5,))
    maker.start()
    with pytest.raises(PortError) as raised:
        lazy.get(0.1)
    assert (raised.value.code, raised.value.timed_out) == ("client_not_ready", True)
    release.set()
    maker.join()
    assert isinstance(lazy.get(0), Client)


def test_an_error_that_is_a_port_s_already_stays_as_it_is() -> None:
    """Its code and its flags are not lost on the way."""
    error = PortError("client_not_ready", timed_out=True)
    assert port_error(error) is error
