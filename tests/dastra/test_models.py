"""Dastra's webhooks, however they are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.dastra.models import Page, WebHook, same_id
from cli.dastra.urls import same_url, short_url
from tests import planted

FIELDS = [
    *("url", "workSpaceId", "workSpace", "subscribedEvents", "signatureKey"),
    *("nbErrors", "inError", "errorMessage", "dateLastError", "newField"),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(st.integers() | st.text(), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_the_fields_hold(id_: int | str, fields: dict[str, Any]) -> None:
    """A webhook with an id can be read and asked everything, whatever stands in its other fields."""
    hook = WebHook.model_validate({"id": id_, **fields})
    assert hook.errors >= 0
    assert isinstance(hook.blocked, bool)
    assert isinstance(hook.events, tuple)
    _ = hook.last_error_at, hook.workspace_id, short_url(hook.url)


@pytest.mark.parametrize("write", [str, str.lower, str.upper], ids=["as-described", "lower", "upper"])
def test_names_in_any_case(write: Any) -> None:
    """Field names count whatever their case; unknown fields are kept."""
    fields = {
        "id": "17",
        "url": "https://hooks.example.org/",
        "workSpaceId": 7,
        "subscribedEvents": ["TaskEdit", "TaskEdit", 4],
        "nbErrors": "3",
        "inError": False,
        "errorMessage": "  ",
        "dateLastError": "2026-03-02T09:16:03.6882299",
        "brandNew": 1,
    }
    hook = WebHook.model_validate({write(name): value for name, value in fields.items()})
    assert (hook.id, hook.workspace_id, hook.events, hook.errors) == ("17", 7, ("TaskEdit", "4"), 3)
    assert hook.error_message is None
    assert hook.last_error_at == datetime(2026, 3, 2, 9, 16, 3, 688229, UTC)
    assert hook.model_extra == {write("brandNew"): 1}


@pytest.mark.parametrize(
    ("fields", "blocked"),
    [
        ({}, False),
        ({"nbErrors": 4}, False),
        ({"nbErrors": 5}, True),
        ({"nbErrors": 6}, True),
        ({"inError": True}, True),
        ({"inError": "true"}, True),
        ({"inError": "false", "nbErrors": None}, False),
    ],
)
def test_what_counts_as_blocked(fields: dict[str, Any], blocked: bool) -> None:
    """Five errors, or Dastra's own mark."""
    assert WebHook.model_validate({"id": 1, **fields}).blocked is blocked


def test_a_key_is_not_shown() -> None:
    """The signature key is in no representation of a webhook."""
    hook = WebHook.model_validate({"id": 1, "signatureKey": planted.OTHER_KEY})
    assert planted.OTHER_KEY not in f"{hook!r} {hook} {hook.model_dump()} {hook.model_dump_json()}"
    assert hook.signature_key is not None
    assert hook.signature_key.get_secret_value() == planted.OTHER_KEY


@pytest.mark.parametrize(
    ("fields", "workspace"),
    [({"workSpaceId": 7}, 7), ({"workSpace": {"ID": 8}}, 8), ({"workSpaceId": None}, None), ({"workSpace": 3}, None)],
)
def test_the_workspace_from_either_field(fields: dict[str, Any], workspace: int | None) -> None:
    """The workspace is named by its id or by its object."""
    assert WebHook.model_validate({"id": 1, **fields}).workspace_id == workspace


def test_ids_are_compared_as_written() -> None:
    """A number and its text are one id, GUIDs ignore case, and nothing is only like nothing."""
    assert same_id(17, "17")
    assert same_id("AB-1", "ab-1")
    assert same_id(None, None)
    assert not same_id(None, 0)
    assert not same_id(1, 11)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://H.example.org", "https://h.example.org/", True),
        ("https://h.example.org:443/a", "https://h.example.org/a", True),
        ("https://h.example.org/a", "https://h.example.org/A", False),
        ("https://h.example.org/a?x=1", "https://h.example.org/a", False),
        ("http://h.example.org/", "https://h.example.org/", False),
        ("http://[bad", "http://[bad", True),
    ],
)
def test_urls(one: str, other: str, same: bool) -> None:
    """Two URLs are one where only the host's case, the default port or an empty path differ."""
    assert same_url(one, other) is same


def test_a_short_url_shows_no_query() -> None:
    """What follows the question mark may be a function's key, so it is not shown."""
    assert short_url("https://f.example.org/api/dastra?code=secret") == "f.example.org/api/dastra?…"
    assert short_url(f"https://f.example.org/{'x' * 60}") == f"f.example.org/{'x' * 22}…"


@pytest.mark.parametrize("answer", [None, 3, "text", {}, {"items": None}, {"data": []}])
def test_what_is_no_page(answer: object) -> None:
    """Anything but an array or an object with items is refused."""
    with pytest.raises(ValueError, match="neither a list"):
        Page.of(answer)
