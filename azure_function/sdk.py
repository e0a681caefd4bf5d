"""Clients of the HTTP services with time-outs from the time budget, and what the SDK's errors mean for a port."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from azure.core.exceptions import HttpResponseError

from core.ports import PortError

if TYPE_CHECKING:
    from azure.core.pipeline.transport import RequestsTransport

C = TypeVar("C")

ATTEMPTS: Final = 2
QUIET: Final = (
    "azure.core",
    "azure.identity",
    "azure.keyvault",
    "azure.servicebus",
    "azure.storage",
    "msal",
    "urllib3",
    "uvicorn",
)
"""Loggers that would write a line for each call, with URLs and what services answered. Not all of ``azure``: the worker
writes as ``azure.functions``."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.:-]")
_TIMED_OUT: Final = re.compile(r"Timeout")


class Lazy(Generic[C]):
    """One client, shared by all threads, made when first needed and again after it was thrown away."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make: Final = make
        self._lock: Final = threading.Lock()
        self._client: C | None = None

    def get(self) -> C:
        """The client. Making one does no I/O."""
        client = self._client
        if client is None:
            with self._lock:
                client = self._client
                if client is None:
                    client = self._client = self._make()
        return client

    def discard(self) -> None:
        """Forget the client; calls under way keep it until they end."""
        self._client = None


def options(seconds: float, connections: int, *, local: bool = False, clear_text: bool = False) -> dict[str, Any]:
    """A client's settings for calls that may take ``seconds`` in all.

    Two attempts, each with a fifth of the time to connect and nine twentieths to wait for a read; what exceeds the
    total, the hard bound around the call ends. For an emulator, proxies of the environment are left aside.
    """
    pause = min(0.1, seconds / 20)
    return {
        "transport": transport(seconds, connections, local=local, clear_text=clear_text),
        "retry_total": ATTEMPTS - 1,
        "retry_backoff_factor": pause,
        # Blob Storage's own names for the same.
        "initial_backoff": pause,
        "increment_base": 1,
        "random_jitter_range": 0,
    }


def transport(seconds: float, connections: int, *, local: bool, clear_text: bool) -> RequestsTransport:
    """The SDK's usual transport, which alone knows the time-outs, with a pool of a connection for every call."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=connections, max_retries=0))
    made: type[RequestsTransport] = RequestsTransport
    if clear_text:
        from azure_function.local import ClearText

        made = ClearText
    return made(
        session=session,
        session_owner=True,
        connection_timeout=seconds / 5,
        read_timeout=seconds * 9 / 20,
        use_env_settings=not local,
    )


def port_error(error: BaseException, permanent: tuple[type[BaseException], ...] = ()) -> PortError:
    """What an SDK's exception means; classes in ``permanent`` will be refused for ever.

    The code is the service's where it gave one, else the exception's name, never its message, which may quote.
    """
    name = type(error).__name__
    if isinstance(error, HttpResponseError):
        code = getattr(error, "error_code", None) or getattr(error.error, "code", None) or f"{name}.{error.status_code}"
        name = _UNSAFE.sub("_", str(getattr(code, "value", code)))[:80]
    timed_out = isinstance(error, TimeoutError) or _TIMED_OUT.search(type(error).__name__) is not None
    return PortError(name, timed_out=timed_out, permanent=isinstance(error, permanent))
