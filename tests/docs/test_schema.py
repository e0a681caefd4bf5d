"""The published schemas are those of the models: they fit every message of the core, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.envelope import Envelope, EnvelopeError
from core.event import RECONCILED_PREFIX
from core.message import ATTRIBUTE_NAMES, QueueMessage
from scripts import schema
from tests import planted

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "tests/events/dastra").glob("*.json"))


def validator(name: str) -> Any:
    """What checks documents against a published schema."""
    found = json.loads((schema.FOLDER / f"{name}.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


ATTRIBUTES, POINTER, ENVELOPE = (validator(name) for name in ("attributes", "pointer", "envelope"))


def test_the_files_are_what_the_models_give() -> None:
    """A change of the model or of the contract changes a file here, and so is seen in review."""
    assert schema.main(["--check"]) == 0
    assert {path.stem for path in schema.FOLDER.glob("*.json")} == set(schema.SCHEMAS)


def message(body: bytes, **more: Any) -> QueueMessage:
    """The message of a body as the core makes it."""
    signature = planted.signature(body)
    try:
        return QueueMessage.of_event(body, Envelope.parse(body), signature, **more)
    except EnvelopeError:
        return QueueMessage.of_unreadable(body, signature, **more)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_fits(path: Path) -> None:
    """Envelope, attributes, and the pointer of the same event."""
    body = path.read_bytes()
    ENVELOPE.validate(json.loads(body))
    made = message(body)
    ATTRIBUTES.validate(dict(made.attributes))
    claim = made.as_pointer(f"s3://bucket/claims/{made.id}")
    ATTRIBUTES.validate(dict(claim.attributes))
    POINTER.validate(json.loads(claim.body))


@given(
    st.dictionaries(st.sampled_from(["webhookId", "eventType", "date", "data"]), st.text() | st.integers() | st.none()),
    st.booleans(),
    st.text(max_size=60) | st.just(f"00-{'1f' * 16}-{'0a' * 8}-01"),
)
def test_every_message_fits(fields: dict[str, Any], unlisted: bool, traceparent: str) -> None:
    """Whatever a genuine sender writes into the fields that attributes come from."""
    made = message(json.dumps(fields).encode(), unlisted=unlisted, traceparent=traceparent)
    ATTRIBUTES.validate(dict(made.attributes))
    ATTRIBUTES.validate(dict(made.vouched().attributes))


def test_a_reconciled_event_fits_without_a_signature() -> None:
    """Its source says what it is; with a signature it would claim to be what it is not."""
    attributes = dict(message(b"{}").attributes)
    del attributes["signature"]
    attributes["source"] = RECONCILED_PREFIX + "7"
    ATTRIBUTES.validate(attributes)
    attributes["signature"] = planted.signature(b"{}")
    with pytest.raises(jsonschema.ValidationError):
        ATTRIBUTES.validate(attributes)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": "A" * 64},
        {"source": None},
        {"source": "urn:other:1"},
        {"type": "eu.dastra."},
        {"type": "eu-dastra-Task"},
        {"specversion": "0.3"},
        {"signature": None},
        {"signature": "x" * 44},
        {"time": "yesterday"},
        {"sourceipcheck": "listed"},
        {"more": "1"},
    ],
    ids=lambda change: "-".join(f"{name}-{str(value)[:12]}" for name, value in change.items()),
)
def test_what_the_core_never_makes_does_not_fit(change: dict[str, str | None]) -> None:
    """Each attribute is held to its form, none of the required may be missing, and no other may be there."""
    good = dict(message(SAMPLES[0].read_bytes()).attributes)
    ATTRIBUTES.validate(good)
    with pytest.raises(jsonschema.ValidationError):
        ATTRIBUTES.validate({name: value for name, value in {**good, **change}.items() if value is not None})


def test_it_describes_every_attribute_and_field() -> None:
    """A new one cannot be added without a form and a sentence."""
    assert list(schema.attributes()["properties"]) == list(ATTRIBUTE_NAMES)
    for name in ("attributes", "pointer", "envelope"):
        assert all(field["description"] for field in schema.SCHEMAS[name]()["properties"].values())
