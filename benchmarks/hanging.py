"""The worst case that must still be answered in time: a queue that takes requests and never answers."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import boto3

from benchmarks.handler import INVENTED_ACCOUNT, settings
from benchmarks.quiet import silence
from benchmarks.rows import Row
from benchmarks.samples import BODY, KEY, function_url_event
from cli.local.emulator import AwsEmulator, Names, provision
from cli.local.faults import Fault, FaultProxy
from core.settings import Settings
from core.signature import sign

_EVENTS: Final = 100


def rows() -> Iterator[Row]:
    """A hundred events against the hanging queue: the slowest answer, the threads, and where the events are."""
    with (
        AwsEmulator() as emulator,
        FaultProxy(urlsplit(emulator.endpoint_url).port or 0) as queue,
        _environment(emulator.endpoint_url, queue.url),
    ):
        resources = provision(emulator.session(), Names())
        from aws_lambda.wiring import webhook_handler

        env = {**settings(resources.queue_url), "DASTRA_STORE": resources.bucket}
        budget = Settings.from_env(env).time_budget_seconds
        slowest, threads = 0.0, set[int]()
        with silence():
            handler = webhook_handler(env)
            _post(handler, 0)
            if len(emulator.messages(resources.queue_name)) != 1:
                raise AssertionError("the queue did not take an event while it was well")
            queue.mode = Fault.HANGING
            for number in range(1, _EVENTS + 1):
                started = time.perf_counter()
                _post(handler, number)
                slowest = max(slowest, time.perf_counter() - started)
                threads.add(threading.active_count())
        kept = boto3.client("s3").list_objects_v2(Bucket=resources.bucket, Prefix="spool/")["KeyCount"]
        if kept != _EVENTS:
            raise AssertionError(f"{_EVENTS} events, {kept} in the spool")
    yield Row("slowest answer, queue hanging", slowest, budget, "s", 1.0, note="floor: the time budget")
    yield Row("events kept, queue hanging", _EVENTS, kept, "events", 1.0, note="floor: objects in the spool afterwards")
    yield Row("threads, queue hanging", max(threads), min(threads), "threads", 1.0, note="most over least: flat")


def _post(handler: object, number: int) -> None:
    body = BODY.replace(b'"userId": 5', b'"userId": %d' % (1000 + number))
    if not callable(handler):
        raise TypeError(handler)
    answer = handler(function_url_event(body, sign(body, KEY)), None)
    if answer["statusCode"] != 200:
        raise AssertionError(answer)


@contextlib.contextmanager
def _environment(endpoint: str, queue: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(INVENTED_ACCOUNT, AWS_ENDPOINT_URL=endpoint, AWS_ENDPOINT_URL_SQS=queue)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
