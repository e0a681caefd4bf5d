"""What Dastra's API answers, read leniently: fields may be missing, null, new, or written in another case.

Source: Dastra's public API description (OpenAPI, August 2022), schemas ``WebHookUrlDto`` and ``WorkSpaceDto``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from core.envelope import Envelope

Id = int | str
"""An id as Dastra writes it: an integer for a webhook and a workspace, a GUID for others. Never computed with."""

ERROR_LIMIT: Final = 5
"""Errors after which Dastra blocks a webhook (its webhook page: "when the threshold of 5 errors is exceeded")."""


def same_id(one: Id | None, other: Id | None) -> bool:
    """Whether two ids are the same, be they written as numbers or as text."""
    return str(one).lower() == str(other).lower() if one is not None and other is not None else one is other


def _whole(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError, OverflowError):
        return None


def _id(value: object) -> Id | None:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _truth(value: object) -> bool:
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str | dict):
        return ()
    return tuple(dict.fromkeys(str(name) for name in value if isinstance(name, int | str)))


class Lenient(BaseModel):
    """Known fields whatever their case, unknown ones kept as they are."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = {(field.alias or name).lower(): field.alias or name for name, field in cls.model_fields.items()}
        return {known.get(str(name).lower(), str(name)): found for name, found in value.items()}


class Workspace(Lenient):
    """A workspace (``WorkSpaceDto``), as far as anything here needs it."""

    id: Annotated[Id | None, BeforeValidator(_id)] = None
    label: Annotated[str | None, BeforeValidator(_text)] = None


def _workspace(value: object) -> object:
    return value if isinstance(value, dict | Workspace) else None


class WebHook(Lenient):
    """A webhook (``WebHookUrlDto``). ``workspace_id`` is None where it covers all workspaces, or Dastra is silent."""

    id: Id
    url: Annotated[str, BeforeValidator(lambda value: _text(value) or "")] = ""
    own_workspace_id: Annotated[Id | None, BeforeValidator(_id), Field(alias="workSpaceId")] = None
    workspace: Annotated[Workspace | None, BeforeValidator(_workspace), Field(alias="workSpace")] = None
    events: Annotated[tuple[str, ...], BeforeValidator(_names), Field(alias="subscribedEvents")] = ()
    signature_key: Annotated[SecretStr | None, BeforeValidator(_text), Field(alias="signatureKey")] = None
    error_count: Annotated[int | None, BeforeValidator(_whole), Field(alias="nbErrors")] = None
    in_error: Annotated[bool, BeforeValidator(_truth), Field(alias="inError")] = False
    error_message: Annotated[str | None, BeforeValidator(_text), Field(alias="errorMessage")] = None
    last_error: Annotated[str | None, BeforeValidator(_text), Field(alias="dateLastError")] = None

    @property
    def workspace_id(self) -> Id | None:
        """The workspace's id, from whichever of the two fields has it."""
        if self.own_workspace_id is not None:
            return self.own_workspace_id
        return self.workspace.id if self.workspace else None

    @property
    def errors(self) -> int:
        """Errors counted so far; 0 where Dastra does not say."""
        return max(0, self.error_count or 0)

    @property
    def blocked(self) -> bool:
        """Whether Dastra sends nothing any more.

        Inferred: Dastra documents neither what exactly ``inError`` means, nor whether the fifth error blocks or the
        sixth. Both are taken for a block, since a false alarm costs a look and a missed one costs events.
        """
        return self.in_error or self.errors >= ERROR_LIMIT

    @property
    def last_error_at(self) -> datetime | None:
        """When the last error was, in UTC where Dastra gives no zone; None where it says none or nothing readable."""
        return Envelope(date=self.last_error).time if self.last_error else None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. ``total`` is None where the answer was a bare array."""

    items: tuple[Any, ...]
    total: int | None = None
    size: int | None = None
    number: int | None = None

    @classmethod
    def of(cls, answer: object) -> Self:
        """Read a bare array, as the description has it, or ``{items, total, size, page}``, as other lists answer.

        Raises:
            ValueError: it is neither.
        """
        if isinstance(answer, list):
            return cls(tuple(answer))
        if isinstance(answer, dict):
            known = {str(name).lower(): value for name, value in answer.items()}
            items = known.get("items")
            if isinstance(items, list):
                return cls(
                    tuple(items), _whole(known.get("total")), _whole(known.get("size")), _whole(known.get("page"))
                )
        raise ValueError("neither a list nor a page of one")
