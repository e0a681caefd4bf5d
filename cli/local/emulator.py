"""The embedded AWS emulator: SQS, S3 and Secrets Manager on a loopback port, as a child process.

It is ministack, which keeps everything in memory. Its admin paths and its settings are read from its source, 1.5.33.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import boto3
from botocore.config import Config

from cli.local.faults import LOOPBACK, reserve_port
from cli.local.sockets import listeners

REGION: Final = "eu-west-1"
DAY = 24 * 60 * 60

# The child watches its standard input, a pipe whose other end this process holds: when the parent ends, however
# hard, the pipe closes and the child takes its own process group, and its scratch directory, with it. (The parent
# death signal of Linux would not do: it comes when the thread that started the child ends.)
_CHILD = """
import os, shutil, signal, sys, threading
scratch = sys.argv.pop()
def watch():
    while os.read(0, 1):
        pass
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
from ministack.app import main
main()
"""


class EmulatorError(RuntimeError):
    """The emulator did not start, did not answer as expected, or listens beyond loopback."""


@dataclass(frozen=True, slots=True)
class PeekedMessage:
    """A message as it lies on a queue. Looking at it changed nothing."""

    message_id: str
    body: str
    attributes: Mapping[str, str | bytes]
    """The message attributes: text, or bytes where the sender said Binary."""
    sent_at: float
    """When it was sent, in seconds since the epoch."""
    receive_count: int
    in_flight: bool
    """Hidden now: somebody received it, or its delay is not over."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the local deployment's resources are called."""

    queue: str = "dastra-webhooks"
    dead_letters: str = "dastra-webhooks-dead-letters"
    bucket: str = "dastra-webhooks"
    secret: str = "dastra-webhooks/signature-keys"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Resources:
    """What `provision` made."""

    queue_url: str
    queue_name: str
    dlq_url: str
    bucket: str
    secret_id: str


class AwsEmulator:
    """The emulator while the `with` block runs: on a port of 127.0.0.1 that was free, with nothing on it.

    Entering raises EmulatorError, with the end of the emulator's log, when it ends early, does not answer within
    `start_seconds`, or listens beyond loopback. Leaving ends its processes and removes its directory; so does the
    end of this process, even by SIGKILL.
    """

    def __init__(self, *, start_seconds: float = 30.0) -> None:
        self._start_seconds = start_seconds
        self._stack = ExitStack()
        self._port = 0
        self._pid = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dastra-webhooks-")))
            self._port, holder = reserve_port()
            stack.enter_context(holder)
            log = scratch / "emulator.log"
            with log.open("wb") as output:
                child = subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
                    [sys.executable, "-c", _CHILD, str(scratch)],
                    env=_environment(scratch, self._port),
                    cwd=scratch,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            stack.callback(_end, child)
            self._pid = child.pid
            self._wait(child, log)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def endpoint_url(self) -> str:
        """The endpoint of every service, for example `http://127.0.0.1:41234`."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int:
        """The process, which leads a process group of its own."""
        return self._pid

    def session(self) -> boto3.Session:
        """Return a session with invented credentials. The endpoint is not part of a session: pass `endpoint_url`."""
        return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)  # noqa: S106

    def reset(self) -> None:
        """Throw away everything on it, queues and buckets included."""
        self._ask("POST", "/_ministack/reset")

    def messages(self, queue_name: str) -> list[PeekedMessage]:
        """Return every message on a queue, oldest first, those in flight included, and change none of them.

        Raises LookupError, naming the queues there are, when there is no such queue.
        """
        # A filter by name still lists the queue of that name in each account and region: here there is one of each.
        found = _by_queue(self._ask("GET", f"/_ministack/sqs/messages?QueueUrl={quote(queue_name)}"))
        if not found:
            names = sorted(url.rpartition("/")[2] for url, _ in _by_queue(self._ask("GET", "/_ministack/sqs/messages")))
            raise LookupError(f"no queue {queue_name!r} among {names}")
        messages = [_peeked(message) for _, listed in found for message in listed]
        # A dead-letter queue lists its messages in the order in which they moved.
        return sorted(messages, key=lambda message: message.sent_at)

    def _wait(self, child: subprocess.Popen[bytes], log: Path) -> None:
        until = time.monotonic() + self._start_seconds
        while True:
            try:
                self._ask("GET", "/_ministack/health")
                break
            except (OSError, EmulatorError, http.client.HTTPException):
                if (status := child.poll()) is not None:
                    raise EmulatorError(f"the AWS emulator ended with status {status}:\n{_tail(log)}") from None
                if time.monotonic() > until:
                    words = f"the AWS emulator did not answer within {self._start_seconds:g} s"
                    raise EmulatorError(f"{words}:\n{_tail(log)}") from None
                time.sleep(0.02)
        found = listeners(child.pid)
        beyond = sorted(f"{address}:{port}" for address, port in found if not address.is_loopback)
        if beyond or (found and (ip_address(LOOPBACK), self._port) not in found):
            raise EmulatorError(f"the AWS emulator should listen on {LOOPBACK}:{self._port} alone: {beyond or found}")

    def _ask(self, method: str, path: str) -> Any:
        # Not urllib: it would send this through the proxy that the environment may name.
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise EmulatorError(f"the AWS emulator answered {response.status} to {method} {path.partition('?')[0]}")
        return json.loads(body)


def provision(session: boto3.Session, names: Names | None = None, *, endpoint_url: str | None = None) -> Resources:
    """Make what a deployment has: a queue with its dead letters, a bucket, and a secret that has no value yet.

    The session's region must be `REGION`; `endpoint_url` None leaves the endpoints to boto3, that is to
    AWS_ENDPOINT_URL. The names must be free: call it once after the start, and once after each reset.
    `GetSecretValue` answers ResourceNotFoundException until a value is put, as AWS does. Raises botocore's errors.
    """
    names = names or Names()
    config = Config(proxies={})
    sqs = session.client("sqs", endpoint_url=endpoint_url, config=config)
    s3 = session.client("s3", endpoint_url=endpoint_url, config=config)
    secrets = session.client("secretsmanager", endpoint_url=endpoint_url, config=config)
    with closing(sqs), closing(s3), closing(secrets):
        size = str(1024 * 1024)
        dlq_url = sqs.create_queue(
            QueueName=names.dead_letters,
            Attributes={"MaximumMessageSize": size, "MessageRetentionPeriod": str(14 * DAY)},
        )["QueueUrl"]
        dlq_arn = sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        queue_url = sqs.create_queue(
            QueueName=names.queue,
            Attributes={
                "MaximumMessageSize": size,
                "MessageRetentionPeriod": str(4 * DAY),
                "VisibilityTimeout": "60",
                "RedrivePolicy": json.dumps({"deadLetterTargetArn": dlq_arn, "maxReceiveCount": 5}),
            },
        )["QueueUrl"]
        s3.create_bucket(Bucket=names.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        secret = secrets.create_secret(Name=names.secret)
        if "VersionId" in secret:
            # AWS makes no version without a value. ministack makes an empty one, and would answer with that.
            secrets.update_secret_version_stage(
                SecretId=secret["ARN"], VersionStage="AWSCURRENT", RemoveFromVersionId=secret["VersionId"]
            )
    return Resources(queue_url, names.queue, dlq_url, names.bucket, secret["ARN"])


def _environment(scratch: Path, port: int) -> dict[str, str]:
    """Build the child's environment from little, so that no setting of the user's turns the emulator's head."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_REGION": REGION,
        "TMPDIR": str(scratch),
        "STATE_DIR": str(scratch / "state"),
        "S3_DATA_DIR": str(scratch / "s3"),
        # Where Docker runs, it would remove the containers of another MiniStack when it starts.
        "DOCKER_HOST": f"unix://{scratch}/no-docker",
    }


def _end(child: subprocess.Popen[bytes]) -> None:
    for sign, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
        if child.poll() is None:
            os.killpg(child.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
    if child.stdin is not None:
        child.stdin.close()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) or "(its log is empty)"


def _by_queue(answer: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    regions = (region for account in answer["messages"].values() for region in account.values())
    return [item for region in regions for item in region.items()]


def _peeked(message: dict[str, Any]) -> PeekedMessage:
    return PeekedMessage(
        message_id=message["MessageId"],
        body=message["Body"],
        attributes={
            name: value["StringValue"] if "StringValue" in value else base64.b64decode(value["BinaryValue"])
            for name, value in message["MessageAttributes"].items()
        },
        # The SentTimestamp beside it is cut to seconds.
        sent_at=int(message["Attributes"]["SentTimestamp"]) / 1000,
        receive_count=message["ReceiveCount"],
        in_flight=not message["IsVisible"],
    )
