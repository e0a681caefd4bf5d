"""What the SDK's errors mean for a port, and the clients' time-outs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseTimeoutError,
)
from azure.servicebus.exceptions import MessageSizeExceededError, OperationTimeoutError, ServiceBusServerBusyError

from azure_function.sdk import Lazy, options, port_error


def _answered(
    status: int, code: str | None = None, kind: type[HttpResponseError] = HttpResponseError
) -> HttpResponseError:
    error = kind("AuthorizationFailure: secret text from the service")
    error.status_code = status
    error.error = SimpleNamespace(code=code) if code else None  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("error", "code", "timed_out"),
    [
        (TimeoutError(), "TimeoutError", True),
        (OperationTimeoutError(message="x"), "OperationTimeoutError", True),
        (ServiceRequestTimeoutError("x"), "ServiceRequestTimeoutError", True),
        (ServiceResponseTimeoutError("x"), "ServiceResponseTimeoutError", True),
        (ServiceRequestError("x"), "ServiceRequestError", False),
        (ServiceBusServerBusyError(), "ServiceBusServerBusyError", False),
        (_answered(503), "HttpResponseError.503", False),
        (_answered(503, "ServerBusy"), "ServerBusy", False),
        (_answered(403, "a b<c>"), "a_b_c_", False),
        (_answered(404, "SecretNotFound", ResourceNotFoundError), "SecretNotFound", False),
        (ConnectionError(), "ConnectionError", False),
    ],
)
def test_an_error_becomes_a_code(error: BaseException, code: str, timed_out: bool) -> None:
    """The service's own where it gave one, else the class; never the message. A time-out is told as one."""
    found = port_error(error)
    assert (found.code, found.timed_out, found.permanent) == (code, timed_out, False)
    assert "secret text" not in str(found)


def test_only_what_is_named_is_refused_for_ever() -> None:
    """Size, on the queue; nothing else."""
    assert port_error(MessageSizeExceededError(), (MessageSizeExceededError,)).permanent
    assert not port_error(ServiceBusServerBusyError(), (MessageSizeExceededError,)).permanent


@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.5, 5.0])
def test_two_attempts_fit_a_call(seconds: float) -> None:
    """Connect and read time-outs of both attempts and the pause between them stay near the time of the call."""
    made = options(seconds, 16)
    waits = made["transport"].connection_config
    attempt = waits.timeout + waits.read_timeout
    assert attempt == pytest.approx(0.65 * seconds)
    assert 2 * attempt + made["retry_backoff_factor"] < 1.5 * seconds
    assert made["retry_total"] == 1
    made["transport"].open()
    adapter = made["transport"].session.get_adapter("https://example.blob.core.windows.net")
    assert (adapter._pool_maxsize, adapter.max_retries.total) == (16, 0)
    made["transport"].close()


def test_proxies_of_the_environment_count_in_the_cloud_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulator on this machine is not asked through a proxy."""
    near: Any = options(1, 1, local=True)["transport"]
    far: Any = options(1, 1)["transport"]
    for transport, expected in ((near, False), (far, True)):
        transport.open()
        assert transport._use_env_settings is expected
        transport.close()


def test_a_client_is_made_once_and_again_after_it_was_thrown_away() -> None:
    """Shared by all threads meanwhile."""
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    lazy = Lazy(make)
    assert lazy.get() is lazy.get()
    lazy.discard()
    assert lazy.get() is made[1]
    assert len(made) == 2
