"""Inside AWS, against an emulated SQS, S3, Secrets Manager, SNS and CloudWatch: each fault is found by its own row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest

from cli.clouds.aws import cloud
from cli.doctor.aws import EXPECTED, Inside
from cli.doctor.inside import check_inside
from cli.doctor.model import Result, Status
from cli.local.emulator import AwsEmulator
from cli.target import Names, Target
from core.signature import SignatureKey
from tests import planted
from tests.deploy.aws import resources, template
from tests.doctor.examine import troubled

pytestmark = pytest.mark.emulator
STACK = "doctor-stack"
DAY = 86_400
DAYS = {"claims/": 50, "spool/": 30, "quarantine/": 30}


@dataclass(frozen=True)
class Account:
    """A deployment in the emulated account, as the template makes it; ``client`` gives any service."""

    client: Callable[[str], Any]
    names: Names
    dead_letters: str
    topic: str

    def rows(self, stack: str | None = STACK) -> dict[str, Result]:
        """What the doctor sees."""
        return {row.id: row for row in Inside(self.client, cloud().advice, self.names, stack).rows()}

    def set(self, queue: str, **attributes: str) -> None:
        """Change a queue."""
        self.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes=attributes)

    def lifecycle(self, **days: int) -> None:
        """Give the bucket the template's lifecycle, with changes; 0 leaves a rule out."""
        rules = [
            {"ID": prefix, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": kept}}
            for prefix, kept in {**DAYS, **{f"{name}/": kept for name, kept in days.items()}}.items()
            if kept
        ]
        self.client("s3").put_bucket_lifecycle_configuration(
            Bucket=self.names.store, LifecycleConfiguration={"Rules": rules}
        )

    def unsubscribe(self) -> None:
        """Nobody hears the alarms any more."""
        sns = self.client("sns")
        for each in sns.list_subscriptions_by_topic(TopicArn=self.topic)["Subscriptions"]:
            sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])

    def alarm(self, name: str, **changes: Any) -> None:
        """Make an alarm of the template's kind."""
        queue = str(self.names.queue).rpartition("/")[2]
        self.client("cloudwatch").put_metric_alarm(
            **{
                "AlarmName": f"{STACK}-{name}",
                "Namespace": "AWS/SQS" if name == "unread" else f"DastraWebhooks/{STACK}",
                "MetricName": "Any",
                "Dimensions": [{"Name": "QueueName", "Value": queue}] if name == "unread" else [],
                "Statistic": "Sum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "AlarmActions": [self.topic],
                **changes,
            }
        )

    def ring(self, name: str, stack: str = STACK) -> None:
        """Have an alarm go off."""
        self.client("cloudwatch").set_alarm_state(
            AlarmName=f"{stack}-{name}", StateValue="ALARM", StateReason="an invented one"
        )


@pytest.fixture(scope="module")
def emulator() -> Iterator[AwsEmulator]:
    """An emulated AWS."""
    with AwsEmulator() as running:
        yield running


@pytest.fixture
def account(emulator: AwsEmulator, monkeypatch: pytest.MonkeyPatch) -> Account:
    """A whole deployment."""
    emulator.reset()
    for name, value in {"ENDPOINT_URL": emulator.endpoint_url, "REGION": "eu-west-1", "DEFAULT_REGION": "eu-west-1",
                        "ACCESS_KEY_ID": "local", "SECRET_ACCESS_KEY": "local"}.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    session: Any = boto3.Session()
    clients: dict[str, Any] = {}

    def client(name: str) -> Any:
        return clients.setdefault(name, session.client(name))

    sqs, s3 = client("sqs"), client("s3")
    kept = {"MessageRetentionPeriod": str(14 * DAY), "SqsManagedSseEnabled": "true"}
    dead = sqs.create_queue(QueueName=f"{STACK}-dead", Attributes=kept)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    queue = sqs.create_queue(
        QueueName=f"{STACK}-events",
        Attributes={**kept, "MessageRetentionPeriod": str(4 * DAY), "RedrivePolicy": policy},
    )["QueueUrl"]
    bucket = f"{STACK}-store"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    secret = client("secretsmanager").create_secret(Name=f"{STACK}-keys", SecretString=planted.KEY)["ARN"]
    topic = client("sns").create_topic(Name=f"{STACK}-alarms")["TopicArn"]
    # A queue stands in for the mail: the emulator delivers there what alarms say.
    heard = sqs.create_queue(QueueName=f"{STACK}-heard")["QueueUrl"]
    listener = sqs.get_queue_attributes(QueueUrl=heard, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=listener)
    made = Account(client, Names(queue, bucket, secret), dead, topic)
    made.lifecycle()
    for name in EXPECTED:
        made.alarm(name)
    return made


def test_a_deployment_by_the_template_passes(account: Account) -> None:
    """Every row passes, whether the stack is named or the parts are."""
    for stack in (STACK, None):
        rows = account.rows(stack)
        assert troubled(rows) == set(), rows
        assert set(rows) == {
            "queue", "dead-letters", "queue-access", "retention", "store-access", "store-encryption", "alarms",
            "alarms-now", "alarm-recipients",
        }  # fmt: skip
        assert (rows["alarms"].found, rows["alarms-now"].found) == ("14 of 14", "none of 14")
        assert rows["retention"].found == "queue 4 d, dead letters 14 d, claims 50 d, spool and quarantine 30 d"


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (lambda a: a.client("sqs").delete_queue(QueueUrl=a.names.queue), "queue"),
        (lambda a: a.set(a.names.queue, RedrivePolicy=""), "dead-letters"),
        (lambda a: a.client("sqs").send_message(QueueUrl=a.dead_letters, MessageBody="x"), "dead-letters"),
        (lambda a: a.set(a.names.queue, SqsManagedSseEnabled="false"), "queue-access"),
        (lambda a: a.set(a.names.queue, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}]})), "queue-access"),
        (lambda a: a.set(a.dead_letters, MessageRetentionPeriod=str(3 * DAY)), "retention"),
        (lambda a: a.lifecycle(claims=40), "retention"),
        (lambda a: a.lifecycle(claims=0), "retention"),
        (lambda a: a.lifecycle(spool=20), "retention"),
        (lambda a: a.lifecycle(quarantine=0), "retention"),
        (lambda a: a.client("s3").delete_bucket_lifecycle(Bucket=a.names.store), "retention"),
        (lambda a: a.client("s3").delete_public_access_block(Bucket=a.names.store), "store-access"),
        (lambda a: a.client("s3").put_public_access_block(Bucket=a.names.store, PublicAccessBlockConfiguration={
            "BlockPublicAcls": True, "BlockPublicPolicy": False, "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True}), "store-access"),
        (lambda a: a.client("cloudwatch").delete_alarms(AlarmNames=[f"{STACK}-event_lost"]), "alarms"),
        (lambda a: a.alarm("slow", ActionsEnabled=False), "alarms"),
        (lambda a: a.alarm("slow", AlarmActions=[]), "alarms"),
        (lambda a: a.alarm("silence", AlarmActions=[]), "alarms"),
        (lambda a: a.alarm("webhook_blocked", ActionsEnabled=False), "alarms"),
        (lambda a: a.ring("too_large"), "alarms-now"),
        (lambda a: [a.alarm("webhook_errors"), a.ring("webhook_errors")], "alarms-now"),
        (lambda a: a.unsubscribe(), "alarm-recipients"),
        (lambda a: [a.alarm(name, AlarmActions=[]) for name in EXPECTED], "alarm-recipients"),
    ],
    ids=[
        "no-queue", "no-dead-letters", "dead-letter", "clear-queue", "open-queue", "short-dead-letters", "short-claims",
        "claims-for-ever", "short-spool", "quarantine-for-ever", "no-lifecycle", "no-blocks", "one-block-off",
        "alarm-gone", "alarm-off", "alarm-tells-nobody", "optional-alarm-tells-nobody", "optional-alarm-off",
        "alarm-rings", "optional-alarm-rings", "nobody-subscribed", "no-actions",
    ],
)  # fmt: skip
def test_a_fault_is_found_by_its_row(account: Account, change: Callable[[Account], object], row: str) -> None:
    """One change for the worse is found by one row, which says what to do."""
    change(account)
    rows = account.rows()
    assert troubled(rows) == {row}, rows
    assert rows[row].advice


@pytest.mark.parametrize("stack", [STACK, None])
def test_optional_alarms_count_where_they_are_on(account: Account, stack: str | None) -> None:
    """What the template makes on request is looked at like the rest, and its absence is no fault."""
    account.alarm("silence")
    account.alarm("webhook_check_failed")
    rows = account.rows(stack)
    assert troubled(rows) == set(), rows
    assert (rows["alarms"].found, rows["alarms-now"].found) == ("16 of 16", "none of 16")


@pytest.mark.parametrize("stack", [STACK, None])
def test_another_stack_with_a_longer_name_is_not_looked_at(account: Account, stack: str | None) -> None:
    """Its alarms begin with this stack's name too, and whether they ring or tell anybody is its own business."""
    account.alarm("slow", AlarmName=f"{STACK}-too-slow", AlarmActions=[])
    account.ring("slow", f"{STACK}-too")
    rows = account.rows(stack)
    assert troubled(rows) == set(), rows


def test_alarms_that_have_gone_off_are_named(account: Account) -> None:
    """Each by its name; and why no mail may have told of it."""
    for name in ("spooled", "event_lost", "bad_signature_low", "too_large"):
        account.ring(name)
    row = account.rows()["alarms-now"]
    assert row.status is Status.WARN
    assert row.found == "in ALARM now: bad_signature_low, event_lost, spooled and 1 more"
    assert row.details == ("bad_signature_low", "event_lost", "spooled", "too_large")
    assert "docs/operations.md" in row.advice
    assert "before somebody confirmed the mail sends none" in row.advice


class UnconfirmedSns:
    """SNS as it lists a mail address that has not confirmed; the emulator confirms by itself."""

    def get_paginator(self, _: str) -> UnconfirmedSns:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        pending = {"SubscriptionArn": "PendingConfirmation", "Protocol": "email", "Endpoint": "alarms@example.org"}
        return [{"Subscriptions": [pending]}]


def test_an_unconfirmed_mail_is_found(account: Account) -> None:
    """An address that has not confirmed its subscription hears nothing, and the row says what to click."""
    others = account.client
    changed = replace(account, client=lambda name: UnconfirmedSns() if name == "sns" else others(name))
    rows = changed.rows()
    assert troubled(rows) == {"alarm-recipients"}
    assert "mail" in rows["alarm-recipients"].advice
    assert "alarms@example.org" not in str(rows)


@pytest.mark.parametrize("stack", [STACK, None])
def test_it_is_reached_through_the_target(account: Account, stack: str | None) -> None:
    """The row of the key and the cloud's rows come together, as the command has them."""
    target = Target("a test", cloud(), account.names)
    rows = {row.id: row for row in check_inside(target, stack, SignatureKey(planted.KEY).fingerprint)}
    assert troubled(rows) == set()
    assert rows["key"].status is Status.PASS
    account.client("secretsmanager").put_secret_value(SecretId=account.names.secret, SecretString=planted.OTHER_KEY)
    assert troubled({row.id: row for row in check_inside(target, stack, SignatureKey(planted.KEY).fingerprint)}) == {
        "key"
    }


def test_without_credentials_every_row_says_so(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody logged in no row fails: each warns that it could not look, and how to log in."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    rows = list(cloud().inside(account.names, STACK))
    looked = [row for row in rows if row.status is not Status.SKIPPED]
    assert {row.status for row in looked} == {Status.WARN}
    assert all("Log in to AWS first" in row.advice for row in looked)


def test_the_alarms_are_the_templates() -> None:
    """The doctor expects exactly the alarms that the template always makes."""
    alarms = resources(template(), "AWS::CloudWatch::Alarm").values()
    always = [alarm["Properties"]["AlarmName"] for alarm in alarms if "Condition" not in alarm]
    names = {
        (name["Fn::Sub"] if isinstance(name, dict) else name).removeprefix("${AWS::StackName}-") for name in always
    }
    assert names == set(EXPECTED)
