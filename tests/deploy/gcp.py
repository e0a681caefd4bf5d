"""What the tests of `infra/gcp` share: the planned resources, the commands of the gcloud path, the filled-in files."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

for module in ("grpc", "hcl2", "msgpack"):
    pytest.importorskip(module, reason="needs the test group's packages: make setup")

from tests.deploy.terraform_provider import provider, terraform  # noqa: E402 - after it is known that it can be

ROOT: Final = Path(__file__).resolve().parents[2]
INFRA: Final = ROOT / "infra/gcp"
PROJECT: Final = "example-project"
NAME: Final = "dastra-webhooks"
NUMBER: Final = "123456789012"
EMAIL: Final = "oncall@example.com"
REQUIRED: Final = {"project": PROJECT, "alarm_email": EMAIL}

Json = dict[str, Any]


def needs(program: str, remedy: str) -> str:
    """The path of a program; skips the test where it is missing."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not on PATH: {remedy}")
    return found


def needs_terraform() -> str:
    """Terraform, or a skip."""
    return needs("terraform", "install Terraform 1.9 or newer, https://developer.hashicorp.com/terraform/install")


def needs_gcloud() -> str:
    """gcloud, or a skip. It is used offline, and needs no account."""
    return needs("gcloud", "install the Google Cloud CLI, https://cloud.google.com/sdk/docs/install")


@dataclass(frozen=True)
class Plan:
    """What terraform would make."""

    content: Json

    @cached_property
    def resources(self) -> Mapping[str, Json]:
        """The values of each resource by its address."""
        planned = self.content["planned_values"]["root_module"]["resources"]
        return {resource["address"]: resource["values"] for resource in planned if resource["mode"] == "managed"}

    @cached_property
    def outputs(self) -> Mapping[str, Any]:
        """Each output's value."""
        return {name: output.get("value") for name, output in self.content["planned_values"]["outputs"].items()}

    def of(self, type_: str) -> dict[str, Json]:
        """The resources of a type, by what stands behind the type in their address."""
        prefix = f"{type_}."
        return {a.removeprefix(prefix): v for a, v in self.resources.items() if a.startswith(prefix)}

    def before(self, address: str) -> set[str]:
        """The addresses, without index, that a resource must wait for, directly or through others."""
        resources = self.content["configuration"]["root_module"]["resources"]
        edges = {resource["address"]: set(_references(resource)) for resource in resources}
        found: set[str] = set()
        pending = [address]
        while pending:
            for other in edges.get(pending.pop(), set()):
                match = next(
                    (known for known in edges if other == known or other.startswith((f"{known}.", f"{known}["))), None
                )
                if match and match not in found:
                    found.add(match)
                    pending.append(match)
        return found


def _references(value: Any) -> Iterator[str]:
    match value:
        case dict():
            yield from value.get("depends_on", [])
            for key, inner in value.items():
                if key == "references":
                    yield from inner
                elif key != "depends_on":
                    yield from _references(inner)
        case list():
            for each in value:
                yield from _references(each)


@contextmanager
def copy_of_infra(change: Mapping[str, tuple[str, str]] | None = None) -> Iterator[Path]:
    """A copy of `infra/gcp`, with one text replaced in each file of ``change``."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "infra/gcp")
        shutil.copytree(INFRA, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars", "tools"))
        for file, (old, new) in (change or {}).items():
            text = (copy / file).read_text("utf-8")
            assert old in text, f"{file} has no {old!r}"
            (copy / file).write_text(text.replace(old, new), "utf-8")
        yield copy


def make_plan(directory: Path, variables: Mapping[str, Any]) -> Plan:
    """Let the real terraform plan a directory.

    Raises:
        AssertionError: it refuses; with all that it says.
    """
    program = needs_terraform()
    with provider(PROJECT) as running:
        given = [
            f"-var={name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in variables.items()
        ]
        options = ["-input=false", "-no-color", "-lock=false", "-out=plan"]
        terraform(program, directory, running.environment(), "plan", *options, *given)
        return Plan(json.loads(terraform(program, directory, running.environment(), "show", "-json", "plan")))


@cache
def _planned(variables: str) -> Plan:
    with copy_of_infra() as directory:
        return make_plan(directory, json.loads(variables))


def planned(**variables: Any) -> Plan:
    """The plan for these variables; the two required ones need not be given."""
    return _planned(json.dumps({**REQUIRED, **variables}, sort_keys=True))


def refusal(**variables: Any) -> str:
    """What terraform says against these variables, on one line.

    Raises:
        AssertionError: it has nothing against them.
    """
    with copy_of_infra() as directory:
        try:
            make_plan(directory, {**REQUIRED, **variables})
        except AssertionError as error:
            return " ".join(re.sub(r"[│╷╵]", " ", str(error)).split())
    raise AssertionError(f"terraform took {variables}")


def parsed(directory: Path = INFRA) -> dict[str, Json]:
    """Each Terraform file as python-hcl2 reads it."""
    hcl2 = import_module("hcl2")
    return {path.name: hcl2.loads(path.read_text("utf-8")) for path in sorted(directory.glob("*.tf"))}


NAMES: Final = {
    "project": PROJECT,
    "name": NAME,
    "receive": f"{NAME}-receive",
    "redrive": f"{NAME}-redrive",
    "job": f"{NAME}-redrive",
    "watch": f"{NAME}-watch",
    "topic": f"{NAME}-events",
    "subscription": f"{NAME}-events",
    "dead_letter_topic": f"{NAME}-dead-letters",
    "dead_letter_subscription": f"{NAME}-dead-letters",
    "silence": "43200s",
}
"""What the definitions are filled in with; silence for 12 hours."""


def filled_in(path: Path) -> Json:
    """A definition with its names filled in, read as JSON. `$${` stands for `${`, as Terraform has it."""
    content: Json = json.loads(
        re.sub(r"\$\$\{|\$\{(\w+)\}", lambda m: NAMES[m[1]] if m[1] else "${", path.read_text("utf-8"))
    )
    return content


def definitions(kind: str, directory: Path = INFRA) -> dict[str, Json]:
    """The filled-in definitions of `metrics` or `alarms`, by name."""
    return {path.stem: filled_in(path) for path in sorted((directory / kind).glob("*.json"))}


def dashboard(*, check: bool = True) -> Json:
    """The filled-in dashboard, with or without the tiles of the check of the webhooks."""
    content = filled_in(INFRA / "dashboard.json")
    if check:
        content["mosaicLayout"]["tiles"][:0] = filled_in(INFRA / "dashboard-check.json")
    return content


@dataclass(frozen=True)
class Command:
    """One gcloud command."""

    words: tuple[str, ...]

    @cached_property
    def flags(self) -> Mapping[str, str]:
        """The flags without their dashes; one without a value has an empty one."""
        pairs = (word.removeprefix("--").partition("=") for word in self.words if word.startswith("--"))
        return {name: value for name, _, value in pairs}

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """What is no flag: the command's path, then what it works on."""
        return tuple(word for word in self.words[1:] if not word.startswith("--"))

    def begins(self, *path: str) -> bool:
        """Whether it is this command."""
        return self.plain[: len(path)] == path


@dataclass(frozen=True)
class DryRun:
    """What a script would do."""

    commands: tuple[Command, ...]
    look_ups: tuple[Command, ...]
    filled: Mapping[str, Json]

    def of(self, *path: str) -> list[Command]:
        """The commands of this path, in order."""
        return [command for command in self.commands if command.begins(*path)]


def script(name: str, *options: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of the two scripts. Where gcloud is absent, one that does nothing stands in for it."""
    bash = needs("bash", "the scripts are written for it")
    with tempfile.TemporaryDirectory() as scratch:
        stand_in = Path(scratch, "gcloud")
        stand_in.write_text("#!/bin/sh\nexit 97\n", "utf-8")
        stand_in.chmod(0o755)
        environment = {"PATH": f"{scratch}{os.pathsep}{os.environ['PATH']}", "HOME": scratch, **(env or {})}
        return subprocess.run(
            [bash, str(INFRA / name), *options],
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=100,
            check=False,
        )


@cache
def dry_run(name: str, *options: str) -> DryRun:
    """What a script says in a dry run. A dry run never calls gcloud: the one on its PATH fails."""
    with tempfile.TemporaryDirectory() as scratch:
        more = ("--alarm-email", EMAIL, "--work-dir", scratch) if name == "deploy.sh" else ()
        run = script(name, "--project", PROJECT, "--dry-run", *more, *options)
        assert run.returncode == 0, run.stderr
        filled = {
            str(path.relative_to(scratch)): json.loads(path.read_text("utf-8"))
            for path in Path(scratch).rglob("*.json")
        }
    return DryRun(_commands(run.stdout, ""), _commands(run.stderr, "# "), filled)


def _commands(text: str, before: str) -> tuple[Command, ...]:
    lines = (line.removeprefix(before) for line in text.splitlines() if line.startswith(f"{before}gcloud "))
    return tuple(Command(tuple(shlex.split(line))) for line in lines)


def run_gcloud(*arguments: str, directory: Path) -> str:
    """Run the real gcloud offline, with settings of its own.

    Raises:
        AssertionError: it failed.
    """
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "CLOUDSDK_CONFIG": str(directory / "config"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
    }
    run = subprocess.run(
        [needs_gcloud(), *arguments], capture_output=True, text=True, env=env, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def fault(text: str) -> NoReturn:
    """Fail with a sentence."""
    raise AssertionError(text)
