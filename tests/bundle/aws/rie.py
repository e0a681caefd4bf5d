"""The bundle in Lambda's own runtime: the Runtime Interface Emulator with awslambdaric, no container.

What the emulator does differently from Lambda, as measured with version 1.170.0 of the SAM command line: it initialises
at the first request and not before; it crashes when two requests overlap, so one :class:`Environment` takes one at a
time, as on Lambda; it cuts an oversized request short, so the front must refuse it; a function's error comes as a 200.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cli.local.faults import LOOPBACK, reserve_port
from cli.local.sockets import listeners

MOST_BYTES: Final = 6 * 1024 * 1024
"""Of a synchronous invocation's payload (Lambda quotas)."""
_INIT: Final = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)")
_direct: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class GoneError(Exception):
    """The environment ended while it had the request; Lambda's function URL answers 502."""


class FunctionError(Exception):
    """The function did not answer: it could not start, raised, or ran into its timeout."""


class Environment:
    """One execution environment: one process of the function, one request at a time.

    Args:
        bundle: the folder that Lambda would unpack.
        handler: as in the template, ``module.function``.
        settings: environment variables of the function.
        rie: the Runtime Interface Emulator's program.
        python: the Python 3.13 that has awslambdaric and boto3.
        path: folders that are searched before the bundle.
    """

    def __init__(
        self,
        bundle: Path,
        handler: str,
        settings: Mapping[str, str],
        *,
        rie: Path,
        python: Path,
        path: tuple[Path, ...] = (),
        timeout: int = 10,
    ) -> None:
        self._command: Final = [str(rie)]
        self._runtime: Final = [str(python), "-m", "awslambdaric", handler]
        self._bundle: Final = bundle
        self._env: Final = {
            "PATH": os.defpath,
            "LAMBDA_TASK_ROOT": str(bundle),
            "PYTHONPATH": os.pathsep.join(map(str, (*path, bundle))),
            # The bundle stays as it was built, and as read-only as on Lambda.
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_LAMBDA_FUNCTION_NAME": "bundle-under-test",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            **settings,
        }
        self._log: Final = tempfile.NamedTemporaryFile("r", prefix="rie-", suffix=".log", encoding="utf-8")  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._port, holder = reserve_port()
        runtime_port, other = reserve_port()
        # Both ports stay taken until the emulator has them, so that no other test gets them meanwhile.
        with holder, other, open(self._log.name, "ab") as output:  # noqa: PTH123 - a name, not a path
            self._process = subprocess.Popen(
                [
                    *self._command,
                    *("--runtime-interface-emulator-address", f"{LOOPBACK}:{self._port}"),
                    *("--runtime-api-address", f"{LOOPBACK}:{runtime_port}"),
                    *self._runtime,
                ],
                cwd=self._bundle,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._wait()
        return self

    def _wait(self) -> None:
        assert self._process is not None
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((LOOPBACK, self._port), 1).close()
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise GoneError(f"the Runtime Interface Emulator did not start:\n{self.output()}") from None
                time.sleep(0.005)
        beyond = {str(address) for address, _ in listeners(self._process.pid) if not address.is_loopback}
        assert not beyond, f"the Runtime Interface Emulator listens on {beyond}"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        self._log.close()

    def invoke(self, event: Any) -> Any:
        """Hand an event to the function; its answer.

        Raises:
            GoneError: the environment was killed meanwhile.
            FunctionError: the function answered with an error, with what it said.
        """
        payload = json.dumps(event).encode()
        assert len(payload) <= MOST_BYTES, "Lambda refuses it before the function sees it"
        url = f"http://{LOOPBACK}:{self._port}/2015-03-31/functions/function/invocations"
        try:
            with _direct.open(urllib.request.Request(url, payload), timeout=60) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise FunctionError(error.read().decode("utf-8", "replace")) from None
        except (OSError, http.client.HTTPException) as error:
            raise GoneError(str(error)) from error
        try:
            decoded = json.loads(body)
        except ValueError:
            raise FunctionError(body.decode("utf-8", "replace")) from None
        if isinstance(decoded, dict) and {"errorMessage", "errorType"} <= decoded.keys():
            raise FunctionError(f"{decoded['errorType']}: {decoded['errorMessage']}")
        return decoded

    def output(self) -> str:
        """What the emulator and the function printed since the last call. The function writes to the file directly."""
        return self._log.read()

    @staticmethod
    def init_ms(output: str) -> float:
        """Milliseconds of the initialisation that ``output`` tells of; the REPORT line's own figure is wrong there."""
        found = _INIT.search(output)
        assert found, f"no INIT REPORT in:\n{output}"
        return float(found[1])

    def runtime_pid(self) -> int | None:
        """The function's own process, which is a child of the emulator; None where there is none."""
        assert self._process is not None
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) == self._process.pid:
                    return int(stat.parent.name)
        return None

    def kill(self) -> None:
        """End everything with SIGKILL, as Lambda ends an environment. The function's process dies with its parent."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


class Pool:
    """Environments of one function: as many as there are requests at a time, one request for each, like Lambda."""

    def __init__(self, make: Callable[[], Environment]) -> None:
        self._make: Final = make
        self._lock: Final = threading.Lock()
        self._idle: list[Environment] = []
        self._busy: set[Environment] = set()
        self.started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            for environment in (*self._idle, *self._busy):
                environment.__exit__(None, None, None)
            self._idle, self._busy = [], set()

    def invoke(self, event: Any) -> Any:
        """Hand an event to a free environment or to a new one. Raises as :meth:`Environment.invoke`."""
        with self._lock:
            environment = self._idle.pop() if self._idle else None
        if environment is None:
            environment = self._make()
            environment.__enter__()
            self.started += 1
        with self._lock:
            self._busy.add(environment)
        try:
            answer = environment.invoke(event)
        except GoneError:
            with self._lock:
                self._busy.discard(environment)
            environment.__exit__(None, None, None)
            raise
        except BaseException:
            self._free(environment)
            raise
        self._free(environment)
        return answer

    def _free(self, environment: Environment) -> None:
        with self._lock:
            self._busy.discard(environment)
            self._idle.append(environment)

    def kill_one(self) -> bool:
        """SIGKILL an environment that has a request; False when none has."""
        with self._lock:
            environment = next(iter(self._busy), None)
            if environment is None:
                return False
            environment.kill()
            return True
