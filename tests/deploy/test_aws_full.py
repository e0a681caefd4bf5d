"""Once for each full run: the deployed stack where functions run in Lambda's own runtime and alarms are evaluated."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.event import Event, Verification
from core.signature import parse_keys
from scripts import aws_tools
from tests import planted
from tests.deploy.aws_deployment import STACK, Deployment, copy_project, run_sam
from tests.deploy.aws_localstack import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """The stack, with a queue that gives up on a message soon. The address of a caller is not known there."""
    needed = (aws_tools.SAM, aws_tools.RUNTIME_CLIENT, aws_tools.LOCALSTACK)
    if reason := aws_tools.missing(*needed, command="make aws-tools ARGS='sam runtime localstack'"):
        pytest.skip(reason)
    if aws_tools.rie() is None:
        pytest.skip("needs Linux: the Runtime Interface Emulator runs nowhere else")
    project = copy_project(tmp_path / "project")
    with LocalStack() as aws:
        run_sam(project, aws.environment(), "build")
        run_sam(
            project,
            aws.environment(),
            *("deploy", "--no-confirm-changeset", "--parameter-overrides", "SourceIpMode=off"),
            *("VisibilityTimeoutSeconds=1", "MaxReceiveCount=2", "Architecture=x86_64"),
            *("SilenceHours=168", "WebhookCheck=on"),
        )
        # It calls a stack complete that has parts it does not know; only the dashboard may be one.
        unknown = re.findall(r'No resource provider found for "([^"]+)"', aws.log.read_text(errors="replace"))
        assert set(unknown) <= {"AWS::CloudWatch::Dashboard"}
        yield Deployment.of(aws, project)


def until(what: str, look: Callable[[], Any], seconds: float) -> Any:
    """Look again and again until there is something to see."""
    ends = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < ends, f"not within {seconds:.0f} s: {what}"
        time.sleep(1)
    return found


def test_a_poison_message_becomes_a_dead_letter_raises_the_alarm_and_comes_back(deployment: Deployment) -> None:
    """A message that no consumer deletes moves to the dead letters; the alarm fires; moved back, it is still whole.

    The alarms on metric math, which the other local AWS does not know, are made as the template has them.
    """
    deployment.client("secretsmanager").put_secret_value(
        SecretId=deployment.outputs["SecretArn"], SecretString=planted.KEY
    )
    body = planted.body()
    assert deployment.post(body, planted.signature(body)) == (200, {"status": "accepted"})

    sqs, cloudwatch = deployment.client("sqs"), deployment.client("cloudwatch")
    for name, expression in (("silence", "FILL(events, 0)"), ("webhook_check_failed", "FILL(checks, 0)")):
        (math,) = cloudwatch.describe_alarms(AlarmNames=[f"{STACK}-{name}"])["MetricAlarms"]
        assert [query.get("Expression") for query in math["Metrics"]] == [None, expression]
    queue, dead = deployment.outputs["QueueUrl"], deployment.outputs["DeadLetterQueueUrl"]

    def is_dead() -> bool:
        # The consumer that fails: it takes the message and never deletes it.
        sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1)
        attributes = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])
        return bool(attributes["Attributes"]["ApproximateNumberOfMessages"] == "1")

    until("the message is among the dead letters", is_dead, 60)

    def fires() -> bool:
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=[f"{STACK}-dead_letters"])["MetricAlarms"]
        return bool(alarm["StateValue"] == "ALARM")

    until("the alarm dead_letters fires", fires, 240)

    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.start_message_move_task(SourceArn=arn)
    (message,) = until("the message is back on the queue", deployment.receive, 60)
    event = Event.from_sqs(message, keys=parse_keys(planted.KEY))
    assert (event.body, event.verification) == (body, Verification.VALID)
