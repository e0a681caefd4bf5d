"""Azure's function as an instance."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cli.local.front import HttpAnswer, HttpRequest
from reliability.load.entry_point import EntryPoint


def entry_point() -> EntryPoint:
    """The function in the real Python worker, where this Python is one that it runs on; else called as it would be."""
    from cli.local.azure import MOST_BYTES
    from cli.local.azure_front import seen
    from cli.local.azure_host import RUNTIME, Answer

    call = _in_worker() if find_spec(RUNTIME) is not None else _directly()

    def receive(request: HttpRequest) -> HttpAnswer:
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        chunked = any(name == "transfer-encoding" for name, _ in pairs)
        headers = seen(pairs, request.client, size=len(request.body), chunked=chunked)
        got: Answer = call(request.method, request.path.decode("latin-1"), headers, request.body, chunked)
        return HttpAnswer(got.status, got.headers, got.body)

    return EntryPoint(receive, MOST_BYTES, HttpAnswer(413, [], b""))


def _in_worker() -> Callable[..., Any]:
    from azure_function import wiring
    from azure_function.telemetry import LOGGER
    from cli.local.azure_host import Host

    folder = Path(tempfile.mkdtemp(prefix="dastra-webhooks-"))
    shutil.copy(Path(wiring.__file__).with_name("function_app.py"), folder)
    host = Host(folder, logger=LOGGER, sink=sys.stdout.write)
    shutil.rmtree(folder)  # it has been read, and this process ends by a kill
    host.lines.dropped = _Nowhere()  # type: ignore[misc]

    def call(method: str, target: str, headers: list[tuple[str, str]], body: bytes, chunked: bool) -> Any:
        return host.receive(method, target, headers, body, chunked=chunked)

    return call


class _Nowhere(list[str]):
    """What the host would drop is printed all the same; kept here, it would grow with every request."""

    def append(self, _: str) -> None:
        pass


def _directly() -> Callable[..., Any]:
    import logging

    from azure_function import wiring
    from azure_function.telemetry import LOGGER
    from cli.local.azure_front import Direct, Lines, web_request

    lines = Lines(sys.stdout.write)
    lines.dropped = _Nowhere()  # type: ignore[misc]
    logging.getLogger(LOGGER).addHandler(lines)
    functions = wiring.function_app(os.environ).get_functions()
    receive = next(found for found in functions if found.get_function_name() == "receive").get_user_function()
    direct = Direct()

    def call(method: str, target: str, headers: list[tuple[str, str]], body: bytes, _: bool) -> Any:
        return direct.call(receive, web_request(method, target, headers, body))

    return call
