"""Writes docs/schema/*.json from the models: a message's attributes, a claim check's pointer, Dastra's envelope.

`make schema` writes, `--check` compares. JSON Schema 2020-12. The attributes are given by their bare names; each
queue's prefix is in docs/message-contract.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from core.envelope import Envelope  # noqa: E402 - after the path is set
from core.event import RECONCILED_PREFIX  # noqa: E402
from core.message import ATTRIBUTE_NAMES, SOURCE_PREFIX, TYPE_PREFIX, UNCLASSIFIED, UNLISTED  # noqa: E402

FOLDER: Final = ROOT / "docs" / "schema"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TOKEN: Final = "[A-Za-z0-9_-]{1,64}"  # noqa: S105 - a pattern
_SHA256: Final = "[0-9a-f]{64}"


def attributes() -> dict[str, Any]:
    """Every attribute that a message can have, and the form of its value."""
    forms: dict[str, dict[str, Any]] = {
        "specversion": {"const": "1.0", "description": "CloudEvents' version."},
        "id": {
            "pattern": f"^{_SHA256}$",
            "description": "The idempotency key: SHA-256 of the signed bytes; where reconciled, of the log entry's id.",
        },
        "source": {
            "pattern": f"^(?:{SOURCE_PREFIX}|{RECONCILED_PREFIX}){_TOKEN}$",
            "description": "Dastra's webhook by its id, or `unknown`; `urn:dastra:reconcile:` where rebuilt.",
        },
        "type": {
            "pattern": f"^{TYPE_PREFIX.replace('.', '[.]')}{_TOKEN}$",
            "description": f"Dastra's eventType behind `{TYPE_PREFIX}`; `{UNCLASSIFIED}` where it is no plain token.",
        },
        "time": {
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z$",
            "description": "Dastra's date in UTC; absent where it cannot be read.",
        },
        "signature": {
            "pattern": "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$",
            "description": "Dastra's header: base64 of the HMAC-SHA256 of the body. Absent on reconciled events.",
        },
        "dataref": {
            "minLength": 1,
            "maxLength": 1024,
            "pattern": f"/{_SHA256}$",
            "description": "Where the body stands. Present exactly when the body is a pointer.",
        },
        "traceparent": {
            "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "W3C trace context.",
        },
        "sourceipcheck": {
            "const": UNLISTED,
            "description": "The event is genuine and came from an address off the list.",
        },
    }
    return {
        "$schema": _DIALECT,
        "title": "Attributes of a message",
        "type": "object",
        "properties": {name: {"type": "string", **forms[name]} for name in ATTRIBUTE_NAMES},
        "required": ["specversion", "id", "source", "type"],
        "if": {"properties": {"source": {"pattern": f"^{SOURCE_PREFIX}"}}},
        "then": {"required": ["signature"]},
        "else": {"not": {"required": ["signature"]}},
        "additionalProperties": False,
    }


def pointer() -> dict[str, Any]:
    """The body of a claim check."""
    return {
        "$schema": _DIALECT,
        "title": "Body of a claim check",
        "type": "object",
        "properties": {
            "dataref": {
                "type": "string",
                "pattern": f"/{_SHA256}$",
                "description": "Where the body stands in the store.",
            },
            "sha256": {"type": "string", "pattern": f"^{_SHA256}$", "description": "Of the body, in hex."},
            "size": {"type": "integer", "minimum": 0, "description": "Of the body, in bytes."},
        },
        "required": ["dataref", "sha256", "size"],
        "additionalProperties": False,
    }


def envelope() -> dict[str, Any]:
    """What Dastra documents of the body. The receiver forwards objects that do not fit it as well."""
    fields = Envelope.model_json_schema(by_alias=True)["properties"]
    properties = {}
    for name, field in fields.items():
        properties[name] = {"description": field["description"]}
        if name != "data":
            # Carried as text; on the wire a number is as good, and so is nothing.
            properties[name]["type"] = ["string", "number", "null"]
    return {
        "$schema": _DIALECT,
        "title": "Dastra's envelope",
        "description": "As documented and seen. Dastra promises no field: use it to test, never to refuse an event.",
        "type": "object",
        "properties": properties,
        "additionalProperties": True,
    }


SCHEMAS: Final = {"attributes": attributes, "pointer": pointer, "envelope": envelope}


def text(name: str) -> str:
    """A schema as its file has it."""
    return json.dumps(SCHEMAS[name](), indent=2) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them, or say which differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare; 1 where a file differs")
    options = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    stale = []
    for name in SCHEMAS:
        path = FOLDER / f"{name}.json"
        if not path.exists() or path.read_text("utf-8") != text(name):
            stale.append(path.relative_to(ROOT).as_posix())
            if not options.check:
                path.write_text(text(name), "utf-8")
    if stale:
        print(("differs: " if options.check else "written: ") + ", ".join(stale))
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
