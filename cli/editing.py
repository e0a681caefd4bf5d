"""Changes to a sample's envelope: `--set data.id=7`, and data from a file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cli.exits import CliError, Exit

_MOST_DEEP: Final = 50
_INDEX: Final = re.compile(r"\[(\d{1,6})\]")
_EXAMPLES: Final = "Valid: --set data.id=7, --set 'data.tags[0].label=\"a b\"', --set eventType=TaskEdit"


def set_values(envelope: dict[str, Any], assignments: Sequence[str]) -> None:
    r"""Apply ``PATH=VALUE`` assignments to an envelope, in their order.

    A value is JSON where it can be read as such (7, true, null, "7", [1]), else text. Dots separate the members of a
    path; ``\.`` is a dot in a name; ``[0]`` or ``.0`` is a list's element, and the number behind the last one appends.
    Members that are missing are made.

    Raises:
        CliError: an assignment is none, or its path leads nowhere.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        names = _names(path)
        if not equals or not names or not all(names):
            raise CliError(f"--set {path!r} is no PATH=VALUE.", _EXAMPLES, Exit.USAGE)
        if len(names) > _MOST_DEEP:
            raise CliError(f"--set goes deeper than {_MOST_DEEP} members.", _EXAMPLES, Exit.USAGE)
        _set(envelope, names, _value(text), path)


def data_from(path: Path, text: bytes) -> Any:
    """The JSON of a file that is to be an event's data.

    Raises:
        CliError: it is no JSON. The message says where, and quotes nothing.
    """
    try:
        return json.loads(text.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise CliError(f"{path} is no JSON: {where}.", "--data takes what stands under `data`.", Exit.USAGE) from None
    except (ValueError, RecursionError):
        raise CliError(f"{path} is no JSON in UTF-8.", "--data takes what stands under `data`.", Exit.USAGE) from None


def _names(path: str) -> list[str]:
    dotted = _INDEX.sub(r".\1", path).removeprefix(".")
    return [name.replace("\\.", ".") for name in re.split(r"(?<!\\)\.", dotted)]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _set(envelope: dict[str, Any], names: Sequence[str], value: Any, path: str) -> None:
    place: Any = envelope
    for depth, name in enumerate(names):
        last = depth == len(names) - 1
        empty: Any = value if last else [] if names[depth + 1].isdigit() else {}
        match place:
            case dict():
                if last or not isinstance(place.get(name), dict | list):
                    _refuse_scalar(place.get(name), path, name, last=last)
                    place[name] = empty
                place = place[name]
            case list():
                index = _index(place, name, path)
                if index == len(place):
                    place.append(empty)
                elif last or not isinstance(place[index], dict | list):
                    _refuse_scalar(place[index], path, name, last=last)
                    place[index] = empty
                place = place[index]


def _refuse_scalar(present: Any, path: str, name: str, *, last: bool) -> None:
    """What is there may be replaced as a whole, and null may become something; a text or number has no members."""
    if not last and present is not None:
        raise CliError(
            f"--set {path}: {name} is no object and no list, so it has no members.",
            f"Set it as a whole: --set '{path[: path.find(name) + len(name)]}={{…}}'",
            Exit.USAGE,
        )


def _index(place: list[Any], name: str, path: str) -> int:
    if not name.isascii() or not name.isdigit() or int(name) > len(place):
        raise CliError(
            f"--set {path}: a list of {len(place)} has no element {name}.",
            f"Valid: 0 to {len(place)}, of which the last appends.",
            Exit.USAGE,
        )
    return int(name)
