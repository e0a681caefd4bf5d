"""The check's handler: made at start, with what it needs and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from aws_lambda.wiring import watch_handler
from core.settings import SettingsError
from tests.unit.api_stub import API_KEY, api_stub
from tests.unit.aws_lambda.stub import Answer, Stub

ROOT: Final = Path(__file__).parents[3]
CONTEXT: Final = SimpleNamespace(aws_request_id="00000000-0000-4000-8000-000000000009")


def test_a_check_needs_neither_queue_nor_store(aws: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """One secret is read and one request made; the line has the invocation's id."""
    aws.answers["GetSecretValue"] = Answer(json.dumps({"SecretString": API_KEY}).encode())
    with api_stub() as api:
        handler = watch_handler({"DASTRA_API_KEY_SECRET": "api-key", "DASTRA_API_URL": api.url})
        assert aws.asked == []
        assert handler({}, CONTEXT) == {"webhooks": 1, "errors": 0, "blocked": 0}
        assert handler(None, None) == {"webhooks": 1, "errors": 0, "blocked": 0}
    assert [json.loads(body)["SecretId"] for _, _, _, body in aws.asked] == ["api-key"] * 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first = next(line for line in lines if "message" in line)
    assert (first["message"], first["function_request_id"]) == ("webhook_check", CONTEXT.aws_request_id)


def test_a_bad_setting_fails_at_start(aws: Stub) -> None:
    """With all that is wrong; this function has nothing to do with receiving."""
    with pytest.raises(SettingsError, match=r"(?s)DASTRA_API_KEY_SECRET is required.*DASTRA_API_URL is 'http://x'"):
        watch_handler({"DASTRA_API_URL": "http://x"})
    assert aws.asked == []


def test_the_entry_point_is_built_from_the_processs_environment(aws: Stub) -> None:
    """At import, and the garbage collector runs again."""
    program = "import gc; from aws_lambda.watch import handler; print(callable(handler), gc.isenabled())"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "DASTRA_API_KEY_SECRET": "api-key"},
    )
    assert ran.stdout.splitlines()[-1] == "True True"
    assert aws.asked == []


def test_receiving_does_not_pay_for_the_check() -> None:
    """Neither it nor what it speaks through is imported with the webhook's wiring."""
    program = (
        "import sys, aws_lambda.wiring; print([name for name in ('core.watch', 'core.api') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"
