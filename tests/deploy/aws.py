"""The AWS template, as it is written and as CloudFormation gets it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from scripts import aws_tools

ROOT: Final = Path(__file__).resolve().parents[2]
TEMPLATE: Final = ROOT / "infra" / "aws" / "template.yaml"

Template = dict[str, Any]

# What `sam deploy` sends is expanded by AWS; the transform it uses is in SAM's environment.
_TRANSFORM: Final = """
import boto3, json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
session = boto3.Session(region_name="eu-west-3")
print(json.dumps(Translator({}, Parser(), boto_session=session).translate(json.load(sys.stdin), {})))
"""


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            assert isinstance(node, yaml.MappingNode)
            value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


yaml.add_multi_constructor("!", _long_form, _Loader)


def template() -> Template:
    """The template as it is written, intrinsic functions in their long form."""
    parsed: Template = yaml.load(TEMPLATE.read_text("utf-8"), _Loader)
    return parsed


def transformed() -> Template:
    """The template as AWS's own transform expands it. Skips where SAM's environment is not made."""
    if reason := aws_tools.missing(aws_tools.SAM):
        pytest.skip(reason)
    expanded: Template = json.loads(_transform())
    return expanded


@cache
def _transform() -> str:
    parsed = template()
    # `sam package` puts the bundle's address here.
    parsed["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    python = str(aws_tools.SAM.program("python"))
    done = subprocess.run(
        [python, "-c", _TRANSFORM], input=json.dumps(parsed), stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 0, "the template cannot be transformed (see above)"
    return done.stdout


def resources(template: Template, *kinds: str) -> dict[str, Template]:
    """The resources of these types by logical id; all without a type."""
    return {
        name: resource for name, resource in template["Resources"].items() if not kinds or resource["Type"] in kinds
    }


def walk(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a template with the path to it."""
    yield path, node
    if isinstance(node, dict):
        for name, value in node.items():
            yield from walk(value, f"{path}/{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{path}/{index}")


def statements(template: Template) -> Iterator[tuple[str, str, Template]]:
    """Every statement of every policy: where it is, the type of its resource, the statement."""
    for name, resource in resources(template).items():
        for path, node in walk(resource, name):
            if isinstance(node, dict) and node.get("Effect") in {"Allow", "Deny"}:
                yield path, resource["Type"], node


def as_list(value: Any) -> list[Any]:
    """A policy's value, which may stand alone or in a list."""
    return value if isinstance(value, list) else [value]
