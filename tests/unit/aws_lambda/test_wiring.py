"""The handlers as they are put together: what happens at start, and how settings reach the parts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from aws_lambda import wiring
from aws_lambda.telemetry import PowertoolsLog
from aws_lambda.wiring import Handler, redrive_handler, webhook_handler
from core.redrive import Gauges, Redrive, RedriveReport
from core.settings import Settings, SettingsError
from tests.unit.aws_lambda.stub import Answer, Stub
from tests.unit.samples import KEY_TEXT, OTHER_KEY_TEXT, event, signature

ROOT: Final = Path(__file__).parents[3]
EMPTY_LIST: Final = Answer(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
CONTEXT: Final = SimpleNamespace(aws_request_id="00000000-0000-4000-8000-000000000009")


def environment(aws: Stub, **values: str) -> dict[str, str]:
    """The least that a handler needs, with more names set or, for nothing, not set."""
    least = {
        "QUEUE": f"{aws.url}/123456789012/invented",
        "STORE": "invented-bucket",
        "SIGNATURE_KEYS": KEY_TEXT,
        "SOURCE_IP_ALLOWLIST": "192.0.2.44",
    }
    return {f"DASTRA_{name}": value for name, value in {**least, **values}.items()}


def post(body: bytes, key: str = KEY_TEXT, source: str = "192.0.2.44", **headers: str) -> dict[str, Any]:
    """A signed request as a function URL hands it over."""
    return {
        "version": "2.0",
        "headers": {"dastra-signature": signature(body, key), **headers},
        "requestContext": {"http": {"method": "POST", "sourceIp": source}},
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def takes(aws: Stub, *bodies: bytes) -> None:
    """Let SQS accept messages with this body, and the store whatever it is given."""
    for body in bodies:
        answer = {"MessageId": "x", "MD5OfMessageBody": hashlib.md5(body).hexdigest()}
        aws.answers["SendMessage"] = Answer(json.dumps(answer).encode())
    aws.answer = Answer(b"")


def operations(aws: Stub) -> list[str]:
    """What was asked: the operation's name, or method and path of S3."""
    return [
        headers["x-amz-target"].rpartition(".")[2] if "x-amz-target" in headers else f"{method} {path.split('?')[0]}"
        for method, path, headers, _ in aws.asked
    ]


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The log lines without the metrics."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "message" in line]


# Start


def test_a_start_with_keys_in_the_settings_asks_nobody(aws: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """The queue's client is made, which is no I/O; there is nothing to tell."""
    webhook_handler(environment(aws))
    assert aws.asked == []
    assert printed(capsys) == []


def test_a_start_with_a_secret_reads_it_once(aws: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """While the instance starts, so that the first event need not wait for it."""
    aws.answers["GetSecretValue"] = Answer(json.dumps({"SecretString": KEY_TEXT}).encode())
    body = event()
    takes(aws, body)
    handler = webhook_handler(environment(aws, SIGNATURE_KEYS="", SIGNATURE_KEYS_SECRET="keys"))
    assert operations(aws) == ["GetSecretValue"]
    assert handler(post(body), CONTEXT)["statusCode"] == 200
    assert operations(aws) == ["GetSecretValue", "SendMessage"]
    assert [line["message"] for line in printed(capsys)] == ["keys_loaded", "accepted"]


def test_without_a_key_the_instance_starts_and_says_so(aws: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """503 for what may be Dastra's, 401 for what is not; once there is a key, events are accepted."""
    aws.answers["GetSecretValue"] = Answer(b'{"__type":"ResourceNotFoundException","Message":"x"}', 400)
    body = event()
    takes(aws, body)
    handler = webhook_handler(environment(aws, SIGNATURE_KEYS="", SIGNATURE_KEYS_SECRET="keys"))
    assert handler(post(body), CONTEXT)["statusCode"] == 503
    assert handler({**post(body), "headers": {}}, CONTEXT)["statusCode"] == 401
    aws.answers["GetSecretValue"] = Answer(json.dumps({"SecretString": KEY_TEXT}).encode())
    assert handler(post(body), CONTEXT)["statusCode"] == 200
    messages = [line["message"] for line in printed(capsys)]
    assert messages == ["keys_failed", "keys_failed", "no_key", "refused", "keys_loaded", "accepted"]


@pytest.mark.parametrize("build", [webhook_handler, redrive_handler])
def test_an_invalid_setting_fails_at_start(build: Any, aws: Stub) -> None:
    """With all that is wrong, and before anything is asked."""
    with pytest.raises(SettingsError, match=r"(?s)DASTRA_QUEUE is required.*DASTRA_SOURCE_IP_MODE is 'on'"):
        build(environment(aws, QUEUE="", SOURCE_IP_MODE="on"))
    assert aws.asked == []


@pytest.mark.parametrize("module", ["receive", "redrive"])
def test_an_entry_point_is_built_from_the_process_s_environment(module: str, aws: Stub) -> None:
    """At import; the garbage collector, stopped for the start of the webhook, runs again."""
    program = f"import gc; from aws_lambda.{module} import handler; print(callable(handler), gc.isenabled())"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environment(aws)},
    )
    assert ran.stdout.splitlines()[-1] == "True True"
    assert aws.asked == []


# A request


@pytest.fixture
def handler(aws: Stub) -> Handler:
    """A webhook whose queue takes the sample event."""
    takes(aws, event())
    return webhook_handler(environment(aws))


def test_a_genuine_event_is_on_the_queue(handler: Handler, aws: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """Its bytes, and a line with the invocation's id."""
    assert handler(post(event()), CONTEXT) == {
        "statusCode": 200,
        "body": '{"status":"accepted"}',
        "isBase64Encoded": False,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
    }
    [(_, _, _, body)] = aws.asked
    assert json.loads(body)["MessageBody"].encode() == event()
    line = printed(capsys)[-1]
    assert (line["message"], line["function_request_id"], line["service"]) == (
        "accepted",
        CONTEXT.aws_request_id,
        "receiver",
    )


def test_a_forged_request_reaches_nothing(handler: Handler, aws: Stub) -> None:
    """401, and no service was asked."""
    assert handler(post(event(), OTHER_KEY_TEXT), CONTEXT)["statusCode"] == 401
    assert aws.asked == []


TRACE: Final = "5759e988bd862e3fe1be46a994272793"


@pytest.mark.parametrize(
    ("lambdas", "fronts", "expected"),
    [
        ("Parent=53995c3f42cd8ad8;Sampled=1", "", f"00-{TRACE}-53995c3f42cd8ad8-01"),
        ("Parent=53995c3f42cd8ad8;Sampled=1", "Parent=0a1b2c3d4e5f6071", f"00-{TRACE}-53995c3f42cd8ad8-01"),
        (None, "Parent=0a1b2c3d4e5f6071", f"00-{TRACE}-0a1b2c3d4e5f6071-00"),
        ("é", "Parent=0a1b2c3d4e5f6071", f"00-{TRACE}-0a1b2c3d4e5f6071-00"),
        (None, None, None),
    ],
)
def test_the_message_joins_the_trace_of_its_invocation(
    handler: Handler,
    aws: Stub,
    monkeypatch: pytest.MonkeyPatch,
    lambdas: str | None,
    fronts: str | None,
    expected: str | None,
) -> None:
    """As the runtime tells it anew for each invocation, else as the front does."""
    root = f"Root=1-{TRACE[:8]}-{TRACE[8:]};"
    monkeypatch.delenv(wiring.TRACE, raising=False)
    if lambdas is not None:
        monkeypatch.setenv(wiring.TRACE, lambdas if lambdas == "é" else root + lambdas)
    headers = {"x-amzn-trace-id": root + fronts} if fronts is not None else {}
    assert handler(post(event(), **headers), CONTEXT)["statusCode"] == 200
    attributes = json.loads(aws.asked[-1][3])["MessageAttributes"]
    assert attributes.get("ce-traceparent", {}).get("StringValue") == expected


@pytest.mark.parametrize("context", [None, object(), SimpleNamespace()])
def test_a_context_without_an_id_is_no_error(handler: Handler, context: object) -> None:
    """As in a test by hand."""
    assert handler(post(event()), context)["statusCode"] == 200


@pytest.mark.parametrize("hostile", [None, {}, {"Records": []}, {"requestContext": {"elb": {}}}])
def test_an_event_that_is_no_request_is_400_and_logged(
    handler: Handler, aws: Stub, hostile: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is raised, which Lambda would count as an error and retry."""
    answer = handler(hostile, CONTEXT)
    assert (answer["statusCode"], answer["body"]) == (400, '{"error":"bad request"}')
    line = printed(capsys)[-1]
    assert (line["message"], line["reason"], line["status"]) == ("refused", "not_an_http_event", 400)
    assert aws.asked == []


def test_a_failing_queue_spools_into_the_bucket(aws: Stub) -> None:
    """200, and the body is under `spool/`."""
    body = event()
    aws.answers["SendMessage"] = Answer(b'{"__type":"AccessDenied","message":"x"}', 403)
    aws.answer = Answer(b"")
    answer = webhook_handler(environment(aws))(post(body), CONTEXT)
    assert (answer["statusCode"], answer["body"]) == (200, '{"status":"spooled"}')
    method, path, headers, stored = aws.asked[-1]
    assert method == "PUT"
    assert path.startswith("/invented-bucket/spool/")
    assert headers["x-amz-meta-reason"] == "queue_failed"
    assert body in stored


# Settings reach their parts


def test_the_body_limit_is_the_setting_s(aws: Stub) -> None:
    """Exactly."""
    body = event()
    takes(aws, body)
    for most, status in ((len(body), 200), (len(body) - 1, 413)):
        handler = webhook_handler(environment(aws, MAX_BODY_BYTES=str(most)))
        assert handler(post(body), CONTEXT)["statusCode"] == status


@pytest.mark.parametrize(("hops", "body"), [("1", "quarantined"), ("2", "accepted"), ("3", "quarantined")])
def test_the_number_of_proxies_is_the_setting_s(aws: Stub, hops: str, body: str) -> None:
    """Behind a load balancer."""
    takes(aws, event())
    aws.answer = EMPTY_LIST
    asked = post(event(), **{"x-forwarded-for": "192.0.2.44, 198.51.100.7"})
    asked["requestContext"] = {"elb": {}}
    asked["httpMethod"] = "POST"
    answer = webhook_handler(environment(aws, TRUSTED_PROXY_HOPS=hops))(asked, CONTEXT)
    assert json.loads(answer["body"]) == {"status": body}


@pytest.mark.parametrize(("mode", "lists"), [("observe", 1), ("quarantine", 3)])
def test_in_mode_observe_the_store_is_not_asked_about_each_event(aws: Stub, mode: str, lists: int) -> None:
    """An absence of acceptance is believed for a minute there; elsewhere an acceptance counts at once."""
    takes(aws, event())
    aws.answer = EMPTY_LIST
    handler = webhook_handler(environment(aws, SOURCE_IP_MODE=mode))
    for _ in range(3):
        assert handler(post(event(), source="198.51.100.7"), CONTEXT)["statusCode"] == 200
    assert operations(aws).count("GET /invented-bucket") == lists


def test_time_outs_follow_from_the_budget(aws: Stub) -> None:
    """Queue, store and secret each have their share, and connections for each worker."""
    settings = Settings.from_env(environment(aws, TIME_BUDGET_SECONDS="5", QUEUE_BUDGET_SECONDS="2"))
    sqs = wiring.queue(settings)
    parts = wiring.delivery(settings, sqs, PowertoolsLog("test-wiring"))
    assert parts.queue is sqs
    assert parts.limits == settings.limits(wiring.WORKERS)
    assert parts.limits.queue_seconds == 2
    assert parts.limits.store_seconds == pytest.approx(5 - 2 - 5 / 6)
    queue_config = sqs._client.get().meta.config
    assert (queue_config.read_timeout, queue_config.max_pool_connections) == (pytest.approx(0.9), wiring.WORKERS)  # type: ignore[attr-defined]
    store_config = parts.store._client.get().meta.config  # type: ignore[attr-defined]
    assert store_config.read_timeout == pytest.approx((5 - 2 - 5 / 6) * 0.45)


# Redrive


@pytest.mark.parametrize(
    ("asked", "limit"),
    [
        ({"limit": 1}, 1),
        ({"limit": 7}, 7),
        ({"limit": 0}, 500),
        ({"limit": -1}, 500),
        ({"limit": "7"}, 500),
        ({"limit": 7.5}, 500),
        ({"limit": True}, 500),
        ({"limit": None}, 500),
        ({"source": "aws.events"}, 500),
        ({}, 500),
        (None, 500),
        ([], 500),
    ],
)
def test_a_schedule_may_say_how_many(asked: object, limit: int, aws: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole number above zero; anything else is the default, and the answer says what was done."""
    limits: list[int] = []

    def run(redrive: Redrive, *, limit: int) -> RedriveReport:
        limits.append(limit)
        return RedriveReport(3, 1, False, Gauges(0, 0, 0, 0, 0))

    monkeypatch.setattr(Redrive, "run", run)
    assert redrive_handler(environment(aws))(asked, CONTEXT) == {"sent": 3, "failed": 1, "skipped": False}
    assert limits == [limit]


def test_a_redrive_of_an_empty_bucket_emits_its_gauges(aws: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """Lease, spool, lease, gauges; the line has the invocation's id and the service of its own."""
    aws.answer = EMPTY_LIST
    answer = redrive_handler(environment(aws))({}, CONTEXT)
    assert answer == {"sent": 0, "failed": 0, "skipped": False}
    assert operations(aws) == [
        "PUT /invented-bucket/leases/redrive",
        "GET /invented-bucket",
        "DELETE /invented-bucket/leases/redrive",
        "GET /invented-bucket",
        "GET /invented-bucket",
    ]
    assert aws.asked[0][2]["if-none-match"] == "*"
    [line] = printed(capsys)
    assert (line["message"], line["service"], line["function_request_id"]) == (
        "redrive",
        "redrive",
        CONTEXT.aws_request_id,
    )
