"""One request to Dastra's API with the standard library: bounded in time and size, and never led elsewhere."""

from __future__ import annotations

import contextlib
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Final
from urllib.parse import urlsplit

from core.bound import HardBound, HardTimeoutError, NoFreeWorkerError
from core.log import error_code

MOST_BYTES: Final = 4 * 1024 * 1024
"""More than any account's webhooks can be."""
_PASSING: Final = frozenset({500, 502, 503, 504})
"""Answers after which a second attempt may succeed. Not 429: who is asked to wait should not ask again at once."""


class ApiError(Exception):
    """There is no answer that could be used.

    Args:
        code: ``http_`` and the status, or a word of our own; it may be logged.
        status: the HTTP status where there was one.
        passing: whether a second attempt may succeed.
    """

    def __init__(self, code: str, *, status: int | None = None, passing: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.passing = passing


def get(url: str, key: str, seconds: float, bound: HardBound) -> bytes:
    """The body of the answer to ``GET url`` with an API key.

    A redirect is not followed: the key would go along. Certificates are verified against the system's authorities.

    Args:
        url: with ``https``, or ``http`` for a stand-in on this machine.
        key: goes into ``X-API-Key`` (Dastra, "Authentification").
        seconds: for everything together.
        bound: runs the call.

    Raises:
        ApiError: the answer is not 200, too large or cut short, or there is none in time.
    """
    call = _Call(url, key, seconds)
    try:
        return bound.run(call.run, seconds)
    except ApiError:
        raise
    except HardTimeoutError:
        call.hang_up()
        raise ApiError("hard_timeout", passing=True) from None
    except NoFreeWorkerError:
        raise ApiError("no_free_worker") from None
    except TimeoutError:
        raise ApiError("timed_out", passing=True) from None
    except ssl.SSLCertVerificationError:
        raise ApiError("certificate_not_trusted") from None
    except (OSError, HTTPException) as error:
        raise ApiError(error_code(error), passing=True) from None


class _Call:
    def __init__(self, url: str, key: str, seconds: float) -> None:
        parts = urlsplit(url)
        self._target: Final = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._key: Final = key
        self._seconds: Final = seconds
        self._host: Final = parts.hostname or ""
        self._port: Final = parts.port
        self._is_https: Final = parts.scheme == "https"
        self._socket: socket.socket | None = None

    def run(self) -> bytes:
        connection = self._connection()
        try:
            connection.connect()
            self._socket = connection.sock
            headers = {"X-API-Key": self._key, "Accept": "application/json", "User-Agent": "dastra-webhooks"}
            connection.request("GET", self._target, headers={**headers, "Connection": "close"})
            with connection.getresponse() as answer:
                return _body(answer)
        finally:
            connection.close()

    def hang_up(self) -> None:
        """End a call that nobody waits for any more, so that its thread is free again."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _connection(self) -> HTTPConnection:
        if self._is_https:
            return HTTPSConnection(self._host, self._port, timeout=self._seconds, context=ssl.create_default_context())
        return HTTPConnection(self._host, self._port, timeout=self._seconds)


def _body(answer: HTTPResponse) -> bytes:
    if answer.status != 200:
        raise ApiError(f"http_{answer.status}", status=answer.status, passing=answer.status in _PASSING)
    if (answer.length or 0) > MOST_BYTES:
        raise ApiError("too_large", status=answer.status)
    body = answer.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise ApiError("too_large", status=answer.status)
    if answer.length:  # http.client tells of a missing end only when it is asked for everything
        raise IncompleteRead(b"", answer.length)
    return body
