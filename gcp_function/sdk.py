"""Google's clients: made late, shared, thrown away when they hang, and what their errors mean for a port."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import grpc
from google.api_core.exceptions import (
    Aborted,
    Cancelled,
    GatewayTimeout,
    InternalServerError,
    ServiceUnavailable,
    TooManyRequests,
    Unknown,
)

from core.ports import PortError

C = TypeVar("C")
R = TypeVar("R")
Errors = type[Exception] | tuple[type[Exception], ...]

SOFT: Final = 0.9
"""The part of a call's time after which its client gives up by itself, so that the hard bound finds no work."""
FIRST: Final = 0.5
"""The part of that which the first attempt may take. An instance gets no CPU between requests, so the connection of
its last request may be long dead without anybody having said so; then there is time left for a new one."""
PAUSE_SECONDS: Final = 0.3
"""Between an attempt that failed at once and the second: longer than gRPC waits before it connects again."""
LEAST_SECONDS: Final = 0.02
"""With less left, no attempt begins: nothing may be sent after its caller gave it up."""
PASSING: Final = (
    Aborted,
    Cancelled,
    GatewayTimeout,
    InternalServerError,
    ServiceUnavailable,
    TooManyRequests,
    Unknown,
)
"""Errors after which a second attempt may succeed. Google's client library retries the same for Publish."""

_TOLD: Final = frozenset({"SERVICE_DISABLED", "USER_PROJECT_DENIED"})
"""Reasons that Google gives for a refusal, where the exception's name would lead to the wrong remedy."""
_OPTIONS: Final = (
    # Without this, gRPC hands the connection of a client that was thrown away to the one made in its place.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC waits up to two minutes before it connects again; an instance should notice sooner that a service is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
)

_ANY_SIZE: Final = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
"""What the generated transports set themselves for a channel of their own."""


class Transport(Protocol):
    """The part of a generated gRPC transport class that is needed to make its channel."""

    def __init__(self, *, channel: Any = None, **arguments: Any) -> None: ...

    @classmethod
    def create_channel(cls, *arguments: Any, **named: Any) -> grpc.Channel:
        """A channel with credentials; takes ``options``."""


T = TypeVar("T", bound=Transport)


def grpc_transport(kind: type[T], emulator: str | None) -> Callable[..., T] | T:
    """The ``transport`` of a generated client, with our channel options.

    Args:
        kind: the generated transport class.
        emulator: ``host:port`` of an emulator, which is then spoken to in clear text and without credentials.
    """
    if emulator:
        return kind(channel=grpc.insecure_channel(emulator, options=(*_OPTIONS, *_ANY_SIZE)))

    def channel(*arguments: Any, options: list[tuple[str, Any]], **named: Any) -> grpc.Channel:
        return kind.create_channel(*arguments, options=[*options, *_OPTIONS], **named)

    return functools.partial(kind, channel=channel)


class Lazy(Generic[C]):
    """One client, shared by all threads, made when first needed and again after it was thrown away.

    Nothing is made when the entry point is imported: the functions framework imports it before it forks.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make: Final = make
        self._making: Final = threading.Lock()
        self._client: C | None = None

    def get(self, timeout: float) -> C:
        """The client. Making it asks the metadata server who we are, so it can take time.

        Raises:
            PortError: another thread was still making it after ``timeout`` seconds.
        """
        client = self._client
        if client is not None:
            return client
        if not self._making.acquire(timeout=max(0.0, timeout)):
            raise PortError("client_not_ready", timed_out=True)
        try:
            client = self._client
            if client is None:
                client = self._client = self._make()
            return client
        finally:
            self._making.release()

    def discard(self, seen: C | None = None) -> None:
        """Forget the client, or only the one that was ``seen`` to hang; calls under way keep it until they end."""
        if seen is None or self._client is seen:
            self._client = None


def attempt(lazy: Lazy[C], call: Callable[[C, float], R], seconds: float, permanent: Errors = ()) -> R:
    """The result of a call, tried twice within ``seconds``.

    Args:
        lazy: the client; a call that timed out has it thrown away.
        call: takes the client and its time-out.
        seconds: for both attempts, and for making the client.
        permanent: what will be raised for this message for ever.

    Raises:
        PortError: both failed, or the first did for good.
    """
    ends_at = time.monotonic() + seconds
    client = lazy.get(seconds)
    try:
        return call(client, max(LEAST_SECONDS, (ends_at - time.monotonic()) * FIRST))
    except Exception as error:
        failure = port_error(error, permanent)
        if failure.timed_out:
            lazy.discard(client)
        pause = 0.0 if failure.timed_out else PAUSE_SECONDS
        if not isinstance(error, PASSING) or ends_at - time.monotonic() < pause + LEAST_SECONDS:
            raise failure from error
        time.sleep(pause)
    left = ends_at - time.monotonic()
    try:
        return call(lazy.get(left), left)
    except Exception as error:
        raise port_error(error, permanent) from error


def port_error(error: Exception, permanent: Errors = ()) -> PortError:
    """What a client's exception means; those in ``permanent`` will be raised for this message for ever."""
    if isinstance(error, PortError):
        return error
    reason = getattr(error, "reason", None)
    return PortError(
        reason if isinstance(reason, str) and reason in _TOLD else type(error).__name__,
        timed_out=isinstance(error, GatewayTimeout),
        permanent=isinstance(error, permanent),
    )
