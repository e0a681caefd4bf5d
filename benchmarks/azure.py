"""The rows of Azure: the warm function, its cold start, its memory, and a queue that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Never

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusSender
from starlette.requests import Request as WebRequest
from starlette.responses import Response as WebResponse

from azure_function import streaming, wiring
from azure_function.loop import LoopThread
from azure_function.places import Places
from azure_function.service_bus_queue import PREFIX, connector
from azure_function.telemetry import LOGGER, RECEIVER, AzureLog
from benchmarks.azure_stub import stub_queue
from benchmarks.largest import peak_mebibytes, post_at_once
from benchmarks.rows import KEY_TEXT, Row, Sample, alternate, compare
from benchmarks.samples import BODY, KEY, SOURCE
from cli.local.azure_emulator import CONTAINER, QUEUE, AzureEmulator
from cli.local.azure_front import Direct, Lines, Receive, seen, web_request
from cli.local.faults import Fault
from core.envelope import Envelope
from core.message import QueueMessage
from core.settings import Settings
from core.signature import sign

MEMORY_MB: Final = 512
"""The smallest instance there is."""
_ROOT: Final = Path(__file__).resolve().parent.parent
_WARM_UP: Final = 30
_LINK_SECONDS: Final = 5.0
_EVENTS: Final = 100
_ROUNDS: Final = 21
_OURS: Final = "import azure_function.function_app"
_CLIENT: Final = """
import asyncio
async def client():
    made = ServiceBusClient.from_connection_string(
        "Endpoint=sb://127.0.0.1:9;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
    )
    return made.get_queue_sender("queue")
asyncio.run(client())
"""
_PACKAGES: Final = f"""
import uvicorn
from azure.functions import FunctionApp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azurefunctions.extensions import base
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
{_CLIENT}"""
_SDK: Final = f"""
from azure.functions import FunctionApp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
{_CLIENT}"""
_SERVER: Final = """
import asyncio, sys
from azure_function.function_app import app
from azure_function.streaming import WebApp, WebServer
(receive,) = [one.get_user_function() for one in app.get_functions() if one.get_function_name() == "receive"]
web = WebApp()
web.route(receive)
asyncio.run(WebServer("127.0.0.1", int(sys.argv[1]), web).serve())
"""


def rows() -> Iterator[Row]:
    """Every row."""
    yield from _warm()
    yield from _cold()
    yield from _memory()
    yield from _hanging()


def settings(queue: str, store: str = "http://127.0.0.1:9/devstoreaccount1/benchmark") -> dict[str, str]:
    """The environment of a function whose key stands in its settings, so that nothing but queue and store is asked."""
    return {
        "DASTRA_QUEUE": queue,
        "DASTRA_STORE": store,
        "DASTRA_SIGNATURE_KEYS": KEY_TEXT,
        "DASTRA_SOURCE_IP_ALLOWLIST": SOURCE,
    }


@contextlib.contextmanager
def _calling() -> Iterator[Direct]:
    """The worker's loop, with every log line formatted and written where nobody reads it."""
    direct, logger = Direct(), logging.getLogger(LOGGER)
    with Path(os.devnull).open("w", buffering=1) as nowhere:
        lines = Lines(nowhere.write)
        logger.addHandler(lines)
        logger.propagate = False
        try:
            yield direct
        finally:
            logger.propagate = True
            logger.removeHandler(lines)
            direct.close()


@contextlib.contextmanager
def _receiving(env: dict[str, str]) -> Iterator[Receive]:
    """Our function, its connection open as on an instance that has begun to connect before its first request."""
    parts = wiring.instance(env)
    webhook = parts.webhook(AzureLog(RECEIVER))
    try:
        yield streaming.function(webhook)
    finally:
        webhook.close()
        parts.close()


def _call(direct: Direct, receive: Receive, body: bytes, signature: str) -> None:
    """Put a request before a function, as the worker does."""
    headers = [("content-type", "application/json; charset=utf-8"), ("dastra-signature", signature)]
    request = web_request("POST", "/", seen(headers, SOURCE, size=len(body), chunked=False), body)
    answer = direct.call(receive, request)
    if answer.status != 200:
        raise AssertionError(answer)


# -- the warm function -------------------------------------------------------------------------------------------------


def _warm() -> Iterator[Row]:
    for delay, rounds, goal in ((0.005, 300, 1.15), (0.0, 600, None)):
        with (
            stub_queue(delay) as queue,
            _calling() as direct,
            _receiving(settings(queue)) as ours,
            _bare(queue) as bare,
        ):
            signature = sign(BODY, KEY)
            calls: list[Callable[[], object]] = [
                lambda direct=direct, one=one, signature=signature: _call(direct, one, BODY, signature)  # type: ignore[misc]
                for one in (ours, bare)
            ]
            for call in calls:
                for _ in range(_WARM_UP):
                    call()
            sample, floor = alternate(calls, rounds)
        what = f"a queue that takes {delay * 1000:g} ms" if delay else "a queue that answers at once"
        note = "floor: a function with the body read, the same send awaited and one log line"
        yield compare(f"Azure, warm function, {what}", sample, floor, "ms", goal, note)


@contextlib.contextmanager
def _bare(queue: str) -> Iterator[Receive]:
    """The least that a function can do: it has nothing to bound and awaits the SDK's sender on a loop of its own."""
    thread = LoopThread("floor")
    place = Places.of(Settings.from_env(settings(queue))).queue
    connect = connector(place, _nobody)
    logger = logging.getLogger(f"{LOGGER}.floor")

    async def opened() -> ServiceBusSender:
        return connect().get_queue_sender(place.queue)

    sender = thread.run(opened(), _LINK_SECONDS)

    async def receive(req: WebRequest) -> WebResponse:
        body = await req.body()
        message = QueueMessage.of_event(body, envelope, signature)
        amqp = ServiceBusMessage(
            body,
            application_properties={PREFIX + name: value for name, value in message.attributes.items()},
            message_id=message.id,
            content_type="application/json",
        )
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sender.send_messages(amqp), loop))
        logger.info("%s", json.dumps({"message": "sent", "event_id": message.id, "size": len(body)}))
        return WebResponse(b"{}", 200)

    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    loop, envelope, signature = thread.run(running(), _LINK_SECONDS), Envelope.parse(BODY), sign(BODY, KEY)
    try:
        yield receive
    finally:
        thread.stop(_LINK_SECONDS)


def _nobody() -> Never:
    raise AssertionError("an emulator on this machine needs no identity")


# -- the cold start ----------------------------------------------------------------------------------------------------


def _cold() -> Iterator[Row]:
    """Bytecode is on both sides: the first round, which writes it, is thrown away."""
    samples: dict[str, list[float]] = {program: [] for program in (_OURS, _PACKAGES, _SDK)}
    for _ in range(_ROUNDS + 1):
        for program, into in samples.items():
            into.append(_run(program))
    ours, packages, sdk = (Sample(into[1:]) for into in samples.values())
    name = "Azure, import and client"
    note = "floor: programming model, SDK, uvicorn, pydantic and the client"
    yield compare(name, ours, packages, "ms", 1.1, note)
    yield compare(f"{name}, beside the SDK", ours, sdk, "ms", None, "floor: programming model, SDK and the client")


def _run(program: str) -> float:
    timed = f"import time\nstarted = time.perf_counter()\n{program}\nprint(time.perf_counter() - started, flush=True)"
    # The connection that the start begins is refused at once, and nobody waits for it.
    timed += "\nimport os\nos._exit(0)"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **settings(f"127.0.0.1:9/{QUEUE}")}
    done = subprocess.run([sys.executable, "-c", timed], env=env, cwd=_ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


# -- memory ------------------------------------------------------------------------------------------------------------


def _memory() -> Iterator[Row]:
    """As many of the largest events at once as an instance works on, three times over.

    Under the web server that the function brings, without the worker.
    """
    if not Path("/proc/self/status").exists():
        return
    with AzureEmulator() as emulator:
        emulator.create(CONTAINER)
        emulator.broker.create_queue(QUEUE)
        env = settings(emulator.queue_address(QUEUE), emulator.container_url(CONTAINER, direct=True))
        with _server(env) as (port, pid):
            post_at_once(port, wiring.WORKERS, f"{SOURCE}:51234")
            peak = peak_mebibytes(pid)
    name = f"Azure, memory, {wiring.WORKERS} events of 4 MiB at once"
    yield Row(name, peak, MEMORY_MB, "MB", 1.0, note="floor: the smallest instance")


@contextlib.contextmanager
def _server(env: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The function under the web server that it brings, in a process; yields its port and the process's number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **env}
    command = [sys.executable, "-c", _SERVER, str(port)]
    with subprocess.Popen(command, cwd=_ROOT, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.05)
            yield port, process.pid
        finally:
            process.terminate()


# -- a queue that hangs ------------------------------------------------------------------------------------------------


def _hanging() -> Iterator[Row]:
    """A hundred events against it: the slowest answer, the threads, and where the events are."""
    with AzureEmulator() as emulator, contextlib.redirect_stderr(io.StringIO()):
        emulator.create(CONTAINER)
        emulator.broker.create_queue(QUEUE)
        env = settings(emulator.queue_address(QUEUE), emulator.container_url(CONTAINER))
        budget = Settings.from_env(env).time_budget_seconds
        with _calling() as direct, _receiving(env) as receive:
            # All at once, so that every thread an instance has is there before threads are counted.
            with ThreadPoolExecutor(2 * wiring.WORKERS) as pool:
                burst = range(-2 * wiring.WORKERS, 0)
                list(pool.map(_event, [direct] * len(burst), [receive] * len(burst), burst))
            if len(emulator.broker.messages(QUEUE)) != len(burst):
                raise AssertionError("the queue did not take every event while it was well")
            emulator.broker.set(Fault.HANGING)
            slowest, threads = 0.0, set[int]()
            for number in range(1, _EVENTS + 1):
                started = time.perf_counter()
                _event(direct, receive, number)
                slowest = max(slowest, time.perf_counter() - started)
                threads.add(threading.active_count())
        kept = len(emulator.services.blobs(CONTAINER, "spool/"))
        if kept != _EVENTS:
            raise AssertionError(f"{_EVENTS} events, {kept} in the spool")
    name = "queue hanging"
    yield Row(f"Azure, slowest answer, {name}", slowest, budget, "s", 1.0, note="floor: the time budget")
    yield Row(f"Azure, events kept, {name}", _EVENTS, kept, "events", 1.0, note="floor: objects in the spool")
    yield Row(f"Azure, threads, {name}", max(threads), min(threads), "threads", 1.0, note="most over least: flat")


def _event(direct: Direct, receive: Receive, number: int) -> None:
    body = BODY.replace(b'"userId": 5', b'"userId": %d' % (1000 + number))
    _call(direct, receive, body, sign(body, KEY))
