"""Dastra's envelope, read leniently: only "a JSON object" is required of it.

Dastra's API description (``WebhookPayload``) makes no field mandatory, and what is on the wire may differ from it in
case and type, so a field that is absent or odd is None and never an error.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import from_json

_BOM: Final = b"\xef\xbb\xbf"
_DATE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,12}))?)?\s?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII
)


class EnvelopeError(ValueError):
    """The body is not a JSON object in UTF-8. The message never holds any of it."""


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:  # more digits than Python converts
            return None
    return None


Opaque = Annotated[str | None, BeforeValidator(_as_text)]
"""Ids and labels are carried as text, whether Dastra sends a number or a string, and are never interpreted."""


class Envelope(BaseModel):
    """What Dastra posts. Field names on the wire are camel case; other cases are understood too."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    webhook_id: Opaque = Field(default=None, alias="webhookId", description="Id of the configured webhook.")
    signature_url: Opaque = Field(default=None, alias="signatureUrl", description="The receiver's own URL.")
    user_id: Opaque = Field(default=None, alias="userId", description="Who caused the event; 0 or null for nobody.")
    event_type: Opaque = Field(default=None, alias="eventType", description="Name of the event; route on this.")
    event_name: Opaque = Field(default=None, alias="eventName", description="Label in the account's language.")
    data: Any = Field(default=None, description="The object concerned; its shape depends on the event type.")
    date: Opaque = Field(default=None, description="When it happened, as Dastra wrote it; the zone may be missing.")

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a body.

        Raises:
            EnvelopeError: it is not UTF-8, not JSON, nested too deeply, or not an object.
        """
        return cls.model_validate(_canonical(decode(body)))

    @property
    def time(self) -> datetime | None:
        """``date`` in UTC, which is also assumed where it names no zone; None when it cannot be read.

        Dastra's samples have five or seven fraction digits, with and without ``Z``; digits past the sixth are cut.
        """
        match = _DATE.fullmatch(self.date.strip()) if self.date else None
        if match is None:
            return None
        day, clock, seconds, fraction, zone = match.groups()
        zone = "+00:00" if zone is None or zone in "Zz" else zone
        try:
            parsed = datetime.fromisoformat(f"{day}T{clock}:{seconds or '00'}.{(fraction or '0')[:6]:0<6}{zone}")
            return parsed.astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    @property
    def data_id(self) -> str | None:
        """The id of the object concerned, as text, where ``data`` is an object that has one."""
        if not isinstance(self.data, dict):
            return None
        for name, value in self.data.items():
            if name.lower() == "id":
                return _as_text(value)
        return None


_NAMES: Final = frozenset(field.alias or name for name, field in Envelope.model_fields.items())
_BY_LOWER_CASE: Final = {name.lower(): name for name in _NAMES}


def decode(body: bytes) -> dict[str, Any]:
    """Every field of a body, by its own name, also those that an envelope has not.

    Raises:
        EnvelopeError: as in ``Envelope.parse``.
    """
    body = body.removeprefix(_BOM)
    try:
        decoded = from_json(body)
    except ValueError:
        # Rare, and slower: the standard parser also takes what a JavaScript or .NET writer may produce and this one
        # does not, such as an unpaired surrogate escape.
        try:
            decoded = json.loads(body.decode(), parse_int=_integer)
        except (ValueError, RecursionError):
            raise EnvelopeError("the body is not JSON in UTF-8") from None
    if not isinstance(decoded, dict):
        raise EnvelopeError("the body is JSON but not an object")
    return decoded


def _integer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts; an object with such a number is an object all the same
        return text


def _canonical(decoded: dict[str, Any]) -> dict[str, Any]:
    """The envelope's fields under their documented names; an exact name wins over one in another case."""
    if decoded.keys() >= _NAMES:
        return decoded
    found: dict[str, Any] = {}
    for name, value in decoded.items():
        known = _BY_LOWER_CASE.get(name.lower())
        if known is not None and (known == name or known not in decoded):
            found[known] = value
    return found
