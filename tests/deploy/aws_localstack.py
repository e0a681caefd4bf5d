"""LocalStack while a ``with`` block runs: it moves poison messages and evaluates alarms on SQS's own metrics.

How it is started, what it needs and what it gets wrong was found out with localstack-core 2026.3.0.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cli.local.faults import LOOPBACK, reserve_port
from cli.local.sockets import listeners
from scripts import aws_tools
from scripts.local_aws import CREDENTIALS, REGION, ROOT

MAIN: Final = Path(__file__).with_name("aws_localstack_main.py")
NOWHERE: Final = f"http://{LOOPBACK}:9"


class LocalStack:
    """An empty one on a free port of loopback, functions in Lambda's own runtime."""

    def __init__(self) -> None:
        self._stack: Final = ExitStack()
        self._run: Final = uuid.uuid4().hex
        self._port = 0
        self.log = Path(os.devnull)

    def __enter__(self) -> Self:
        rie = aws_tools.rie()
        assert rie is not None
        with ExitStack() as stack:
            scratch = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="localstack-", ignore_cleanup_errors=True))
            )
            self._port, holder = reserve_port()
            stack.enter_context(holder)
            self.log = scratch / "log"
            with self.log.open("wb") as output:
                process = subprocess.Popen(
                    [str(aws_tools.LOCALSTACK.program("python")), "-P", str(MAIN)],
                    env={
                        "PATH": os.environ.get("PATH", os.defpath),
                        "HOME": str(scratch),
                        "TMPDIR": str(scratch),
                        "FILESYSTEM_ROOT": str(scratch / "files"),
                        "PYTHONPATH": str(ROOT),
                        "PYTHONDONTWRITEBYTECODE": "1",
                        "TEST_RUN": self._run,
                        "RIE_PROGRAM": str(rie),
                        "RIE_PYTHON": str(aws_tools.RUNTIME_CLIENT.folder / "bin/python"),
                        "GATEWAY_LISTEN": f"{LOOPBACK}:{self._port}",
                        "LOCALSTACK_HOST": f"localhost:{self._port}",
                        "OVERRIDE_IN_DOCKER": "0",
                        "LAMBDA_SYNCHRONOUS_CREATE": "1",
                        # Nothing of it leaves this machine.
                        "DNS_ADDRESS": "0",
                        "DISABLE_EVENTS": "1",
                        "SKIP_SSL_CERT_DOWNLOAD": "1",
                        "API_ENDPOINT": NOWHERE,
                        "ANALYTICS_API": NOWHERE,
                        "DOCKER_HOST": f"unix://{scratch}/no-docker",
                    },
                    cwd=scratch,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            stack.callback(self._end, process)
            self._wait(process)
            self._stack.push(stack.pop_all())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The endpoint of every service."""
        return f"http://{LOOPBACK}:{self._port}"

    def environment(self) -> dict[str, str]:
        """What SDKs and SAM read."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept,
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + 90
        while True:
            connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=5)
            try:
                connection.request("GET", "/_localstack/health")
                if connection.getresponse().status == http.client.OK:
                    break
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"LocalStack did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        beyond = [f"{address}:{port}" for address, port in listeners(process.pid) if not address.is_loopback]
        assert not beyond, f"LocalStack listens beyond loopback, on {beyond}"

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for sign, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, sign)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
        # The environments of functions lead process groups of their own; those of this run carry its mark.
        mark = f"TEST_RUN={self._run}".encode()
        for found in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (found / "environ").read_bytes().split(b"\0"):
                    os.kill(int(found.name), signal.SIGKILL)
