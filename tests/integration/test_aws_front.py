"""What is particular to AWS in front of the receiver: events, answers, time stamps, connections."""

from __future__ import annotations

import copy
import importlib
import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aws_lambda.events import NotHttpError, read_request
from cli.local.faults import FaultProxy
from core.http import Request
from tests import planted
from tests.contract.answers import ACCEPTED, QUARANTINED, SPOOLED
from tests.contract.bypass import signed
from tests.drivers import LISTED, UNLISTED, Mode, Platform, Port
from tests.drivers.aws import FRONTS, AwsDriver, Context, as_event
from tests.planted import KEY

EVENTS: Final = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parents[1] / "events" / "aws").glob("*.json"))
}
VECTOR_KEY: Final = planted.key("0b5fae1c-7d2e-4c4b-9a68-3f1de2c47a90")
BY_NAME: Final = {front.name: front for front in FRONTS}


def now(event: dict[str, Any]) -> dict[str, Any]:
    """The event as if it had come this moment."""
    event = copy.deepcopy(event)
    for name in ("timeEpoch", "requestTimeEpoch"):
        if name in event["requestContext"]:
            event["requestContext"][name] = int(time.time() * 1000)
    return event


@pytest.mark.emulator
@pytest.mark.parametrize("name", EVENTS)
def test_each_recorded_event_is_understood(aws: AwsDriver, name: str) -> None:
    """Every front's documented event: the body's exact bytes, the true client address, a genuine signature."""
    event = now(EVENTS[name])
    for value in _texts(event):
        if len(value) == 44 and value.endswith("="):
            planted.register_signature(value)
    aws.build(keys=[VECTOR_KEY])
    assert aws.invoke(event)["statusCode"] == 200
    (message,) = aws.messages()
    assert message.body == (Path(__file__).parents[1] / "vectors" / "bodies" / "accents-utf8.bin").read_bytes()
    assert message.attributes["traceparent"].startswith("00-1f0c2d3e")
    aws.build({"SOURCE_IP_ALLOWLIST": "198.51.100.7 203.0.113.9"}, keys=[VECTOR_KEY])
    assert json.loads(aws.invoke(event)["body"]) == {"status": "quarantined"}
    assert [held.metadata["address"] for held in aws.stored("quarantine/")] == [LISTED]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


# -- events that are not what they should be ---------------------------------------------------------------------------

common = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
wild = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, float("nan"), float("inf"), "", "POST", "\ud800", "\0", "é"])
    | st.sampled_from([LISTED, "====", "e30="])
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=12),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["requestContext", "http", "elb", "identity", "method", "httpMethod", "headers", "multiValueHeaders",
             "body", "isBase64Encoded", "sourceIp", "timeEpoch", "dastra-signature", "x-forwarded-for", "version"]
        )
        | st.text(max_size=5),
        inner,
        max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@st.composite
def mangled(draw: st.DrawFn) -> Any:
    """A good event of some front in which some values were replaced, removed or added."""
    body = planted.body()
    event = as_event(signed(body), draw(st.sampled_from(FRONTS)))
    for _ in range(draw(st.integers(1, 4))):
        at: Any = event
        while isinstance(at, dict) and at:
            name = draw(st.sampled_from(sorted(at)))
            if not isinstance(at[name], dict) or draw(st.booleans()):
                if draw(st.integers(0, 3)) == 0:
                    del at[name]
                else:
                    at[name] = draw(wild)
                break
            at = at[name]
    return event


OVERFLOW: Final = {"requestContext": {"http": {"method": "POST"}, "timeEpoch": 10**400}}


@settings(common, max_examples=300)
@given(wild | mangled())
@example(OVERFLOW)
@example({"requestContext": "http"})
@example({"requestContext": {"http": {"method": "POST"}}, "headers": [1]})
def test_an_event_is_a_request_or_it_is_not(event: Any) -> None:
    """Whatever it is: a Request, or NotHttpError and nothing else."""
    try:
        request = read_request(event, 1)
    except NotHttpError:
        return
    assert isinstance(request, Request)
    assert isinstance(request.body, bytes)
    assert isinstance(request.method, str)


@pytest.mark.emulator
@settings(common, max_examples=150)
@given(event=wild | mangled())
@example(event=OVERFLOW)
@example(event=None)
def test_the_handler_answers_whatever_it_is_given(shared: AwsDriver, event: Any) -> None:
    """Never an exception: an answer with a status that we give, which JSON can carry."""
    answer = shared.invoke(event)
    assert answer["statusCode"] in {200, 400, 401, 405}
    json.dumps(answer)


@pytest.fixture(scope="module")
def shared(platform_of: Callable[[str], Platform]) -> Any:
    """One receiver for all examples of a property."""
    with platform_of("aws").deploy() as deployed:
        deployed.build(keys=[KEY])
        yield deployed


@pytest.mark.emulator
@pytest.mark.parametrize(
    "event",
    [None, "", [], {}, {"Records": []}, {"source": "aws.events"}, {"requestContext": {}}, {"requestContext": None}],
    ids=repr,
)
def test_what_is_no_http_event_is_answered_400(aws: AwsDriver, event: Any) -> None:
    """An event of another service, sent to the function by hand, is no alarm and no exception."""
    aws.build(keys=[KEY])
    answer = aws.invoke(event)
    assert (answer["statusCode"], answer["body"]) == (400, '{"error":"bad request"}')


@pytest.mark.emulator
def test_text_that_a_front_damaged_is_401(aws: AwsDriver) -> None:
    """A front that replaces bytes which are not UTF-8 breaks the signature, and nothing else."""
    request = signed(b'{"a":"\xff"}')
    event = as_event(request, BY_NAME["function-url-base64"])
    event |= {"body": request.body.decode(errors="replace"), "isBase64Encoded": False}
    aws.build(keys=[KEY])
    assert aws.invoke(event)["statusCode"] == 401
    event |= {"body": '{"a":"\ud800"}'}
    assert aws.invoke(event)["statusCode"] == 401
    event |= {"body": "not base64!", "isBase64Encoded": True}
    assert aws.invoke(event)["statusCode"] in {400, 401}


# -- the client's address behind a load balancer -----------------------------------------------------------------------


@pytest.mark.emulator
@pytest.mark.parametrize("front", [name for name in BY_NAME if name.startswith("load-balancer")])
def test_trusted_hops_count_from_the_right(aws: AwsDriver, front: str) -> None:
    """With another proxy of ours before the load balancer, the element before the last counts; too few is unknown."""
    aws.build({"TRUSTED_PROXY_HOPS": "2"}, keys=[KEY])
    proxy = "203.0.113.9"
    through = signed(None, ("X-Forwarded-For", f"{UNLISTED}, {LISTED}"), client=proxy)
    assert aws.post(through, BY_NAME[front]) == ACCEPTED
    forged = signed(None, ("X-Forwarded-For", f"{LISTED}, {UNLISTED}"), client=proxy)
    assert aws.post(forged, BY_NAME[front]) == QUARANTINED
    assert aws.post(signed(client=LISTED), BY_NAME[front]) == QUARANTINED


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.emulator
@pytest.mark.parametrize(
    ("front", "stamp"), [("function-url-text", "timeEpoch"), ("rest-api-text", "requestTimeEpoch")]
)
def test_time_spent_before_the_function_counts(aws: AwsDriver, front: str, stamp: str) -> None:
    """A request that waited for an instance has less left: the queue gets half of that, not its whole share."""
    aws.build(keys=[KEY])
    aws.fault(Port.QUEUE, Mode.HANGING)
    event = as_event(signed(), BY_NAME[front])
    event["requestContext"][stamp] -= 4400
    started = time.monotonic()
    assert json.loads(aws.invoke(event)["body"]) == {"status": "spooled"}
    assert time.monotonic() - started < 2.5  # the share that it would wait for; what it waits for is 0.8


@pytest.mark.emulator
@pytest.mark.parametrize("shift", [-(10**12), -60_000, 60_000, 10**12])
def test_a_stamp_that_cannot_be_true_is_not_believed(aws: AwsDriver, shift: int) -> None:
    """An old test event or a clock that is wrong takes no time away and gives none."""
    aws.build(keys=[KEY])
    event = as_event(signed(), FRONTS[0])
    event["requestContext"]["timeEpoch"] += shift
    assert json.loads(aws.invoke(event)["body"]) == {"status": "accepted"}


# -- the real entry points, and their clients --------------------------------------------------------------------------


@pytest.mark.emulator
def test_the_entry_points_read_the_environment(aws: AwsDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """``aws_lambda.receive.handler`` and ``aws_lambda.redrive.handler`` work as a deployment imports them."""
    aws.build({"TIME_BUDGET_SECONDS": "3", "QUEUE_BUDGET_SECONDS": "1"}, keys=[KEY])
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    for module in ("aws_lambda.receive", "aws_lambda.redrive"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    receive = importlib.import_module("aws_lambda.receive").handler
    redrive = importlib.import_module("aws_lambda.redrive").handler
    request = signed()
    aws.fault(Port.QUEUE, Mode.REFUSED)
    assert json.loads(receive(as_event(request, FRONTS[0]), Context("1"))["body"]) == {"status": "spooled"}
    aws.lift()
    assert redrive({}, Context("2")) == {"sent": 1, "failed": 0, "skipped": False}
    assert [message.body for message in aws.messages()] == [request.body]


class _Counting(FaultProxy):
    """Counts the connections that it is asked for."""

    accepted = 0

    def _accept(self, listener: socket.socket) -> None:
        self.accepted += 1
        super()._accept(listener)


@pytest.mark.emulator
def test_one_connection_for_all_events(aws: AwsDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is made once and its connection kept: twenty events, one connection to the queue."""
    with _Counting(aws.emulator_port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", proxy.url)
        aws.build(keys=[KEY])
        for _ in range(20):
            assert aws.post(signed()) == ACCEPTED
        assert (proxy.accepted, proxy.requests) == (1, 20)


@pytest.mark.emulator
def test_a_queue_that_is_gone(aws: AwsDriver) -> None:
    """A queue that somebody deleted, or that we may not write to, is a queue that failed: the event is spooled."""
    aws.build({"QUEUE": f"{aws.queue_url}-gone"}, keys=[KEY])
    request = signed()
    assert aws.post(request) == SPOOLED
    aws.build(keys=[KEY])
    assert aws.redrive().sent == 1
    assert [message.body for message in aws.messages()] == [request.body]


@pytest.mark.emulator
def test_a_binary_secret(aws: AwsDriver) -> None:
    """Keys that were stored as bytes are read as text."""
    aws.put_binary_secret(KEY.encode())
    aws.build()
    assert aws.post(signed()) == ACCEPTED
