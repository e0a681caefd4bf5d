"""What SQS takes, and what a send says on the wire and makes of the answer."""

from __future__ import annotations

import json
import re

import pytest

from aws_lambda.sqs_queue import MAX_BYTES, SqsQueue
from core.message import QueueMessage
from core.ports import PortError
from tests.unit.aws_lambda.stub import Answer, Stub
from tests.unit.samples import event, message

URL = "https://sqs.eu-west-3.amazonaws.com/123456789012/invented"
QUEUE = SqsQueue(URL, 2, 4)
SENT = message()


def of_size(size: int, attributes: dict[str, str] | None = None, fill: str = "x") -> QueueMessage:
    """A message whose body has so many bytes."""
    body = fill.encode() * (size // len(fill.encode())) + b"x" * (size % len(fill.encode()))
    assert len(body) == size
    return QueueMessage("id", body, attributes or {})


# Size


def test_sqs_takes_one_mebibyte() -> None:
    """The quota since January 2026."""
    assert MAX_BYTES == 1024 * 1024


@pytest.mark.parametrize(("excess", "taken"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize("fill", ["x", "é", "\u2028", "😀"])
def test_a_body_counts_in_bytes(excess: int, taken: bool, fill: str) -> None:
    """Up to the last one; not in characters."""
    assert QUEUE.takes(of_size(MAX_BYTES + excess, fill=fill)) is taken


@pytest.mark.parametrize(("excess", "taken"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize(
    ("attributes", "counted"),
    [
        ({"id": "v"}, len("ce-id") + len("String") + 1),
        ({"id": "v" * 64, "type": "t"}, len("ce-id") + len("String") + 64 + len("ce-type") + len("String") + 1),
        (dict(SENT.attributes), sum(len(f"ce-{name}String{value}") for name, value in SENT.attributes.items())),
        (
            dict(SENT.as_pointer("s3://bucket/claims/x").attributes),
            sum(len(f"ce-{name}String{value}") for name, value in SENT.attributes.items())
            + len("ce-datarefStrings3://bucket/claims/x"),
        ),
    ],
    ids=["one", "two", "an event's", "a pointer's"],
)
def test_names_types_and_values_of_attributes_count(
    excess: int, taken: bool, attributes: dict[str, str], counted: int
) -> None:
    """With the body they fill one mebibyte at most."""
    assert QUEUE.takes(of_size(MAX_BYTES - counted + excess, attributes)) is taken


def test_an_empty_body_is_not_taken() -> None:
    """SQS wants one character at least, so it goes as a claim check."""
    assert not QUEUE.takes(of_size(0))
    assert QUEUE.takes(of_size(1))


# Characters


@pytest.mark.parametrize(
    "character",
    ["\t", "\n", "\r", " ", "~", "\x7f", "\x80", "é", "\ud7ff", "\ue000", "\ufffd", "\U00010000", "\U0010ffff"],
)
def test_characters_of_the_documented_ranges_are_taken(character: str) -> None:
    """Each end of each range."""
    assert QUEUE.takes(QueueMessage("id", f'{{"a":"{character}"}}'.encode(), {}))


@pytest.mark.parametrize("code", [*sorted({*range(0x20)} - {0x09, 0x0A, 0x0D}), 0xFFFE, 0xFFFF])
def test_characters_outside_of_them_are_not(code: int) -> None:
    """Wherever they stand."""
    for text in (chr(code), f"a{chr(code)}", f"{chr(code)}a", "x" * 10_000 + chr(code)):
        assert not QUEUE.takes(QueueMessage("id", text.encode(), {}))


@pytest.mark.parametrize(
    "body",
    [b"\xff", b"a\x80", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", bytes(range(256)), b"\xfe\xff\0a"],
)
def test_bytes_that_are_no_utf8_are_not_taken(body: bytes) -> None:
    """A message of SQS is text: they would not come back as the bytes that were signed."""
    assert not QUEUE.takes(QueueMessage("id", body, {}))


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf{}", b" {}\r\n", "e\u0301".encode(), "é".encode()])
def test_text_that_only_looks_odd_is_taken(body: bytes) -> None:
    """A byte-order mark, white space, unnormalised letters: they round-trip."""
    assert QUEUE.takes(QueueMessage("id", body, {}))


# Sending


def test_a_send_carries_the_body_and_prefixed_attributes(aws: Stub) -> None:
    """As text that is the very bytes, to the queue's URL, and the return is SQS's word."""
    aws.answer = Answer(_accepted(SENT))
    SqsQueue(f"{aws.url}/123456789012/invented", 5, 4).send(SENT, 2.5)
    [(method, _, headers, body)] = aws.asked
    asked = json.loads(body)
    assert (method, headers["x-amz-target"]) == ("POST", "AmazonSQS.SendMessage")
    assert asked == {
        "QueueUrl": f"{aws.url}/123456789012/invented",
        "MessageBody": event().decode(),
        "MessageAttributes": {
            f"ce-{name}": {"DataType": "String", "StringValue": value} for name, value in SENT.attributes.items()
        },
    }


@pytest.mark.parametrize(
    ("code", "permanent"),
    [
        ("AWS.SimpleQueueService.InvalidMessageContents", True),
        ("InvalidMessageContents", True),
        ("InvalidParameterValue", True),
        ("InvalidParameterValueException", True),
        ("AWS.SimpleQueueService.NonExistentQueue", False),
        ("AccessDeniedException", False),
    ],
)
def test_an_error_of_sqs_keeps_its_code_and_tells_what_is_for_ever(aws: Stub, code: str, permanent: bool) -> None:
    """A message refused by its size or characters goes as a claim check; the rest may pass later."""
    aws.answer = Answer(json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "planted"}).encode(), 400)
    with pytest.raises(PortError) as raised:
        SqsQueue(f"{aws.url}/123456789012/invented", 5, 4).send(SENT, 2.5)
    assert (raised.value.code, raised.value.permanent, raised.value.timed_out) == (code, permanent, False)
    assert "planted" not in str(raised.value)


def test_a_silent_sqs_is_a_time_out_within_the_client_s_own_limits(aws: Stub) -> None:
    """Two attempts, then an error that says that nobody knows."""
    aws.answer = Answer(silent=True)
    with pytest.raises(PortError) as raised:
        SqsQueue(f"{aws.url}/123456789012/invented", 0.4, 4).send(SENT, 0.4)
    assert (raised.value.code, raised.value.timed_out) == ("ReadTimeoutError", True)
    assert len(aws.asked) == 2


def test_a_discarded_client_is_made_anew_when_it_is_needed(aws: Stub) -> None:
    """On new connections; the instance goes on."""
    aws.answer = Answer(_accepted(SENT))
    queue = SqsQueue(f"{aws.url}/123456789012/invented", 5, 4)
    queue.connect()
    first = queue._client.get()
    queue.discard()
    queue.send(SENT, 2.5)
    assert queue._client.get() is not first
    assert len(aws.asked) == 1


def test_an_error_s_code_never_quotes_what_was_sent(aws: Stub) -> None:
    """Whatever a server between us and SQS writes there, it is cut and cleaned."""
    aws.answer = Answer(json.dumps({"__type": f"x#{'planted body ' * 20}", "message": ""}).encode(), 400)
    with pytest.raises(PortError) as raised:
        SqsQueue(f"{aws.url}/123456789012/invented", 5, 4).send(SENT, 2.5)
    assert re.fullmatch(r"[A-Za-z0-9_.:-]{1,80}", raised.value.code)


def _accepted(sent: QueueMessage) -> bytes:
    import hashlib

    return json.dumps({"MessageId": "x", "MD5OfMessageBody": hashlib.md5(sent.body).hexdigest()}).encode()
