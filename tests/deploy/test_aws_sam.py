"""`sam validate`, `sam build`, `sam deploy`, as a user types them, on a copy of the project and a local AWS."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.addresses import address_key
from core.event import Event, Verification
from core.signature import parse_keys
from scripts import aws_tools
from scripts.local_aws import REGION, LocalAws
from tests import planted
from tests.deploy.aws_deployment import STACK, Deployment, copy_project, run_sam
from tests.unit.api_stub import API_KEY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone has, in a folder whose name has a space."""
    return copy_project(tmp_path_factory.mktemp("folder") / "a project")


def nowhere() -> dict[str, str]:
    """An environment in which a call to AWS fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}


def test_sam_validates_the_template(project: Path) -> None:
    """`sam validate` and `sam validate --lint` both pass, without AWS: each finds what the other does not."""
    assert "is a valid SAM Template" in run_sam(project, {**nowhere(), "AWS_DEFAULT_REGION": REGION}, "validate")
    assert "is a valid SAM Template" in run_sam(project, nowhere(), "validate", "--lint")


@pytest.fixture(scope="module")
def deployment(project: Path) -> Iterator[Deployment]:
    """`sam build && sam deploy`, unmodified."""
    if reason := aws_tools.missing(aws_tools.SAM, aws_tools.EMULATOR):
        pytest.skip(reason)
    with LocalAws() as aws:
        built = run_sam(project, aws.environment(), "build")
        assert "Build Succeeded" in built
        deployed = run_sam(project, aws.environment(), "deploy", "--no-confirm-changeset")
        assert f"Successfully created/updated stack - {STACK} in {REGION}" in deployed
        yield Deployment.of(aws, project)


def test_a_signed_post_is_answered_200_and_stands_on_the_queue(deployment: Deployment) -> None:
    """The way of the README, to the bytes that were sent and a signature that is valid again at the consumer.

    No key yet: 503. The key is set; the first event is held, since its address is unknown. The address is accepted; the
    next event is accepted and on the queue.
    """
    body = planted.body()
    assert deployment.post(body, planted.signature(body)) == (503, {"error": "unavailable"})
    deployment.client("secretsmanager").put_secret_value(
        SecretId=deployment.outputs["SecretArn"], SecretString=planted.KEY
    )
    assert deployment.post(body, planted.signature(body, planted.OTHER_KEY)) == (401, {"error": "unauthorized"})
    assert deployment.post(body, planted.signature(body)) == (200, {"status": "quarantined"})
    assert deployment.receive() == []
    deployment.client("s3").put_object(Bucket=deployment.outputs["BucketName"], Key=address_key("127.0.0.1"), Body=b"")
    assert deployment.post(body, planted.signature(body)) == (200, {"status": "accepted"})
    (message,) = deployment.receive()
    event = Event.from_sqs(message, keys=parse_keys(planted.KEY))
    assert (event.body, event.verification) == (body, Verification.VALID)


def test_what_the_functions_print_raises_the_deployed_alarms(deployment: Deployment) -> None:
    """What the functions log as metrics, put where CloudWatch puts it, raises the alarms of what happened and no other.

    So the names, the namespace and the dimensions of both sides meet.
    """
    body = planted.body()
    deployment.client("secretsmanager").put_secret_value(
        SecretId=deployment.outputs["SecretArn"], SecretString=planted.KEY
    )
    deployment.post(body, planted.signature(body, planted.OTHER_KEY))
    deployment.client("lambda").invoke(FunctionName=deployment.outputs["RedriveFunction"], Payload=b"{}")
    cloudwatch = deployment.client("cloudwatch")
    most: dict[tuple[str, str, str], float] = {}
    for line in _embedded_metrics(deployment):
        for part in line["_aws"]["CloudWatchMetrics"]:
            assert part["Dimensions"] == [["service"]]
            for metric in part["Metrics"]:
                value = line[metric["Name"]]
                value = value[0] if isinstance(value, list) else value
                cloudwatch.put_metric_data(
                    Namespace=part["Namespace"],
                    MetricData=[
                        {
                            "MetricName": metric["Name"],
                            "Dimensions": [{"Name": "service", "Value": line["service"]}],
                            "Value": value,
                            "Unit": metric["Unit"],
                        }
                    ],
                )
                name = (part["Namespace"], metric["Name"], line["service"])
                most[name] = max(value, most.get(name, 0.0))
    raised = set()
    for alarm in cloudwatch.describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]:
        watched = (alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"][0]["Value"])
        if alarm["Namespace"].startswith("AWS/") or "ExtendedStatistic" in alarm:
            continue
        # The emulator takes one breaching value for enough, where CloudWatch may want several.
        expected = most.get(watched, 0.0) >= alarm["Threshold"]
        assert (alarm["StateValue"] == "ALARM") is expected, (alarm["AlarmName"], alarm["StateValue"])
        if expected:
            raised.add(alarm["AlarmName"].removeprefix(f"{STACK}-"))
    assert raised & {"bad_signature_low", "bad_signature_high"}, raised


def _embedded_metrics(deployment: Deployment) -> list[dict[str, Any]]:
    """Every line in embedded metric format that the functions have logged, once those of this test are there."""
    logs = deployment.client("logs")
    until = time.monotonic() + 20
    while True:
        found = [
            json.loads(event["message"])
            for name in ("receiver", "redrive")
            for event in logs.filter_log_events(logGroupName=f"/aws/lambda/{STACK}-{name}").get("events", [])
            if event["message"].startswith('{"_aws"')
        ]
        services = {line["service"] for line in found}
        if services == {"receiver", "redrive"} or time.monotonic() > until:
            return found
        time.sleep(0.2)


def test_an_update_changes_the_stack_and_an_empty_one_is_no_error(deployment: Deployment) -> None:
    """Another parameter changes what is deployed and keeps the URL; the same again changes nothing and succeeds."""
    changed = ("deploy", "--no-confirm-changeset", "--parameter-overrides", "MaxReceiveCount=7", "SourceIpMode=observe")
    run_sam(deployment.project, deployment.aws.environment(), *changed)
    attributes = deployment.client("sqs").get_queue_attributes(
        QueueUrl=deployment.outputs["QueueUrl"], AttributeNames=["All"]
    )["Attributes"]
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] in (7, "7")
    stack = deployment.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs["WebhookUrl"] == deployment.outputs["WebhookUrl"]
    again = run_sam(deployment.project, deployment.aws.environment(), *changed)
    assert "No changes to deploy" in again


def test_the_check_of_the_webhooks_comes_on_request(deployment: Deployment) -> None:
    """One parameter makes function, secret, schedule and alarms; the function reads the secret and asks where told.

    Nobody listens there, so it says that it could not read, and its alarms are those of that. The dashboard shows them,
    and that of the silence, which another parameter makes.
    """
    assert not {"ApiKeySecretArn", "WatchFunction"} & deployment.outputs.keys()
    before = alarms_on_the_dashboard(deployment)
    changed = ("WebhookCheck=on", "WebhookIds=1,22", "ApiUrl=https://127.0.0.1:9", "SilenceHours=72")
    run_sam(
        deployment.project,
        deployment.aws.environment(),
        *("deploy", "--no-confirm-changeset", "--parameter-overrides", *changed),
    )
    outputs = Deployment.of(deployment.aws, deployment.project).outputs
    lambda_ = deployment.client("lambda")

    def checked() -> Any:
        return json.loads(lambda_.invoke(FunctionName=outputs["WatchFunction"], Payload=b"{}")["Payload"].read())

    assert "failed" in checked(), "there is no key yet"
    deployment.client("secretsmanager").put_secret_value(SecretId=outputs["ApiKeySecretArn"], SecretString=API_KEY)
    assert checked() == {"failed": "ConnectionRefusedError"}
    schedules = deployment.client("scheduler").list_schedules()["Schedules"]
    assert len(schedules) == 2
    alarms = deployment.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{STACK}-webhook_")["MetricAlarms"]
    assert {alarm["AlarmName"].removeprefix(f"{STACK}-") for alarm in alarms} == {
        "webhook_errors",
        "webhook_blocked",
        "webhook_check_failed",
    }
    optional = {"silence", "webhook_errors", "webhook_blocked", "webhook_check_failed"}
    assert alarms_on_the_dashboard(deployment) - before == {f"{STACK}-{name}" for name in optional}


def alarms_on_the_dashboard(deployment: Deployment) -> set[str]:
    """The names of the alarms that the deployed dashboard shows, each of which is there."""
    cloudwatch = deployment.client("cloudwatch")
    body = json.loads(cloudwatch.get_dashboard(DashboardName=f"{STACK}-{REGION}")["DashboardBody"])
    shown = body["widgets"][0]["properties"]["alarms"]
    there = {alarm["AlarmArn"]: alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert len(set(shown)) == len(shown)
    return {there[arn] for arn in shown}


def test_the_guided_deployment_asks_what_it_should_and_saves_the_answers(deployment: Deployment) -> None:
    """`sam deploy --guided` is Enter all the way, but for a yes to the public URL, and saves its answers."""
    parameters = aws_parameters(deployment.project)
    answers = "\n\n" + "\n" * len(parameters) + "n\n\n\ny\n\n\n\n"
    printed = run_sam(deployment.project, deployment.aws.environment(), "deploy", "--guided", answers=answers)
    assert "Receiver Function Url has no authentication. Is this okay?" in printed
    assert all(f"Parameter {name} [" in printed for name in parameters)
    saved = (deployment.project / "samconfig.toml").read_text("utf-8")
    assert 'SourceIpMode=\\"quarantine\\"' in saved
    assert 'template_file = "infra/aws/template.yaml"' in saved


def aws_parameters(project: Path) -> list[str]:
    """The names of the template's parameters."""
    from tests.deploy import aws

    return list(aws.template()["Parameters"])


def test_a_deleted_stack_leaves_the_bucket_alone(deployment: Deployment) -> None:
    """`sam delete` takes everything with it but the bucket, in which events may wait."""
    run_sam(deployment.project, deployment.aws.environment(), "delete", "--no-prompts")
    assert deployment.client("lambda").list_functions()["Functions"] == []
    assert deployment.client("sqs").list_queues().get("QueueUrls", []) == []
    assert deployment.client("secretsmanager").list_secrets()["SecretList"] == []
    buckets = [bucket["Name"] for bucket in deployment.client("s3").list_buckets()["Buckets"]]
    assert deployment.outputs["BucketName"] in buckets
