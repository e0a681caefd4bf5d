"""The worked example of another queue on AWS: an SNS topic with a filtered subscription for each team."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from aws_lambda import wiring
from cli.local.emulator import AwsEmulator
from core.delivery import Delivery
from core.event import Event, Verification
from core.message import QueueMessage
from core.ports import PortError
from core.signature import SignatureKey
from examples.aws_topic_queue import MAX_BYTES, TopicQueue
from examples.routing_queue import RoutingQueue
from tests import planted
from tests.docs.commands import ROOT, commands
from tests.fakes import FakeStore, RecordingLog
from tests.forking.test_routing_queue import accept
from tests.unit import samples
from tests.unit.aws_lambda.test_wiring import CONTEXT, post

pytestmark = pytest.mark.emulator


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, and three queues behind it: for webhook 1041, for events about tasks, and for everything."""

    arn: str
    one: str
    tasks: str
    all: str
    sqs: Any

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """What a consumer receives."""
        found = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        return list(found.get("Messages", ()))


def shown() -> dict[str, str]:
    """The options of the command that the example's docstring shows, as a shell hands them over."""
    (command,) = commands(ROOT / "examples" / "aws_topic_queue.py")
    words = shlex.split(command.text)
    assert words[:3] == ["aws", "sns", "subscribe"]
    return dict(zip(words[3::2], words[4::2], strict=True))


@pytest.fixture(scope="module")
def emulator() -> Iterator[AwsEmulator]:
    """SNS and SQS on this machine."""
    with AwsEmulator() as running:
        yield running


@pytest.fixture
def topic(emulator: AwsEmulator, monkeypatch: pytest.MonkeyPatch) -> Topic:
    """The parts, made as the example's docstring says: the first subscription with the very words of its command."""
    options = shown()
    emulator.reset()
    session = emulator.session()
    monkeypatch.setattr("aws_lambda.sdk._session", session)
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
    made: dict[str, Any] = {}
    for name in ("sns", "sqs"):
        made[name] = session.client(name, endpoint_url=emulator.endpoint_url)
    sns, sqs = made["sns"], made["sqs"]
    arn = sns.create_topic(Name="events")["TopicArn"]
    urls: dict[str, str] = {}
    raw = {"RawMessageDelivery": "true"}
    tasks = raw | {"FilterPolicy": json.dumps({"ce-type": [{"prefix": "eu.dastra.Task"}]})}
    for name, attributes in (("one", json.loads(options["--attributes"])), ("tasks", tasks), ("all", raw)):
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol=options["--protocol"], Endpoint=queue, Attributes=attributes)
        urls[name] = url
    return Topic(arn, urls["one"], urls["tasks"], urls["all"], sqs)


def test_each_queue_gets_what_its_filter_lets_through(topic: Topic) -> None:
    """One publish, copied by the topic; consumers read the contract's message and check the signature again."""
    queue = TopicQueue(topic.arn, 2.5, 2)
    for webhook, type_ in ((1041, "DataSubjectCreation"), (2, "TaskCreation")):
        queue.send(samples.message(samples.event(webhookId=webhook, eventType=type_)), 2.5)
    assert [Event.from_sqs(message).source for message in topic.messages(topic.one)] == ["urn:dastra:webhook:1041"]
    assert [Event.from_sqs(message).type for message in topic.messages(topic.tasks)] == ["TaskCreation"]
    events = [Event.from_sqs(message, keys=[SignatureKey(planted.KEY)]) for message in topic.messages(topic.all)]
    assert sorted(event.source for event in events) == ["urn:dastra:webhook:1041", "urn:dastra:webhook:2"]
    assert all(event.verification is Verification.VALID for event in events)


def test_a_large_event_is_a_claim_check(topic: Topic) -> None:
    """SNS takes a quarter of what SQS takes; what is larger goes to the store, and a pointer through the topic."""
    store = FakeStore()
    delivery = Delivery(TopicQueue(topic.arn, 2.5, 2), store, RecordingLog())
    accept(delivery, samples.message(samples.event(data="x" * MAX_BYTES)))
    (message,) = topic.messages(topic.all)
    event = Event.from_sqs(message, fetch=lambda url: store.objects[url.removeprefix("fake://store/")].body)
    assert len(event.body) > MAX_BYTES


def test_its_limits(topic: Topic) -> None:
    """The size to the byte, and the characters that the queues behind it refuse."""
    queue = TopicQueue(topic.arn, 2.5, 2)
    attributes = dict(samples.message().attributes)
    room = MAX_BYTES - sum(len(f"ce-{name}{value}String") for name, value in attributes.items())
    assert queue.takes(QueueMessage("id", b"x" * room, attributes))
    assert not queue.takes(QueueMessage("id", b"x" * (room + 1), attributes))
    assert not queue.takes(QueueMessage("id", b"\0", attributes))


def test_a_topic_that_is_gone_is_an_error_of_the_port(topic: Topic) -> None:
    """With the service's own code, so that the event goes to the spool."""
    queue = TopicQueue(topic.arn + "-gone", 2.5, 2)
    with pytest.raises(PortError) as raised:
        queue.send(samples.message(), 2.5)
    assert raised.value.code.startswith("NotFound")
    queue.discard()
    with pytest.raises(PortError):
        queue.send(samples.message(), 2.5)


def test_the_receiver_starts_with_it(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of SQS in the wiring: the instance starts, and a signed request reaches the topic's queues."""
    monkeypatch.setattr(wiring, "queue", lambda _: RoutingQueue({}, TopicQueue(topic.arn, 2.5, 2)))
    settings = {
        "DASTRA_QUEUE": topic.arn,
        "DASTRA_STORE": "invented",
        "DASTRA_SIGNATURE_KEYS": planted.KEY,
        "DASTRA_SOURCE_IP_MODE": "off",
    }
    answer = wiring.webhook_handler(settings)(post(samples.event(webhookId=1041)), CONTEXT)
    assert (answer["statusCode"], answer["body"]) == (200, '{"status":"accepted"}')
    assert len(topic.messages(topic.one)) == len(topic.messages(topic.all)) == 1
