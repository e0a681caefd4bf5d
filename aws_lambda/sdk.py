"""boto3 clients whose time-outs come from the time budget, and what their errors mean for a port."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from core.ports import PortError

C = TypeVar("C")

ATTEMPTS: Final = 2
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.:-]")
_session: Final = boto3.session.Session()
_creating: Final = threading.Lock()


def config(seconds: float, connections: int) -> Config:
    """A client's settings for calls that may take ``seconds`` in all.

    Two attempts, each with a fifth of the time to connect and nine twentieths to wait for a read; botocore's pause in
    between is what may exceed the total, and the hard bound around the call ends that.
    """
    return Config(
        connect_timeout=seconds / 5,
        read_timeout=seconds * 9 / 20,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=connections,
        tcp_keepalive=True,
    )


class Lazy(Generic[C]):
    """One client, shared by all threads, made when first needed and again after it was thrown away."""

    def __init__(self, make: Callable[[boto3.session.Session], C]) -> None:
        self._make: Final = make
        self._client: C | None = None

    def get(self) -> C:
        """The client. Making one does no I/O."""
        client = self._client
        if client is None:
            with _creating:  # a session is not safe to create clients from concurrently (boto3's guide)
                client = self._client
                if client is None:
                    client = self._client = self._make(_session)
        return client

    def discard(self) -> None:
        """Forget the client; calls under way keep it until they end."""
        self._client = None


def port_error(error: Exception, permanent: frozenset[str] = frozenset()) -> PortError:
    """What an SDK's exception means; codes in ``permanent`` will be refused for ever."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code") or "unknown")
        return PortError(_UNSAFE.sub("_", code)[:80], permanent=code in permanent)
    timed_out = isinstance(error, ConnectTimeoutError | ReadTimeoutError)
    return PortError(type(error).__name__, timed_out=timed_out)
