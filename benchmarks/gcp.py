"""The rows of Google Cloud: the warm function, its cold start, its memory, and a topic that hangs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import flask
from functions_framework import create_app

from benchmarks.gcp_stub import stub_topic
from benchmarks.largest import peak_mebibytes, post_at_once
from benchmarks.quiet import silence
from benchmarks.rows import KEY_TEXT, Row, Sample, alternate, compare
from benchmarks.samples import BODY, KEY, SOURCE
from cli.local.faults import Fault
from cli.local.gcp_emulator import GcpEmulator, Names
from cli.local.gcp_faults import GrpcFaultProxy
from core.envelope import Envelope
from core.message import QueueMessage
from core.settings import Settings
from core.signature import sign
from gcp_function import wiring

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MEMORY_MB: Final = 512
_ROOT: Final = Path(__file__).resolve().parent.parent
_MAIN: Final = Path(wiring.__file__).with_name("main.py")
_WARM_UP: Final = 30
_EVENTS: Final = 100
_ROUNDS: Final = 21
_OURS: Final = """
import gcp_function.main
from gcp_function.pubsub_queue import publisher
publisher()
"""
_PACKAGES: Final = """
import flask
from google.api_core.exceptions import InvalidArgument
from google.pubsub_v1 import PublisherClient
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
PublisherClient()
"""
_SDK: Final = """
from google.pubsub_v1 import PublisherClient
PublisherClient()
"""


def rows() -> Iterator[Row]:
    """Every row."""
    yield from _warm()
    yield from _cold()
    yield from _memory()
    yield from _hanging()


def settings() -> dict[str, str]:
    """The environment of a function whose key stands in its settings, so that nothing but the topic is asked."""
    names = Names()
    return {
        "DASTRA_QUEUE": names.topic,
        "DASTRA_STORE": names.bucket,
        "DASTRA_SIGNATURE_KEYS": KEY_TEXT,
        "DASTRA_SOURCE_IP_ALLOWLIST": SOURCE,
    }


@contextlib.contextmanager
def _environment(**names: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(names)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _call(app: Application, body: bytes, signature: str) -> None:
    """Put a request before a function under the framework, as gunicorn does."""
    status: list[str] = []
    result = app(
        {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8080",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/json; charset=utf-8",
            "HTTP_DASTRA_SIGNATURE": signature,
            "HTTP_X_FORWARDED_FOR": SOURCE,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
        },
        lambda line, *_: status.append(line),
    )
    b"".join(result)
    if not status[0].startswith("200"):
        raise AssertionError(status)


# -- the warm function -------------------------------------------------------------------------------------------------


def _warm() -> Iterator[Row]:
    for delay, rounds, goal in ((0.005, 300, 1.15), (0.0, 600, None)):
        with stub_topic(delay) as address, _environment(PUBSUB_EMULATOR_HOST=address, **settings()), silence():
            ours, floor = alternate(list(_calls()), rounds)
        what = f"a topic that takes {delay * 1000:g} ms" if delay else "a topic that answers at once"
        note = "floor: a function under the same framework with the same publish and one log line"
        yield compare(f"Google Cloud, warm function, {what}", ours, floor, "ms", goal, note)


def _calls() -> Iterator[Callable[[], object]]:
    from google.pubsub_v1 import PublisherClient

    signature = sign(BODY, KEY)
    message = QueueMessage.of_event(BODY, Envelope.parse(BODY), signature)
    topic = settings()["DASTRA_QUEUE"]
    attributes = {f"ce-{name}": value for name, value in message.attributes.items()}
    client = PublisherClient()

    def bare(request: flask.Request) -> tuple[str, int]:
        published: Mapping[str, Any] = {"data": request.get_data(), "attributes": attributes}
        client.publish(request={"topic": topic, "messages": [published]}, retry=None, timeout=2.5)
        print(
            json.dumps({"severity": "INFO", "message": "sent", "event_id": message.id, "size": len(BODY)}), flush=True
        )
        return "{}", 200

    for app in (_app(), _app(bare)):
        for _ in range(_WARM_UP):
            _call(app, BODY, signature)
        yield lambda app=app: _call(app, BODY, signature)  # type: ignore[misc]


def _app(function: Callable[[flask.Request], Any] | None = None) -> Application:
    """A function under the framework: ours, or one in its place."""
    app: Any = create_app("receive", str(_MAIN), "http")  # type: ignore[no-untyped-call]
    if function is not None:
        app.view_functions["run"] = lambda path: function(flask.request)  # noqa: ARG005 - as the framework calls it
    made: Application = app
    return made


# -- the cold start ----------------------------------------------------------------------------------------------------


def _cold() -> Iterator[Row]:
    """Bytecode is on both sides: the first round, which writes it, is thrown away."""
    samples: dict[str, list[float]] = {program: [] for program in (_OURS, _PACKAGES, _SDK)}
    for _ in range(_ROUNDS + 1):
        for program, into in samples.items():
            into.append(_run(program))
    ours, packages, sdk = (Sample(into[1:]) for into in samples.values())
    name = "Google Cloud, import and client"
    yield compare(name, ours, packages, "ms", 1.1, "floor: SDK, Flask, pydantic and the client")
    yield compare(f"{name}, beside the SDK", ours, sdk, "ms", None, "floor: google.pubsub_v1 and the client")


def _run(program: str) -> float:
    timed = f"import time\nstarted = time.perf_counter()\n{program}\nprint(time.perf_counter() - started)"
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT),
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
        **settings(),
    }
    done = subprocess.run([sys.executable, "-c", timed], env=env, cwd=_ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


# -- memory ------------------------------------------------------------------------------------------------------------


def _memory() -> Iterator[Row]:
    """As many of the largest events at once as an instance has threads, three times over, under gunicorn."""
    if not Path("/proc/self/status").exists():
        return
    with stub_topic(0.005) as address, _server(address) as (port, worker):
        post_at_once(port, wiring.WORKERS, SOURCE)
        peak = peak_mebibytes(worker())
    name = f"Google Cloud, memory, {wiring.WORKERS} events of 4 MiB at once"
    yield Row(name, peak, MEMORY_MB, "MB", 1.0, note="floor: the memory of the function")


@contextlib.contextmanager
def _server(topic: str) -> Iterator[tuple[int, Callable[[], int]]]:
    """The function under functions-framework; yields its port and who says its worker's number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    env = {"PATH": os.environ["PATH"], "PUBSUB_EMULATOR_HOST": topic, **settings()}
    env |= {"THREADS": str(wiring.WORKERS), **wiring.ALLOCATOR}  # as it is deployed
    options = ["--target=receive", f"--source={_MAIN}", "--host=127.0.0.1", f"--port={port}"]
    command = [sys.executable, "-m", "functions_framework", *options]
    with subprocess.Popen(command, cwd=_ROOT, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.05)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            yield port, lambda: int(children.read_text().split()[0])
        finally:
            process.terminate()


# -- a topic that hangs ------------------------------------------------------------------------------------------------


def _hanging() -> Iterator[Row]:
    """A hundred events against it: the slowest answer, the threads, and where the events are."""
    from gcp_function.gcs_store import storage_client
    from gcp_function.pubsub_queue import publisher

    names = Names()
    with GcpEmulator() as emulator, GrpcFaultProxy(int(emulator.pubsub.rpartition(":")[2])) as topic:
        with _environment(PUBSUB_EMULATOR_HOST=emulator.pubsub, STORAGE_EMULATOR_HOST=emulator.storage):
            publisher().create_topic(name=names.topic)
            storage = storage_client(2)
            storage.create_bucket(names.bucket)
        reached = {"PUBSUB_EMULATOR_HOST": topic.address, "STORAGE_EMULATOR_HOST": emulator.storage}
        with _environment(**reached, **settings()), silence():
            budget = Settings.from_env(settings()).time_budget_seconds
            app = _app()
            _event(app, 0)
            topic.mode = Fault.HANGING
            slowest, threads = 0.0, set[int]()
            for number in range(1, _EVENTS + 1):
                started = time.perf_counter()
                _event(app, number)
                slowest = max(slowest, time.perf_counter() - started)
                threads.add(threading.active_count())
        kept = len(list(storage.list_blobs(names.bucket, prefix="spool/")))
        if kept != _EVENTS:
            raise AssertionError(f"{_EVENTS} events, {kept} in the spool")
    name = "topic hanging"
    yield Row(f"Google Cloud, slowest answer, {name}", slowest, budget, "s", 1.0, note="floor: the time budget")
    yield Row(f"Google Cloud, events kept, {name}", _EVENTS, kept, "events", 1.0, note="floor: objects in the spool")
    yield Row(
        f"Google Cloud, threads, {name}", max(threads), min(threads), "threads", 1.0, note="most over least: flat"
    )


def _event(app: Application, number: int) -> None:
    body = BODY.replace(b'"userId": 5', b'"userId": %d' % (1000 + number))
    _call(app, body, sign(body, KEY))
