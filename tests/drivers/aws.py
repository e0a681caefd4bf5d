"""The AWS driver: the real handlers in this process, real boto3 on the wire, a real emulator at its end."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.config import Config

from aws_lambda import wiring
from aws_lambda.sqs_queue import MAX_BYTES
from aws_lambda.telemetry import PowertoolsLog
from cli.local.emulator import REGION, AwsEmulator
from cli.local.faults import Fault, FaultProxy
from core.addresses import address_key
from core.delivery import Delivery
from core.redrive import Redrive
from core.settings import Settings
from tests.drivers import (
    LISTED,
    Answer,
    Cloud,
    Driver,
    Duplicates,
    Front,
    HttpRequest,
    Mode,
    Platform,
    Port,
    Run,
    Sent,
    Stored,
    register,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

Event = dict[str, Any]

_PREFIX: Final = "ce-"
_SERVICES: Final = {Port.QUEUE: "SQS", Port.STORE: "S3", Port.KEYS: "SECRETS_MANAGER"}


# -- fronts: what each makes of a request, after AWS's documentation (sources in tests/events/aws/README.md) -----------


def _forwarded(request: HttpRequest) -> list[tuple[str, str]]:
    """The headers after a front appended the address it saw, to the last such header or as a new one."""
    headers = list(request.headers)
    if request.client is None:
        return headers
    for index in reversed(range(len(headers))):
        name, value = headers[index]
        if name.lower() == "x-forwarded-for":
            headers[index] = (name, f"{value}, {request.client}" if value.strip() else request.client)
            return headers
    return [*headers, ("X-Forwarded-For", request.client)]


def _grouped(headers: Sequence[tuple[str, str]], *, lower: bool) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in headers:
        grouped.setdefault(name.lower() if lower else name, []).append(value)
    return grouped


def _body(request: HttpRequest, *, wrapped: bool) -> tuple[str, bool]:
    """The body's text and whether it is base64; what is not UTF-8 cannot be passed as text."""
    if not wrapped:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _payload_2(request: HttpRequest, *, wrapped: bool, domain: str, account: str) -> Event:
    grouped = _grouped(_forwarded(request), lower=True)
    cookies = grouped.pop("cookie", None)
    headers = {name: ",".join(values) for name, values in grouped.items()}
    body, is_base64 = _body(request, wrapped=wrapped)
    event: Event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": {"host": domain, "x-forwarded-proto": "https", **headers},
        "requestContext": {
            "accountId": account,
            "apiId": domain.partition(".")[0],
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": int(time.time() * 1000),
        },
        "isBase64Encoded": is_base64,
    }
    if request.client is not None:
        event["requestContext"]["http"]["sourceIp"] = request.client
    if request.query:
        event["queryStringParameters"] = dict(parse_qsl(request.query, keep_blank_values=True))
    if cookies:
        event["cookies"] = [part.strip() for value in cookies for part in value.split(";")]
    if request.body:
        event["body"] = body
    else:
        event["isBase64Encoded"] = False
    return event


def _function_url(request: HttpRequest, *, wrapped: bool) -> Event:
    domain = f"exampleexampleexampleexample0001.lambda-url.{REGION}.on.aws"
    return _payload_2(request, wrapped=wrapped, domain=domain, account="anonymous")


def _http_api(request: HttpRequest, *, wrapped: bool) -> Event:
    domain = f"example001.execute-api.{REGION}.amazonaws.com"
    return _payload_2(request, wrapped=wrapped, domain=domain, account="123456789012")


def _payload_1(request: HttpRequest, *, wrapped: bool, version: str | None) -> Event:
    domain = f"example002.execute-api.{REGION}.amazonaws.com"
    many = {"Host": [domain], "X-Forwarded-Proto": ["https"], **_grouped(_forwarded(request), lower=False)}
    query = dict(parse_qsl(request.query, keep_blank_values=True)) or None
    body, is_base64 = _body(request, wrapped=wrapped)
    return {
        **({"version": version} if version else {}),
        "resource": "/{proxy+}",
        "path": request.path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in many.items()},
        "multiValueHeaders": many,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "example002",
            "domainName": domain,
            "extendedRequestId": "ExampleExt1Id=",
            "httpMethod": request.method,
            # The console's own test sends a word in place of an address.
            "identity": {"sourceIp": request.client or "test-invoke-source-ip", "userAgent": "ExampleSender/1.0"},
            "path": f"/prod{request.path}",
            "protocol": "HTTP/1.1",
            "requestId": str(uuid.uuid4()),
            "requestTimeEpoch": int(time.time() * 1000),
            "resourcePath": "/{proxy+}",
            "stage": "prod",
        },
        "body": body or None,
        "isBase64Encoded": is_base64 and bool(body),
    }


def _http_api_1(request: HttpRequest, *, wrapped: bool) -> Event:
    return _payload_1(request, wrapped=wrapped, version="1.0")


def _rest_api(request: HttpRequest, *, wrapped: bool) -> Event:
    return _payload_1(request, wrapped=wrapped, version=None)


def _load_balancer(request: HttpRequest, *, wrapped: bool, multi: bool) -> Event:
    many = {"host": ["webhooks.example.org"], "x-forwarded-proto": ["https"]}
    many |= _grouped(_forwarded(request), lower=True)
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    body, is_base64 = _body(request, wrapped=wrapped)
    arn = f"arn:aws:elasticloadbalancing:{REGION}:123456789012:targetgroup/dastra-webhooks-example/0123456789abcdef"
    event: Event = {
        "requestContext": {"elb": {"targetGroupArn": arn}},
        "httpMethod": request.method,
        "path": request.path,
        "body": body,
        "isBase64Encoded": is_base64 and bool(body),
    }
    if multi:
        event["multiValueQueryStringParameters"] = {name: [value] for name, value in query.items()}
        event["multiValueHeaders"] = many
    else:
        event["queryStringParameters"] = query
        event["headers"] = {name: values[-1] for name, values in many.items()}
    return event


def _alb(request: HttpRequest, *, wrapped: bool) -> Event:
    return _load_balancer(request, wrapped=wrapped, multi=False)


def _alb_multi(request: HttpRequest, *, wrapped: bool) -> Event:
    return _load_balancer(request, wrapped=wrapped, multi=True)


_SHAPES: Final[dict[str, tuple[Callable[..., Event], Duplicates]]] = {
    "function-url": (_function_url, Duplicates.JOINED),
    "http-api": (_http_api, Duplicates.JOINED),
    "http-api-payload-1": (_http_api_1, Duplicates.KEPT),
    "rest-api": (_rest_api, Duplicates.KEPT),
    "load-balancer": (_alb, Duplicates.LAST_ONLY),
    "load-balancer-multi-value": (_alb_multi, Duplicates.KEPT),
}
_FORMS: Final = {"text": False, "base64": True}

FRONTS: Final = tuple(
    Front(f"{shape}-{form}", duplicates) for shape, (_, duplicates) in _SHAPES.items() for form in _FORMS
)


def as_event(request: HttpRequest, front: Front) -> Event:
    """The event that ``front`` makes of a request, as it comes out of the runtime's JSON."""
    shape, _, form = front.name.rpartition("-")
    event = _SHAPES[shape][0](request, wrapped=_FORMS[form])
    decoded: Event = json.loads(json.dumps(event))
    return decoded


def as_answer(result: Mapping[str, Any], front: Front, seconds: float) -> Answer:
    """What the client gets from the answer of a function, as ``front`` reads it."""
    result = json.loads(json.dumps(result))
    if front.name.startswith("load-balancer-multi-value"):
        headers = {name.lower(): values[-1] for name, values in result["multiValueHeaders"].items()}
    else:
        headers = {name.lower(): value for name, value in result["headers"].items()}
    if front.name.startswith("load-balancer"):
        assert result["statusDescription"].startswith(f"{result['statusCode']} ")
    body = result["body"]
    return Answer(
        result["statusCode"], headers, base64.b64decode(body) if result["isBase64Encoded"] else body.encode(), seconds
    )


# -- the deployment --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Context:
    """The part of Lambda's context that the handlers read."""

    aws_request_id: str


class AwsDriver:
    """A queue, a bucket and a secret of their own behind the platform's fault proxies."""

    queue_limit = MAX_BYTES

    def __init__(self, platform: AwsPlatform, name: str) -> None:
        self._platform: Final = platform
        self._sqs: Final = platform.sqs
        self._s3: Final = platform.s3
        self._secrets: Final = platform.secrets
        self.queue_url: Final = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        self.bucket: Final = name
        self._s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.secret: Final = self._make_secret(name)
        self._requests: Final = itertools.count()
        self._seen: list[Sent] = []
        self.records: list[dict[str, Any]] = []
        """The same messages as ``receive_message`` returned them."""
        self.handler: wiring.Handler | None = None
        self._settings: Mapping[str, str] = {}

    def _make_secret(self, name: str) -> str:
        """A secret without a value; AWS makes no version of such a one, the emulator an empty version."""
        made = self._secrets.create_secret(Name=name)
        if "VersionId" in made:
            self._secrets.update_secret_version_stage(
                SecretId=made["ARN"], VersionStage="AWSCURRENT", RemoveFromVersionId=made["VersionId"]
            )
        return made["ARN"]

    def build(
        self, settings: Mapping[str, str] | None = None, *, keys: Sequence[str] | None = None, rest: float | None = None
    ) -> None:
        """As the protocol says."""
        named = {
            "QUEUE": self.queue_url,
            "STORE": self.bucket,
            "SOURCE_IP_ALLOWLIST": LISTED,
            **({"SIGNATURE_KEYS": " ".join(keys)} if keys else {"SIGNATURE_KEYS_SECRET": self.secret}),
            **(settings or {}),
        }
        self._settings = {f"DASTRA_{name}": value for name, value in named.items()}
        with pytest.MonkeyPatch.context() as patch:
            if rest is not None:
                patch.setattr(wiring, "delivery", _with_rest(rest))
            self.handler = wiring.webhook_handler(self._settings)

    def post(self, request: HttpRequest, front: Front | None = None) -> Answer:
        """As the protocol says."""
        front = front or FRONTS[0]
        event = as_event(request, front)
        started = time.monotonic()
        result = self.invoke(event)
        return as_answer(result, front, time.monotonic() - started)

    def invoke(self, event: Any) -> dict[str, Any]:
        """Hand an event to the handler as it is."""
        assert self.handler is not None, "build() first"
        return self.handler(event, Context(f"00000000-0000-4000-8000-{next(self._requests):012d}"))

    def messages(self) -> list[Sent]:
        """As the protocol says."""
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=self.queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=600
            )
            received = answer.get("Messages", [])
            if not received:
                return self._seen
            for message in received:
                self.records.append(dict(message))
                self._seen.append(self._read(dict(message)))
            self._sqs.delete_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                    for index, message in enumerate(received)
                ],
            )

    def _read(self, message: Mapping[str, Any]) -> Sent:
        attributes = {}
        for name, value in message["MessageAttributes"].items():
            assert name.startswith(_PREFIX)
            assert value["DataType"] == "String"
            attributes[name.removeprefix(_PREFIX)] = value["StringValue"]
        body = message["Body"].encode()
        place = attributes.get("dataref")
        if place is None:
            return Sent(body, attributes, claimed=False)
        key = place.removeprefix(f"s3://{self.bucket}/")
        assert json.loads(body)["dataref"] == place
        return Sent(self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read(), attributes, claimed=True)

    def stored(self, prefix: str) -> list[Stored]:
        """As the protocol says."""
        objects = []
        for key in self._keys(prefix):
            found = self._s3.get_object(Bucket=self.bucket, Key=key)
            objects.append(Stored(key, found["Body"].read(), found["Metadata"]))
        return objects

    def _keys(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def plant(self, key: str, body: bytes, metadata: Mapping[str, str]) -> None:
        """As the protocol says."""
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=dict(metadata))

    def put_keys(self, *keys: str) -> None:
        """As the protocol says."""
        self.put_secret(json.dumps(keys))

    def put_secret(self, text: str) -> None:
        """As the protocol says."""
        self._secrets.put_secret_value(SecretId=self.secret, SecretString=text)

    def put_binary_secret(self, value: bytes) -> None:
        """Write a secret that is not text."""
        self._secrets.put_secret_value(SecretId=self.secret, SecretBinary=value)

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings by their full names, as a function's environment has them."""
        return self._settings

    @property
    def emulator_port(self) -> int:
        """Where the emulator itself listens."""
        return self._platform.port

    def fault(self, port: Port, mode: Mode, times: int | None = None) -> None:
        """As the protocol says."""
        self._platform.proxies[port].set(Fault(mode.value), times)

    def slow(self, seconds: float) -> None:
        """As the protocol says."""
        for proxy in self._platform.proxies.values():
            proxy.slow_seconds = seconds

    def lift(self) -> None:
        """As the protocol says."""
        for proxy in self._platform.proxies.values():
            proxy.set(Fault.NONE)

    def requests(self, port: Port) -> int:
        """As the protocol says."""
        return self._platform.proxies[port].requests

    def redrive(self, limit: int | None = None) -> Run:
        """As the protocol says."""
        handler = wiring.redrive_handler(self._settings)
        report = handler({} if limit is None else {"limit": limit}, Context("00000000-0000-4000-9000-000000000000"))
        return Run(report["sent"], report["failed"], report["skipped"])

    def watch(self, settings: Mapping[str, str]) -> Mapping[str, str | int]:
        """As the protocol says."""
        ours = {f"DASTRA_{name}": value for name, value in {"API_KEY_SECRET": self.secret, **settings}.items()}
        handler = wiring.watch_handler({**self._settings, **ours})
        return handler({"source": "aws.scheduler"}, Context("00000000-0000-4000-9000-000000000001"))

    def accept(self, entry: str) -> None:
        """As the protocol says."""
        self.plant(address_key(entry), b"", {})

    def release(self, key: str, *, vouched: bool) -> None:
        """As the protocol says."""
        settings = Settings.from_env(self._settings)
        log = PowertoolsLog("release")
        Redrive(wiring.delivery(settings, wiring.queue(settings), log)).release(key, vouched=vouched)

    def metrics(self, output: str) -> list[Mapping[str, float]]:
        """As the protocol says."""
        found: list[Mapping[str, float]] = []
        for line in output.splitlines():
            if '"_aws"' not in line:
                continue
            decoded = json.loads(line)
            names = [metric["Name"] for part in decoded["_aws"]["CloudWatchMetrics"] for metric in part["Metrics"]]
            found.append({name: float(_first(decoded[name])) for name in names})
        return found

    def reset(self) -> None:
        """As the protocol says."""
        self.lift()
        self.messages()
        self._seen, self.records = [], []
        for key in self._keys(""):
            self._s3.delete_object(Bucket=self.bucket, Key=key)


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, list) else value)


def _with_rest(seconds: float) -> Callable[..., Delivery]:
    make = wiring.delivery

    def delivery(*args: Any) -> Delivery:
        parts = make(*args)
        limits = dataclasses.replace(parts.limits, rest_seconds=seconds)
        return Delivery(parts.queue, parts.store, parts.log, limits)

    return delivery


class AwsPlatform:
    """The emulator with a fault proxy in front of each service; tests look inside past the proxies."""

    def __init__(self, emulator: AwsEmulator) -> None:
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        session = emulator.session()
        self.url: Final = emulator.endpoint_url
        self.port: Final = urlsplit(self.url).port or 0
        self.sqs: Final[SQSClient] = session.client("sqs", endpoint_url=self.url, config=config)
        self.s3: Final[S3Client] = session.client("s3", endpoint_url=self.url, config=config)
        self.secrets: Final[SecretsManagerClient] = session.client(
            "secretsmanager", endpoint_url=self.url, config=config
        )
        self.proxies: Final = {port: FaultProxy(self.port).start() for port in _SERVICES}

    @contextmanager
    def deploy(self) -> Iterator[Driver]:
        """As the protocol says."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            driver = AwsDriver(self, f"contract-{uuid.uuid4().hex}")
            try:
                yield driver
            finally:
                driver.lift()
                driver.slow(1.0)

    def environment(self) -> dict[str, str]:
        """What the SDK of the receiver under test reads."""
        endpoints = {f"AWS_ENDPOINT_URL_{_SERVICES[port]}": proxy.url for port, proxy in self.proxies.items()}
        return {
            **endpoints,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def close(self) -> None:
        """End what was started here."""
        for proxy in self.proxies.values():
            proxy.close()
        for client in (self.sqs, self.s3, self.secrets):
            client.close()


@contextmanager
def start() -> Iterator[Platform]:
    """The emulator and its proxies."""
    with AwsEmulator() as emulator:
        platform = AwsPlatform(emulator)
        try:
            yield platform
        finally:
            platform.close()


register(Cloud("aws", FRONTS, start))
