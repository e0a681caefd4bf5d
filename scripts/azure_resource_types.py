"""Writes `tests/deploy/data/azure-resource-types.json`: what the resources of `infra/azure` can have.

It is what the Bicep compiler checks templates against: each resource type with its version, and below it the
properties with their types, which of them are required or set by Azure alone, and the values of enumerations. The
source is the repository of Bicep's type definitions, Azure/bicep-types-az:

    python scripts/azure_resource_types.py --types DIR      its folder `generated`, in a checkout
    python scripts/azure_resource_types.py --trees FILE     trees that were taken from it already

Run it when a resource type is added to `infra/azure`, or a version there changes.
"""

import argparse
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BICEP = ROOT / "infra/azure"
TARGET = ROOT / "tests/deploy/data/azure-resource-types.json"
REQUIRED, READ_ONLY = 1, 2  # bits of a property's `flags`
SCALARS = {"StringType": "string", "IntegerType": "int", "BooleanType": "bool"}
TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "int"}
# Their definitions are not part of every extract. A group's is this small; of a table's it is what is set here.
BY_HAND: dict[str, Any] = {
    "Microsoft.OperationalInsights/workspaces/tables@2023-09-01": {
        "type": "object",
        "properties": {
            "name": {**TEXT, "required": True},
            "properties": {
                "type": "object",
                "properties": {
                    "plan": {"enum": ["Basic", "Analytics"], "open": True},
                    "retentionInDays": NUMBER,
                    "totalRetentionInDays": NUMBER,
                    "archiveRetentionInDays": {**NUMBER, "readonly": True},
                },
            },
        },
    },
    "Microsoft.Resources/resourceGroups@2024-11-01": {
        "type": "object",
        "properties": {
            "name": {**TEXT, "required": True},
            "location": {**TEXT, "required": True},
            "managedBy": TEXT,
            "tags": {"type": "object", "properties": {}, "additional": TEXT},
        },
    },
}

Tree = dict[str, Any]


def used_types(directory: Path) -> list[str]:
    """Every `type@version` that the templates of a directory name."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(directory.rglob("*.bicep")))
    return sorted(set(re.findall(r"^\s*resource \w+ '([^']+)'", text, re.MULTILINE)))


class Definitions:
    """The folder `generated`: an index, and files in which types point at each other by number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = json.loads((folder / "index.json").read_text("utf-8"))["resources"]

    def tree(self, name: str) -> Tree | None:
        """The tree of a type, or None when there is no such type or version."""
        place = next((ref["$ref"] for known, ref in self._index.items() if known.lower() == name.lower()), None)
        if place is None:
            return None
        path, _, number = place.partition("#/")
        types = _file(self._folder / path)
        return _tree(types, int(types[int(number)]["body"]["$ref"].removeprefix("#/")), ())


@cache
def _file(path: Path) -> list[Tree]:
    types: list[Tree] = json.loads(path.read_text("utf-8"))
    return types


def _tree(types: list[Tree], number: int, above: tuple[int, ...]) -> Tree:
    definition = types[number]
    kind = definition["$type"]
    if number in above:
        return {"any": True}  # a type within itself; the outer one is checked

    def follow(reference: Tree) -> Tree:
        return _tree(types, int(reference["$ref"].removeprefix("#/")), (*above, number))

    def properties(named: Tree) -> Tree:
        return {name: {**follow(prop["type"]), **_flags(prop["flags"])} for name, prop in named.items()}

    match kind:
        case "ObjectType":
            more = definition.get("additionalProperties")
            tree: Tree = {"type": "object", "properties": properties(definition["properties"])}
            return {**tree, "additional": follow(more)} if more else tree
        case "DiscriminatedObjectType":
            return {
                "type": "object",
                "discriminator": definition["discriminator"],
                "properties": properties(definition["baseProperties"]),
                "variants": {name: follow(variant) for name, variant in definition["elements"].items()},
            }
        case "ArrayType":
            return {"type": "array", "items": follow(definition["itemType"])}
        case "StringLiteralType":
            return {"enum": [definition["value"]]}
        case "UnionType":
            return _union([types[int(element["$ref"].removeprefix("#/"))] for element in definition["elements"]])
        case _:
            return {"type": SCALARS[kind]} if kind in SCALARS else {"any": True}


def _union(elements: list[Tree]) -> Tree:
    values = [element["value"] for element in elements if element["$type"] == "StringLiteralType"]
    others = {element["$type"] for element in elements if element["$type"] != "StringLiteralType"}
    if others - {"StringType"} or not values:
        return {"any": True}
    return {"enum": values, "open": True} if others else {"enum": values}


def _flags(flags: int) -> Tree:
    return {
        **({"required": True} if flags & REQUIRED and not flags & READ_ONLY else {}),
        **({"readonly": True} if flags & READ_ONLY else {}),
    }


def main() -> int:
    """Write the file; say what is missing in the source."""
    parser = argparse.ArgumentParser(description="Take the resource types of infra/azure from Bicep's definitions.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--types", type=Path, metavar="DIR", help="the folder `generated` of Azure/bicep-types-az")
    source.add_argument("--trees", type=Path, metavar="FILE", help="trees by type@version, taken from it already")
    options = parser.parse_args()
    names = used_types(BICEP)
    if options.types is not None:
        definitions = Definitions(options.types)
        found = {name: definitions.tree(name) or BY_HAND.get(name) for name in names}
    else:
        trees = json.loads(options.trees.read_text("utf-8"))
        found = {name: trees.get(name) or BY_HAND.get(name) for name in names}
    missing = [name for name, tree in found.items() if tree is None]
    if missing:
        print(f"error: the source does not have {', '.join(missing)}", file=sys.stderr)
        return 1
    # A line for each type: a change shows which one it is.
    lines = [f"{json.dumps(name)}: {json.dumps(tree, sort_keys=True)}" for name, tree in found.items()]
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(found)} types, {TARGET.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
