"""The check of the webhooks as an HTTP function, which a schedule calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import flask

from core import http
from core.log import WEBHOOK_CHECK_FAILED, record
from core.settings import PREFIX, SettingsError
from gcp_function.http import write_response
from gcp_function.sdk import Lazy
from gcp_function.telemetry import WATCH, CloudLog
from gcp_function.wiring import SECRET, VALID_SECRET, Function

if TYPE_CHECKING:
    from core.watch import Watch
    from core.watch_settings import WatchSettings

_SECONDS: Final = 5.0


def read_settings(env: Mapping[str, str]) -> WatchSettings:
    """The check's settings, the secret in Google Cloud's notation.

    Raises:
        SettingsError: the environment is not usable.
    """
    from core.watch_settings import WatchSettings  # nothing that the webhook's cold start should pay for

    settings = WatchSettings.from_env(env)
    if not SECRET.fullmatch(settings.api_key_secret):
        raise SettingsError([f"{PREFIX}API_KEY_SECRET is no secret's resource name: {VALID_SECRET}"])
    return settings


def watch_function(env: Mapping[str, str]) -> Function:
    """The HTTP function of the check. Who may call it, Cloud Run decides.

    It answers 200 also when nothing could be read: the run has ended, and the log says how. All functions are made of
    one file, so that where the settings are wrong, or there are none, the receiver starts all the same, and each run
    ends with a SettingsError that says what is wrong.
    """
    log = CloudLog(WATCH, os.environ.get("GOOGLE_CLOUD_PROJECT"))

    given = {name: value for name, value in env.items() if name.startswith(PREFIX)}

    def make() -> Watch:
        from core.watch import Watch
        from gcp_function.secret_keys import SecretKeys

        settings = read_settings(given)
        return Watch(settings, SecretKeys(settings.api_key_secret).text, log)

    checker = Lazy(make)

    def watch(incoming: flask.Request) -> flask.Response:
        log.correlate(http.Headers(incoming.headers.items()))
        if incoming.method != "POST":
            return write_response(http.METHOD_NOT_ALLOWED, incoming)
        try:
            check = checker.get(_SECONDS)
        except SettingsError:
            record(log, WEBHOOK_CHECK_FAILED, error="invalid_settings", during="start")
            raise
        return flask.jsonify(check.run().as_answer())

    return watch
