from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import flask
import pytest

from core.settings import SettingsError
from gcp_function.watch import read_settings, watch_function

ROOT = Path(__file__).parents[3]
SECRET = "projects/example-project/secrets/dastra-webhooks-api-key"


def incoming(method: str = "POST") -> flask.Request:
    """A request as the framework hands it over."""
    return flask.Request({"REQUEST_METHOD": method, "PATH_INFO": "/", "wsgi.url_scheme": "http", "HTTP_HOST": "x"})


@pytest.mark.parametrize("secret", [SECRET, f"{SECRET}/versions/3"])
def test_a_secret_in_googles_notation_is_taken(secret: str) -> None:
    """The newest version, or one that is named."""
    assert read_settings({"DASTRA_API_KEY_SECRET": secret}).api_key_secret == secret


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "DASTRA_API_KEY_SECRET is required"),
        ({"DASTRA_API_KEY_SECRET": "api-key"}, "DASTRA_API_KEY_SECRET is no secret's resource name: valid: projects/"),
        ({"DASTRA_API_KEY_SECRET": SECRET, "DASTRA_API_URL": "x"}, "DASTRA_API_URL is 'x': valid: an address"),
    ],
)
def test_a_check_that_is_not_set_up_says_so_in_each_run(
    env: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not at start: the receiver is made of the same file. The schedule sees an error, and the log has its line."""
    watch = watch_function(env)
    assert capsys.readouterr().out == ""
    for _ in range(2):
        with pytest.raises(SettingsError) as raised:
            watch(incoming())
        assert said in str(raised.value)
        line = json.loads(capsys.readouterr().out)
        assert (line["message"], line["error"], line["severity"]) == (
            "webhook_check_failed",
            "invalid_settings",
            "ERROR",
        )


def test_only_a_post_runs_it() -> None:
    """A person who opens the address in a browser starts nothing."""
    answer = watch_function({"DASTRA_API_KEY_SECRET": SECRET})(incoming("GET"))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_receiving_does_not_pay_for_the_check() -> None:
    """Neither it nor the secret's client is imported with the functions."""
    program = "import sys, gcp_function.watch; print([n for n in ('core.watch', 'core.api') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"
