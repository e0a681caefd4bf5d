"""The one authenticated way to call Dastra's public API.

A call ends within a bounded time in a value or in a `DastraError` (see ``cli.dastra.errors``), whatever the other side
does. What changes nothing when it is done twice is tried again; a creation never is, unless it certainly was not done.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Self

import httpx

from cli.dastra.access import ApiKey, check_api_url
from cli.dastra.answers import AGAIN, Answer, failure, value
from cli.dastra.errors import DastraError, UnsureError
from cli.dastra.models import Page
from cli.dastra.pace import Pace, backoff, retry_after
from cli.sending import is_loopback, reason
from cli.version import version
from core.bound import HardBound, HardTimeoutError, NoFreeWorkerError

Params = Mapping[str, Any]
"""A query: a list repeats its name, and what is None is left out."""

MOST_PER_PAGE: Final = 500
"""The largest page of a paged list (the description of ``size``)."""
_SECONDS: Final = 30.0
"""What one try may take in all: Dastra states a response time under a second."""
_SILENCE: Final = 10.0
_TRIES: Final = 4
_WORKERS: Final = 8
_LONGEST_WAIT: Final = 120.0
"""The longest ``Retry-After`` that is waited for."""
_MOST_BYTES: Final = 64 * 1024 * 1024
_UNCHANGED: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""Methods that may be done twice (RFC 9110, 9.2.2). In Dastra's API PUT replaces a webhook's fields."""


class _NoAnswer(Exception):
    """No whole answer came. ``sent`` says whether the request may have reached the API."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.why: Final = why
        self.sent: Final = sent


class Transport:
    """An account's API. Use it as a context manager, or close it. Safe under concurrent calls.

    Args:
        base_url: the API's address, https unless it is this machine.
        key: the private key; it goes into the header ``X-API-Key`` and nowhere else.
        on_wait: told, before each pause of a second or more, its length in seconds and why it is made.
        pace: how fast to ask.
        seconds: what one try may take.
        sleep: waits; a test may replace it.

    Raises:
        CliError: the address cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        key: ApiKey,
        *,
        on_wait: Callable[[float, str], None] | None = None,
        pace: Pace | None = None,
        seconds: float = _SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url: Final = check_api_url(base_url)
        self._key: Final = key
        self._on_wait: Final = on_wait or (lambda _seconds, _why: None)
        self._pace: Final = pace or Pace()
        self._seconds: Final = seconds
        self._sleep: Final = sleep
        self._bound: Final = HardBound("dastra", _WORKERS)
        self._client = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(self, method: str, path: str, *, params: Params | None = None, json: object = None) -> Any:
        """One call.

        Args:
            method: the HTTP method.
            path: the path from the API's root, with its ids escaped.
            params: the query.
            json: the body, as JSON; none where it is None.

        Returns:
            The answer's JSON, decoded; None where it has no body.

        Raises:
            GoneError: 404 or 405.
            UnsureError: a POST to which no answer came, or a server's error: it may have been done.
            DastraError: everything else: refused, no answer, no JSON, too much.
        """
        given = {name: item for name, item in (params or {}).items() if item is not None}
        answer = self._send(method, path, given, json)
        if answer.good:
            return value(answer, f"{method} {path}")
        raise failure(answer, method, path, f"{method} {path}")

    def pages(
        self, path: str, *, params: Params | None = None, first: int = 1, size: int = MOST_PER_PAGE
    ) -> Iterator[Page]:
        """A paged list, page by page from page ``first`` on, each fetched when it is asked for.

        The list ends with a page that is not full or reaches the total. Where the API makes pages smaller than asked
        for and says so, its word counts.

        Raises:
            DastraError: as of `request`; or a page is none.
        """
        number = first
        while True:
            page = self._page("GET", path, {**(params or {}), "page": number, "size": size})
            yield page
            taken = page.size or size
            last = len(page.items) < min(taken, size) if page.total is None else number * min(taken, size) >= page.total
            if last or not page.items:
                return
            number += 1

    def _page(self, method: str, path: str, params: Params) -> Page:
        answer = self.request(method, path, params=params)
        try:
            return Page.of([] if answer is None else answer)
        except ValueError as error:
            raise DastraError(f"{method} {path} was answered with JSON of another form: {error}.") from None

    def _send(self, method: str, path: str, params: Params, json: object) -> Answer:
        """The last answer, after as many tries as are allowed."""
        twice = method in _UNCHANGED
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES
            self._pace.wait()
            try:
                answer = self._once(method, path, params, json)
            except _NoAnswer as error:
                if error.sent and not twice:
                    raise UnsureError(
                        f"no answer came to {method} {path} ({error.why}); it may have been done.",
                        "Run the same command again: it looks first.",
                    ) from error
                if last:
                    raise DastraError(
                        f"{self.base_url} does not answer {method} {path}: {error.why}.",
                        "Check the network, a proxy (HTTPS_PROXY, SSL_CERT_FILE) and https://status.dastra.eu.",
                    ) from error
                self._wait(backoff(attempt), error.why)
                continue
            asked = retry_after(answer.headers.get("retry-after")) if answer.status in (429, 503) else None
            if asked is not None and asked > _LONGEST_WAIT:
                raise DastraError(
                    f"Dastra asks to wait {asked:.0f} s before the next request ({answer.status}).",
                    "Run the same command again after that.",
                    status=answer.status,
                )
            if answer.status == 429 and not last:  # refused, so not done, whatever the method
                self._wait(asked if asked is not None else 2 * backoff(attempt), "Dastra says: too many requests")
            elif answer.status in AGAIN and not twice:
                raise UnsureError(
                    f"{method} {path} was answered {answer.status}; it may have been done all the same.",
                    "Run the same command again: it looks first.",
                    status=answer.status,
                )
            elif answer.status in AGAIN and not last:
                self._wait(asked if asked is not None else backoff(attempt), f"Dastra answered {answer.status}")
            else:
                return answer
        raise AssertionError("the last try returns or raises")

    def _wait(self, seconds: float, why: str) -> None:
        if seconds >= 1:
            self._on_wait(seconds, why)
        self._sleep(seconds)

    def _once(self, method: str, path: str, params: Params, json: object) -> Answer:
        client = self._client
        try:
            # The client's own time-outs bound one wait, not the whole.
            ends_at = time.monotonic() + self._seconds
            return self._bound.run(lambda: _exchange(client, method, path, params, json, ends_at), self._seconds)
        except (HardTimeoutError, NoFreeWorkerError):
            self._client = self._connect()
            raise _NoAnswer(f"it takes longer than {self._seconds:g} s", sent=True) from None
        except httpx.TimeoutException as error:
            sent = not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            raise _NoAnswer("it stays silent" if sent else "no connection in time", sent=sent) from error
        except (httpx.TransportError, OSError) as error:
            raise _NoAnswer(reason(error), sent=not isinstance(error, httpx.ConnectError)) from error
        except httpx.HTTPError as error:
            raise _NoAnswer(type(error).__name__, sent=True) from error

    def _connect(self) -> httpx.Client:
        local = is_loopback(self.base_url)
        return httpx.Client(
            base_url=self.base_url,
            headers={
                "X-API-Key": self._key.reveal(),
                "Accept": "application/json",
                "User-Agent": f"dastra-webhooks/{version()}",
            },
            timeout=httpx.Timeout(_SILENCE),
            # The system's certificates, which also know a company's own proxy. For http none are read.
            verify=ssl.create_default_context() if self.base_url.startswith("https") else False,
            trust_env=not local,
            follow_redirects=False,
        )


def _exchange(client: httpx.Client, method: str, path: str, params: Params, json: object, ends_at: float) -> Answer:
    with client.stream(method, path, params=params or None, json=json) as response:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if time.monotonic() > ends_at:  # nobody waits any more: do not go on reading what drips
                raise httpx.ReadTimeout("too late", request=response.request)
            if len(body) > _MOST_BYTES:
                raise DastraError(
                    f"{method} {path} was answered with more than {_MOST_BYTES // 1024 // 1024} MiB.",
                    "Ask for less at a time: a shorter time span, a smaller page.",
                    status=response.status_code,
                )
    return Answer(response.status_code, response.headers, bytes(body))
