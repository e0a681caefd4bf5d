"""Starts LocalStack on loopback alone, its functions in the Runtime Interface Emulator in place of a container.

Run by LocalStack's own Python. As published it listens on every interface and wants a container engine for functions.
RIE_PROGRAM and RIE_PYTHON name the emulator and the Python 3.13 that has awslambdaric.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import types
from pathlib import Path
from typing import Any

from localstack.runtime.server import twisted as server  # type: ignore[import-not-found]
from localstack.services.lambda_.invocation import (  # type: ignore[import-not-found]
    execution_environment,
    runtime_executor,
    version_manager,
)
from localstack.services.lambda_.invocation.lambda_models import InvocationResult  # type: ignore[import-not-found]
from twisted.internet import endpoints  # type: ignore[import-not-found]

from tests.bundle.aws.rie import Environment, FunctionError, GoneError

LOOPBACK = "127.0.0.1"


class InRie(runtime_executor.RuntimeExecutor):  # type: ignore[misc]
    """One execution environment. LocalStack hands it one request at a time, and makes more for more at once."""

    _environment: Environment | None = None
    _printed = ""

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the emulator; the function starts with its first request."""
        code = Path(self.function_version.config.code.get_unzipped_code_location())
        places = {"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "PATH", "PYTHONPATH"}
        settings = {
            name: str(value)
            for name, value in env_vars.items()
            if name not in places and not name.startswith("LOCALSTACK_")
        }
        environment = Environment(
            code,
            str(env_vars["_HANDLER"]),
            settings | {"TEST_RUN": os.environ["TEST_RUN"]},
            rie=Path(os.environ["RIE_PROGRAM"]),
            python=Path(os.environ["RIE_PYTHON"]),
            timeout=self.function_version.config.timeout,
        )
        self._environment = environment.__enter__()

    def stop(self) -> None:
        """End it."""
        if self._environment is not None:
            self._environment.kill()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Pass one request on."""
        assert self._environment is not None
        failed = False
        try:
            answer = self._environment.invoke(json.loads(payload["payload"]))
        except (FunctionError, GoneError) as error:
            failed, answer = True, {"errorType": type(error).__name__, "errorMessage": str(error)}
        printed = self._environment.output()
        self._printed += printed
        lines = "".join(line for line in printed.splitlines(keepends=True) if "(rapid)" not in line)
        return InvocationResult(payload["invoke-id"], json.dumps(answer).encode(), is_error=failed, logs=lines or "\n")

    def get_logs(self) -> str:
        """Everything it printed."""
        return self._printed

    def get_address(self) -> str:
        """Where it is."""
        return LOOPBACK

    def get_endpoint_from_executor(self) -> str:
        """Where LocalStack is, seen from it."""
        return LOOPBACK

    def get_runtime_endpoint(self) -> str:
        """Where LocalStack's own runtime would report to; this one does not."""
        return f"http://{LOOPBACK}"

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unpack the code."""
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """Nothing was prepared that outlives the process."""


for module in (runtime_executor, execution_environment, version_manager):
    module.get_runtime_executor = lambda: InRie
server.endpoints = types.SimpleNamespace(
    TCP4ServerEndpoint=functools.partial(endpoints.TCP4ServerEndpoint, interface=LOOPBACK)
)
runpy.run_module("localstack.runtime.main", run_name="__main__")
