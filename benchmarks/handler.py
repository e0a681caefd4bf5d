"""The whole warm handler beside one send of the same message by the same SDK, with one log line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks.quiet import silence
from benchmarks.rows import KEY_TEXT, Row, alternate, compare
from benchmarks.samples import BODY, KEY, SOURCE, function_url_event
from benchmarks.stub import stub_queue
from cli.local.emulator import REGION
from core.signature import sign

_WARM_UP: Final = 30
INVENTED_ACCOUNT: Final = {
    "AWS_ACCESS_KEY_ID": "invented",
    "AWS_SECRET_ACCESS_KEY": "invented",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def rows() -> Iterator[Row]:
    """Against a queue that takes 5 ms, as a queue does, and against one that answers at once."""
    for delay, rounds, goal in ((0.005, 300, 1.15), (0.0, 600, None)):
        with stub_queue(delay) as endpoint, aws_environment(endpoint), silence():
            ours, floor = alternate(list(_calls(endpoint)), rounds)
        what = f"a queue that takes {delay * 1000:g} ms" if delay else "a queue that answers at once"
        yield compare(
            f"warm handler, {what}", ours, floor, "ms", goal, "floor: the same send_message and one Powertools log line"
        )


def _calls(endpoint: str) -> Iterator[Callable[[], object]]:
    from aws_lambda_powertools import Logger

    from aws_lambda.sdk import Lazy, config
    from aws_lambda.wiring import WORKERS, webhook_handler
    from core.envelope import Envelope
    from core.message import QueueMessage

    signature = sign(BODY, KEY)
    queue_url = f"{endpoint}/000000000000/events"
    handler = webhook_handler(settings(queue_url))
    message = QueueMessage.of_event(BODY, Envelope.parse(BODY), signature)
    arguments: dict[str, Any] = {
        "QueueUrl": queue_url,
        "MessageBody": BODY.decode(),
        "MessageAttributes": {
            f"ce-{name}": {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        },
    }
    client = Lazy(lambda session: session.client("sqs", config=config(2.5, WORKERS))).get()
    # A service of its own for each run, since loggers are kept by name with the stream that they began with.
    logger = Logger(service=f"floor-{endpoint}", level="INFO", location=None)

    def ours() -> object:
        answer = handler(function_url_event(BODY, signature), None)
        if answer["statusCode"] != 200:
            raise AssertionError(answer)
        return answer

    def floor() -> None:
        client.send_message(**arguments)
        logger.info("sent", extra={"event_id": message.id, "status": 200, "size": len(BODY)})

    for call in (ours, floor):
        for _ in range(_WARM_UP):
            call()
        yield call


def settings(queue_url: str) -> dict[str, str]:
    """The environment of a function whose key stands in its settings, so that nothing but the queue is asked."""
    return {
        "DASTRA_QUEUE": queue_url,
        "DASTRA_STORE": "benchmark-bucket",
        "DASTRA_SIGNATURE_KEYS": KEY_TEXT,
        "DASTRA_SOURCE_IP_ALLOWLIST": SOURCE,
    }


@contextlib.contextmanager
def aws_environment(endpoint: str) -> Iterator[None]:
    """Point the SDK at ``endpoint`` with credentials that mean nothing."""
    before = dict(os.environ)
    os.environ.update(INVENTED_ACCOUNT, AWS_ENDPOINT_URL=endpoint)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
