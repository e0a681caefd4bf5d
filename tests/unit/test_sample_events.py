"""The sample events are what their READMEs promise: parseable, invented, and of the shape that is documented."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from cli import samples as samples_module
from cli.samples import MARK, event_types, families, sample

TESTS: Final = Path(__file__).parents[1]
DASTRA: Final = TESTS / "events" / "dastra"
API_DESCRIPTION: Final = TESTS.parent / ".." / "shared" / "data" / "dastra-openapi.json"

ENVELOPE: Final = ["data", "date", "eventName", "eventType", "signatureUrl", "userId", "webhookId"]


@dataclass(frozen=True, slots=True)
class Family:
    """Event types whose `data` has the same shape. `schema` is that shape's name in Dastra's API description."""

    event_types: frozenset[str]
    schema: str | None


def _family(schema: str | None, event_types: str) -> Family:
    return Family(frozenset(event_types.split()), schema)


# Every name of `NotificationChannel` in Dastra's API description, once. Which schema `data` follows is our assumption:
# the object that the REST API gives for the same module. Nothing fits the last family, so its `data` is null.
FAMILIES: Final = {
    "data_subject_request": _family(
        "DataSubjectRequestDto",
        """DataSubjectCreation DataSubjectUpdate DataSubjectStateChange DataSubjectArchived
        DataSubjectIdentityValidated DataSubjectRequestProcessed""",
    ),
    "data_subject_widget": _family("DataSubjectRequestDto", "DataSubjectWidgetCreation"),
    "data_subject_message": _family("DataSubjectMessageDto", "DataSubjectMessage DataSubjectMessageAssigned"),
    "processing": _family(
        "DataProcessingDto",
        """ProcessingCreation ProcessingModification ProcessingStateChange ProcessingArchived ProcessingDeleted
        ProcessingAddRelation ProcessingRemoveRelation ProcessingPublished ProcessingDraft ProcessingInvitation
        ProcessingExpired""",
    ),
    "data_breach": _family(
        "DataBreachDto",
        "DataBreachCreation DataBreachModification DataBreachArchived DataBreachChangeState DataBreachExpired",
    ),
    "task": _family("TaskDto", "TaskCreation TaskEdit TaskChangeState TaskMention TaskAssigned TaskArchived"),
    "comment": _family("CommentDto", "CommentNew CommentMention"),
    "relation": _family("GenericRelationShipLinkedObjectDto", "AddGenericRelation RemoveGenericRelation"),
    "audit_response": _family(
        "AuditResponseDto",
        """AuditResponseRefused AuditResponseValidated AuditResponseUpdated AuditResponseFinalized
        AuditResponseActionPlanGenerated AuditResponsePlanified AuditResponseInvitation AuditResponseExpired""",
    ),
    "audit_annotation": _family(
        "AuditAnnotationDto", "AuditAnnotationAdded AuditAnnotationChangeState AuditAnnotationMentioned"
    ),
    "audit_template": _family("AuditTemplateDto", "AuditTemplateUpdated AuditTemplateCreated"),
    "risk_evaluation": _family(
        "RiskEvaluationDto", "RiskEvaluationCreated RiskEvaluationUpdated RiskEvaluationSwitchState"
    ),
    "control_point": _family("ControlPointDto", "ControlPointCreated ControlPointUpdated"),
    "user": _family("UserDto", "UserSession UserInvited UserRevoked UserDeleted UserLogin UserMaxLoginAttempts"),
    "account": _family("WorkSpaceDto", "PermissionChange WorkspaceDeleted OwnerAdded OwnerDeleted"),
    "replication_job": _family("ReplicationResult", "ReplicationJobSuccess ReplicationJobFailed"),
    "other": _family(
        None,
        """CookieWidget ReportingNewsletter PushNotificationOptinMessage TicketStatusChanged ContributionAccepted
        ContributionRejected""",
    ),
}

EXAMPLE_DOMAIN: Final = re.compile(r"(?:[a-z-]+\.)*example\.(?:org|com|net)")
DOCUMENTATION_NETWORKS: Final = [IPv4Network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]

samples = pytest.mark.parametrize("path", sorted(DASTRA.glob("*.json")), ids=lambda path: path.stem)


def _strings(value: object) -> Iterator[str]:
    """Every text in a parsed document, keys left out."""
    match value:
        case str():
            yield value
        case dict():
            for member in value.values():
                yield from _strings(member)
        case list():
            for member in value:
                yield from _strings(member)


def _api_schemas() -> dict[str, Any]:
    """The schemas of Dastra's API description, as JSON Schema."""
    if not API_DESCRIPTION.exists():
        pytest.skip(
            "Dastra's API description is not at ../shared/data/dastra-openapi.json beside this repository; "
            "to run this check, save the OpenAPI file that Dastra's documentation links to under that name"
        )
    schemas = json.loads(API_DESCRIPTION.read_bytes())["components"]["schemas"]
    assert isinstance(schemas, dict)
    return {name: _with_null(schema) for name, schema in schemas.items()}


def _with_null(schema: Any) -> Any:
    """Spell `nullable` of OpenAPI 3.0 as JSON Schema does.

    A reference may be null too: OpenAPI 3.0 ignores whatever stands beside `$ref`, so it cannot say so, and a .NET
    serialiser writes an absent object as null.
    """
    match schema:
        case {"$ref": _}:
            return {"anyOf": [schema, {"type": "null"}]}
        case {"nullable": True, "type": str(kind), **rest}:
            return _with_null({**rest, "type": [kind, "null"]})
        case dict():
            return {name: _with_null(member) for name, member in schema.items()}
        case _:
            return schema


def _validate(value: object, schema: str, schemas: dict[str, Any]) -> None:
    root = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": schemas}}
    # Of the formats only `uuid` is checked. Dastra's dates carry no zone, so `date-time` as RFC 3339 has it fails.
    jsonschema.Draft202012Validator(root, format_checker=jsonschema.FormatChecker(["uuid"])).validate(value)


def test_each_family_has_one_file() -> None:
    """The files are exactly the families."""
    assert {path.stem for path in DASTRA.glob("*.json")} == FAMILIES.keys()


def test_the_families_divide_the_event_types_of_the_api_description() -> None:
    """Every documented event type belongs to one family, and no family invents one."""
    names = [name for family in FAMILIES.values() for name in family.event_types]
    assert sorted(names) == sorted(_api_schemas()["NotificationChannel"]["enum"])


def test_the_program_knows_the_same_families() -> None:
    """What `send` makes samples of is divided as the files are."""
    assert {name: frozenset(types) for name, types in families().items()} == {
        name: family.event_types for name, family in FAMILIES.items()
    }


def test_the_wheel_carries_the_samples() -> None:
    """The build copies the files to where the installed program looks for them first."""
    project = TESTS.parent
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    copied = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert project / copied["tests/events/dastra"] == next(samples_module._folders())


@pytest.mark.parametrize("event_type", event_types())
def test_each_event_type_makes_a_sample_of_its_schema(event_type: str) -> None:
    """A sample of each of the 71 types is a valid envelope, its data valid for its family, with one extra: its mark."""
    [family] = [family for family in FAMILIES.values() if event_type in family.event_types]
    event = json.loads(sample(event_type).body)
    assert sorted(event) == sorted([*ENVELOPE, MARK])
    assert event["eventType"] == event_type
    schemas = _api_schemas()
    _validate({name: value for name, value in event.items() if name != MARK}, "WebhookPayload", schemas)
    if family.schema is not None:
        _validate(event["data"], family.schema, schemas)


@samples
def test_a_sample_is_an_envelope_of_its_family(path: Path) -> None:
    """A sample is a JSON object with the seven documented fields, and its event type is one of its family's."""
    event = json.loads(path.read_bytes())
    assert isinstance(event, dict)
    assert sorted(event) == ENVELOPE
    assert event["eventType"] in FAMILIES[path.stem].event_types


@samples
def test_a_sample_validates_against_the_api_description(path: Path) -> None:
    """The envelope follows `WebhookPayload`, and `data` the schema of its family."""
    schemas = _api_schemas()
    event = json.loads(path.read_bytes())
    _validate(event, "WebhookPayload", schemas)
    match FAMILIES[path.stem].schema:
        case None:
            assert event["data"] is None
        case schema:
            assert event["data"] is not None
            _validate(event["data"], schema, schemas)


@samples
def test_a_sample_names_nobody_real(path: Path) -> None:
    """Mail and web addresses use reserved domains only; telephone numbers come from the range kept for fiction."""
    for text in _strings(json.loads(path.read_bytes())):
        for domain in re.findall(r"(?:https?://|\w@)([^\s/\"'<>?:]+)", text):
            assert EXAMPLE_DOMAIN.fullmatch(domain), text
        if text.startswith("+"):
            assert re.fullmatch(r"\+33 1 99 00 \d\d \d\d", text)


def test_the_samples_carry_every_documented_shape_of_date() -> None:
    """With the fraction digits and zones that Dastra's documentation shows, a parser meets them all here."""
    dates = [json.loads(path.read_bytes())["date"] for path in DASTRA.glob("*.json")]
    assert {len(re.sub(r".*\.|\D", "", date)) if "." in date else 0 for date in dates} >= {0, 1, 2, 3, 5, 7}
    assert {date.endswith("Z") for date in dates} == {True, False}


def test_the_samples_carry_the_spellings_of_json_that_a_sender_may_use() -> None:
    """Compact and indented, raw UTF-8 and escaped, no user and a null label: the samples differ where Dastra may."""
    bodies = [path.read_bytes() for path in DASTRA.glob("*.json")]
    events = [json.loads(body) for body in bodies]
    assert {b"\n" in body for body in bodies} == {True, False}
    assert {body.isascii() for body in bodies} == {True, False}
    assert any(event["userId"] == 0 for event in events)
    assert any(event["eventName"] is None for event in events)
