"""Posting one signed event as Dastra does: one POST, no redirect, ten seconds, and only 200 counts."""

from __future__ import annotations

import json
import ssl
import time
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

import httpx

from cli.exits import CliError, Exit
from cli.version import version
from core.bound import HardBound, HardTimeoutError, NoFreeWorkerError
from core.deadline import SENDER_PATIENCE
from core.signature import SignatureKey, sign

CONTENT_TYPE: Final = "application/json; charset=utf-8"
_MOST_SHOWN: Final = 500
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``status`` and ``body`` are None where nothing did within Dastra's patience."""

    status: int | None
    body: str | None
    location: str | None
    milliseconds: float

    @property
    def good(self) -> bool:
        """Whether Dastra would count it as delivered."""
        return self.status == httpx.codes.OK

    @property
    def verdict(self) -> str | None:
        """The receiver's own word: ``accepted``, ``spooled`` or ``quarantined``; None where it is not our answer."""
        try:
            found = json.loads(self.body or "")
        except ValueError:
            return None
        status = found.get("status") if isinstance(found, dict) else None
        return status if isinstance(status, str) else None


def check_url(url: str) -> str:
    """The URL, if one can post to it.

    Raises:
        CliError: it is not an http or https URL.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CliError(f"{url!r} is no URL to post to.", "Valid: https://example.org/dastra", Exit.USAGE)
    return url


def is_loopback(url: str) -> bool:
    """Whether a URL stays on this machine."""
    return urlsplit(url).hostname in LOOPBACK


def post(url: str, body: bytes, key: SignatureKey, source: str | None = None) -> Answer:
    """Sign and post.

    Args:
        url: the endpoint.
        body: the exact bytes.
        key: the webhook's validation key.
        source: the address of this machine to send from, where it has several.

    Raises:
        CliError: there was no connection, or it broke before an answer.
    """
    return Poster(url, source).post(body, key)


class Poster:
    """Posts to one endpoint, each event over a connection of its own. Safe from as many threads as ``workers``."""

    def __init__(self, url: str, source: str | None = None, workers: int = 1) -> None:
        self._url: Final = url
        self._source: Final = source
        # The client's own time-out bounds one wait, not the whole.
        self._bound: Final = HardBound("post", workers)
        # The system's certificates, which also know a company's own proxy. For http none are read: that takes its time.
        secure = url.startswith("https")
        self._verify: Final[ssl.SSLContext | bool] = ssl.create_default_context() if secure else False

    def post(self, body: bytes, key: SignatureKey) -> Answer:
        """Sign and post, with Dastra's patience.

        Raises:
            CliError: there was no connection, or it broke before an answer.
        """
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Dastra-Signature": sign(body, key),
            "User-Agent": f"dastra-webhooks/{version()}",
        }
        started = time.monotonic()
        try:
            found = self._bound.run(lambda: _post(self._client(), self._url, body, headers), SENDER_PATIENCE)
        except (HardTimeoutError, NoFreeWorkerError, httpx.TimeoutException):
            return Answer(None, None, None, _since(started))
        except (httpx.TransportError, ValueError, OSError) as error:
            raise unreachable(self._url, reason(error)) from error
        return replace(found, milliseconds=_since(started))

    def _client(self) -> httpx.Client:
        verify, source = self._verify, self._source
        transport = httpx.HTTPTransport(verify=verify, local_address=source) if source else None
        local = is_loopback(self._url)
        return httpx.Client(timeout=SENDER_PATIENCE, transport=transport, verify=verify, trust_env=not local)


def unreachable(url: str, why: str) -> CliError:
    """The error where there was no connection; ``why`` is the system's own word."""
    return CliError(f"{url} cannot be reached: {why}.", _advice(url), Exit.UNREACHABLE)


def _post(client: httpx.Client, url: str, body: bytes, headers: dict[str, str]) -> Answer:
    with client, client.stream("POST", url, content=body, headers=headers) as response:
        content = b""
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > 4 * _MOST_SHOWN:
                break
    return Answer(response.status_code, shown(content), response.headers.get("location"), 0)


def shown(content: bytes) -> str:
    """As much of an answer's body as is shown."""
    return content.decode("utf-8", "replace").strip()[:_MOST_SHOWN]


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000


def reason(error: BaseException) -> str:
    """The system's or OpenSSL's own words; neither quotes what was sent."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate does not hold ({seen.verify_message})"
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    return str(error).rstrip(".") or type(error).__name__


def _advice(url: str) -> str:
    if is_loopback(url):
        return "Is the local run up? Start it in another terminal: dastra-webhooks run"
    return "Check the URL, the network and, behind a company's proxy, HTTPS_PROXY and SSL_CERT_FILE."
