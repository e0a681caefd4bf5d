"""The smoke script, against a local AWS in place of the real one it is for."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import boto3
import pytest

from scripts import aws_tools, smoke_aws
from scripts.local_aws import LocalAws


@pytest.fixture
def local_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAws]:
    """An empty local AWS, which every SDK and SAM in this test talks to."""
    if reason := aws_tools.missing(aws_tools.SAM, aws_tools.EMULATOR):
        pytest.skip(reason)
    with LocalAws() as local:
        for name, value in local.environment().items():
            monkeypatch.setenv(name, value)
        yield local


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_tries_everything_and_leaves_nothing(local_aws: LocalAws, capsys: pytest.CaptureFixture[str]) -> None:
    """Every step passes on the unmodified deployment, and afterwards the account is as it was, but for SAM's bucket."""
    assert smoke_aws.main(["--yes", "--stack", "smoke-test"]) == 0
    printed = capsys.readouterr().out
    assert "OK: every step gave what it should." in printed
    assert all(step in printed for step in smoke_aws.STEPS)
    assert [
        bucket["Name"].startswith("aws-sam-cli-managed") for bucket in boto3.client("s3").list_buckets()["Buckets"]
    ] == [True]
    assert boto3.client("sqs").list_queues().get("QueueUrls", []) == []
    assert boto3.client("lambda").list_functions()["Functions"] == []
    assert boto3.client("secretsmanager").list_secrets()["SecretList"] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_failed_step_is_named_and_everything_is_deleted_all_the_same(
    local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a failure the script says which step failed with what, cleans up and does not say OK."""

    def fail(*_: object) -> None:
        raise smoke_aws.SmokeError("invented")

    monkeypatch.setattr(smoke_aws.Smoke, "_wait_for", fail)
    assert smoke_aws.main(["--yes", "--stack", "smoke-test"]) == 1
    printed = capsys.readouterr()
    assert f"FAILED: step 3, {smoke_aws.STEPS[2]}: invented" in printed.err
    assert "Everything is deleted." in printed.out
    assert "OK" not in printed.out
    assert boto3.client("lambda").list_functions()["Functions"] == []


def test_a_dry_run_says_everything_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--dry-run` shows the commands with the chosen names, needs no credentials, and calls nothing."""
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(smoke_aws, "identity", lambda region: pytest.fail("it asked AWS"))
    arguments = ["--dry-run", "--stack", "mine", "--region", "eu-central-1", "--architecture", "x86_64", "--keep"]
    assert smoke_aws.main(arguments) == 0
    printed = capsys.readouterr().out
    assert smoke_aws.NEVER_RUN in printed
    assert "--stack-name mine --region eu-central-1" in printed
    assert "Architecture=x86_64" in printed
    assert "leave the stack where it is" in printed
    assert printed.rstrip().endswith("Nothing was done.")


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """An endpoint that answers every call as STS answers GetCallerIdentity; the status it answers with can be set."""
    status = [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            ok = (
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
                "<Arn>arn:aws:iam::123456789012:user/somebody</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
            )
            bad = "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>too old</Message></Error></ErrorResponse>"
            body = (ok if status[0] == 200 else bad).encode()
            self.send_response(status[0])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "invented")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "invented")
        yield status
        server.shutdown()


@pytest.mark.parametrize("answer", ["", "n", "no", "what?"])
def test_it_asks_before_it_starts(
    sts: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    """It names the account and asks; whatever is not a yes ends it before anything was done."""
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    monkeypatch.setattr(smoke_aws.Smoke, "run", lambda self: pytest.fail("it started"))
    assert smoke_aws.main([]) == 1
    printed = capsys.readouterr().out
    assert "Account: 123456789012 as arn:aws:iam::123456789012:user/somebody" in printed
    assert "Nothing was done." in printed


@pytest.mark.parametrize(("option", "region"), [([], "eu-west-1"), (["--region", "eu-central-1"], "eu-central-1")])
def test_every_program_of_a_run_works_in_one_region(
    sts: list[int], monkeypatch: pytest.MonkeyPatch, option: list[str], region: str
) -> None:
    """AWS_REGION counts before AWS_DEFAULT_REGION, and the option before both; what is started finds no other."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    plans: list[smoke_aws.Plan] = []
    monkeypatch.setattr(smoke_aws.Smoke, "run", lambda self: plans.append(self._plan))
    assert smoke_aws.main(["--yes", *option]) == 0
    (plan,) = plans
    assert [plan.region, plan.environment["AWS_REGION"], plan.environment["AWS_DEFAULT_REGION"]] == [region] * 3


def test_credentials_that_do_not_work_are_said_to_be_so(sts: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    """With an expired session nothing starts, and the message says how to log in."""
    sts[0] = 403
    assert smoke_aws.main(["--yes"]) == 1
    printed = capsys.readouterr().err
    assert "ExpiredToken" in printed
    assert "aws sso login" in printed
