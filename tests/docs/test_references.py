"""What the documentation says about this project's files is so."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from core import log
from core.settings import NAMES, PREFIX
from tests.docs.commands import ROOT, examples, pages

SECURITY = (ROOT / "SECURITY.md").read_text("utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text("utf-8")


def cells(heading: str, column: int) -> set[str]:
    """The names in a column of the table below a heading of the operations page."""
    section = OPERATIONS.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|(?! *Event| *Metric| *Alarm|-)(.*)\|$", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([A-Za-z0-9_]+)`", row.split("|")[column])}


def events() -> list[log.LogEvent]:
    """Every log event of the core."""
    return [value for value in vars(log).values() if isinstance(value, log.LogEvent)]


def test_every_log_event_is_explained() -> None:
    """Each event of core/log.py has a row, and no row is about one that is not there."""
    named = {event.name for event in events()}
    # Azure's entry point has one of its own.
    assert named <= cells("Log events", 0) <= named | {"body_not_received"}


def test_every_metric_is_explained() -> None:
    """Each metric of core/log.py has its place in the table, and nothing else has."""
    assert cells("Metrics", 0) == {metric.name for event in events() for metric in event.metrics}


def test_every_alarm_is_explained() -> None:
    """Each alarm that a template makes has a row."""
    explained = cells("Alarms", 0)
    made = {path.stem for path in ROOT.glob("infra/gcp/alarms/*.json")}
    bicep = ROOT / "infra/azure/modules/alarms.bicep"
    if bicep.exists():
        made |= set(re.findall(r"^    name: '([a-z_0-9]+)'$", bicep.read_text("utf-8"), re.MULTILINE))
    made = {re.sub(r"_(high|low)$", "", name) for name in made}
    assert made <= explained, sorted(made - explained)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+::\w+)`", SECURITY))))
def test_a_defence_names_a_test_that_exists(named: str) -> None:
    """Who reads that something is held by a test can run that test."""
    path, _, name = named.partition("::")
    if not (ROOT / path).is_file():
        pytest.skip("the test went with its cloud (make keep)")
    assert f"def {name}(" in (ROOT / path).read_text("utf-8")


def test_every_defence_names_one() -> None:
    """No row of the table of defences is without."""
    table = SECURITY.partition("## What the receiver defends")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!Threat)(.+) \|$", table, re.MULTILINE)
    assert len(rows) >= 10
    assert all("`tests/" in row for row in rows)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(page: Path) -> None:
    """A path in code, as `scripts/keep.toml`, is one of this project's, or of what it builds."""
    tops = "benchmarks|cli|core|docs|examples|infra|scripts|tests|aws_lambda|azure_function|gcp_function"
    for name in re.findall(
        rf"`((?:{tops})/[\w./-]*\w\.(?:py|toml|md|json|tf|bicep|sh|txt|in|yaml))`", page.read_text("utf-8")
    ):
        cloud = re.match(r"(aws_lambda|azure_function|gcp_function|infra/(?:aws|azure|gcp))/", name)
        assert (ROOT / name).exists() or (cloud and not (ROOT / cloud[1]).exists()), name


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example_says_what_it_reads_from_its_environment(example: Path) -> None:
    """Its docstring has each name and exports no other; the receiver's prefix is on the receiver's own names alone."""
    text = example.read_text("utf-8")
    said = ast.get_docstring(ast.parse(text)) or ""
    read = set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", text))
    assert {name for name in read if name not in re.findall(r"\w+", said)} == set()
    assert set(re.findall(r"export (\w+)=", said)) <= read
    assert {name for name in read if name.startswith(PREFIX)} <= {PREFIX + name for name in NAMES}
    assert bool(read) is example.stem.endswith("_consumer")


def test_the_container_of_a_developer_does_what_the_makefile_does() -> None:
    """It sets up through the target that everybody uses, with a Python that is supported."""
    text = re.sub(r"^\s*//.*$", "", (ROOT / ".devcontainer/devcontainer.json").read_text("utf-8"), flags=re.MULTILINE)
    made = json.loads(text)
    assert made["postCreateCommand"] == "make setup"
    assert re.search(r"python:3\.1[1-9]", made["image"])


def test_forms_are_what_github_takes() -> None:
    """YAML with a name, a description and at least one field that must be filled in."""
    for path in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml"):
        form = yaml.safe_load(path.read_text("utf-8"))
        assert {"name", "description", "body"} <= form.keys()
        assert any(field.get("validations", {}).get("required") for field in form["body"])
