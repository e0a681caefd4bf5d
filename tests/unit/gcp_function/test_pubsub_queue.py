from __future__ import annotations

import pytest

from core.message import ATTRIBUTE_NAMES, QueueMessage
from gcp_function.pubsub_queue import MAX_BYTES, PubsubQueue

QUEUE = PubsubQueue("projects/example/topics/example")
LIMITS = {
    "small": (b"{}", {"id": "x"}, True),
    "any bytes": (b"\0\xff\xfe\x0b", {"id": "x"}, True),
    "no body": (b"", {"id": "x"}, True),
    "nothing at all": (b"", {}, False),
    "every attribute": (b"{}", dict.fromkeys(ATTRIBUTE_NAMES, "v" * 1024), True),
    "long value": (b"{}", {"id": "v" * 1025}, False),
    "long value in UTF-8": (b"{}", {"id": "é" * 513}, False),
    "long name": (b"{}", {"n" * 254: "v"}, False),
    "longest name": (b"{}", {"n" * 253: "v"}, True),
    "hundred attributes": (b"{}", {f"n{number}": "v" for number in range(100)}, True),
    "one more": (b"{}", {f"n{number}": "v" for number in range(101)}, False),
    "four MiB": (b"x" * 4 * 1024 * 1024, {"id": "x"}, True),
    "ten MB": (b"x" * MAX_BYTES, {"id": "x"}, False),
}


@pytest.mark.parametrize("name", LIMITS)
def test_takes_what_pubsub_takes(name: str) -> None:
    """The documented limits of a request, of attributes and of their names and values; a body may be any bytes."""
    body, attributes, expected = LIMITS[name]
    assert QUEUE.takes(QueueMessage("x", body, attributes)) is expected
