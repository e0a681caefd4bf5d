"""Dastra's own API description as a judge: Prism serves it, or stands before the stand-in and checks both sides.

Two things are added to the description: the header `X-API-Key`, which Dastra documents elsewhere, and nothing else; of
its 225 paths only those that this project calls are kept, since each costs the start of the server its time.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from scripts import dastra_tools

CALLED: Final = ("/v1/WebHookUrls", "/v1/Logs")
_START_SECONDS: Final = 60
_LISTENING: Final = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")


def load() -> dict[str, Any]:
    """Dastra's description, or a skip with the remedy where it is not there."""
    path = dastra_tools.description()
    if not path.is_file():
        pytest.skip(str(dastra_tools.missing()))
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def prepared() -> dict[str, Any]:
    """The description as the server gets it."""
    found = load()
    found["paths"] = {path: item for path, item in found["paths"].items() if path.startswith(CALLED)}
    found["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
    found["security"] = [{"key": []}]
    return found


@contextmanager
def serving(upstream: str | None = None) -> Iterator[str]:
    """The address of a server that answers every call of the description with examples made from it.

    With ``upstream`` it passes calls on to there instead. Either way a request that does not fit the description is
    refused, and an answer that does not fit it becomes an error.
    """
    if reason := dastra_tools.missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dastra.json"
        file.write_text(json.dumps(prepared()), "utf-8")
        what = ["mock", str(file), "--dynamic"] if upstream is None else ["proxy", str(file), upstream]
        process = subprocess.Popen(
            [*dastra_tools.command(), *what, "--errors", "--host", "127.0.0.1", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if match := _LISTENING.search(line):
                    break
            else:
                pytest.fail("the server of the description did not start:\n" + "".join(said))
            # Read on, so that its pipe never fills.
            reader = threading.Thread(target=process.stdout.read, daemon=True)
            reader.start()
            yield match[1]
        finally:
            process.terminate()
            process.wait(10)
            process.stdout.close()
