"""Looking things up in a cloud's management API: JSON over HTTPS, with a token, for what no SDK here covers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from cli.doctor.inside import Absent

_SECONDS: Final = 10.0
_MOST_PAGES: Final = 50
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Rest:
    """GET and POST with a bearer token. Raises httpx.HTTPError; ``explain`` reads it.

    Args:
        token: gives the token; an empty one sends none, as emulators want it.
        advise: what to do about an error's code.
        headers: gives what else a request says of who asks.
    """

    token: Callable[[], str]
    advise: Callable[[str], str | None]
    headers: Callable[[], Mapping[str, str]] = dict
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=_SECONDS))

    def get(self, url: str, **parameters: str) -> dict[str, Any]:
        """The JSON object at a URL."""
        return self._ask("GET", url, parameters, None)

    def post(self, url: str, body: Mapping[str, object], **parameters: str) -> dict[str, Any]:
        """What a query answers."""
        return self._ask("POST", url, parameters, body)

    def pages(self, url: str, field: str, **parameters: str) -> Iterator[dict[str, Any]]:
        """The items of a list that comes in pages, as Google numbers them or as Azure links them."""
        for _ in range(_MOST_PAGES):
            page = self.get(url, **parameters)
            yield from page.get(field, ())
            if token := page.get("nextPageToken"):
                parameters["pageToken"] = token
            elif link := page.get("nextLink"):
                url, parameters = link, {}
            else:
                return

    def explain(self, error: Exception) -> Absent:
        """What an error stands for; never the service's text, which may quote anything."""
        if not isinstance(error, httpx.HTTPStatusError):
            name = type(error).__name__
            return Absent(False, name, self.advise(name) or "")
        status = error.response.status_code
        *reasons, code = _codes(error.response) or [str(status)]
        code = next((reason for reason in reasons if self.advise(reason)), code)
        return Absent(status == httpx.codes.NOT_FOUND, code, self.advise(code) or "")

    def _ask(
        self, method: str, url: str, parameters: Mapping[str, str], body: Mapping[str, object] | None
    ) -> dict[str, Any]:
        token = self.token()
        headers = {"Authorization": f"Bearer {token}", **self.headers()} if token else {}
        answer = self.client.request(method, url, params=parameters or None, json=body, headers=headers)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def _codes(answer: httpx.Response) -> list[str]:
    """The service's own codes: the reasons in Google's details, and last its ``status`` or Azure's ``code``."""
    try:
        error = answer.json().get("error", {})
        reasons = [each.get("reason") for each in error.get("details") or ()]
        codes = [*reasons, error.get("status") or error.get("code")]
    except (ValueError, AttributeError):
        return []
    return [str(code) for code in codes if code and _CODE.fullmatch(str(code))]
