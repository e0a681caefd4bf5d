"""A stack as `sam deploy` makes it on a local AWS, and what a sender and a consumer do with it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import urlsplit

import boto3
import pytest

from scripts import aws_tools
from scripts.local_aws import REGION
from tests.deploy.aws import ROOT

if TYPE_CHECKING:
    from boto3.session import Session

STACK: Final = "dastra-webhooks"
"""The name in samconfig.toml."""
PARTS: Final = ("core", "aws_lambda", "infra/aws", "scripts", "samconfig.toml", "pyproject.toml", "uv.lock", "LICENSE")


def copy_project(copy: Path) -> Path:
    """Copy what a clone has, so that the user's own .aws-sam and samconfig.toml stay as they are."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / part, copy / part)
    return copy


def run_sam(project: Path, environment: Mapping[str, str], *arguments: str, answers: str = "") -> str:
    """Run SAM in the project; what it printed."""
    if reason := aws_tools.missing(aws_tools.SAM):
        pytest.skip(reason)
    done = subprocess.run(
        [str(aws_tools.SAM.program("sam")), *arguments],
        cwd=project,
        # The uv that the project fetched for itself need not be fetched again for the copy.
        env={**environment, "SAM_CLI_TELEMETRY": "0", "PATH": f"{ROOT / '.tools/bin'}{os.pathsep}{os.environ['PATH']}"},
        input=answers,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"sam {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


class LocalAccount(Protocol):
    """A local AWS."""

    @property
    def url(self) -> str:
        """The endpoint of every service."""

    def environment(self) -> dict[str, str]:
        """What SDKs and SAM read."""


@dataclass(frozen=True)
class Deployment:
    """The deployed stack."""

    aws: LocalAccount
    session: Session
    project: Path
    outputs: Mapping[str, str]

    @classmethod
    def of(cls, aws: LocalAccount, project: Path) -> Self:
        """The stack that was deployed there."""
        session = boto3.session.Session("local", "local", region_name=REGION)
        stack = session.client("cloudformation", endpoint_url=aws.url).describe_stacks(StackName=STACK)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        return cls(aws, session, project, outputs)

    def post(self, body: bytes, signature: str) -> tuple[int, Any]:
        """Post to the function URL; a local AWS finds it by the Host header."""
        endpoint = urlsplit(self.aws.url)
        connection = http.client.HTTPConnection(endpoint.hostname or "", endpoint.port, timeout=30)
        try:
            headers = {"Dastra-Signature": signature, "Content-Type": "application/json; charset=utf-8"}
            host = urlsplit(self.outputs["WebhookUrl"]).hostname or ""
            connection.request("POST", "/", body, {**headers, "Host": host})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def client(self, service: Any) -> Any:
        """A client of the deployment's account."""
        return self.session.client(service, endpoint_url=self.aws.url)

    def receive(self) -> list[dict[str, Any]]:
        """Take what is on the queue."""
        sqs = self.client("sqs")
        found: list[dict[str, Any]] = sqs.receive_message(
            QueueUrl=self.outputs["QueueUrl"], MessageAttributeNames=["All"], MaxNumberOfMessages=10, WaitTimeSeconds=1
        ).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=self.outputs["QueueUrl"], ReceiptHandle=message["ReceiptHandle"])
        return found
