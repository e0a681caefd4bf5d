"""Dastra's public API, its webhook calls with types. How a call behaves: ``cli.dastra.transport``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic import ValidationError

from cli.dastra.errors import DastraError, GoneError
from cli.dastra.models import Id, WebHook
from cli.dastra.transport import Transport

API_URL: Final = "https://api.dastra.eu"
"""The public API's address (its description, ``servers``)."""
_HOOKS: Final = "/v1/WebHookUrls"


class DastraApi(Transport):
    """An account's API. Use it as a context manager, or close it. Safe under concurrent calls."""

    def webhooks(self, workspace: Id | None = None) -> list[WebHook]:
        """The account's webhooks, or those of one workspace (``GET /v1/WebHookUrls``).

        Raises:
            DastraError: as of `request`.
        """
        params: dict[str, Any] = {"workspaceId": workspace}
        page = self._page("GET", _HOOKS, params)
        items = list(page.items)
        # The description has one bare array. Where Dastra answers in pages all the same, the rest is asked for.
        number = page.number or 1
        while page.total is not None and page.items and len(items) < page.total:
            number += 1
            page = self._page("GET", _HOOKS, {**params, "page": number, "size": page.size or len(page.items)})
            items += page.items
        return [_webhook(item, f"GET {_HOOKS}") for item in items]

    def webhook(self, id_: Id) -> WebHook:
        """One webhook (``GET /v1/WebHookUrls/{id}``).

        Raises:
            GoneError: there is none.
            DastraError: as of `request`.
        """
        path = _path(id_)
        return _webhook(self.request("GET", path), f"GET {path}")

    def create_webhook(self, url: str, workspace: Id | None, events: tuple[str, ...] = ()) -> WebHook:
        """A new webhook (``POST /v1/WebHookUrls``); its answer has the signature key.

        Raises:
            UnsureError: it may have been made; list before you try again.
            DastraError: as of `request`.
        """
        body = {"url": url, "workSpaceId": workspace, "subscribedEvents": list(events)}
        return _webhook(self.request("POST", _HOOKS, json=body), f"POST {_HOOKS}")

    def subscribe(self, hook: WebHook, events: tuple[str, ...]) -> None:
        """Give a webhook these events and no others (``PUT /v1/WebHookUrls/{id}``); the rest stays as it is.

        Raises:
            GoneError: there is no such webhook.
            DastraError: as of `request`.
        """
        body = {"id": hook.id, "url": hook.url, "workSpaceId": hook.workspace_id, "subscribedEvents": list(events)}
        self.request("PUT", _path(hook.id), json=body)

    def delete_webhook(self, id_: Id) -> bool:
        """Delete a webhook (``DELETE /v1/WebHookUrls/{id}``); False where there was none any more.

        Raises:
            DastraError: as of `request`.
        """
        try:
            self.request("DELETE", _path(id_))
        except GoneError:
            return False
        return True

    def test_webhook(self, id_: Id, event_type: str) -> None:
        """Let Dastra post its sample of an event type (``GET /v1/WebHookUrls/test/{webhookId}/{evt}``).

        Raises:
            GoneError: there is no such webhook, or no such endpoint any more.
            DastraError: as of `request`.
        """
        self.request("GET", f"{_HOOKS}/test/{_quoted(id_)}/{_quoted(event_type)}")

    def test_payload(self, payload: Mapping[str, Any]) -> None:
        """Let Dastra post a ``WebhookPayload`` of ours (``POST /v1/WebHookUrls/test``).

        Raises:
            GoneError: there is no such endpoint.
            DastraError: as of `request`.
        """
        self.request("POST", f"{_HOOKS}/test", json=payload)

    def test_event(self, event_type: str) -> None:
        """Let Dastra post its sample of an event type (``GET /v1/WebHookUrls/test/{evt}``, its API of 2021).

        Raises:
            GoneError: there is no such endpoint any more.
            DastraError: as of `request`.
        """
        self.request("GET", f"{_HOOKS}/test/{_quoted(event_type)}")


def _webhook(found: object, what: str) -> WebHook:
    try:
        return WebHook.model_validate(found)
    except ValidationError:
        raise DastraError(f"{what} was answered with a webhook that has no id.") from None


def _quoted(part: Id) -> str:
    return quote(str(part), safe="")


def _path(id_: Id) -> str:
    return f"{_HOOKS}/{_quoted(id_)}"
