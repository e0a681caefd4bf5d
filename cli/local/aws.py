"""AWS on this machine: the real Lambda handlers before an emulated SQS, S3 and Secrets Manager that can break."""

from __future__ import annotations

import base64
import json
import os
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, unquote

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cli.exits import CliError
from cli.local.cloud import Depths, Handled, Watch, body_as_json
from cli.local.emulator import REGION, AwsEmulator, EmulatorError, provision
from cli.local.faults import FaultProxy
from cli.local.front import HttpAnswer, HttpRequest
from cli.local.journal import Journal
from core.event import EventError
from core.message import ATTRIBUTE_NAMES
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeFilterType

    from aws_lambda.wiring import Handler

MOST_BYTES: Final = 6_291_556
"""What Lambda takes as one event, base64 and headers included (its quotas: 6 MB)."""
_TOO_LARGE: Final = HttpAnswer(413, [("Content-Type", "application/json")], b'{"Message":"Request Entity Too Large"}')
_PLATFORM: Final = ("AWS_", "POWERTOOLS_", "LAMBDA_")
_TEXT: Final = ("text/", "application/json", "application/xml", "application/javascript")
_PREFIX: Final = "ce-"
_ADDED: Final = frozenset({"connection", "content-length", "transfer-encoding", "x-forwarded-for"})
"""Headers that the platform's front writes itself."""


def environment(queue: str, store: str, secrets: str) -> dict[str, str]:
    """What an SDK must find in its environment to reach these three endpoints and nothing else."""
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_SQS": queue,
        "AWS_ENDPOINT_URL_S3": store,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def function_url_event(request: HttpRequest, request_id: str) -> dict[str, Any]:
    """The event that a function URL makes of a request: payload 2.0, as in AWS's documentation of it.

    Text types go in as text where they are UTF-8, all else as base64.
    """
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        elif name not in _ADDED:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    headers |= {
        "content-length": str(len(request.body)),
        "x-amzn-trace-id": f"Root=1-{int(request.received_at):08x}-{uuid.uuid4().hex[:24]}",
        "x-forwarded-for": request.client,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    text = _text(request.body, headers)
    query = request.query.decode("latin-1")
    path = unquote(request.path.decode("latin-1"))
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": headers.get("host", ""),
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.client,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": datetime.fromtimestamp(request.received_at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(request.received_at * 1000),
        },
        "isBase64Encoded": text is None,
    }
    if cookies:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = {
            name: ",".join(values) for name, values in parse_qs(query, keep_blank_values=True).items()
        }
    if request.body:
        event["body"] = base64.b64encode(request.body).decode("ascii") if text is None else text
    return event


def _text(body: bytes, headers: Mapping[str, str]) -> str | None:
    if not body or "content-encoding" in headers or not headers.get("content-type", "").lower().startswith(_TEXT):
        return "" if not body else None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class _Context:
    """The part of Lambda's context object that a handler may ask for."""

    aws_request_id: str
    function_name: str = "dastra-webhooks"
    function_version: str = "$LATEST"
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:000000000000:function:dastra-webhooks"
    memory_limit_in_mb: int = 256

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


class LocalAws:
    """A deployment on this machine while the `with` block runs. It changes this process's environment for good.

    Args:
        settings: the user's own ``DASTRA_`` settings, without those that name keys, queue and store.
        keys: the signature keys' text, as it goes into the emulated secret.
        journal: where the handlers' output goes; it must be ``sys.stdout`` already.
        watch: is told of every request; called on the request's thread.
    """

    title: str = (
        "The receiver is up, as on AWS: the real Lambda handler,\n"
        "with SQS, S3 and Secrets Manager emulated on this machine."
    )
    most_bytes: int = MOST_BYTES

    def __init__(self, settings: Mapping[str, str], keys: str, journal: Journal, watch: Watch) -> None:
        self._settings: Final = settings
        self._keys: Final = keys
        self._journal: Final = journal
        self._watch: Final = watch
        self._stack = ExitStack()
        self.faults: dict[str, FaultProxy] = {}
        """The proxy in front of each service, by the name that the controls use."""
        self.environment: dict[str, str] = {}
        """What another process's SDK needs to reach the emulated services, faults included."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                self._emulator = emulator = stack.enter_context(AwsEmulator())
            except EmulatorError as error:
                raise CliError("the emulated AWS did not start.", str(error)) from error
            for name in ("queue", "store", "keys"):
                self.faults[name] = stack.enter_context(FaultProxy(int(emulator.endpoint_url.rpartition(":")[2])))
            self._take_environment()
            self._names = provision(emulator.session(), endpoint_url=emulator.endpoint_url)
            self.queue: str = self._names.queue_url
            self.store: str = self._names.bucket
            self.secret: str = self._names.secret_id
            config = Config(proxies={})
            secrets = emulator.session().client("secretsmanager", endpoint_url=emulator.endpoint_url, config=config)
            secrets.put_secret_value(SecretId=self.secret, SecretString=self._keys)
            self._s3: S3Client = emulator.session().client("s3", endpoint_url=emulator.endpoint_url, config=config)
            self._sqs: SQSClient = emulator.session().client("sqs", endpoint_url=emulator.endpoint_url, config=config)
            # Only now: the SDK's session, made when this is imported, reads the environment.
            from aws_lambda.wiring import webhook_handler

            self._handler: Handler = webhook_handler(self._handler_settings())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request through the handler, as Lambda does."""
        started = time.monotonic()
        request_id = str(uuid.uuid4())
        event = function_url_event(request, request_id)
        with self._journal.gather() as lines:
            answer = _TOO_LARGE if _too_large(event) else self._invoke(event, request_id)
        self._watch(Handled(request, len(request.body), answer, (time.monotonic() - started) * 1000, tuple(lines)))
        return answer

    def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
        """As AWS does before a function sees anything."""
        self._watch(Handled(request, size, _TOO_LARGE, (time.time() - request.received_at) * 1000))
        return _TOO_LARGE

    def redrive(self) -> dict[str, Any]:
        """Run the redrive handler once, as a new instance would: without memory of an earlier run's time-outs.

        Raises:
            core.ports.PortError: the store does not answer.
        """
        from aws_lambda.wiring import redrive_handler

        return redrive_handler(self._handler_settings())({}, _Context(str(uuid.uuid4())))

    def messages(self) -> list[dict[str, Any]]:
        """Every message on the queue, oldest first, none touched; claim checks followed."""
        found = []
        for message in self._emulator.messages(self._names.queue_name):
            attributes = {name: value for name, value in message.attributes.items() if isinstance(value, str)}
            body = self._follow(attributes.get(f"{_PREFIX}dataref"), message.body.encode())
            id_ = attributes.get(f"{_PREFIX}id", message.message_id)
            found.append({"id": id_, "attributes": attributes, **body_as_json(body)})
        return found

    def stored(self) -> list[dict[str, Any]]:
        """Every object in spool and quarantine, oldest first; claim checks followed."""
        return [record for prefix in (SPOOL_PREFIX, QUARANTINE_PREFIX) for record in self._records(prefix)]

    def depths(self) -> Depths:
        """How much is where."""
        names: list[QueueAttributeFilterType] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return Depths(sum(map(int, found.values())), *map(self._keys_below, (SPOOL_PREFIX, QUARANTINE_PREFIX)))

    def _keys_below(self, prefix: str) -> tuple[str, ...]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.store, Prefix=prefix)
        return tuple(entry["Key"] for page in pages for entry in page.get("Contents", ()))

    def _records(self, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.store, Prefix=prefix):
            for entry in page.get("Contents", ()):
                try:
                    found = self._s3.get_object(Bucket=self.store, Key=entry["Key"])
                except ClientError:  # it went on meanwhile
                    continue
                metadata = found["Metadata"]
                attributes = {name: metadata[name] for name in ATTRIBUTE_NAMES if name in metadata}
                body = self._follow(attributes.get("dataref"), found["Body"].read())
                yield {
                    "key": entry["Key"],
                    "reason": metadata.get("reason"),
                    "address": metadata.get("address"),
                    "attributes": attributes,
                    **body_as_json(body),
                }

    def _follow(self, dataref: str | None, body: bytes) -> bytes:
        """The body that a claim check points at; the pointer itself where nothing is there."""
        if dataref is None:
            return body
        from aws_lambda.consumer import s3_fetch

        try:
            return s3_fetch(self._s3, self.store)(dataref)
        except (EventError, BotoCoreError, ClientError):
            return body

    def _invoke(self, event: dict[str, Any], request_id: str) -> HttpAnswer:
        try:
            return _answer(self._handler(event, _Context(request_id)))
        except Exception:  # noqa: BLE001 - what Lambda does with a handler that raises
            self._journal.write(traceback.format_exc())
            return HttpAnswer(502, [("Content-Type", "application/json")], b'{"Message":"Internal Server Error"}')

    def _handler_settings(self) -> dict[str, str]:
        return {
            **self._settings,
            "DASTRA_QUEUE": self.queue,
            "DASTRA_STORE": self.store,
            "DASTRA_SIGNATURE_KEYS_SECRET": self.secret,
        }

    def _take_environment(self) -> None:
        for name in [name for name in os.environ if name.startswith(_PLATFORM)]:
            del os.environ[name]
        self.environment = environment(*(self.faults[name].url for name in ("queue", "store", "keys")))
        os.environ.update(self.environment)


def _too_large(event: dict[str, Any]) -> bool:
    # Most bodies are far from it; only a large one is worth measuring with all that JSON makes of it.
    return (
        len(event.get("body", "")) > MOST_BYTES / 8 and len(json.dumps(event, ensure_ascii=False).encode()) > MOST_BYTES
    )


def _answer(answer: dict[str, Any]) -> HttpAnswer:
    body = answer.get("body") or ""
    return HttpAnswer(
        int(answer["statusCode"]),
        [(str(name), str(value)) for name, value in (answer.get("headers") or {}).items()],
        base64.b64decode(body) if answer.get("isBase64Encoded") else str(body).encode(),
    )


start = LocalAws
"""What `cli.commands.run` looks for."""
