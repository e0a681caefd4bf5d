"""Time-outs of the clients, one client for all, and what an SDK's errors mean."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from aws_lambda.sdk import ATTEMPTS, Lazy, config, port_error


@pytest.mark.parametrize("seconds", [0.1, 1, 2.5, 5])
def test_a_client_s_waits_fit_into_the_time_of_a_call(seconds: float) -> None:
    """Two attempts that connect at once and time out reading end in time, or two that cannot connect."""
    made: Any = config(seconds, 4)  # its options are attributes that its stubs do not name
    assert made.retries == {"mode": "standard", "total_max_attempts": 2}
    assert ATTEMPTS == 2
    assert made.connect_timeout == pytest.approx(seconds / 5)
    assert made.read_timeout == pytest.approx(seconds * 0.45)
    assert ATTEMPTS * made.read_timeout <= seconds
    assert ATTEMPTS * made.connect_timeout <= seconds
    assert made.max_pool_connections == 4
    assert made.tcp_keepalive is True


# One client


def test_a_client_is_made_when_it_is_first_needed_and_then_shared() -> None:
    """Not before, and once."""
    made: list[boto3.session.Session] = []

    def make(session: boto3.session.Session) -> object:
        made.append(session)
        return object()

    lazy = Lazy(make)
    assert made == []
    assert lazy.get() is lazy.get()
    assert len(made) == 1
    assert isinstance(made[0], boto3.session.Session)


def test_a_discarded_client_is_made_again() -> None:
    """Who has it keeps it; who asks gets another. Discarding nothing is no error."""
    lazy = Lazy(lambda session: object())
    lazy.discard()
    first = lazy.get()
    lazy.discard()
    lazy.discard()
    assert lazy.get() is not first


def test_many_threads_at_once_make_one_client() -> None:
    """Those that come while it is being made get the same one."""
    made: list[object] = []
    come = threading.Barrier(16)
    tick = threading.Event()

    def make(session: boto3.session.Session) -> object:
        tick.wait(0.02)  # so that the others are likely to be waiting; the claim holds either way
        made.append(object())
        return made[-1]

    lazy = Lazy(make)

    def get(_: int) -> object:
        come.wait(30)
        return lazy.get()

    with ThreadPoolExecutor(16) as pool:
        clients = set(pool.map(get, range(16)))
    assert len(made) == 1
    assert clients == set(made)


def test_two_clients_are_not_made_at_the_same_time() -> None:
    """Nor two of different services: they share the session."""
    inside: list[int] = []
    start = threading.Barrier(8)
    tick = threading.Event()

    def make(session: boto3.session.Session) -> int:
        inside.append(1)
        count = len(inside)
        tick.wait(0.002)
        inside.pop()
        return count

    def get(lazy: Lazy[int]) -> int:
        start.wait(30)
        return lazy.get()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(get, [Lazy(make) for _ in range(8)])) == {1}


def test_a_client_that_cannot_be_made_is_tried_again() -> None:
    """The next call may have the region or the credentials that this one lacked."""
    attempts: list[int] = []

    def make(session: boto3.session.Session) -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("planted")
        return "client"

    lazy = Lazy(make)
    with pytest.raises(ValueError, match="planted"):
        lazy.get()
    assert lazy.get() == "client"


# Errors


def client_error(code: object) -> ClientError:
    """What botocore makes of an error answer."""
    return ClientError({"Error": {"Code": code, "Message": "planted"}}, "SendMessage")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "code", "timed_out"),
    [
        (client_error("ThrottlingException"), "ThrottlingException", False),
        (client_error("AWS.SimpleQueueService.NonExistentQueue"), "AWS.SimpleQueueService.NonExistentQueue", False),
        (client_error("503"), "503", False),
        (client_error(503), "503", False),
        (client_error("planted body"), "planted_body", False),
        (client_error('é"\n{}'), "_____", False),
        (client_error("x" * 200), "x" * 80, False),
        (client_error(""), "unknown", False),
        (client_error(None), "unknown", False),
        (ClientError({}, "SendMessage"), "unknown", False),
        (ReadTimeoutError(endpoint_url="http://planted"), "ReadTimeoutError", True),
        (ConnectTimeoutError(endpoint_url="http://planted"), "ConnectTimeoutError", True),
        (EndpointConnectionError(endpoint_url="http://planted"), "EndpointConnectionError", False),
        (ConnectionClosedError(endpoint_url="http://planted"), "ConnectionClosedError", False),
        (NoCredentialsError(), "NoCredentialsError", False),
        (ValueError("planted"), "ValueError", False),
        (UnicodeDecodeError("utf-8", b"planted", 0, 1, "planted"), "UnicodeDecodeError", False),
    ],
    ids=lambda value: None,
)
def test_an_error_has_a_code_that_may_be_logged(error: Exception, code: str, timed_out: bool) -> None:
    """AWS's own or the class; only a time-out leaves open what happened, and no message is passed on."""
    found = port_error(error)
    assert (found.code, found.timed_out, found.permanent) == (code, timed_out, False)
    assert str(found) == code


def test_what_is_refused_for_ever_is_a_matter_of_the_code() -> None:
    """Of those that the port names, and of AWS's answers only."""
    permanent = frozenset({"Refused", "ValueError"})
    assert port_error(client_error("Refused"), permanent).permanent
    assert not port_error(client_error("Throttled"), permanent).permanent
    assert not port_error(ValueError(), permanent).permanent
