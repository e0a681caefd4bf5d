"""`reconcile` held against Dastra's own API description: what it asks fits, and so does what it takes for an answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cli.dastra.access import ApiKey
from cli.dastra.client import DastraApi
from cli.dastra.logs import LogQuery, pages
from cli.reconcile.reading import read_log
from cli.reconcile.state import State, Window
from cli.samples import event_types
from core.envelope import Envelope
from core.reconciled import LogEntry, reconciled_message
from tests.dastra.described import prepared, serving
from tests.dastra.logs import NOON, Log, entry
from tests.dastra.standin import API_KEY, StandIn


@pytest.fixture(scope="module")
def invented() -> Iterator[str]:
    """A server that answers with examples made from the description."""
    with serving() as url:
        yield url


def test_every_request_of_a_reconcile_fits(tmp_path: Path) -> None:
    """Between the client and the stand-in the description's own server refuses what does not fit, on both sides.

    It looks at requests, and at the answers of other calls; those of the log are held against the schema below.
    """
    with StandIn() as dastra, serving(dastra.url) as url, DastraApi(url, ApiKey(API_KEY)) as api:
        log = Log().plug(dastra)
        log.add(*(entry(number) for number in range(30)))
        hook = dastra.add("https://webhooks.example.org/dastra", 1, ("DataSubjectCreation", "TaskEdit"))
        found = api.webhook(hook.id)
        window = Window(("7",), NOON, NOON + timedelta(hours=1), found.events, found.workspace_id, NOON)
        with State.open(tmp_path / "state") as state:
            read_log(api, state, state.begin(window), size=12)
            assert state.count() == 30


def test_whatever_entry_the_description_allows(invented: str) -> None:
    """Ten pages of entries invented from the description are read, and each makes a message."""
    query = LogQuery(NOON, NOON + timedelta(hours=1), event_types(), 1)
    entries = 0
    with DastraApi(invented, ApiKey(API_KEY)) as api:
        for _ in range(10):
            # An invented answer has dates at random, and never ends: one page of it is enough.
            answer = api.request("GET", "/v1/Logs", params={"channels": query.channels, "page": 1, "size": 500})
            for item in answer:
                found = LogEntry.read(item)
                assert Envelope.parse(reconciled_message(found, "7").body).event_type == found.channel
                entries += 1
        page = next(pages(api, query))
        assert page.unreadable == 0
    assert entries


def as_json_schema(part: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema, which has no ``nullable``."""
    if isinstance(part, list):
        return [as_json_schema(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {name: as_json_schema(value) for name, value in part.items() if name != "nullable"}
    if part.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def test_the_stand_ins_entries_fit() -> None:
    """They are what the description calls an entry, which the server above does not look at: fields, types, names."""
    schema = {"$ref": "#/components/schemas/LogDto", "components": as_json_schema(prepared()["components"])}
    judge = Draft202012Validator(schema)
    judge.validate(entry(1))
    judge.validate(entry(1, refId=None, data=None, workSpaceId=None))
    for wrong in ({"refId": 7}, {"bogus": 1}, {"channel": "NoSuchEvent"}, {"id": None}):
        assert not judge.is_valid(entry(1, **wrong))
