"""AWS: names from a CloudFormation stack's outputs, parts through the receiver's own adapters."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cli.exits import CliError, Exit
from cli.target import SECONDS, Names, SecretStore
from core.ports import PortError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from cli.doctor.model import Result
    from core.ports import Queue, Store

OUTPUTS: Final = ("QueueUrl", "BucketName", "SecretArn")
"""The stack's outputs that the command line reads: queue, store and secret, in the order of ``Names``."""
ENDPOINT: Final = "WebhookUrl"
"""The output with the function's URL. A fork that put a gateway in front of it may have none."""
_QUEUE: Final = re.compile(r"https?://[^/]+/\d{12}/[A-Za-z0-9_.-]{1,80}")
_OTHER: Final = re.compile(r"arn:aws[a-z-]*:.+|(?!projects/)[A-Za-z0-9/_+=.@-]+")
"""A bucket or a secret. Google's secrets are paths below a project, Azure's parts are URLs."""
_REGION: Final = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/")
_LOG_IN: Final = "Log in to AWS first: set AWS_PROFILE (aws configure list-profiles shows yours), or aws sso login."
_ADVICE: Final = {
    "NoCredentialsError": _LOG_IN,
    "PartialCredentialsError": _LOG_IN,
    "ProfileNotFound": "AWS_PROFILE names a profile that does not exist; aws configure list-profiles shows yours.",
    "NoRegionError": "Set AWS_REGION to the region of the deployment, for example eu-west-3.",
    "ExpiredToken": "Your AWS session is over; log in again.",
    "ExpiredTokenException": "Your AWS session is over; log in again.",
    "TokenRetrievalError": "Your AWS session is over: aws sso login.",
    "SSOTokenLoadError": "Your AWS session is over: aws sso login.",
    "UnauthorizedSSOTokenError": "Your AWS session is over: aws sso login.",
    "InvalidClientTokenId": "AWS does not know these credentials; is AWS_PROFILE the right one?",
    "UnrecognizedClientException": "AWS does not know these credentials; is AWS_PROFILE the right one?",
    "AccessDenied": "Your AWS identity may not do this; see who you are with aws sts get-caller-identity.",
    "AccessDeniedException": "Your AWS identity may not do this; see who you are with aws sts get-caller-identity.",
    "NoSuchBucket": "There is no such bucket in this account and region; check the name and AWS_REGION.",
    "ResourceNotFoundException": "There is no such secret in this account and region; check the name and AWS_REGION.",
    "AWS.SimpleQueueService.NonExistentQueue": "There is no such queue in this account and region; check AWS_REGION.",
    "QueueDoesNotExist": "There is no such queue in this account and region; check AWS_REGION.",
    "EndpointConnectionError": "AWS cannot be reached from here: check the network, the proxy and AWS_REGION.",
    "ConnectTimeoutError": "AWS cannot be reached from here: check the network, the proxy and AWS_REGION.",
    "resting": "The queue did not answer in time a moment ago; try again in 15 seconds.",
    "hard_timeout": "It did not answer in time; try again.",
}


class Aws:
    """The cloud of the registry."""

    def __init__(self) -> None:
        # Ours is the one name, as every other tool's; boto3 reads the other, which a shell's profile may have set.
        if region := os.environ.get("AWS_REGION"):
            os.environ["AWS_DEFAULT_REGION"] = region

    def owns(self, names: Names) -> bool:
        """Whether the queue's name is a URL of SQS; else whether the others could be names on AWS."""
        if names.queue is not None:
            return _QUEUE.fullmatch(names.queue) is not None
        return all(_OTHER.fullmatch(name) for name in (names.store, names.secret) if name is not None)

    def use(self, environment: Mapping[str, str]) -> None:
        """Put the emulators' addresses and invented credentials where the SDK looks, in place of the user's own."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(environment)

    def find(self, deployment: str) -> Names:
        """The names in a stack's outputs.

        Raises:
            CliError: as in ``cli.target.Cloud``.
        """
        try:
            client = self._session.client("cloudformation", config=_config())
            stacks = client.describe_stacks(StackName=deployment)["Stacks"]
        except ClientError as error:
            found = error.response.get("Error", {})
            if found.get("Code") == "ValidationError" and "does not exist" in str(found.get("Message")):
                raise CliError(
                    f"there is no stack {deployment} in {self._session.region_name}.",
                    "Check the name and AWS_REGION. This lists what is there: aws cloudformation list-stacks",
                    Exit.NO_DEPLOYMENT,
                ) from None
            raise self._unreachable(f"the stack {deployment} cannot be read", error) from error
        except BotoCoreError as error:
            raise self._unreachable(f"the stack {deployment} cannot be read", error) from error
        outputs = {
            str(output.get("OutputKey")): output.get("OutputValue") or None for output in stacks[0].get("Outputs", ())
        }
        names = Names(*(outputs.get(output) for output in (*OUTPUTS, ENDPOINT)))
        missing = [output for output in OUTPUTS if outputs.get(output) is None]
        if missing:
            raise CliError(
                f"the stack {deployment} lacks the output {' and '.join(missing)}: it is no deployment of this "
                "receiver, or one of another version.",
                f"Its outputs: {', '.join(sorted(outputs)) or 'none'}.",
                Exit.NO_DEPLOYMENT,
            )
        return names

    def queue(self, name: str, seconds: float, workers: int) -> Queue:
        """SQS, by the queue's URL, whose region counts where none is set."""
        self._take_region(name)
        # Not above: its module makes a session when it is imported, which fails for a profile that does not exist.
        from aws_lambda.sqs_queue import SqsQueue

        return SqsQueue(name, seconds, workers)

    def store(self, name: str, seconds: float, workers: int) -> Store:
        """S3."""
        _ = self._session
        from aws_lambda.s3_store import S3Store

        return S3Store(name, seconds, workers)

    def secret(self, name: str) -> SecretStore:
        """Secrets Manager."""
        return _Secret(self._session, name)

    def advice(self, code: str) -> str | None:
        """What to do about an error code of AWS, or the name of an exception of its SDK."""
        return _ADVICE.get(code)

    def inside(self, names: Names, deployment: str | None) -> Iterator[Result]:
        """What the doctor sees of a deployment with these credentials; ``deployment`` is the stack's name."""
        from cli.doctor.aws import Inside

        self._take_region(names.queue or "")
        # Not the session above: the region may have been taken since that one was made.
        session = cast(Any, boto3.session.Session())
        client = cache(lambda service: session.client(service, config=_config()))
        return Inside(client, self.advice, names, deployment).rows()

    def _take_region(self, queue: str) -> None:
        if self._session.region_name is None and (match := _REGION.match(queue)):
            os.environ["AWS_DEFAULT_REGION"] = match[1]

    @cached_property
    def _session(self) -> boto3.session.Session:
        try:
            return boto3.session.Session()
        except BotoCoreError as error:
            raise self._unreachable("AWS cannot be used", error) from error

    def _unreachable(self, what: str, error: BotoCoreError | ClientError) -> CliError:
        code = _code(error)
        return CliError(f"{what}: {code}.", self.advice(code) or "", Exit.UNREACHABLE)


class _Secret:
    """A secret by its name or ARN."""

    def __init__(self, session: boto3.session.Session, name: str) -> None:
        self._session: Final = session
        self._name: Final = name

    def read(self) -> str | None:
        try:
            return self._client.get_secret_value(SecretId=self._name).get("SecretString")
        except ClientError as error:
            found = error.response.get("Error", {})
            # The same code says that there is no secret and that the secret has no value yet.
            if found.get("Code") == "ResourceNotFoundException" and "value" in str(found.get("Message")):
                return None
            raise PortError(_code(error)) from error
        except BotoCoreError as error:
            raise PortError(_code(error)) from error

    def write(self, text: str) -> None:
        try:
            self._client.put_secret_value(SecretId=self._name, SecretString=text)
        except (BotoCoreError, ClientError) as error:
            raise PortError(_code(error)) from error

    @cached_property
    def _client(self) -> SecretsManagerClient:
        return self._session.client("secretsmanager", config=_config())


def cloud() -> Aws:
    """The cloud of the registry."""
    return Aws()


def _config() -> Config:
    return Config(
        connect_timeout=SECONDS, read_timeout=2 * SECONDS, retries={"mode": "standard", "total_max_attempts": 2}
    )


def _code(error: BotoCoreError | ClientError) -> str:
    """A service's error code, or the exception's name; never its message, which may quote what was sent."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "unknown")
    return type(error).__name__
