"""A Pub/Sub that always says yes, after a set time. ``python -m benchmarks.gcp_stub SECONDS`` prints its port.

A process of its own, so that its work is not on the measured interpreter.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.pubsub_v1.types import PublishRequest, PublishResponse


def _serve(delay: float) -> None:
    answer = PublishResponse(message_ids=["1"])

    def publish(_: PublishRequest, __: grpc.ServicerContext) -> PublishResponse:
        if delay:
            time.sleep(delay)
        return answer

    serialize: Any = PublishResponse.serialize
    handler = grpc.unary_unary_rpc_method_handler(
        publish, request_deserializer=PublishRequest.deserialize, response_serializer=serialize
    )
    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", {"Publish": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


@contextlib.contextmanager
def stub_topic(delay: float) -> Iterator[str]:
    """Run a stub that takes ``delay`` seconds; yields ``host:port``."""
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gcp_stub", str(delay)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    try:
        if process.stdout is None:
            raise AssertionError("the stub has no output")
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait(5)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve(float(sys.argv[1]))
