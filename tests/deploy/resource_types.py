"""Azure's resources against the type definitions that the Bicep compiler has: see scripts/azure_resource_types.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parent / "data/azure-resource-types.json"

Tree = Mapping[str, Any]


def load(path: Path = DATA) -> dict[str, Tree]:
    """The trees by `type@version`."""
    trees: dict[str, Tree] = json.loads(path.read_text("utf-8"))
    return trees


def faults(value: Any, tree: Tree, place: str) -> Iterator[str]:
    """What is unknown, missing, read-only, of another type or not among the values of an enumeration.

    Stricter than the compiler in one thing: where a service may have more values than it published, only the published
    ones pass. None is what is not there.
    """
    if value is None or tree.get("any"):
        return
    if "enum" in tree:
        if value not in tree["enum"]:
            yield f"{place} is {value!r}; known: {', '.join(tree['enum'])}"
        return
    match tree["type"]:
        case "object":
            yield from _object(value, tree, place)
        case "array":
            if not isinstance(value, list):
                yield f"{place} is {value!r}, not an array"
                return
            for number, item in enumerate(value):
                yield from faults(item, tree["items"], f"{place}[{number}]")
        case kind:
            wanted = {"string": str, "int": int, "bool": bool}[kind]
            if type(value) is not wanted:
                yield f"{place} is {value!r}, not {kind}"


def _object(value: Any, tree: Tree, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place} is {value!r}, not an object"
        return
    properties = dict(tree["properties"])
    if "discriminator" in tree:
        name = tree["discriminator"]
        variant = tree["variants"].get(value.get(name))
        if variant is None:
            yield f"{place}.{name} is {value.get(name)!r}; known: {', '.join(tree['variants'])}"
            return
        properties |= variant["properties"]
    for name, item in value.items():
        if name not in properties:
            if "additional" not in tree:
                yield f"{place} has no property {name}"
            else:
                yield from faults(item, tree["additional"], f"{place}.{name}")
        elif properties[name].get("readonly"):
            yield f"{place}.{name} is set by Azure alone"
        else:
            yield from faults(item, properties[name], f"{place}.{name}")
    for name, prop in properties.items():
        if prop.get("required") and value.get(name) is None:
            yield f"{place} lacks {name}"


def has(tree: Tree, path: str) -> bool:
    """Whether a type has a property, by its dotted path."""
    for part in path.split("."):
        tree = tree.get("properties", {}).get(part)
        if tree is None:
            return False
    return True
