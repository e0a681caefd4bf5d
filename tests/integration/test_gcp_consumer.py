"""The consumer's side on Google Cloud: real messages off a real topic, pulled and pushed, and the pinned fetch."""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import flask
import httpx
import pytest
from google.api_core.exceptions import NotFound
from google.pubsub_v1.types import ReceivedMessage

from cli.doctor.sender import DoctorSender
from cli.local.child import end, start
from cli.local.faults import LOOPBACK, reserve_port
from cli.samples import sample
from core.event import RECONCILED_PREFIX, Event, EventError, Verification
from core.message import event_id
from core.signature import SignatureKey
from gcp_function.consumer import gcs_fetch
from gcp_function.gcs_store import storage_client
from tests import planted
from tests.contract.answers import ACCEPTED
from tests.contract.bypass import signed, sized
from tests.docs.commands import ROOT, blocks
from tests.drivers import UNLISTED, HttpRequest, Platform, Port
from tests.drivers.gcp import GcpDriver
from tests.log_check import check
from tests.planted import KEY, OTHER_KEY

pytestmark = pytest.mark.emulator

EXAMPLE: Final = ROOT / "examples" / "gcp_consumer.py"


@pytest.fixture
def gcp(platform_of: Callable[[str], Platform]) -> Iterator[GcpDriver]:
    """A deployment that accepts and marks."""
    with platform_of("gcp").deploy() as deployed:
        assert isinstance(deployed, GcpDriver)
        deployed.build({"SOURCE_IP_MODE": "observe"}, keys=[KEY])
        yield deployed


def on_the_topic(gcp: GcpDriver, request: HttpRequest) -> ReceivedMessage:
    """The message that a request leads to, as it is pulled."""
    assert gcp.post(request) == ACCEPTED
    gcp.messages()
    received = gcp.received[-1]
    assert isinstance(received, ReceivedMessage)
    return received


def pushed(received: ReceivedMessage) -> dict[str, Any]:
    """What Pub/Sub posts to a push endpoint ("Receive push messages" in its documentation)."""
    message = received.message
    return {
        "message": {
            "attributes": dict(message.attributes),
            "data": base64.b64encode(message.data).decode(),
            "messageId": message.message_id,
            "publishTime": "2026-03-02T09:16:03.7Z",
        },
        "subscription": "projects/local-project/subscriptions/example",
    }


class EventarcEvent:
    """A CloudEvent around a push, as an event-driven function is given it: its data is the push."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data


@pytest.mark.parametrize("shape", ["received", "message", "protobuf", "push", "push message", "cloud event", "json"])
def test_an_event_is_read_from_every_shape(gcp: GcpDriver, shape: str) -> None:
    """Pulled by either client, pushed, or wrapped by Eventarc: the same typed event, verified again."""
    request = signed(planted.body(webhookId=7, eventType="TaskEdit"))
    received = on_the_topic(gcp, request)
    shapes: dict[str, Any] = {
        "received": received,
        "message": received.message,
        "protobuf": type(received.message).pb(received.message),
        "push": pushed(received),
        "push message": pushed(received)["message"],
        "cloud event": EventarcEvent(pushed(received)),
        "json": {"specversion": "1.0", "data": pushed(received)},
    }
    event = Event.from_pubsub(shapes[shape], keys=[SignatureKey(KEY)])
    assert event.id == event_id(request.body)
    assert (event.type, event.source, event.time) == ("TaskEdit", "urn:dastra:webhook:7", "2026-03-02T09:16:03.700000Z")
    assert event.body == request.body
    assert event.verification is Verification.VALID
    assert not event.unlisted_address


def test_an_event_is_checked_again(gcp: GcpDriver) -> None:
    """With another key it is invalid, without one it cannot be verified, and a changed body is an error."""
    received = on_the_topic(gcp, signed(client=UNLISTED))
    assert Event.from_pubsub(received, keys=[SignatureKey(OTHER_KEY)]).verification is Verification.INVALID
    assert Event.from_pubsub(received).verification is Verification.UNVERIFIABLE
    assert Event.from_pubsub(received).unlisted_address
    push = pushed(received)["message"]
    wrong: list[Any] = [base64.b64encode(b"{}").decode(), "", "***", "é", None, 5, {}]
    for data in wrong:
        with pytest.raises(EventError):
            Event.from_pubsub({"message": {**push, "data": data}})
    nothings: list[Any] = [None, {}, [], "x", 5, {"message": None}, {"message": "x"}, {"data": {"message": 5}}]
    for nothing in nothings:
        with pytest.raises(EventError):
            Event.from_pubsub(nothing)


def test_a_claim_check_is_followed(gcp: GcpDriver) -> None:
    """A body above the queue's limit comes back whole through the pinned fetch, and not without one."""
    request = signed(sized(gcp.queue_limit))
    received = on_the_topic(gcp, request)
    assert len(received.message.data) < 1000
    client = storage_client(2)
    event = Event.from_pubsub(received, keys=[SignatureKey(KEY)], fetch=gcs_fetch(client, gcp.bucket))
    assert (event.body, event.verification) == (request.body, Verification.VALID)
    with pytest.raises(EventError, match="fetch"):
        Event.from_pubsub(received)
    with pytest.raises(EventError, match="larger than 1000"):
        Event.from_pubsub(received, fetch=gcs_fetch(client, gcp.bucket, max_bytes=1000))
    client.close()


@pytest.mark.parametrize(
    "place",
    [
        "gs://other-bucket/claims/{name}",
        "gs://{bucket}/spool/{name}",
        "gs://{bucket}/claims/../spool/{name}",
        "gs://{bucket}/claims/{name}/x",
        "gs://{bucket}/claims/",
        "gs://{bucket}x/claims/{name}",
        "s3://{bucket}/claims/{name}",
        "https://storage.googleapis.com/{bucket}/claims/{name}",
        "{name}",
        "",
        "gs://{bucket}/claims/é",
    ],
)
def test_the_fetch_reads_nowhere_else(gcp: GcpDriver, place: str) -> None:
    """Whoever can write to the topic chooses the reference: all but the bucket's ``claims/`` is refused, unread."""
    name = "a" * 64
    for key in (f"claims/{name}", f"spool/{name}"):
        gcp.plant(key, b"{}", {})
    client = storage_client(2)
    fetch = gcs_fetch(client, gcp.bucket)
    assert fetch(f"gs://{gcp.bucket}/claims/{name}") == b"{}"
    asked = gcp.requests(Port.STORE)
    with pytest.raises(EventError):
        fetch(place.format(bucket=gcp.bucket, name=name))
    assert gcp.requests(Port.STORE) == asked
    with pytest.raises(NotFound):
        fetch(f"gs://{gcp.bucket}/claims/{'b' * 64}")
    client.close()


@pytest.fixture
def example(gcp: GcpDriver, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example consumer of this deployment."""
    monkeypatch.setenv("DASTRA_STORE", gcp.bucket)
    monkeypatch.setenv("DASTRA_SIGNATURE_KEYS", KEY)
    return importlib.reload(importlib.import_module("examples.gcp_consumer"))


class Pulled:
    """What the streaming client gives to a callback."""

    def __init__(self, received: ReceivedMessage) -> None:
        self.data, self.attributes = received.message.data, received.message.attributes
        self.said: list[str] = []

    def ack(self) -> None:
        self.said.append("ack")

    def nack(self) -> None:
        self.said.append("nack")


def test_the_example_handles_each_event_once(
    gcp: GcpDriver, example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulled twice and pushed once, small and large: one piece of work each; what fails is not acknowledged."""
    handled: list[Event] = []
    monkeypatch.setattr(example, "handle", handled.append)
    small, large = signed(), signed(sized(gcp.queue_limit))
    for received in (on_the_topic(gcp, small), on_the_topic(gcp, large)):
        for _ in range(2):
            message = Pulled(received)
            example.pulled(message)
            assert message.said == ["ack"]
        assert push(example, json.dumps(pushed(received)).encode()) == 204
    assert [event.body for event in handled] == [small.body, large.body]
    broken = Pulled(on_the_topic(gcp, signed()))
    broken.data = b"{}"
    example.pulled(broken)
    assert broken.said == ["nack"]
    assert push(example, b"no JSON") == 500
    assert len(handled) == 2


def test_the_example_acts_on_nothing_that_dastra_did_not_sign(
    gcp: GcpDriver, example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that lacks its signature fails; what was rebuilt from Dastra's log is a hint, and holds up no event."""
    received = on_the_topic(gcp, signed())
    forged, hint = Pulled(received), Pulled(received)
    forged.attributes = {name: value for name, value in received.message.attributes.items() if name != "ce-signature"}
    hint.attributes = {**forged.attributes, "ce-source": f"{RECONCILED_PREFIX}7"}
    handled: list[Event] = []
    looked_up: list[Event] = []
    monkeypatch.setattr(example, "handle", handled.append)
    monkeypatch.setattr(example, "look_up", looked_up.append)
    # The hint has the genuine event's id, and comes first.
    for message, said in ((forged, "nack"), (hint, "ack"), (Pulled(received), "ack")):
        example.pulled(message)
        assert message.said == [said]
    assert [event.source for event in looked_up] == [f"{RECONCILED_PREFIX}7"]
    assert [event.verification for event in handled] == [Verification.VALID]


def test_the_example_drops_samples(gcp: GcpDriver, example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line made up is acknowledged and not handled, small or large."""
    monkeypatch.setattr(example, "handle", lambda _: pytest.fail("handled"))
    for body in (sample().body, DoctorSender(KEY).large()):
        message = Pulled(on_the_topic(gcp, signed(body)))
        example.pulled(message)
        assert message.said == ["ack"]


def shown(start_of_last: str) -> str:
    """The block of commands of the example's docstring whose last command begins so."""
    (found,) = [block for _, block in blocks(EXAMPLE) if block.splitlines()[-1].startswith(start_of_last)]
    return found


@contextmanager
def pasted(block: str, scratch: Path, **env: str) -> Iterator[Path]:
    """A shell that was given a block of commands, while the ``with`` block runs; yields the file of what it prints."""
    emulators = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", *emulators) if name in os.environ}
    output = scratch / "output"
    with output.open("wb") as file:
        shell = start(["bash", "-euc", block], ROOT, file, {**kept, "PYTHONUNBUFFERED": "1", **env})
    try:
        yield output
    finally:
        end(shell)
        check(output.read_text(errors="replace"), "the example's output")


def wait_for(happened: Callable[[], bool], output: Path) -> None:
    """Wait until something has happened; where it does not, say what the program printed."""
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until, output.read_text(errors="replace")
        time.sleep(0.05)


def settings(gcp: GcpDriver) -> dict[str, str]:
    """What the example finds in its environment."""
    return {"DASTRA_STORE": gcp.bucket, "DASTRA_SIGNATURE_KEYS": KEY, "SUBSCRIPTION": gcp.subscription}


def test_the_commands_that_pull(gcp: GcpDriver, tmp_path: Path) -> None:
    """As the docstring shows them, with this deployment's values in their places: what is on the topic is handled."""
    if not gcp._platform.emulator.is_google:
        pytest.skip("the stand-in for Pub/Sub knows no streaming pull")
    block = shown(".venv/bin/python")
    for name, value in settings(gcp).items():
        block, count = re.subn(rf"(?m)^export {name}=.*$", f"export {name}={value}", block)
        assert count == 1
    request = signed()
    assert gcp.post(request) == ACCEPTED
    with pasted(block, tmp_path) as output:
        wait_for(lambda: event_id(request.body) in output.read_text(errors="replace"), output)


def test_the_command_that_is_pushed_to(gcp: GcpDriver, tmp_path: Path) -> None:
    """As the docstring shows it: the function takes a push of Pub/Sub's."""
    port, holder = reserve_port()
    holder.close()
    message = pushed(on_the_topic(gcp, signed()))
    with pasted(shown(".venv/bin/functions-framework"), tmp_path, **settings(gcp), PORT=str(port)) as output:
        wait_for(lambda: answer(port, message) == 204, output)


def answer(port: int, message: dict[str, Any]) -> int | None:
    """The status with which a function answers a push; None while it does not listen."""
    try:
        return httpx.post(f"http://{LOOPBACK}:{port}/", json=message, timeout=10).status_code
    except httpx.TransportError:
        return None


def push(example: ModuleType, body: bytes) -> int:
    """The status of the example's answer to a push."""
    with flask.Flask("example").test_request_context(method="POST", data=body):
        _, status = example.pushed(flask.request)
        return int(status)
