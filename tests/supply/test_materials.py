"""What the bundles are made of, and under which licences."""

from __future__ import annotations

import json
import re
from email.message import Message
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from scripts import bundles, licences, sbom

BUNDLES = bundles.names()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bills of materials, written as `make sbom` does."""
    folder = tmp_path_factory.mktemp("sbom")
    assert sbom.main(["--output", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bill_lists_the_bundle_s_packages(made: Path, bundle: str) -> None:
    """Exactly the packages and versions that the build script installs, each with a licence and with hashes."""
    bill = json.loads((made / f"{bundle}.json").read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["name"] == f"dastra-webhooks-{bundle}"
    wanted = set(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", bundles.export(bundle, "requirements.txt"), re.MULTILINE))
    assert {(component["name"], component["version"]) for component in bill["components"]} == wanted
    for component in bill["components"]:
        assert component["licenses"], component["name"]
        hashes = [found for place in component["externalReferences"] for found in place.get("hashes", ())]
        assert {found["alg"] for found in hashes} == {"SHA-256"}


def test_a_bill_is_the_same_each_time(made: Path, tmp_path: Path) -> None:
    """No serial number and no time in it: a difference between two is a difference between the bundles."""
    assert sbom.main(["--output", str(tmp_path)]) == 0
    names = [f"{bundle}.json" for bundle in BUNDLES]
    # Not an assertion about the bytes: pytest would work for minutes on showing their difference.
    assert [name for name in names if (tmp_path / name).read_bytes() != (made / name).read_bytes()] == []


def test_every_licence_is_allowed() -> None:
    """Of all packages that a bundle holds or a developer's machine has."""
    refused = [package for package in licences.packages() if not package.allowed]
    assert not refused


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("MIT AND Apache-2.0 OR GPL-3.0-only", True),
        ("", False),
    ],
)
def test_expressions(expression: str, allowed: bool) -> None:
    """A choice needs one allowed licence, a sum needs all of them."""
    assert licences.allows(expression) is allowed


def test_a_tool_may_have_what_a_bundle_may_not() -> None:
    """A licence with terms about passing it on is no matter where nothing is passed on."""
    assert not licences.Package("chart", "1", "LGPL-3.0-or-later", ("aws",)).allowed
    assert licences.Package("chart", "1", "LGPL-3.0-or-later", licences.TOOLS).allowed
    assert not licences.Package("chart", "1", None, licences.TOOLS).allowed


def described(folder: Path, **fields: str) -> Distribution:
    """An installed package with these metadata."""
    message = Message()
    for name, value in {"Metadata-Version": "2.4", "Name": "invented", "Version": "1", **fields}.items():
        message[name.replace("_", "-")] = value
    (folder / "METADATA").write_text(message.as_string())
    return PathDistribution(folder)


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": "MIT", "License": "GPL"}, "MIT"),
        ({"License": "BSD 2-Clause License"}, "BSD-2-Clause"),
        ({"Classifier": "License :: OSI Approved :: ISC License (ISCL)"}, "ISC"),
        ({"License": "A text of nobody"}, None),
        ({}, None),
    ],
)
def test_a_licence_is_read_from_whatever_a_package_says(
    tmp_path: Path, fields: dict[str, str], licence: str | None
) -> None:
    """The SPDX expression first, then the older fields; what is not understood is not guessed."""
    assert licences.licence_of(described(tmp_path, **fields)) == licence
