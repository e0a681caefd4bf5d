"""The check of the webhooks as the timer runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from azure_function.identity import managed_identity
from azure_function.places import SecretPlace
from azure_function.telemetry import WATCH, AzureLog, Line
from azure_function.vault_keys import VaultKeys
from core.log import WEBHOOK_CHECK_FAILED, record
from core.settings import PREFIX, SettingsError
from core.watch import KEY_SECONDS, Watch, WatchReport
from core.watch_settings import WatchSettings


def watch(env: Mapping[str, str]) -> Callable[[], WatchReport]:
    """What the timer runs. Its settings are read in each run until they can be.

    The receiver has them in its own environment, and must start also where they are wrong: then each run says so, in a
    line that alarms, and ends with a SettingsError that says what is wrong.
    """
    log = AzureLog(WATCH)
    made: list[Watch] = []

    def run() -> WatchReport:
        lines: list[Line] = []
        try:
            return log.gather(lambda: _check(env, made, log), lines)
        finally:
            log.emit(lines)

    return run


def _check(env: Mapping[str, str], made: list[Watch], log: AzureLog) -> WatchReport:
    if not made:
        try:
            made.append(_make(env, log))
        except SettingsError:
            record(log, WEBHOOK_CHECK_FAILED, error="invalid_settings", during="start")
            raise
    return made[0].run()


def _make(env: Mapping[str, str], log: AzureLog) -> Watch:
    settings = WatchSettings.from_env(env)
    try:
        place = SecretPlace.parse(settings.api_key_secret)
    except ValueError as error:
        raise SettingsError([f"{PREFIX}API_KEY_SECRET is no secret's URL: {error}"]) from None
    return Watch(settings, VaultKeys(place, managed_identity, KEY_SECONDS).text, log)
