"""The roles allow what the functions do, every statement is needed, and nothing else is allowed."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests import planted
from tests.deploy import aws
from tests.deploy.aws import as_list, resources
from tests.drivers import CLOUDS, UNLISTED, HttpRequest, Mode, Port
from tests.drivers.aws import AwsDriver
from tests.unit.api_stub import API_KEY, api_stub

pytestmark = pytest.mark.emulator

OPERATIONS: Final = {
    "SendMessage": "sqs:SendMessage",
    "PutObject": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
    "GetSecretValue": "secretsmanager:GetSecretValue",
}
"""The permission that each call needs (Service Authorization Reference)."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of a role: its actions, the pattern of its resource, the prefix that a listing must have."""

    sid: str
    actions: frozenset[str]
    resource: str
    prefix: str | None

    def allows(self, action: str, resource: str, prefix: str | None) -> bool:
        """Whether it allows this call."""
        if action not in self.actions or not fnmatch.fnmatchcase(resource, self.resource):
            return False
        return self.prefix is None or (prefix is not None and fnmatch.fnmatchcase(prefix, self.prefix))


def statements(role: str) -> list[Statement]:
    """The statements of a role, but for its logs, which the runtime writes."""
    found = []
    (policy,) = resources(aws.template(), "AWS::IAM::Role")[role]["Properties"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        if statement["Sid"] == "WriteLogs":
            assert statement["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
            continue
        ((function, value),) = statement["Resource"].items()
        name = value[0] if function == "Fn::GetAtt" else value
        condition = statement.get("Condition", {"StringLike": {"s3:prefix": None}})
        found.append(
            Statement(
                statement["Sid"],
                frozenset(as_list(statement["Action"])),
                name.replace("${Store.Arn}", "Store"),
                condition["StringLike"]["s3:prefix"],
            )
        )
    return found


class Calls:
    """Every call of the functions' SDK while it is recorded: the action, the resource, the prefix of a listing."""

    def __init__(self) -> None:
        self.made: set[tuple[str, str, str | None]] = set()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record what the functions' own session sends."""
        from aws_lambda import sdk

        sdk._session.events.register("provide-client-params", self._note)
        try:
            yield
        finally:
            sdk._session.events.unregister("provide-client-params", self._note)

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        action = OPERATIONS[model.name]
        if "QueueUrl" in params:
            resource = "EventQueue"
        elif "SecretId" in params:
            resource = "SignatureKeys"
        else:
            resource = "Store" + (f"/{params['Key']}" if "Key" in params else "")
        self.made.add((action, resource, params.get("Prefix")))


def check(calls: Calls, role: str) -> None:
    """Every call is allowed, and every statement is needed, down to its last action."""
    allowed = statements(role)
    refused = [call for call in calls.made if not any(statement.allows(*call) for statement in allowed)]
    assert not refused, f"{role} does not allow what the function does"
    for statement in allowed:
        used = {call[0] for call in calls.made if statement.allows(*call)}
        assert used == statement.actions, f"{role}, {statement.sid}: nothing needs {set(statement.actions) - used}"


@pytest.fixture
def driver() -> Iterator[AwsDriver]:
    """A deployment on the emulator."""
    with CLOUDS["aws"].start() as platform, platform.deploy() as deployed:
        assert isinstance(deployed, AwsDriver)
        yield deployed


def genuine(body: bytes, client: str | None = None) -> HttpRequest:
    """A genuine request."""
    request = HttpRequest(body, (("Dastra-Signature", planted.signature(body)),))
    return HttpRequest(body, request.headers, client=client) if client else request


def large() -> bytes:
    """An event that no queue takes."""
    return planted.body(data={"text": "x" * 1_100_000, "nonce": planted.nonce()})


def test_the_receivers_role_fits(driver: AwsDriver) -> None:
    """Accepted, too large for the queue, spooled, held, from an unlisted address: the role allows exactly that."""
    driver.put_keys(planted.KEY)
    calls = Calls()
    with calls.recorded():
        driver.build(rest=0)
        assert driver.post(genuine(planted.body())).status == 200
        assert driver.post(genuine(large())).status == 200
        assert driver.post(genuine(planted.body(), UNLISTED)).status == 200
        driver.fault(Port.QUEUE, Mode.ERROR_503)
        assert driver.post(genuine(planted.body())).status == 200
        assert driver.post(genuine(large())).status == 200
    check(calls, "ReceiverRole")


def test_the_redrive_functions_role_fits(driver: AwsDriver) -> None:
    """Sent, sent as a claim check, set aside, a lease left behind: the role allows exactly that."""
    driver.put_keys(planted.KEY)
    driver.build(rest=0)
    driver.fault(Port.QUEUE, Mode.ERROR_503)
    assert driver.post(genuine(planted.body())).status == 200
    (spooled,) = driver.stored("spool/")
    driver.lift()
    body = large()
    metadata = {**spooled.metadata, "id": _sha256(body), "signature": planted.signature(body)}
    driver.plant(f"spool/20260101T000000000Z-{_sha256(body)}", body, metadata)
    driver.plant("spool/20260101T000000001Z-none", b"no record of ours", {})
    driver.plant("leases/redrive", b'{"until": 0}', {})
    calls = Calls()
    with calls.recorded():
        run = driver.redrive()
    assert (run.sent, run.failed, run.skipped) == (2, 0, False)
    check(calls, "RedriveRole")


def test_the_checks_role_fits(driver: AwsDriver) -> None:
    """One secret, and nothing of the queue, the bucket or the signature keys."""
    driver.build(keys=[planted.KEY])
    driver.put_secret(API_KEY)
    calls = Calls()
    with api_stub() as api, calls.recorded():
        assert driver.watch({"API_URL": api.url}) == {"webhooks": 1, "errors": 0, "blocked": 0}
    # The emulated deployment has one secret; the check reads the one that it is told.
    calls.made = {(action, "ApiKey", prefix) for action, _, prefix in calls.made}
    check(calls, "WatchRole")


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
