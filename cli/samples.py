"""Sample events: invented from end to end, each with a nonce, so that two of them are two events."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final

from cli.exits import CliError, Exit

DEFAULT: Final = "DataSubjectCreation"
MARK: Final = "sample"
"""The field of the envelope that holds the nonce. Dastra sends no such field, so a consumer can drop what has it."""

_FAMILIES: Final = {
    "account": "PermissionChange WorkspaceDeleted OwnerAdded OwnerDeleted",
    "audit_annotation": "AuditAnnotationAdded AuditAnnotationChangeState AuditAnnotationMentioned",
    "audit_response": "AuditResponseRefused AuditResponseValidated AuditResponseUpdated AuditResponseFinalized "
    "AuditResponseActionPlanGenerated AuditResponsePlanified AuditResponseInvitation AuditResponseExpired",
    "audit_template": "AuditTemplateUpdated AuditTemplateCreated",
    "comment": "CommentNew CommentMention",
    "control_point": "ControlPointCreated ControlPointUpdated",
    "data_breach": "DataBreachCreation DataBreachModification DataBreachArchived DataBreachChangeState "
    "DataBreachExpired",
    "data_subject_message": "DataSubjectMessage DataSubjectMessageAssigned",
    "data_subject_request": "DataSubjectCreation DataSubjectUpdate DataSubjectStateChange DataSubjectArchived "
    "DataSubjectIdentityValidated DataSubjectRequestProcessed",
    "data_subject_widget": "DataSubjectWidgetCreation",
    "other": "CookieWidget ReportingNewsletter PushNotificationOptinMessage TicketStatusChanged ContributionAccepted "
    "ContributionRejected",
    "processing": "ProcessingCreation ProcessingModification ProcessingStateChange ProcessingArchived "
    "ProcessingDeleted ProcessingAddRelation ProcessingRemoveRelation ProcessingPublished ProcessingDraft "
    "ProcessingInvitation ProcessingExpired",
    "relation": "AddGenericRelation RemoveGenericRelation",
    "replication_job": "ReplicationJobSuccess ReplicationJobFailed",
    "risk_evaluation": "RiskEvaluationCreated RiskEvaluationUpdated RiskEvaluationSwitchState",
    "task": "TaskCreation TaskEdit TaskChangeState TaskMention TaskAssigned TaskArchived",
    "user": "UserSession UserInvited UserRevoked UserDeleted UserLogin UserMaxLoginAttempts",
}
"""Event types by the file that has data of their shape. The names are those of Dastra's API description
(``NotificationChannel``, August 2022); Dastra has added and renamed some since."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample event: the bytes to sign, and the nonce that tells it from the next."""

    body: bytes
    event_type: str
    nonce: str


def event_types() -> tuple[str, ...]:
    """Every documented event type, sorted."""
    return tuple(sorted(_by_type()))


def families() -> Mapping[str, tuple[str, ...]]:
    """Each family of event types whose data has one shape, by name, with its documented event types."""
    return {family: tuple(names.split()) for family, names in _FAMILIES.items()}


def sample(
    event_type: str = DEFAULT, now: datetime | None = None, change: Callable[[dict[str, Any]], None] = lambda _: None
) -> Sample:
    """A sample event of a type, dated now, in the compact JSON that Dastra's serialiser would write.

    ``change`` may change the envelope before it is written.

    Raises:
        CliError: the type is neither documented nor a plain name.
    """
    known = _by_type()
    if event_type not in known and not _TOKEN.fullmatch(event_type):
        raise CliError(f"{event_type!r} is no event type.", suggestion(event_type), Exit.USAGE)
    envelope = _load(known.get(event_type, "other"))
    nonce = secrets.token_hex(8)
    stamp = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if event_type != envelope["eventType"]:
        envelope["eventName"] = event_type  # the file's label is another event's
    envelope |= {"date": stamp, "eventType": event_type, MARK: nonce}
    change(envelope)
    body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Sample(body, event_type, nonce)


def suggestion(event_type: str) -> str:
    """The documented names that come close, else where to find them."""
    close = get_close_matches(event_type, event_types(), 3, 0.5)
    return (
        f"Did you mean {' or '.join(close)}?" if close else "dastra-webhooks send --events lists the documented ones."
    )


@cache
def _by_type() -> dict[str, str]:
    return {name: family for family, names in families().items() for name in names}


def _folders() -> Iterator[Path]:
    here = Path(__file__).parent
    yield here / "sample_events"  # in a wheel
    yield here.parent / "tests" / "events" / "dastra"


def _load(family: str) -> dict[str, Any]:
    for folder in _folders():
        path = folder / f"{family}.json"
        if path.is_file():
            loaded = json.loads(path.read_bytes())
            if isinstance(loaded, dict):
                return loaded
    raise CliError(
        f"the sample {family}.json is missing: this installation has no samples.", "Send a file of your own instead."
    )
