"""Dastra's side of the webhooks: how many errors it counted, and whether it has blocked one.

A webhook that Dastra blocked is silent, and a silent receiver looks as if nothing happened. Dastra's API tells both
(``GET /v1/WebHookUrls``, ``nbErrors`` and ``inError`` of its API description), so a schedule asks. It is a function of
its own that has nothing to do with receiving, and a check that could not read says so: no news is not good news.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.api import ApiError, get
from core.bound import HardBound, HardTimeoutError, NoFreeWorkerError
from core.envelope import Opaque
from core.log import (
    WEBHOOK_BLOCKED,
    WEBHOOK_CHECK,
    WEBHOOK_CHECK_FAILED,
    WEBHOOK_ERRORS,
    Log,
    error_code,
    record,
)
from core.message import plain_token
from core.ports import PortError
from core.watch_settings import WatchSettings

T = TypeVar("T")

KEY_SECONDS: Final = 5.0
API_SECONDS: Final = 10.0
"""What one request may take, whatever the other side does. Dastra's own goal is one second."""
LIMIT: Final = 5
"""Errors after which Dastra blocks a webhook ("when the threshold of 5 errors is exceeded", its webhook page). Whether
the fifth or the sixth does it is not said, so the fifth counts."""
ATTEMPTS: Final = 2
PAUSE_SECONDS: Final = 2.0
_PATH: Final = "/v1/WebHookUrls"
_MOST_KEY: Final = 1024


@dataclass(frozen=True, slots=True)
class WatchReport:
    """What one check found. ``errors`` is the highest count of all webhooks; ``failed`` why nothing could be read."""

    webhooks: int = 0
    errors: int = 0
    blocked: int = 0
    failed: str | None = None

    def as_answer(self) -> dict[str, str | int]:
        """For whoever calls the function by hand: the numbers, or why there are none."""
        if self.failed is not None:
            return {"failed": self.failed}
        return {"webhooks": self.webhooks, "errors": self.errors, "blocked": self.blocked}


class WatchError(Exception):
    """The check could not read. ``code`` may be logged; ``status`` is the API's, where it answered.

    Args:
        code: a word of our own, an error code, or the name of an exception's class.
        during: ``key`` or ``api``.
        status: the HTTP status.
    """

    def __init__(self, code: str, during: str, status: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.during = during
        self.status = status


def _as_id(text: str | None) -> str:
    if plain_token(text) is None:
        raise ValueError("no id")
    return text or ""


class Webhook(BaseModel):
    """The part of ``WebHookUrlDto`` that is looked at. The signature key beside it is never taken out of the answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[Opaque, AfterValidator(_as_id)]
    errors: int = Field(alias="nbErrors", ge=0, le=2**31 - 1)
    in_error: bool = Field(alias="inError")

    @property
    def blocked(self) -> bool:
        """Whether Dastra says so, or has counted as many errors as it takes."""
        return self.in_error or self.errors >= LIMIT


class _Page(BaseModel):
    items: list[Webhook]
    total: int | None = None


_ANSWER: Final[TypeAdapter[list[Webhook] | _Page]] = TypeAdapter(list[Webhook] | _Page)


def read_webhooks(body: bytes) -> list[Webhook]:
    """Read the list that the API answers with: bare as its description has it, or below ``items`` as other lists are.

    Raises:
        ValueError: it is neither, a webhook lacks what is looked at, or a part of the list is missing. The text says
            which, and holds nothing of the answer.
    """
    try:
        answer = _ANSWER.validate_json(body)
    except ValidationError:  # its text quotes the answer, which has keys in it
        raise ValueError("malformed") from None
    if isinstance(answer, list):
        return answer
    if answer.total is not None and answer.total > len(answer.items):
        raise ValueError("list_is_incomplete")
    return answer.items


def read_api_key(text: str) -> str:
    """The key in a secret's text: alone, or the only text of a JSON object, which is what consoles produce.

    Raises:
        ValueError: there is none, several, or one that cannot stand in a header. The text never holds it.
    """
    text = text.strip().removeprefix("\ufeff").strip()
    if text[:1] in ("{", "["):
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("no_usable_key") from None
        values = list(decoded.values() if isinstance(decoded, dict) else decoded)
        text = values[0].strip() if len(values) == 1 and isinstance(values[0], str) else ""
    if not text or len(text) > _MOST_KEY or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("no_usable_key")
    return text


@dataclass(slots=True, eq=False)
class Watch:
    """The check. One per instance; runs one at a time.

    Args:
        settings: where to ask, and about which webhooks.
        read_secret: takes a time-out in seconds and reads the secret's text; raises PortError.
        log: is told what was found.
        seconds: what one request to the API may take.
        pause: seconds before the second attempt.
    """

    settings: WatchSettings
    read_secret: Callable[[float], str]
    log: Log
    seconds: float = API_SECONDS
    pause: float = PAUSE_SECONDS
    sleep: Callable[[float], None] = time.sleep
    _bound: HardBound = field(init=False)

    def __post_init__(self) -> None:
        self._bound = HardBound("watch", 2)

    def run(self) -> WatchReport:
        """Ask, and say what was found. Never raises."""
        try:
            webhooks = self._webhooks()
        except WatchError as error:
            record(self.log, WEBHOOK_CHECK_FAILED, error=error.code, during=error.during, status=error.status)
            return WatchReport(failed=error.code)
        except Exception as error:  # noqa: BLE001 - whatever it is, the log must say that nobody looks
            record(self.log, WEBHOOK_CHECK_FAILED, error=error_code(error), during="check")
            return WatchReport(failed=error_code(error))
        for webhook in webhooks:
            if webhook.blocked:
                record(self.log, WEBHOOK_BLOCKED, webhook_id=webhook.id, errors=webhook.errors)
            elif webhook.errors:
                record(self.log, WEBHOOK_ERRORS, webhook_id=webhook.id, errors=webhook.errors)
        report = WatchReport(
            len(webhooks), max(webhook.errors for webhook in webhooks), sum(webhook.blocked for webhook in webhooks)
        )
        record(self.log, WEBHOOK_CHECK, count=report.webhooks, errors=report.errors, blocked=report.blocked)
        return report

    def _webhooks(self) -> Sequence[Webhook]:
        """The webhooks to look at; never none, since then there is nothing that could be well."""
        try:
            found = read_webhooks(self._ask(self._key()))
        except ValueError as error:
            raise WatchError(str(error), "api") from None
        wanted = self.settings.webhook_ids
        chosen = [webhook for webhook in found if not wanted or webhook.id in wanted]
        if not chosen:
            raise WatchError("no_webhook", "api")
        if set(wanted) - {webhook.id for webhook in chosen}:
            raise WatchError("webhook_is_missing", "api")
        return chosen

    def _key(self) -> str:
        try:
            return read_api_key(self._within(lambda: self.read_secret(KEY_SECONDS), KEY_SECONDS, "key"))
        except PortError as error:
            raise WatchError(error.code, "key") from None
        except ValueError as error:
            raise WatchError(str(error), "key") from None

    def _ask(self, key: str) -> bytes:
        workspace = self.settings.workspace_id
        url = self.settings.api_url + _PATH + (f"?{urlencode({'workspaceId': workspace})}" if workspace else "")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return get(url, key, self.seconds, self._bound)
            except ApiError as error:
                if not error.passing or attempt == ATTEMPTS:
                    raise WatchError(error.code, "api", error.status) from None
            self.sleep(self.pause)
        raise AssertionError  # not reached

    def _within(self, call: Callable[[], T], seconds: float, during: str) -> T:
        try:
            return self._bound.run(call, seconds)
        except HardTimeoutError:
            raise WatchError("hard_timeout", during) from None
        except NoFreeWorkerError:
            raise WatchError("no_free_worker", during) from None
