"""The type definitions that templates are judged by: how they are taken, and what they let pass."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.azure_resource_types import BICEP, Definitions, used_types
from tests.deploy import resource_types

TEXT, NUMBER, FLAG = {"$type": "StringType"}, {"$type": "IntegerType"}, {"$type": "BooleanType"}


def literal(value: str) -> dict[str, Any]:
    """A value of an enumeration, as Bicep's definitions write it."""
    return {"$type": "StringLiteralType", "value": value}


def prop(number: int, flags: int = 0) -> dict[str, Any]:
    """A property that points at a type by its number."""
    return {"type": {"$ref": f"#/{number}"}, "flags": flags}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """An invented resource type in the published form, with every kind of type in it."""
    types = [
        TEXT,
        NUMBER,
        FLAG,
        literal("One"),
        literal("Two"),
        {"$type": "UnionType", "elements": [{"$ref": "#/3"}, {"$ref": "#/4"}]},
        {"$type": "UnionType", "elements": [{"$ref": "#/3"}, {"$ref": "#/0"}]},
        {"$type": "ArrayType", "itemType": {"$ref": "#/1"}},
        {"$type": "ObjectType", "name": "Map", "properties": {}, "additionalProperties": {"$ref": "#/0"}},
        {
            "$type": "DiscriminatedObjectType",
            "name": "Either",
            "discriminator": "kind",
            "baseProperties": {"kind": prop(5, 1)},
            "elements": {"One": {"$ref": "#/10"}},
        },
        {"$type": "ObjectType", "name": "First", "properties": {"size": prop(1, 1), "again": prop(11)}},
        {
            "$type": "ObjectType",
            "name": "Thing",
            "properties": {
                "name": prop(0, 9),
                "id": prop(0, 10),
                "closed": prop(5),
                "open": prop(6),
                "numbers": prop(7),
                "tags": prop(8),
                "either": prop(9),
                "on": prop(2),
            },
        },
        {"$type": "ResourceType", "name": "Example.Test/things@2026-01-01", "body": {"$ref": "#/11"}, "flags": 0},
    ]
    (tmp_path / "example").mkdir()
    (tmp_path / "example/types.json").write_text(json.dumps(types), "utf-8")
    index = {"resources": {"Example.Test/things@2026-01-01": {"$ref": "example/types.json#/12"}}}
    (tmp_path / "index.json").write_text(json.dumps(index), "utf-8")
    return tmp_path


def faults(published: Path, body: dict[str, Any]) -> list[str]:
    """What is wrong with a body of the invented type."""
    tree = Definitions(published).tree("example.test/Things@2026-01-01")
    assert tree is not None
    return list(resource_types.faults(body, tree, "thing"))


def test_a_right_body_passes(published: Path) -> None:
    """Every kind of type takes what it is for, and None is what is not there."""
    body = {
        "name": "n",
        "closed": "Two",
        "open": "One",
        "numbers": [1, 2],
        "tags": {"any": "text"},
        "either": {"kind": "One", "size": 3, "again": {"anything": 1}},
        "on": None,
    }
    assert faults(published, body) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({}, "thing lacks name", id="missing"),
        pytest.param({"name": None}, "thing lacks name", id="null where required"),
        pytest.param({"name": "n", "nmae": "n"}, "thing has no property nmae", id="unknown"),
        pytest.param({"name": "n", "id": "i"}, "thing.id is set by Azure alone", id="read-only"),
        pytest.param({"name": 1}, "thing.name is 1, not string", id="not a text"),
        pytest.param({"name": "n", "on": 1}, "thing.on is 1, not bool", id="not a bool"),
        pytest.param({"name": "n", "numbers": [True]}, "thing.numbers[0] is True, not int", id="bool for a number"),
        pytest.param({"name": "n", "numbers": 1}, "thing.numbers is 1, not an array", id="not an array"),
        pytest.param({"name": "n", "closed": "two"}, "thing.closed is 'two'; known: One, Two", id="case"),
        pytest.param({"name": "n", "open": "Other"}, "thing.open is 'Other'; known: One", id="open enumeration"),
        pytest.param({"name": "n", "tags": {"a": 1}}, "thing.tags.a is 1, not string", id="in a map"),
        pytest.param(
            {"name": "n", "either": {"kind": "Two"}}, "thing.either.kind is 'Two'; known: One", id="no variant"
        ),
        pytest.param({"name": "n", "either": {"kind": "One"}}, "thing.either lacks size", id="in a variant"),
    ],
)
def test_a_wrong_body_is_told(published: Path, body: dict[str, Any], says: str) -> None:
    """What is missing, unknown, read-only, of another type or no known value is said, with its place."""
    assert faults(published, body) == [says]


def test_the_copy_has_the_types_that_the_templates_use() -> None:
    """Types and versions of infra/azure and of the data in the tests are the same, no more and no fewer."""
    assert sorted(resource_types.load()) == used_types(BICEP)


def test_a_source_without_a_type_is_refused(published: Path) -> None:
    """The script writes nothing when the source lacks what the templates use, and names it."""
    script = BICEP.parents[1] / "scripts/azure_resource_types.py"
    run = subprocess.run(
        [sys.executable, str(script), "--types", str(published)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "Microsoft.ServiceBus/namespaces@" in run.stderr
