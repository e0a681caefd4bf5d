"""The AWS driver once more, with the built bundle in Lambda's own runtime in place of the handlers in this process.

It is not registered as a cloud of its own: tests/bundle runs the contract's tests through it.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bundle.aws.rie import Environment
from tests.drivers import LISTED, Answer, Driver, Front, HttpRequest, Run
from tests.drivers.aws import FRONTS, AwsDriver, AwsPlatform, as_answer, as_event

RECEIVE: Final = "aws_lambda.receive.handler"
REDRIVE: Final = "aws_lambda.redrive.handler"

Start = Callable[..., Environment]
"""Makes an environment from a handler and its settings; ``path`` names folders to search before the bundle."""

_WITH_REST: Final = """
import dataclasses, os
from aws_lambda import wiring
from core.delivery import Delivery

make = wiring.delivery

def delivery(*args):
    parts = make(*args)
    limits = dataclasses.replace(parts.limits, rest_seconds=float(os.environ["REST_SECONDS"]))
    return Delivery(parts.queue, parts.store, parts.log, limits)

wiring.delivery = delivery
from aws_lambda.receive import handler
"""


class RieDriver(AwsDriver):
    """A deployment whose functions run in environments of their own."""

    def __init__(self, platform: AwsPlatform, name: str, start: Start, stack: ExitStack) -> None:
        super().__init__(platform, name)
        self._start: Final = start
        self._stack: Final = stack
        self._environment: Mapping[str, str] = platform.environment()
        self._receiver: Environment | None = None

    def build(
        self, settings: Mapping[str, str] | None = None, *, keys: Sequence[str] | None = None, rest: float | None = None
    ) -> None:
        """As the protocol says."""
        named = {
            "QUEUE": self.queue_url,
            "STORE": self.bucket,
            "SOURCE_IP_ALLOWLIST": LISTED,
            **({"SIGNATURE_KEYS": " ".join(keys)} if keys else {"SIGNATURE_KEYS_SECRET": self.secret}),
            **(settings or {}),
        }
        self._settings = {f"DASTRA_{name}": value for name, value in named.items()}
        if self._receiver is not None:
            self._receiver.kill()
        variables = {**self._environment, **self._settings}
        if rest is None:
            environment = self._start(RECEIVE, variables)
        else:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="rest-")))
            (folder / "with_rest.py").write_text(_WITH_REST, "utf-8")
            environment = self._start("with_rest.handler", {**variables, "REST_SECONDS": str(rest)}, path=(folder,))
        self._receiver = self._stack.enter_context(environment)
        # The emulator initialises with the first request, where Lambda has done so before; nothing comes of this one.
        assert environment.invoke({})["statusCode"] == 400
        environment.output()

    def post(self, request: HttpRequest, front: Front | None = None) -> Answer:
        """As the protocol says."""
        front = front or FRONTS[0]
        event = as_event(request, front)
        started = time.monotonic()
        result = self.invoke(event)
        return as_answer(result, front, time.monotonic() - started)

    def invoke(self, event: Any) -> dict[str, Any]:
        """Hand an event to the receiver as it is."""
        assert self._receiver is not None, "build() first"
        return self._run(self._receiver, event)

    def redrive(self, limit: int | None = None) -> Run:
        """As the protocol says."""
        with self._start(REDRIVE, {**self._environment, **self._settings}) as environment:
            report = self._run(environment, {} if limit is None else {"limit": limit})
        return Run(report["sent"], report["failed"], report["skipped"])

    def _run(self, environment: Environment, event: Any) -> dict[str, Any]:
        """Invoke, and print what the function printed, for the tests that read it and for the log check."""
        try:
            answer: dict[str, Any] = environment.invoke(event)
            return answer
        finally:
            sys.stdout.write("".join(line for line in environment.output().splitlines(True) if "(rapid)" not in line))


@contextmanager
def deploy(platform: AwsPlatform, start: Start) -> Iterator[Driver]:
    """A deployment of its own."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        # For what the driver does itself, as the command line would: release.
        for name, value in platform.environment().items():
            patch.setenv(name, value)
        driver = RieDriver(platform, f"bundle-{uuid.uuid4().hex}", start, stack)
        try:
            yield driver
        finally:
            driver.lift()
            driver.slow(1.0)
