"""What the expanded template may not have: anything public, unencrypted, unbounded or kept for ever."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from core import redrive
from core.deadline import SENDER_PATIENCE
from tests.deploy import aws
from tests.deploy.aws import Template, as_list, resources, statements, walk

DAY: Final = 86_400
WITHOUT_DATA: Final = {
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Url",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}
"""Types that hold nothing of an event. Any other type needs a rule in this module before it may be used."""


@pytest.fixture
def transformed() -> Template:
    """The template as CloudFormation gets it."""
    return aws.transformed()


@pytest.fixture(params=["written", "transformed"])
def template(request: pytest.FixtureRequest) -> Template:
    """The template, as it is written and, where SAM is installed, as CloudFormation gets it."""
    return aws.template() if request.param == "written" else aws.transformed()


def test_a_public_url_has_both_permissions(transformed: Template) -> None:
    """A function URL without IAM needs two permissions since October 2025; with one, every call is 403.

    Source: AWS Lambda, "Control access to Lambda function URLs".
    """
    permissions = [resource["Properties"] for resource in resources(transformed, "AWS::Lambda::Permission").values()]
    assert sorted(permissions, key=lambda each: str(each["Action"])) == [
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": "Receiver"},
            "Principal": "*",
            "InvokedViaFunctionUrl": True,
        },
        {
            "Action": "lambda:InvokeFunctionUrl",
            "FunctionName": {"Ref": "Receiver"},
            "Principal": "*",
            "FunctionUrlAuthType": "NONE",
        },
    ]


def test_nothing_is_public_but_the_url(template: Template) -> None:
    """One function has a URL; no policy allows anything to everybody; the bucket is closed in all four ways."""
    urls = [
        name
        for name, resource in resources(template, "AWS::Serverless::Function").items()
        if "FunctionUrlConfig" in resource["Properties"]
    ]
    urls += [url["Properties"]["TargetFunctionArn"]["Ref"] for url in resources(template, "AWS::Lambda::Url").values()]
    assert urls == ["Receiver"]
    for path, _, statement in statements(template):
        if statement["Effect"] == "Allow":
            principals = [value for _, value in walk(statement.get("Principal", {}))]
            assert "*" not in principals, path
            assert "NotPrincipal" not in statement, path
    bucket = resources(template, "AWS::S3::Bucket")["Store"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert "AccessControl" not in bucket


@pytest.mark.parametrize("own_key", [False, True])
def test_everything_that_holds_data_is_encrypted(template: Template, own_key: bool) -> None:
    """With the operator's KMS key and without: queues, bucket, topic, secret and logs are encrypted at rest."""

    def chosen(value: Any) -> Any:
        """The value with the conditions resolved; None for one that is left out."""
        if isinstance(value, dict) and set(value) == {"Fn::If"}:
            condition, yes, no = value["Fn::If"]
            assert condition == "HasKmsKey"
            return chosen(yes if own_key else no)
        return None if value == {"Ref": "AWS::NoValue"} else value

    for name, resource in resources(template).items():
        properties = resource.get("Properties", {})
        key = {"Ref": "KmsKeyArn"} if own_key else None
        match resource["Type"]:
            case "AWS::SQS::Queue":
                assert chosen(properties["KmsMasterKeyId"]) == key, name
                assert chosen(properties["SqsManagedSseEnabled"]) is not own_key, name
            case "AWS::S3::Bucket":
                (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
                default = rule["ServerSideEncryptionByDefault"]
                assert chosen(default["SSEAlgorithm"]) == ("aws:kms" if own_key else "AES256"), name
                assert chosen(default["KMSMasterKeyID"]) == key, name
            case "AWS::SNS::Topic":
                # AWS's own key for SNS would do for the topic, but CloudWatch may not use it.
                ours: Any = {"Fn::GetAtt": ["AlarmKey", "Arn"]}
                assert chosen(properties["KmsMasterKeyId"]) == (key or ours), name
            case "AWS::SecretsManager::Secret" | "AWS::Logs::LogGroup":
                # Without a key of the operator's, both are encrypted with one that AWS manages.
                assert chosen(properties["KmsKeyId"]) == key, name
            case "AWS::Lambda::Function" | "AWS::Serverless::Function":
                variables = properties.get(
                    "Environment", template.get("Globals", {}).get("Function", {}).get("Environment")
                )
                assert "DASTRA_SIGNATURE_KEYS" not in variables["Variables"], name
            case other:
                assert other in WITHOUT_DATA, f"{name}: say in this test how {other} is encrypted"


def test_nothing_is_reached_in_clear_text(template: Template) -> None:
    """Queues, bucket and topic each have a policy that denies requests without TLS."""
    denied = set()
    for _, kind, statement in statements(template):
        if statement["Effect"] == "Deny":
            assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            assert statement["Principal"] == "*"
            denied |= {(kind, str(resource)) for resource in as_list(statement["Resource"])}
    assert {resource for kind, resource in denied if kind == "AWS::SQS::QueuePolicy"} == {
        str({"Fn::GetAtt": ["EventQueue", "Arn"]}),
        str({"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}),
    }
    assert {resource for kind, resource in denied if kind == "AWS::S3::BucketPolicy"} == {
        str({"Fn::GetAtt": ["Store", "Arn"]}),
        str({"Fn::Sub": "${Store.Arn}/*"}),
    }
    assert {resource for kind, resource in denied if kind == "AWS::SNS::TopicPolicy"} == {str({"Ref": "AlarmTopic"})}


def test_every_statement_names_its_actions_and_one_resource(template: Template) -> None:
    """No wildcard in an action, none in a resource but below one prefix of the bucket, and no list of resources.

    In a key's own policy "*" is that key: only there it stands, and only there AWS's advice is kms:* for the account.
    """
    for path, kind, statement in statements(template):
        if statement["Effect"] == "Deny" or "AssumeRolePolicyDocument" in path:
            continue
        if kind == "AWS::KMS::Key":
            assert statement["Resource"] == "*", path
            continue
        assert "NotAction" not in statement, path
        assert "NotResource" not in statement, path
        for action in as_list(statement["Action"]):
            assert re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action), f"{path}: {action}"
        resource = statement["Resource"]
        assert isinstance(resource, dict), f"{path}: {resource}"
        ((function, value),) = resource.items()
        if function == "Fn::Sub":
            assert re.fullmatch(r"\$\{Store\.Arn\}/([a-z]+/\*|[a-z]+/[a-z]+)", value), f"{path}: {value}"
        else:
            assert function in {"Ref", "Fn::GetAtt"}, path
            assert "*" not in str(value), path


def test_each_service_may_only_be_what_it_is(template: Template) -> None:
    """Each role is assumed by one service, and the scheduler only for this account."""
    assumed = {}
    for name, role in resources(template, "AWS::IAM::Role").items():
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assumed[name] = statement["Principal"]["Service"]
        assert statement["Action"] == "sts:AssumeRole"
        assert "ManagedPolicyArns" not in role["Properties"], f"{name} has statements that this template does not show"
        if assumed[name] == "scheduler.amazonaws.com":
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert assumed == {
        "ReceiverRole": "lambda.amazonaws.com",
        "RedriveRole": "lambda.amazonaws.com",
        "ScheduleRole": "scheduler.amazonaws.com",
        "WatchRole": "lambda.amazonaws.com",
        "WatchScheduleRole": "scheduler.amazonaws.com",
    }


def test_a_schedule_may_run_its_function_alone(template: Template) -> None:
    """One role for each, and neither may run the other's."""
    roles = resources(template, "AWS::IAM::Role")
    for role, function in (("ScheduleRole", "Redrive"), ("WatchScheduleRole", "Watch")):
        (policy,) = roles[role]["Properties"]["Policies"]
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert statement["Action"] == "lambda:InvokeFunction"
        assert statement["Resource"] == {"Fn::GetAtt": [function, "Arn"]}


def test_whoever_reads_a_secret_may_decrypt_it(template: Template) -> None:
    """With a key of the operator's own: the check decrypts what is in Secrets Manager, and nothing else."""
    policies = resources(template, "AWS::IAM::Policy")
    assert policies["WatchKeyUse"]["Condition"] == "HasWebhookCheckWithKmsKey"
    assert template["Conditions"]["HasWebhookCheckWithKmsKey"] == {
        "Fn::And": [{"Condition": "HasWebhookCheck"}, {"Condition": "HasKmsKey"}]
    }
    (statement,) = policies["WatchKeyUse"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "kms:Decrypt"
    via = statement["Condition"]["StringEquals"]["kms:ViaService"]
    assert via == {"Fn::Sub": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"}
    assert policies["WatchKeyUse"]["Properties"]["Roles"] == [{"Ref": "WatchRole"}]


def test_everything_expires_and_in_the_right_order(template: Template) -> None:
    """Queue 4 days, dead letters 14, then what both may still point at; what waits, 30, with an alarm 7 days before.

    A spooled pointer may start the whole way on its last day.
    """
    queues = resources(template, "AWS::SQS::Queue")
    queue = queues["EventQueue"]["Properties"]["MessageRetentionPeriod"]
    dead = queues["DeadLetterQueue"]["Properties"]["MessageRetentionPeriod"]
    rules = resources(template, "AWS::S3::Bucket")["Store"]["Properties"]["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    assert all(rule["Status"] == "Enabled" for rule in rules)
    assert (queue, dead) == (4 * DAY, 14 * DAY)
    assert days["spool/"] == days["quarantine/"] == 30
    assert days["claims/"] * DAY > days["spool/"] * DAY + queue + dead
    assert set(days) == {"claims/", "spool/", "quarantine/"}, "an accepted address stays accepted"
    assert days["spool/"] * DAY - redrive.EXPIRY_WARNING_SECONDS == 7 * DAY
    bucket = resources(template, "AWS::S3::Bucket")["Store"]["Properties"]
    assert "VersioningConfiguration" not in bucket, "a version behind a deletion does not expire with it"
    for name, group in resources(template, "AWS::Logs::LogGroup").items():
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}, name


def test_a_deleted_stack_leaves_the_events_that_wait_and_nothing_else(template: Template) -> None:
    """The bucket stays, since what it holds exists nowhere else; a replacement never takes queued messages with it."""
    kept = {
        name: resource["DeletionPolicy"]
        for name, resource in resources(template).items()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    }
    assert kept == {"Store": "RetainExceptOnCreate"}
    replaced = {
        name for name, resource in resources(template).items() if resource.get("UpdateReplacePolicy") == "Retain"
    }
    assert replaced == {"Store", "EventQueue", "DeadLetterQueue"}


def test_the_queue_takes_what_the_receiver_sends(template: Template) -> None:
    """The queue's own size limit is the receiver's, which is not what a queue has by default."""
    from aws_lambda.sqs_queue import MAX_BYTES

    for name, queue in resources(template, "AWS::SQS::Queue").items():
        assert queue["Properties"]["MaximumMessageSize"] == MAX_BYTES, name


def test_the_secret_has_no_value_in_the_template(template: Template) -> None:
    """No key is ever in the template, not even an invented one, and a secret's name can be used again at once."""
    secrets = resources(template, "AWS::SecretsManager::Secret")
    assert set(secrets) == {"SignatureKeys", "ApiKey"}
    for secret in secrets.values():
        assert set(secret["Properties"]) == {"Description", "KmsKeyId"}


def test_two_stacks_do_not_collide(template: Template) -> None:
    """Whatever is named by the template is named after the stack; all else gets a name of its own from AWS."""
    for name, resource in resources(template).items():
        for property_name, value in resource.get("Properties", {}).items():
            fixed = {"AlarmName", "BucketName", "DashboardName", "FunctionName", "GroupName", "LogGroupName", "Name"}
            fixed |= {"QueueName", "RoleName", "TopicName"}
            if property_name in fixed and resource["Type"] != "AWS::Lambda::Permission":
                own = "Ref" in value and value["Ref"] in template["Resources"] if isinstance(value, dict) else False
                assert own or "AWS::StackName" in str(value), f"{name}.{property_name}: {value}"


def test_times_fit_each_other(transformed: Template) -> None:
    """The receiver may run as long as Dastra waits; redrive longer than its work and less long than its lease.

    The lease ends before the schedule's next run, which is the only retry.
    """
    functions = resources(transformed, "AWS::Lambda::Function")
    assert functions["Receiver"]["Properties"]["Timeout"] == SENDER_PATIENCE
    timeout = functions["Redrive"]["Properties"]["Timeout"]
    schedules = resources(transformed, "AWS::Scheduler::Schedule")
    schedule = schedules["RedriveEveryFiveMinutes"]
    step = 60 * int(re.fullmatch(r"rate\((\d+) minutes\)", schedule["Properties"]["ScheduleExpression"])[1])  # type: ignore[index]
    assert 45 + 4 * redrive.STORE_SECONDS < timeout < redrive.LEASE_SECONDS < step
    for each in schedules.values():
        assert each["Properties"]["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    once = resources(transformed, "AWS::Lambda::EventInvokeConfig")
    assert len(once) == len(schedules)
    assert {each["Properties"]["MaximumRetryAttempts"] for each in once.values()} == {0}


def test_the_functions_are_what_the_bundle_is_built_for(transformed: Template) -> None:
    """Runtime, processor and handlers are those that the bundle holds, for every function."""
    from scripts.python313 import RUNTIME

    functions = resources(transformed, "AWS::Lambda::Function")
    modules = {"Receiver": "receive", "Redrive": "redrive", "Watch": "watch"}
    assert set(functions) == set(modules)
    for name, function in functions.items():
        assert function["Properties"]["Handler"] == f"aws_lambda.{modules[name]}.handler"
        assert (aws.ROOT / f"aws_lambda/{modules[name]}.py").is_file()
        assert function["Properties"]["Runtime"] == f"python{RUNTIME}"
        assert function["Properties"]["Architectures"] == [{"Ref": "Architecture"}]
        assert function["Properties"]["MemorySize"] == 256
    assert transformed["Parameters"]["Architecture"]["AllowedValues"] == ["arm64", "x86_64"]


def test_concurrency_is_reserved_only_when_asked_for(transformed: Template) -> None:
    """Without the parameter nothing is reserved: small accounts cannot, and a small reservation refuses events."""
    receiver = resources(transformed, "AWS::Lambda::Function")["Receiver"]["Properties"]
    assert receiver["ReservedConcurrentExecutions"] == {
        "Fn::If": ["HasReservedConcurrency", {"Ref": "ReservedConcurrency"}, {"Ref": "AWS::NoValue"}]
    }
    assert transformed["Parameters"]["ReservedConcurrency"]["Default"] == ""
