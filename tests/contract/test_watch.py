"""The check of the webhooks through every cloud's entry point: what it finds, what it says when it cannot read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests import planted
from tests.contract.answers import ACCEPTED
from tests.contract.bypass import signed
from tests.drivers import Driver, Mode, Port
from tests.log_check import check
from tests.unit.api_stub import API_KEY, ApiStub, answers, api_stub, webhook

pytestmark = pytest.mark.emulator

EVENTS: Final = {"webhook_check", "webhook_errors", "webhook_blocked", "webhook_check_failed"}


@pytest.fixture
def api() -> Iterator[ApiStub]:
    """The stand-in for Dastra's API."""
    with api_stub() as stub:
        yield stub


def printed(driver: Driver, capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], Mapping[str, float]]:
    """The check's lines since the last look, and its metrics; each line names the service that alarms ask for."""
    output = capsys.readouterr().out
    check(output)
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    found = [line for line in lines if line.get("message") in EVENTS]
    assert {line["service"] for line in found} <= {"watch"}
    metrics: dict[str, float] = {}
    for each in driver.metrics(output):
        metrics |= {name: value for name, value in each.items() if name.startswith("Webhook")}
    return found, metrics


def names(lines: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """Each line's event and webhook."""
    return [(line["message"], line.get("webhook_id")) for line in lines]


@pytest.fixture
def built(driver: Driver) -> Driver:
    """A receiver, and an API key in the secret store."""
    driver.build(keys=[planted.KEY])
    driver.put_secret(f"{API_KEY}\n")
    return driver


def test_all_is_well(built: Driver, api: ApiStub, capsys: pytest.CaptureFixture[str]) -> None:
    """The key comes out of the secret store, and the gauges are there, at zero."""
    api.has(webhook(1), webhook(2))
    assert built.watch({"API_URL": api.url}) == {"webhooks": 2, "errors": 0, "blocked": 0}
    assert [headers["x-api-key"] for _, headers in api.asked] == [API_KEY]
    lines, metrics = printed(built, capsys)
    assert names(lines) == [("webhook_check", None)]
    assert metrics == {"WebhookChecks": 1, "WebhookErrors": 0, "WebhooksBlocked": 0}


def test_errors_and_a_block_are_told(built: Driver, api: ApiStub, capsys: pytest.CaptureFixture[str]) -> None:
    """Each by its webhook's number in the log, and in the gauges without it."""
    api.has(webhook(1, 2), webhook(2, 5, blocked=True), webhook(3))
    assert built.watch({"API_URL": api.url}) == {"webhooks": 3, "errors": 5, "blocked": 1}
    lines, metrics = printed(built, capsys)
    assert names(lines) == [("webhook_errors", "1"), ("webhook_blocked", "2"), ("webhook_check", None)]
    assert metrics == {"WebhookChecks": 1, "WebhookErrors": 5, "WebhooksBlocked": 1}


def test_settings_reach_the_check(built: Driver, api: ApiStub) -> None:
    """Which webhooks, and of which workspace."""
    api.has(webhook(1, 5, blocked=True), webhook(2))
    found = built.watch({"API_URL": f"{api.url}/", "WEBHOOK_IDS": "2", "WORKSPACE_ID": "7"})
    assert found == {"webhooks": 1, "errors": 0, "blocked": 0}
    assert [target for target, _ in api.asked] == ["/v1/WebHookUrls?workspaceId=7"]


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_refused_key_is_told(built: Driver, api: ApiStub, capsys: pytest.CaptureFixture[str], status: int) -> None:
    """In a line and a metric of its own, and without gauges: nobody knows how the webhooks are."""
    api.script[:] = [answers(status, planted.MARKER.encode())]
    assert built.watch({"API_URL": api.url}) == {"failed": f"http_{status}"}
    lines, metrics = printed(built, capsys)
    assert [(line["error"], line["during"], line["status"]) for line in lines] == [(f"http_{status}", "api", status)]
    assert metrics == {"WebhookCheckFailed": 1, "WebhookChecks": 0}


def test_a_secret_without_a_value_is_told(driver: Driver, api: ApiStub, capsys: pytest.CaptureFixture[str]) -> None:
    """As after the deployment, before somebody put the key there; the API is not asked."""
    driver.build(keys=[planted.KEY])
    assert "failed" in driver.watch({"API_URL": api.url})
    lines, metrics = printed(driver, capsys)
    assert [(line["message"], line["during"]) for line in lines] == [("webhook_check_failed", "key")]
    assert metrics == {"WebhookCheckFailed": 1, "WebhookChecks": 0}
    assert api.asked == []


@pytest.mark.parametrize("mode", [Mode.ERROR_500, Mode.REFUSED])
def test_a_secret_store_that_fails_is_told(
    built: Driver, api: ApiStub, capsys: pytest.CaptureFixture[str], mode: Mode
) -> None:
    """However it does."""
    built.fault(Port.KEYS, mode)
    assert "failed" in built.watch({"API_URL": api.url})
    lines, _ = printed(built, capsys)
    assert [(line["message"], line["during"]) for line in lines] == [("webhook_check_failed", "key")]
    assert api.asked == []


def test_a_receiver_takes_no_notice_of_a_bad_check(built: Driver) -> None:
    """Both may stand in one environment, and what is wrong for the check must not keep the receiver from starting."""
    bad = {"API_KEY_SECRET": "no secret's name", "API_URL": "ftp://x", "WEBHOOK_IDS": "!", "WORKSPACE_ID": "x"}
    built.build(bad, keys=[planted.KEY])
    assert built.post(signed()) == ACCEPTED
