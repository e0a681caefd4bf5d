"""The check as a timer of the function app, and only where it is set up."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from azure.functions import FunctionApp

from azure_function import wiring
from azure_function.telemetry import LOGGER
from azure_function.watch import watch
from core.settings import SettingsError
from tests.unit.samples import KEY_TEXT

ROOT: Final = Path(__file__).parents[3]
SECRET: Final = "https://kv-invented.vault.azure.net/secrets/dastra-api-key"
RECEIVER: Final = {
    "DASTRA_QUEUE": "127.0.0.1:1/queue",
    "DASTRA_STORE": "http://127.0.0.1:1/devstoreaccount1/container",
    "DASTRA_SIGNATURE_KEYS": KEY_TEXT,
}


def functions(app: FunctionApp) -> dict[str, Any]:
    """The functions by name."""
    return {str(function.get_function_name()): function for function in app.get_functions()}


def test_without_a_key_there_is_no_timer() -> None:
    """Off is the default, also where the setting is there and empty."""
    for env in (RECEIVER, {**RECEIVER, "DASTRA_API_KEY_SECRET": " "}):
        assert functions(wiring.function_app(env)).keys() == {"receive", "redrive"}


def test_with_a_key_there_is_a_timer_every_quarter_of_an_hour() -> None:
    """Beside the other two, which are as they were."""
    found = functions(wiring.function_app({**RECEIVER, "DASTRA_API_KEY_SECRET": SECRET}))
    assert found.keys() == {"receive", "redrive", "watch"}
    trigger = found["watch"].get_trigger()
    assert trigger.schedule == wiring.WATCH_SCHEDULE == "0 */15 * * * *"
    assert trigger.run_on_startup is False


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"API_KEY_SECRET": "api-key"}, "DASTRA_API_KEY_SECRET is no secret's URL: valid: https://<vault>"),
        ({"API_KEY_SECRET": SECRET, "API_URL": "x"}, "DASTRA_API_URL is 'x': valid: an address"),
    ],
)
def test_a_bad_setting_says_so_in_each_run_and_stops_nothing_else(
    changes: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The app starts with its receiver; the run fails for the host, and its line alarms."""
    env = {**RECEIVER, **{f"DASTRA_{name}": value for name, value in changes.items()}}
    run = functions(wiring.function_app(env))["watch"].get_user_function()
    caplog.set_level(logging.INFO, LOGGER)
    for number in (1, 2):
        with pytest.raises(SettingsError) as raised:
            run(None)
        assert said in str(raised.value)
        lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == LOGGER]
        failed = [line for line in lines if line["message"] == "webhook_check_failed"]
        assert [(line["error"], line["service"]) for line in failed] == [("invalid_settings", "watch")] * number


def test_a_check_without_a_vault_ends_in_its_line(caplog: pytest.LogCaptureFixture) -> None:
    """A local address where nobody listens stands for it."""
    caplog.set_level(logging.INFO, LOGGER)
    run = watch({"DASTRA_API_KEY_SECRET": "http://127.0.0.1:1/secrets/dastra-api-key"})
    assert run().failed is not None
    (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == LOGGER]
    assert (line["message"], line["during"]) == ("webhook_check_failed", "key")


def test_receiving_does_not_pay_for_the_check() -> None:
    """Nothing of it is imported with the app, also where it is on."""
    program = (
        "import sys; from azure_function.wiring import function_app; "
        f"function_app({ {**RECEIVER, 'DASTRA_API_KEY_SECRET': SECRET}!r}); "
        "print([n for n in ('core.watch', 'core.api', 'azure_function.watch') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"
