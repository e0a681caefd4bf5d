"""A local AWS that takes `sam deploy`: ministack on 127.0.0.1, in the environment that scripts/aws_tools.py makes.

It runs a deployed function with the Python that it runs on itself, so that is the 3.13 of Lambda's runtime, and boto3
lies beside it. IAM, KMS policies and quotas are not evaluated there; nothing it accepts is proof for those. Nor does it
evaluate metric math: an alarm on a formula, which it would refuse, is made on the metric in that formula.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cli.local.faults import LOOPBACK, reserve_port  # noqa: E402
from cli.local.sockets import listeners  # noqa: E402 - after the path is set
from scripts.aws_tools import EMULATOR  # noqa: E402

REGION: Final = "eu-west-3"
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

# When this process ends, however hard, the pipe to the child closes, and the child ends its whole process group.
# What is patched is private to ministack; its exact version is locked, and tests/deploy deploys such alarms.
_CHILD: Final = """
import os, signal, threading
def watch():
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
from ministack.app import main
from ministack.services.cloudformation import provisioners
make = provisioners._cw_metric_alarm_record
def make_without_math(name, properties):
    for query in properties.get("Metrics") or ():
        if stat := query.get("MetricStat"):
            inner = {**stat["Metric"], "Period": stat["Period"], "Statistic": stat["Stat"], "Metrics": None}
            return make(name, {**properties, **inner})
    return make(name, properties)
provisioners._cw_metric_alarm_record = make_without_math
main()
"""


class LocalAwsError(RuntimeError):
    """It is not installed, did not start, or listens beyond loopback."""


class LocalAws:
    """A local AWS while the ``with`` block runs: empty, on a free port, all in memory."""

    def __init__(self) -> None:
        self._stack: Final = ExitStack()
        self._port = 0

    def __enter__(self) -> Self:
        python = EMULATOR.program("python")
        if python is None:
            raise LocalAwsError("the local AWS is not installed: run `make aws-tools`")
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="local-aws-")))
            self._port, holder = reserve_port()
            stack.enter_context(holder)
            log = scratch / "log"
            with log.open("wb") as output:
                child = subprocess.Popen(
                    [str(python), "-c", _CHILD],
                    env={
                        "PATH": os.environ.get("PATH", os.defpath),
                        "HOME": str(scratch),
                        "TMPDIR": str(scratch),
                        "BIND_HOST": LOOPBACK,
                        "GATEWAY_PORT": str(self._port),
                        "IOT_MTLS_ENABLED": "0",
                        "SFTP_ENABLED": "0",
                        "LOG_LEVEL": "WARNING",
                        "MINISTACK_REGION": REGION,
                        "STATE_DIR": str(scratch / "state"),
                        "S3_DATA_DIR": str(scratch / "s3"),
                        # Where Docker runs, it would run the functions in it, and look after other containers too.
                        "DOCKER_HOST": f"unix://{scratch}/no-docker",
                    },
                    cwd=scratch,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            stack.callback(_end, child)
            self._wait(child, log)
            self._stack.push(stack.pop_all())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The endpoint of every service, and of the function URLs (told apart by the Host header)."""
        return f"http://{LOOPBACK}:{self._port}"

    def environment(self) -> dict[str, str]:
        """What SDKs and SAM read: this endpoint, invented credentials, the region; nothing of the user's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept,
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": f"{LOOPBACK},localhost",
        }

    def _wait(self, child: subprocess.Popen[bytes], log: Path) -> None:
        until = time.monotonic() + 30
        while True:
            connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=5)
            try:
                connection.request("GET", "/_ministack/health")
                if connection.getresponse().status == http.client.OK:
                    break
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            if child.poll() is not None or time.monotonic() > until:
                raise LocalAwsError(f"the local AWS did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        beyond = [f"{address}:{port}" for address, port in listeners(child.pid) if not address.is_loopback]
        if beyond:
            raise LocalAwsError(f"the local AWS listens beyond loopback, on {', '.join(beyond)}")


def _end(child: subprocess.Popen[bytes]) -> None:
    for sign, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
    if child.stdin is not None:
        child.stdin.close()
