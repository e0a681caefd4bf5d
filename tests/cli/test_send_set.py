"""`send --set` and `--data` make the event that is asked for, and say what is wrong with a path or a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.editing import set_values
from cli.exits import CliError, Exit
from tests.cli.conftest import Invoke
from tests.cli.helpers import Run


def edited(*assignments: str) -> dict[str, Any]:
    """A small envelope after these assignments."""
    envelope: dict[str, Any] = {
        "eventType": "TaskEdit",
        "data": {"id": 1, "tags": ["a", "b"], "user": {"name": "Test"}, "none": None, "a.b": 1},
    }
    set_values(envelope, assignments)
    return envelope


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("data.id=7", 7),
        ("data.id=-7.50", -7.5),
        ("data.id=true", True),
        ("data.id=null", None),
        ('data.id="7"', "7"),
        ("data.id=[1, {}]", [1, {}]),
        ("data.id=seven", "seven"),
        ("data.id=", ""),
        ("data.id=a=b", "a=b"),
        ("data.id=007", "007"),
        ("data.id={", "{"),
        ("data.id=é", "é"),
    ],
)
def test_values_are_json_where_they_can_be_read_so(assignment: str, expected: object) -> None:
    """A value keeps its type where it is JSON, and is text otherwise."""
    found = edited(assignment)["data"]["id"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("assignment", "path", "expected"),
    [
        ("eventType=X", ("eventType",), "X"),
        ("data.user.name=X", ("data", "user", "name"), "X"),
        ("data.user.age=1", ("data", "user", "age"), 1),
        ("data.new.deep.er=1", ("data", "new", "deep", "er"), 1),
        ("data.none.x=1", ("data", "none", "x"), 1),
        ("data.tags.0=X", ("data", "tags", 0), "X"),
        ("data.tags[1]=X", ("data", "tags", 1), "X"),
        ("data.tags[2]=X", ("data", "tags", 2), "X"),
        ("data.tags[2].label=X", ("data", "tags", 2, "label"), "X"),
        ("data.list[0][0].x=1", ("data", "list", 0, 0, "x"), 1),
        ("data.a\\.b=2", ("data", "a.b"), 2),
        ("data.user=1", ("data", "user"), 1),
    ],
)
def test_paths(assignment: str, path: tuple[str | int, ...], expected: object) -> None:
    """Dots and indexes lead to a member; what is missing is made, and an index behind the last one appends."""
    found: Any = edited(assignment)
    for step in path:
        found = found[step]
    assert found == expected


def test_assignments_in_their_order() -> None:
    """A later assignment goes on with what an earlier one made, and the rest of the envelope stays."""
    found = edited("data.tags=[]", "data.tags[0]=x", "data.tags[1]=y")
    assert found["data"]["tags"] == ["x", "y"]
    assert found["data"]["user"] == {"name": "Test"}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("data.id", "is no PATH=VALUE"),
        ("=7", "is no PATH=VALUE"),
        ("data..id=7", "is no PATH=VALUE"),
        ("data.id.x=7", "id is no object and no list"),
        ("data.tags[3]=7", "a list of 2 has no element 3"),
        ("data.tags.x=7", "a list of 2 has no element x"),
        ("data.tags.0.x=7", "0 is no object and no list"),
        (".".join(["a"] * 60) + "=7", "deeper than 50"),
    ],
)
def test_paths_that_lead_nowhere(assignment: str, said: str) -> None:
    """A path that cannot be followed is a usage error that says what is there and what would work."""
    with pytest.raises(CliError) as caught:
        edited(assignment)
    assert said in caught.value.message
    assert caught.value.code == Exit.USAGE
    assert caught.value.hint


def test_it_reaches_the_queue(run: Run, invoke: Invoke, tmp_path: Path) -> None:
    """Data from a file and assignments on top of it stand in the event that arrives, dated now and with its nonce."""
    (tmp_path / "data.json").write_bytes(b'\xef\xbb\xbf{"id": 1, "label": "\xc3\xa9t\xc3\xa9"}')
    data = str(tmp_path / "data.json")
    result = invoke("send", "--event", "TaskEdit", "--data", data, "--set", "data.id=7", "--set", "userId=3")
    assert result.exit_code == Exit.DONE
    [body] = run.bodies()
    found = json.loads(body)
    assert (found["eventType"], found["data"], found["userId"]) == ("TaskEdit", {"id": 7, "label": "été"}, 3)
    assert found["sample"] in result.stdout


def test_data_from_stdin(run: Run, invoke: Invoke) -> None:
    """`--data -` reads stdin."""
    assert invoke("send", "--data", "-", stdin=b"[1]").exit_code == Exit.DONE
    assert json.loads(run.bodies()[0])["data"] == [1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{\n "a": planted-text}', "is no JSON: line 2, column 7"),
        (b"\xff\xfe", "is no JSON in UTF-8"),
        (b"[" * 100_000, "is no JSON in UTF-8"),
    ],
)
def test_data_that_is_no_json(invoke: Invoke, tmp_path: Path, content: bytes, said: str) -> None:
    """A file that is no JSON is a usage error with the place, and nothing of it is quoted."""
    (tmp_path / "data.json").write_bytes(content)
    result = invoke("send", "http://127.0.0.1:1/", "--data", str(tmp_path / "data.json"))
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr
    assert "planted" not in result.stderr


@pytest.mark.parametrize("option", [("--data", "x.json"), ("--set", "data.id=7")])
def test_a_file_is_not_changed(run: Run, invoke: Invoke, tmp_path: Path, option: tuple[str, str]) -> None:
    """A file is posted byte for byte, so what would change it is a mistake that is named."""
    (tmp_path / "event.json").write_text("{}")
    result = invoke("send", str(tmp_path / "event.json"), *option)
    assert result.exit_code == Exit.USAGE
    assert f"{option[0]} changes a sample, and a file is given too." in result.stderr
