"""What a consumer has kept is read in whatever form it kept it, and a line that is not understood ends the run."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from cli.exits import CliError, Exit
from cli.output import Output
from cli.reconcile.arrivals import Arrival, Tally, stored
from cli.reconcile.records import arrival_of, read_records
from cli.target import Cloud, Names, Target
from core.envelope import Envelope
from core.event import Event, EventError
from core.message import QueueMessage
from core.ports import PortError
from core.records import metadata_of
from tests import planted
from tests.fakes import FakeStore

BODY = planted.body(webhookId=7, eventType="TaskEdit", date="2026-03-02T09:16:03.7", data={"id": 12})
MESSAGE = QueueMessage.of_event(BODY, Envelope.parse(BODY), planted.signature(BODY))
AT = datetime(2026, 3, 2, 9, 16, 3, 700_000, UTC)
EXPECTED = (MESSAGE.id, "taskedit", "12", int(AT.timestamp() * 1000), "7", "records")
PACKED = base64.b64encode(BODY).decode()


def prefixed(prefix: str) -> dict[str, str]:
    """The message's attributes as a queue has them."""
    return {prefix + name: value for name, value in MESSAGE.attributes.items()}


def as_sqs(message: QueueMessage) -> dict[str, Any]:
    """A message as a Lambda function gets it."""
    return {
        "messageId": "1",
        "body": message.body.decode(),
        "messageAttributes": {
            f"ce-{name}": {"stringValue": value, "dataType": "String"} for name, value in message.attributes.items()
        },
    }


FORMS: dict[str, Any] = {
    "shortest": {"id": MESSAGE.id, "type": "TaskEdit", "time": "2026-03-02T09:16:03.7Z", "object": 12},
    "of an Event": {
        "id": MESSAGE.id,
        "type": "eu.dastra.TaskEdit",
        "time": "2026-03-02T09:16:03.700000Z",
        "object": "12",
        "source": "urn:dastra:webhook:7",
    },
    "a CloudEvent": {"specversion": "1.0", **MESSAGE.attributes, "data": json.loads(BODY)},
    "an SQS record of a Lambda event": as_sqs(MESSAGE),
    "an SQS message of boto3": {
        "MessageId": "1",
        "Body": BODY.decode(),
        "MessageAttributes": {
            name: {"StringValue": value, "DataType": "String"} for name, value in prefixed("ce-").items()
        },
    },
    "a push of Pub/Sub": {
        "message": {"data": PACKED, "attributes": prefixed("ce-"), "messageId": "1"},
        "subscription": "projects/p/subscriptions/s",
    },
    "a pull of gcloud": {"ackId": "x", "message": {"data": PACKED, "attributes": prefixed("ce-")}},
    "of /_local/messages on AWS": {"id": MESSAGE.id, "attributes": prefixed("ce-"), "body": BODY.decode()},
    "of /_local/messages on Azure": {"id": MESSAGE.id, "attributes": prefixed("cloudEvents:"), "body": BODY.decode()},
    "of /_local/stored": {"key": "spool/x", "attributes": dict(MESSAGE.attributes), "body_base64": PACKED},
}


class Shelf:
    """A cloud whose store is in memory; nothing else is asked of it."""

    def __init__(self, kept: FakeStore) -> None:
        self.kept = kept

    def store(self, name: str, seconds: float, workers: int) -> FakeStore:
        return self.kept


@pytest.fixture
def shelf() -> FakeStore:
    """What the deployment's store holds."""
    return FakeStore()


@pytest.fixture
def target(shelf: FakeStore) -> Target:
    """A deployment with a store in memory."""
    return Target("a shelf", cast(Cloud, Shelf(shelf)), Names(store="shelf"))


@pytest.mark.parametrize("record", FORMS.values(), ids=FORMS.keys())
def test_a_form(record: Any) -> None:
    """Id, type, object and date are the event's, and the webhook's id where the form has it."""
    found = arrival_of(record).values
    assert found[:4] == EXPECTED[:4]
    assert found[4] in (EXPECTED[4], None)


def test_a_claim_check_is_followed_to_the_deployments_own_store(target: Target, shelf: FakeStore) -> None:
    """To the one place where it can stand; one that points elsewhere is refused, and one that is gone is an error."""
    pointer = MESSAGE.as_pointer(shelf.url(MESSAGE.claim_key))
    shelf.put(MESSAGE.claim_key, BODY, {}, 1)
    assert arrival_of(as_sqs(pointer), target).values == EXPECTED
    shelf.put("claims/other", BODY, {}, 1)
    for elsewhere in ("s3://another/claims/" + MESSAGE.id, shelf.url("spool/" + MESSAGE.id)):
        with pytest.raises(EventError, match="another place"):
            arrival_of(as_sqs(MESSAGE.as_pointer(elsewhere)), target)
    shelf.delete(MESSAGE.claim_key, 1)
    with pytest.raises(PortError):
        arrival_of(as_sqs(pointer), target)


def test_what_is_stored(target: Target, shelf: FakeStore) -> None:
    """Spool and quarantine are read, claim checks followed; what went on meanwhile or is no record is counted."""
    pointer = MESSAGE.as_pointer(shelf.url(MESSAGE.claim_key))
    shelf.put(MESSAGE.claim_key, BODY, {}, 1)
    shelf.put("spool/20260302T091603000Z-a", pointer.body, metadata_of(pointer, "queue_failed"), 1)
    shelf.put("quarantine/20260302T091603000Z-b", BODY, metadata_of(MESSAGE, "unlisted_address"), 1)
    shelf.put("quarantine/20260302T091603000Z-c", b"x", {}, 1)
    shelf.put("spool/20260302T091604000Z-d", BODY, metadata_of(MESSAGE, "queue_failed"), 1)

    def vanish(operation: str, key: str) -> None:
        if operation == "get" and key.endswith("-d"):
            shelf.objects.pop(key, None)

    shelf.before = vanish
    tally = Tally()
    found = [arrival.values for arrival in stored(target, tally, Output())]
    assert found == [(*EXPECTED[:5], "spool"), (*EXPECTED[:5], "quarantine")]
    assert (tally.by_origin, tally.vanished, tally.unreadable) == ({"spool": 1, "quarantine": 1}, 1, 1)


def test_what_the_documentation_tells_a_consumer_to_write() -> None:
    """The lines that docs/reconcile.md shows, run on an event, write a record that is read as that event."""
    page = (Path(__file__).parents[2] / "docs" / "reconcile.md").read_text("utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    written = io.StringIO()
    exec(code, {"json": json, "event": Event.from_message(BODY, MESSAGE.attributes), "records": written})
    assert arrival_of(json.loads(written.getvalue())).values[:4] == EXPECTED[:4]


def test_an_envelope_as_it_came() -> None:
    """It has no id, and is known by type, object and date."""
    found = arrival_of(json.loads(BODY))
    assert (found.id, found.values[1:5]) == (None, EXPECTED[1:5])


def test_a_claim_check_that_was_followed() -> None:
    """A local run shows the body itself beside the pointer's attributes."""
    pointer = MESSAGE.as_pointer("s3://bucket/claims/" + MESSAGE.id)
    record = {"attributes": dict(pointer.attributes), "body": BODY.decode()}
    assert arrival_of(record).values == EXPECTED


@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("id_", [12, "12", " 12 "], ids=["number", "text", "padded"])
def test_names_in_any_case(case: Callable[[str], str], id_: object) -> None:
    """Names in another case, an id as a number or as text: the same record."""
    record = {case(name): value for name, value in {**FORMS["shortest"], "object": id_}.items()}
    assert arrival_of(record).values[:4] == EXPECTED[:4]


def test_what_is_not_known_stays_unknown() -> None:
    """Without a date, an object or a type that says something, the rest still counts."""
    assert arrival_of({"type": "TaskEdit"}).values[1:4] == ("taskedit", None, None)
    assert arrival_of({"type": "TaskEdit", "time": "soon", "object": True}).values[1:4] == ("taskedit", None, None)
    assert arrival_of({"type": "eu.dastra.unclassified", "id": "x"}).values[:2] == ("x", None)


def test_repeats_without_an_id_are_one() -> None:
    """A consumer may have had it twice; two arrivals could hide an event that is missing."""
    one, other = (arrival_of({"type": "TaskEdit", "time": "2026-03-02T09:16:03Z", "object": 1}) for _ in range(2))
    assert one.values == other.values


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "no JSON"),
        ("7", "no JSON object"),
        ("{}", "no type"),
        ('{"type": 7}', "no type"),
        ('{"id": "x", "time": "2026-03-02T09:16:03Z"}', "no type"),
        ('[{"type": "TaskEdit"}, 7]', "no JSON object"),
        ('{"attributes": {"id": "x"}}', "no body"),
        ('{"attributes": {"id": "x", "source": "y", "type": "z"}, "body": "other"}', "id names"),
        ('{"message": {"data": "*"}}', "base64"),
        ('{"Body": "x", "MessageAttributes": {}}', "lacks"),
        ("\udcff", "no JSON"),
    ],
)
def test_a_line_that_is_no_record(target: Target, tmp_path: Path, line: str, why: str) -> None:
    """It is named by its number, with what a record looks like, and nothing of it is quoted."""
    path = tmp_path / "handled.jsonl"
    path.write_bytes(b'{"type": "TaskEdit"}\n\n' + line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(CliError, match=f"line 3 of .*{why}") as raised:
        list(read_records(path, target, Tally()))
    assert raised.value.code is Exit.USAGE
    assert '{"id"' in raised.value.hint


def test_a_file(target: Target, tmp_path: Path) -> None:
    """A record a line, or an array of them on one line, as a local run answers."""
    path = tmp_path / "handled.jsonl"
    path.write_text(f"{json.dumps(FORMS['shortest'])}\r\n\n{json.dumps([FORMS['a CloudEvent']] * 2)}")
    tally = Tally()
    found = list(read_records(path, target, tally))
    assert [arrival.id for arrival in found] == [MESSAGE.id] * 3
    assert tally.by_origin == {"records": 3}


def test_from_stdin(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads standard input."""
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(FORMS["shortest"]).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    [found] = read_records(Path("-"), target, Tally())
    assert isinstance(found, Arrival)


def test_a_file_that_is_not_there(target: Target, tmp_path: Path) -> None:
    """It is said, with an exit code for wrong usage."""
    with pytest.raises(CliError, match="no such file") as raised:
        list(read_records(tmp_path / "none", target, Tally()))
    assert raised.value.code is Exit.USAGE
