"""Tries a deployment from end to end on a real AWS account: `make smoke-aws`.

It deploys a throwaway stack under a name of its own, sets an invented key, sends genuine, forged and large requests,
accepts the address they came from, reads the events back from the queue as a consumer would, and deletes everything
again, also after a failure. It asks before it starts.

Whoever wrote this had no AWS account at hand: it has been run against a local AWS (`--local`, and in the tests) and
never against the real one. A local AWS evaluates no IAM policy, no key policy and no quota; this script is how you
find out about those.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import boto3  # noqa: E402 - after the path is set
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

from aws_lambda.consumer import s3_fetch  # noqa: E402
from core.event import Event, EventError, Verification  # noqa: E402
from core.signature import parse_keys  # noqa: E402
from scripts.aws_tools import SAM  # noqa: E402
from scripts.local_aws import LocalAws, LocalAwsError  # noqa: E402

BUILD: Final = ROOT / "build" / "smoke"
NEVER_RUN: Final = "This script has been run against a local AWS only, never against a real account."
STEPS: Final = (
    "build the bundle",
    "deploy the stack",
    "before there is a key: forged requests 401, a signed one 503",
    "set the key, send a genuine event: held, since nobody knows the address yet",
    "accept the address: the held event is on the queue",
    "send another: accepted, and read back as a consumer does",
    "send one larger than the queue takes: accepted as a claim check, and read back",
    "wrong signature 401, wrong method 405",
    "run the redrive function",
    "look at the logs: no body, no key, no signature; how long the starts took",
)


class SmokeError(Exception):
    """A step did not give what it should; the text says what came instead."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is deployed where."""

    stack: str
    region: str
    architecture: str
    keep: bool
    environment: Mapping[str, str]

    @property
    def endpoint(self) -> str | None:
        """Where a local AWS listens; None for the real one."""
        return self.environment.get("AWS_ENDPOINT_URL")

    def build_command(self) -> list[str]:
        """How the bundle is built. Apart from samconfig.toml, which may hold answers for another stack."""
        return [
            *(sam(), "build", "--config-env", "smoke", "--template-file", str(ROOT / "infra/aws/template.yaml")),
            *("--build-dir", str(BUILD), "--region", self.region),
        ]

    def deploy_command(self) -> list[str]:
        """How the stack is deployed."""
        return [
            *(sam(), "deploy", "--config-env", "smoke", "--template-file", str(BUILD / "template.yaml")),
            *("--stack-name", self.stack, "--region", self.region, "--capabilities", "CAPABILITY_IAM"),
            *("--resolve-s3", "--no-confirm-changeset", "--no-progressbar"),
            *("--parameter-overrides", f"Architecture={self.architecture}", "LogRetentionDays=1"),
        ]

    def delete_command(self) -> list[str]:
        """How the stack is deleted."""
        return [
            *(sam(), "delete", "--config-env", "smoke", "--stack-name", self.stack),
            *("--region", self.region, "--no-prompts"),
        ]


def sam() -> str:
    """The SAM command line: the project's own, else the one on PATH."""
    return str(SAM.program("sam") or "sam")


class Smoke:
    """One run. ``say`` gets a line for each step."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan: Final = plan
        self._say: Final = say
        self._session: Final = boto3.session.Session(region_name=plan.region)
        self._key: Final = str(uuid.uuid4())
        self._sent: Final[list[bytes]] = []
        self._signatures: Final[list[str]] = []
        self._bucket: str | None = None
        self._started: Final = time.monotonic()
        self._step = 0

    def run(self) -> None:
        """All steps, then the clean-up, whatever happened.

        Raises:
            SmokeError: a step failed, or something is left behind.
        """
        deployed = False
        failures: list[str] = []
        try:
            self._next()
            self._command(self._plan.build_command())
            self._next()
            deployed = True
            self._command(self._plan.deploy_command())
            outputs = self._outputs()
            self._say(f"      {outputs['WebhookUrl']}")
            self._try_out(outputs)
        except (SmokeError, BotoCoreError, ClientError) as error:
            failures.append(f"step {self._step}, {STEPS[self._step - 1]}: {error}")
            self._say(f"      failed: {error}")
        finally:
            if deployed and self._plan.keep:
                self._say(f"The stack {self._plan.stack} stays, as you asked. To delete it:")
                self._say(f"  {' '.join(self._plan.delete_command())}")
                self._say(f"  aws s3 rb --force s3://{self._bucket} --region {self._plan.region}")
            elif deployed:
                failures += self._clean_up()
        if failures:
            raise SmokeError("\n".join(failures))

    def _try_out(self, outputs: Mapping[str, str]) -> None:
        url = outputs["WebhookUrl"]
        self._next()
        self._wait_for(url)
        self._expect(self._post(url, self._event(), signature=None), 401)
        self._expect(self._post(url, self._event(), signature="x" * 44), 401)
        self._expect(self._post(url, self._event()), 503)

        self._next()
        self._cli("key", "set", "--key-file", "-", "--yes", text=self._key)
        held = self._event()
        self._expect(self._post(url, held), 200, "quarantined")

        self._next()
        (address,) = [row["address"] for row in json.loads(self._cli("addresses", "list", "--json")) if row["held"]]
        self._say(f"      from {address}")
        self._cli("addresses", "accept", address, "--yes")
        self._receive(outputs, held)

        self._next()
        event = self._event()
        self._expect(self._post(url, event), 200, "accepted")
        self._receive(outputs, event)

        self._next()
        large = self._event(text="é" * 600_000)
        self._expect(self._post(url, large), 200, "accepted")
        if not self._receive(outputs, large).attributes.get("dataref"):
            raise SmokeError("an event of 1.2 MB came without a claim check")

        self._next()
        wrong = base64.b64encode(secrets.token_bytes(32)).decode()
        self._expect(self._post(url, self._event(), signature=wrong), 401)
        self._expect(self._request(url, "GET", b"", {}), 405)

        self._next()
        answer = self._session.client("lambda").invoke(FunctionName=outputs["RedriveFunction"], Payload=b"{}")
        report = json.loads(answer["Payload"].read())
        if "FunctionError" in answer or report != {"sent": 0, "failed": 0, "skipped": False}:
            raise SmokeError(f"the redrive function answered {report}")

        self._next()
        self._read_logs()

    # -- steps ------------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        self._step += 1
        self._say(f"[{self._step}/{len(STEPS)}] {STEPS[self._step - 1]}  ({time.monotonic() - self._started:.0f} s)")

    def _outputs(self) -> dict[str, str]:
        stacks = self._session.client("cloudformation").describe_stacks(StackName=self._plan.stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
        self._bucket = outputs["BucketName"]
        return outputs

    def _event(self, **data: str) -> bytes:
        """An invented event, each time another."""
        event = {
            "webhookId": 1,
            "date": "2026-01-01T00:00:00",
            "eventType": "DataSubjectCreation",
            "eventName": "Smoke test",
            "data": {"smoke": secrets.token_hex(8), **data},
        }
        body = json.dumps(event, ensure_ascii=False).encode()
        self._sent.append(body)
        return body

    def _post(self, url: str, body: bytes, signature: str | None = "") -> tuple[int, str]:
        """Post as Dastra does; ``signature`` "" is the right one, None none at all."""
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "dastra-webhooks-smoke"}
        if signature == "":
            signature = base64.b64encode(hmac.new(self._key.encode(), body, hashlib.sha256).digest()).decode()
        if signature is not None:
            headers["Dastra-Signature"] = signature
            self._signatures.append(signature)
        return self._request(url, "POST", body, headers)

    def _request(self, url: str, method: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        target = urlsplit(url)
        # A local AWS serves every function URL at its own address and tells them apart by the Host header.
        local = urlsplit(self._plan.endpoint) if self._plan.endpoint else None
        connection = (
            http.client.HTTPConnection(local.hostname or "", local.port, timeout=20)
            if local
            else http.client.HTTPSConnection(target.hostname or "", timeout=20)
        )
        try:
            connection.request(method, target.path or "/", body, {**headers, "Host": target.hostname or ""})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise SmokeError(f"{method} {url} failed: {error!r}") from error
        finally:
            connection.close()

    def _wait_for(self, url: str) -> None:
        """A new URL's name and permissions take a moment to be known everywhere."""
        until = time.monotonic() + 90
        while True:
            try:
                status, text = self._post(url, self._event(), signature=None)
                failure = f"{status} {text[:200]}"
            except SmokeError as error:
                status, failure = 0, str(error)
            if status == 401:
                return
            if time.monotonic() > until:
                raise SmokeError(f"an unsigned request should get 401, and gets: {failure}")
            time.sleep(3)

    @staticmethod
    def _expect(answer: tuple[int, str], status: int, word: str | None = None) -> None:
        if answer[0] != status or (word is not None and json.loads(answer[1]).get("status") != word):
            raise SmokeError(f"expected {status} {word or ''}, got {answer[0]} {answer[1][:300]}")

    def _receive(self, outputs: Mapping[str, str], body: bytes) -> Event:
        """Take the one message off the queue, and check it as a consumer does."""
        sqs = self._session.client("sqs")
        until = time.monotonic() + 60
        while True:
            messages = sqs.receive_message(
                QueueUrl=outputs["QueueUrl"], MessageAttributeNames=["All"], MaxNumberOfMessages=10, WaitTimeSeconds=5
            ).get("Messages", [])
            for message in messages:
                sqs.delete_message(QueueUrl=outputs["QueueUrl"], ReceiptHandle=message["ReceiptHandle"])
            if messages:
                break
            if time.monotonic() > until:
                raise SmokeError("the event did not come out of the queue within 60 s")
        if len(messages) > 1:
            raise SmokeError(f"{len(messages)} messages are on the queue, expected one")
        fetch = s3_fetch(self._session.client("s3"), outputs["BucketName"])
        try:
            event = Event.from_sqs(messages[0], keys=parse_keys(self._key), fetch=fetch)
        except EventError as error:
            raise SmokeError(f"the message on the queue is not readable: {error}") from error
        if event.body != body or event.verification is not Verification.VALID:
            raise SmokeError(f"the message on the queue is not what was sent ({event.verification})")
        self._say(f"      on the queue: {event.type} {event.id[:12]}…, {len(event.body)} bytes, signature valid again")
        return event

    def _read_logs(self) -> None:
        logs = self._session.client("logs")
        text = ""
        for name in ("receiver", "redrive"):
            group = f"/aws/lambda/{self._plan.stack}-{name}"
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            text += "\n".join(event.get("message", "") for page in pages for event in page.get("events", []))
        if not text:
            self._say("      the logs are empty (a local AWS may keep none)")
            return
        planted = [self._key, *self._signatures, *(body[60:].decode() for body in self._sent)]
        if any(value in text for value in planted):
            raise SmokeError("a log line holds a key, a signature or a body")
        starts = re.findall(r"Init Duration: ([0-9.]+) ms", text)
        self._say(f"      {len(text.splitlines())} lines; starts: {', '.join(starts) or 'none reported'} ms")

    # -- programs ---------------------------------------------------------------------------------------------------

    def _command(self, command: Sequence[str]) -> None:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**self._plan.environment, "SAM_CLI_TELEMETRY": "0"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            raise SmokeError(f"{command[0]} was not found: run `make aws-tools`, or install the SAM CLI") from None
        if done.returncode:
            raise SmokeError(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stdout[-6000:]}")

    def _cli(self, *arguments: str, text: str | None = None) -> str:
        """Run the project's own command line on this stack."""
        done = subprocess.run(
            [
                *(sys.executable, "-c", "from cli.main import main; main()"),
                *arguments,
                *("--stack", self._plan.stack),
            ],
            cwd=ROOT,
            env={**self._plan.environment, "PYTHONPATH": str(ROOT)},
            input=text or "",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SmokeError(f"dastra-webhooks {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _clean_up(self) -> list[str]:
        """Delete everything; what is left behind and why."""
        self._say(f"Cleaning up: the stack {self._plan.stack} and its bucket")
        left = []
        try:
            self._command(self._plan.delete_command())
        except SmokeError as error:
            left.append(f"left behind, delete it by hand: the stack {self._plan.stack}: {error}")
        if self._bucket is not None:
            try:
                bucket = self._session.resource("s3").Bucket(self._bucket)
                bucket.objects.all().delete()
                bucket.delete()
            except (BotoCoreError, ClientError) as error:
                left.append(f"left behind, delete it by hand: the bucket {self._bucket}: {error}")
        if not left:
            self._say(f"Everything is deleted.  ({time.monotonic() - self._started:.0f} s)")
        return left


def describe(plan: Plan, say: Callable[[str], None]) -> None:
    """Say what will happen, and in whose account."""
    if plan.endpoint:
        say(f"Target: the local AWS at {plan.endpoint}.")
    else:
        say(NEVER_RUN)
    say(f"Stack:  {plan.stack} in {plan.region} ({plan.architecture}).")
    say("It will:")
    for step in STEPS:
        say(f"  - {step}")
    say("  - " + ("leave the stack where it is" if plan.keep else "delete the stack and its bucket"))
    say("Cost: cents, if it is deleted. SAM makes a bucket for uploads once per region, which stays.")


def identity(region: str) -> str:
    """Who would do it: the account and the caller's ARN.

    Raises:
        SmokeError: there are no usable credentials.
    """
    try:
        caller: dict[str, Any] = dict(boto3.session.Session(region_name=region).client("sts").get_caller_identity())
    except (BotoCoreError, ClientError) as error:
        raise SmokeError(
            f"AWS does not know you: {error}\nLog in first (aws sso login), or set AWS_PROFILE."
        ) from error
    return f"{caller['Account']} as {caller['Arn']}"


def _replace_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, run, say how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0], epilog=NEVER_RUN)
    parser.add_argument("--stack", default=f"dastra-smoke-{secrets.token_hex(4)}", help="default: a name of its own")
    parser.add_argument("--region", help="default: AWS_REGION, AWS_DEFAULT_REGION, eu-west-3")
    parser.add_argument("--architecture", choices=["arm64", "x86_64"], default="arm64")
    parser.add_argument("--keep", action="store_true", help="leave the stack where it is")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--local", action="store_true", help="on a local AWS, which starts and ends with this script")
    options = parser.parse_args(arguments)

    def say(text: str) -> None:
        print(text, flush=True)

    with ExitStack() as stack:
        try:
            if options.local and not options.dry_run:
                local = stack.enter_context(LocalAws())
                stack.callback(_replace_environment, dict(os.environ))
                _replace_environment(local.environment())  # boto3 in this process reads it too
            environment = dict(os.environ)
            region = options.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
            # Both names, since boto3 reads only the second and may find another region there.
            environment["AWS_REGION"] = environment["AWS_DEFAULT_REGION"] = region = region or "eu-west-3"
            plan = Plan(options.stack, region, options.architecture, options.keep, environment)
            describe(plan, say)
            if options.dry_run:
                for command in (plan.build_command(), plan.deploy_command(), plan.delete_command()):
                    say(f"$ {' '.join(command)}")
                say("Nothing was done.")
                return 0
            say(f"Account: {identity(plan.region)}")
            if not options.yes and not options.local and input("Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
                say("Nothing was done.")
                return 1
            Smoke(plan, say).run()
        except (SmokeError, LocalAwsError, BotoCoreError, ClientError) as error:
            print(f"FAILED: {error}", file=sys.stderr, flush=True)
            return 1
        except (KeyboardInterrupt, EOFError):
            print("Interrupted.", file=sys.stderr, flush=True)
            return 130
    say("OK: every step gave what it should.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
