"""A command finds its deployment by option, environment, or the local run that is up; else it says what to set."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.exits import CliError, Exit
from cli.local.emulator import AwsEmulator, provision
from cli.output import Output
from cli.target import Names, Where, load_cloud
from tests import planted
from tests.cli.conftest import Invoke
from tests.cli.helpers import Run
from tests.dastra.standin import StandIn

AsJson = Callable[..., Any]

pytestmark = pytest.mark.emulator

STACK: dict[str, Any] = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Store": {"Type": "AWS::S3::Bucket"},
        "Keys": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "stack/keys"}},
    },
    "Outputs": {
        "QueueUrl": {"Value": {"Ref": "Queue"}},
        "BucketName": {"Value": {"Ref": "Store"}},
        "SecretArn": {"Value": {"Ref": "Keys"}},
    },
}

ENDPOINT = "http://127.0.0.1:9/called"
"""Nobody answers there (RFC 863's port)."""


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsEmulator]:
    """An account with a whole stack, and one that is none of ours."""
    with AwsEmulator() as emulator:
        client = emulator.session().client("cloudformation", endpoint_url=emulator.endpoint_url)
        client.create_stack(StackName="events", TemplateBody=json.dumps(STACK))
        other = {"Resources": STACK["Resources"], "Outputs": {"QueueUrl": {"Value": {"Ref": "Queue"}}}}
        behind = {**STACK, "Outputs": {**STACK["Outputs"], "WebhookUrl": {"Value": ENDPOINT}}}
        client.create_stack(StackName="called", TemplateBody=json.dumps(behind).replace("stack/keys", "called/keys"))
        client.create_stack(StackName="other", TemplateBody=json.dumps(other).replace("stack/keys", "other/keys"))
        for name in ("events", "called", "other"):
            client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        yield emulator


@pytest.fixture
def account(aws: AwsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """What leads the SDK to that account, from a directory without a local run."""
    monkeypatch.chdir(tmp_path)
    return {
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_a_stack_is_found_by_its_outputs(account: dict[str, str], as_json: AsJson) -> None:
    """Queue, store and secret come from the outputs of the stack that --stack names."""
    assert as_json("quarantine", "list", "--stack", "events", **account) == []
    assert as_json("spool", "redrive", "--stack", "events", **account)["sent"] == 0
    [added] = as_json("key", "set", "--stack", "events", DASTRA_SIGNATURE_KEYS=planted.KEY, **account)
    assert added["state"] == "added"
    assert as_json("key", "list", "--stack", "events", **account) == [{"fingerprint": added["fingerprint"]}]


def test_the_environment_names_a_stack(account: dict[str, str], as_json: AsJson) -> None:
    """DASTRA_STACK stands in for --stack."""
    assert as_json("addresses", "list", DASTRA_STACK="events", **account) == []


def test_the_region_is_an_option(account: dict[str, str], as_json: AsJson, invoke: Invoke) -> None:
    """`--region` counts before the environment: the stack is in one region only."""
    del account["AWS_REGION"]
    assert as_json("spool", "list", "--stack", "events", "--region", "eu-west-1", **account) == []
    result = invoke("spool", "list", "--stack", "events", "--region", "eu-west-3", **account)
    assert result.exit_code == Exit.NO_DEPLOYMENT
    assert "there is no stack events in eu-west-3" in result.stderr


def test_aws_region_counts_before_aws_default_region(account: dict[str, str], as_json: AsJson) -> None:
    """Where a shell sets both, the one that every other tool goes by decides where the stack is looked for."""
    assert as_json("spool", "list", "--stack", "events", AWS_DEFAULT_REGION="us-east-1", **account) == []


def test_a_stack_that_is_none_of_ours(account: dict[str, str], invoke: Invoke) -> None:
    """A stack without our outputs is refused; those that lack and those that are there are named."""
    result = invoke("spool", "list", "--stack", "other", **account)
    assert result.exit_code == Exit.NO_DEPLOYMENT
    assert "lacks the output BucketName and SecretArn" in result.stderr
    assert "Its outputs: QueueUrl." in result.stderr


@pytest.mark.parametrize("how", [("--stack", "called"), ()], ids=["option", "environment"])
def test_the_doctor_calls_the_endpoint_of_the_deployment(
    account: dict[str, str], as_json: AsJson, how: tuple[str, ...]
) -> None:
    """Without a URL it takes the stack's own, here one where nobody answers, and looks inside all the same."""
    named = {} if how else {"DASTRA_STACK": "called"}
    said = as_json("doctor", *how, "--gentle", "--no-probe", code=Exit.FAILED, **named, **account)
    assert said["url"] == ENDPOINT
    found = {check["id"]: check["status"] for check in said["checks"]}
    assert found["ipv4"] == "fail"
    assert found["queue"] == "pass"


@pytest.mark.parametrize("how", [("--stack", "events"), ()], ids=["option", "environment"])
def test_a_deployment_without_an_endpoint(
    run: Run, account: dict[str, str], invoke: Invoke, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    """The URL is asked for: the local run that is up must not be called in the place of a deployment that is named."""
    monkeypatch.chdir(run.folder)
    before = len(run.get("console/requests")["requests"])
    result = invoke("doctor", *how, **({} if how else {"DASTRA_STACK": "events"}), **account)
    assert result.exit_code == Exit.USAGE
    assert "which endpoint it has is not known (the deployment events)" in result.stderr
    assert "Give its URL" in result.stderr
    assert len(run.get("console/requests")["requests"]) == before


def test_register_takes_the_endpoint_of_the_deployment(account: dict[str, str], as_json: AsJson) -> None:
    """Without a URL the webhook is made for the stack's own, also where its key is shown and stored by nobody."""
    with StandIn() as dastra:
        given = {**dastra.environment, **account}
        ask = ("register", "--stack", "called", "--workspace", "1", "--events", "TaskEdit")
        as_json(*ask, "--no-probe", **given)
        [hook] = dastra.hooks.values()
        assert (hook.url, hook.events) == (ENDPOINT, ["TaskEdit"])
        assert len(as_json("key", "list", "--stack", "called", **account)) == 1
        shown = as_json(*ask, "--show-key", "--no-probe", **given)
        assert shown["webhook"]["url"] == ENDPOINT


def test_names_in_the_environment(aws: AwsEmulator, account: dict[str, str], as_json: AsJson, invoke: Invoke) -> None:
    """The receiver's own settings name the parts; a command asks for those that it needs only."""
    made = provision(aws.session(), endpoint_url=aws.endpoint_url)
    assert as_json("quarantine", "list", DASTRA_STORE=made.bucket, **account) == []
    result = invoke("spool", "redrive", DASTRA_STORE=made.bucket, **account)
    assert result.exit_code == Exit.NO_DEPLOYMENT
    assert "Set DASTRA_QUEUE too." in result.stderr
    result = invoke("key", "list", DASTRA_STORE=made.bucket, **account)
    assert "Set DASTRA_SIGNATURE_KEYS_SECRET too." in result.stderr
    names = {
        "DASTRA_QUEUE": made.queue_url,
        "DASTRA_STORE": made.bucket,
        "DASTRA_SIGNATURE_KEYS_SECRET": made.secret_id,
    }
    assert as_json("spool", "redrive", **names, **account)["left"] == 0
    assert as_json("key", "list", **names, **account) == []


def test_a_queue_of_no_cloud(account: dict[str, str], invoke: Invoke) -> None:
    """A queue's name in a form that no cloud here has is refused with what is expected."""
    result = invoke("spool", "list", DASTRA_QUEUE="queue", DASTRA_STORE="store", **account)
    assert result.exit_code == Exit.NO_DEPLOYMENT
    assert "a queue's URL" in result.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "NoCredentialsError.\nLog in to AWS first"),
        ({"AWS_REGION": ""}, "NoRegionError.\nSet AWS_REGION"),
        ({"AWS_PROFILE": "nobody"}, "ProfileNotFound.\nAWS_PROFILE names a profile that does not exist"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "EndpointConnectionError.\nAWS cannot be reached"),
    ],
)
def test_what_keeps_aws_away(account: dict[str, str], invoke: Invoke, change: dict[str, str], said: str) -> None:
    """Each usual obstacle before AWS is named, with what to do about it."""
    given = {name: value for name, value in {**account, **change}.items() if value}
    result = invoke("spool", "list", "--stack", "events", **given)
    assert result.exit_code == Exit.UNREACHABLE
    assert said in result.stderr


def test_names_that_lead_nowhere(account: dict[str, str], invoke: Invoke) -> None:
    """A bucket or a secret that does not exist is told apart from an empty one."""
    result = invoke("quarantine", "list", DASTRA_STORE="no-such-bucket", **account)
    assert result.exit_code == Exit.UNREACHABLE
    assert "There is no such bucket in this account and region" in result.stderr
    result = invoke("key", "list", DASTRA_SIGNATURE_KEYS_SECRET="nothing", **account)
    assert result.exit_code == Exit.UNREACHABLE
    assert "There is no such secret in this account and region" in result.stderr


def test_the_local_run_is_the_default_and_says_so(run: Run, invoke: Invoke) -> None:
    """Without a name the local run is used, with a word on stderr; --local uses it without one."""
    result = invoke("spool", "list")
    assert result.exit_code == Exit.DONE
    assert f"Using the local run at {run.url}" in result.stderr
    assert invoke("spool", "list", "--local").stderr == ""


def test_a_local_run_leaves_no_way_to_a_real_account(run: Run, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --local nothing of the user's own AWS settings is left for the SDK to find."""
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://aws.invalid")
    assert invoke("quarantine", "list", "--local").exit_code == Exit.DONE
    assert "AWS_PROFILE" not in os.environ
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_nothing_is_named(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any deployment each way to name one is listed."""
    monkeypatch.chdir(tmp_path)
    result = invoke("quarantine", "list")
    assert result.exit_code == Exit.NO_DEPLOYMENT
    for word in ("--stack NAME", "DASTRA_STACK", "DASTRA_QUEUE", "DASTRA_STORE", "dastra-webhooks run"):
        assert word in result.stderr
    result = invoke("quarantine", "list", "--local")
    assert result.exit_code == Exit.NO_DEPLOYMENT
    assert "no local run is up in this directory or above it" in result.stderr


def test_two_deployments_are_one_too_many(invoke: Invoke) -> None:
    """`--local` beside --stack is a usage error."""
    result = invoke("quarantine", "list", "--local", "--stack", "events")
    assert result.exit_code == Exit.USAGE
    assert "--local excludes --stack" in result.stderr


def test_the_queue_tells_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no region is set, the one in the queue's URL counts."""
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    cloud = load_cloud("aws")
    cloud.queue("https://sqs.eu-west-3.amazonaws.com/123456789012/events", 1, 1)
    assert os.environ["AWS_DEFAULT_REGION"] == "eu-west-3"


def test_names_of_another_cloud_are_not_aws() -> None:
    """Google's and Azure's queues are not taken for SQS."""
    cloud = load_cloud("aws")
    assert cloud.owns(Names("https://sqs.eu-west-3.amazonaws.com/123456789012/events"))
    assert not cloud.owns(Names("projects/example/topics/events"))
    assert not cloud.owns(Names("example.servicebus.windows.net/events"))
    assert cloud.owns(
        Names(None, "events-store", "arn:aws:secretsmanager:eu-west-3:123456789012:secret:events/keys-AbCdEf")
    )
    assert not cloud.owns(Names(None, "events-store", "projects/example/secrets/keys"))
    assert not cloud.owns(Names(None, "https://example.blob.core.windows.net/events"))


def test_a_cloud_that_is_not_supported(account: dict[str, str], invoke: Invoke) -> None:
    """`--cloud` chooses who looks a deployment up; a name that is not there is a usage error."""
    assert invoke("spool", "list", "--stack", "events", "--cloud", "aws", **account).exit_code == Exit.DONE
    result = invoke("spool", "list", "--stack", "events", "--cloud", "ibm", **account)
    assert result.exit_code == Exit.USAGE
    assert "'ibm' is no cloud of the command line." in result.stderr


def test_what_is_above_the_present_directory_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with git, a directory below the one of the run will do."""
    below = run.folder / "below"
    below.mkdir(exist_ok=True)
    monkeypatch.chdir(below)
    assert Where(local=True).find(Output()).is_local


def test_a_run_that_has_ended_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state file that a killed run left behind does not count."""
    from cli.local.state import FOLDER, RunState

    (tmp_path / FOLDER).mkdir()
    RunState(2**22 + 1, None, "http://127.0.0.1:1/", "aws", "q", "s", "k", "log").write(tmp_path / FOLDER)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CliError):
        Where(local=True).find(Output())
