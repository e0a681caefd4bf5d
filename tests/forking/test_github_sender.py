"""The worked example of another sender, through the same receiver as Dastra's events."""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import http
from core.assembly import assemble
from core.delivery import Delivery
from core.event import Event, Verification
from core.http import Headers, Request
from core.keys import StaticKeys
from core.log import ACCEPTED, BAD_SIGNATURE_LISTED, QUARANTINED, REFUSED, SPOOLED
from core.message import QueueMessage
from core.ports import PortError
from core.receiver import Receiver
from core.redrive import Redrive
from core.screening import Policy, Refused
from core.settings import Settings
from core.signature import SignatureKey, parse_keys
from examples import github_sender
from examples.github_sender import HEADER, read_signature, screen
from tests import planted
from tests.fakes import FakeQueue, FakeStore, RecordingLog

LISTED = "192.0.2.10"
BODY = json.dumps({"action": "opened", "number": 7, "text": planted.MARKER}).encode()
WRONG = "0" * 64


def signed(body: bytes = BODY, key: str = planted.KEY) -> str:
    """GitHub's header for a body, worked out without the example's code."""
    digest = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    planted.plant(digest, "a signature in hex")
    return f"sha256={digest}"


def request(body: bytes = BODY, *signatures: str, source: str = LISTED, method: str = "POST") -> Request:
    """A delivery of GitHub; without signatures it is signed as it should be."""
    pairs = [("X-GitHub-Event", "issues"), ("X-GitHub-Hook-ID", "1041"), ("X-GitHub-Delivery", "an-invented-guid")]
    pairs += [("X-Hub-Signature-256", value) for value in signatures or [signed(body)]]
    return Request(method, Headers(pairs), body, source)


class Deployment:
    """The receiver as a cloud's wiring would put it together, with GitHub's screening."""

    def __init__(self, key: str | None = planted.KEY) -> None:
        self.queue, self.store, self.log = FakeQueue(), FakeStore(), RecordingLog()
        env = {"DASTRA_QUEUE": "q", "DASTRA_STORE": "s", "DASTRA_SOURCE_IP_ALLOWLIST": LISTED}
        settings = Settings.from_env({**env, "DASTRA_SIGNATURE_KEYS": key or planted.OTHER_KEY})
        self.delivery = Delivery(self.queue, self.store, self.log, settings.limits(2))
        keys = StaticKeys(parse_keys(key) if key else ())
        self.receiver: Receiver = assemble(settings, self.delivery, keys, screen)


@pytest.fixture
def deployment() -> Deployment:
    """One of them."""
    return Deployment()


def test_github_s_own_example_holds() -> None:
    """The secret, body and signature of GitHub's documentation; no line of ours made them."""
    key = SignatureKey("It's a Secret to Everybody")
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    outcome = screen(request(b"Hello, World!", signature), [key], Policy(), 0)
    assert not isinstance(outcome, Refused)


def test_a_delivery_reaches_the_queue(deployment: Deployment) -> None:
    """200, the exact bytes, the contract's attributes under GitHub's names, and a log line that names key and type."""
    assert deployment.receiver.receive(request()) == http.ACCEPTED
    (message,) = deployment.queue.messages
    assert message.body == BODY
    assert dict(message.attributes) == {
        "specversion": "1.0",
        "id": hashlib.sha256(BODY).hexdigest(),
        "source": "urn:github:webhook:1041",
        "type": "com.github.issues",
    }
    (line,) = deployment.log.of(ACCEPTED)
    assert (line["event_type"], line["webhook_id"]) == ("issues", "1041")


@pytest.mark.parametrize(
    ("refused", "answer"),
    [
        (request(BODY + b" ", signed()), http.UNAUTHORIZED),
        (request(BODY, signed(key=planted.OTHER_KEY)), http.UNAUTHORIZED),
        (request(BODY, "sha256=" + WRONG), http.UNAUTHORIZED),
        (request(BODY, signed(), "sha256=" + WRONG), http.UNAUTHORIZED),
        (request(BODY, signed().upper()), http.UNAUTHORIZED),
        (request(BODY, signed() + "0"), http.UNAUTHORIZED),
        (request(BODY, signed().removeprefix("sha256=")), http.UNAUTHORIZED),
        (request(BODY, "sha1=" + "0" * 40), http.UNAUTHORIZED),
        (request(BODY, "sha256=" + "é" * 64), http.UNAUTHORIZED),
        (request(BODY, ""), http.UNAUTHORIZED),
        (request(method="GET"), http.METHOD_NOT_ALLOWED),
        (request(b"x" * (4 * 1024 * 1024 + 1)), http.TOO_LARGE),
    ],
    ids=[
        "altered",
        "other-key",
        "wrong",
        "two",
        "upper",
        "longer",
        "bare",
        "sha1",
        "non-ascii",
        "empty",
        "get",
        "large",
    ],
)
def test_what_github_did_not_sign_goes_nowhere(refused: Request, answer: http.Response) -> None:
    """Refused with the same fixed answers, and nothing is kept."""
    deployment = Deployment()
    assert deployment.receiver.receive(refused) == answer
    assert not deployment.queue.messages
    assert not deployment.store.objects


def test_two_signatures_are_none() -> None:
    """Neither of two different ones counts; the same one twice is one."""
    assert read_signature([signed(), signed()]) == bytes.fromhex(signed().removeprefix("sha256="))
    for wrong in ("sha256=" + digit * 64 for digit in "0123456789abcdef"):
        assert read_signature([signed(), wrong]) is None
        assert read_signature([f"{wrong}, {signed()}"]) is None


def test_a_well_formed_signature_alarms_and_a_scanner_does_not(deployment: Deployment) -> None:
    """The log events, and so the alarms, mean what they mean for Dastra."""
    deployment.receiver.receive(request(BODY, "sha256=" + WRONG))
    deployment.receiver.receive(Request("POST", Headers(), BODY, LISTED))
    assert deployment.log.events == [BAD_SIGNATURE_LISTED, REFUSED]


def test_without_a_key_it_may_be_genuine() -> None:
    """503, as for Dastra: GitHub delivers again on demand."""
    assert Deployment(key=None).receiver.receive(request()) == http.UNAVAILABLE


def test_a_consumer_reads_it_without_keys(deployment: Deployment) -> None:
    """As ``message_of`` says: it has no signature that ``Event`` could check, so with keys it is as good as forged."""
    deployment.receiver.receive(request())
    (message,) = deployment.queue.messages
    event = Event.from_message(message.body, message.attributes)
    assert (event.type, event.verification) == ("com.github.issues", Verification.UNVERIFIABLE)
    checked = Event.from_message(message.body, message.attributes, keys=[SignatureKey(planted.KEY)])
    assert checked.verification is Verification.INVALID


def test_the_content_type_that_github_must_be_set_to() -> None:
    """The docstring names it, since the other one that GitHub has makes a form of each event, and those are held."""
    form = urlencode({"payload": BODY.decode()}).encode()
    assert Deployment().receiver.receive(request(form)) == http.QUARANTINED
    assert Deployment().receiver.receive(request()) == http.ACCEPTED
    assert "``application/json``" in (github_sender.__doc__ or "")


@pytest.mark.parametrize("held", [request(source="198.51.100.7"), request(b"[1]")], ids=["unlisted", "no object"])
def test_what_a_person_must_see_is_held(held: Request) -> None:
    """Genuine, from an unknown address or no object: 200, and in quarantine."""
    deployment = Deployment()
    assert deployment.receiver.receive(held) == http.QUARANTINED
    assert deployment.log.events[-1] is QUARANTINED
    (kept,) = deployment.store.below("quarantine/")
    assert kept.body == held.body


def test_a_queue_that_fails_loses_nothing(deployment: Deployment) -> None:
    """Spooled, then put back on the queue with the same attributes."""

    def fail(_: QueueMessage) -> None:
        raise PortError("down")

    deployment.queue.before = fail
    assert deployment.receiver.receive(request()) == http.SPOOLED
    assert deployment.log.events[-1] is SPOOLED
    deployment.queue.before = None
    assert Redrive(deployment.delivery).run().sent == 1
    (message,) = deployment.queue.messages
    assert message.attributes["type"] == "com.github.issues"


@given(st.lists(st.text(max_size=80), max_size=3), st.binary(max_size=64))
def test_it_never_raises(values: list[str], body: bytes) -> None:
    """Whatever stands in the header, the outcome is a refusal."""
    headers = Headers((HEADER, value) for value in values)
    outcome = screen(Request("POST", headers, body, None), [SignatureKey(planted.KEY)], Policy(), 0)
    assert isinstance(outcome, Refused)
