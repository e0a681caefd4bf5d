"""Every package comes with its hash: into this project, and into each bundle."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from scripts import bundles

ROOT = Path(__file__).parents[2]
BUNDLES = bundles.names()


def entries(requirements: str) -> list[str]:
    """Each requirement with its continuation lines, comments left out."""
    lines = "\n".join(line for line in requirements.splitlines() if not line.lstrip().startswith("#"))
    return [entry for entry in re.split(r"\n(?=\S)", lines.strip()) if entry]


def test_every_locked_package_has_hashes() -> None:
    """Each file of each package in uv.lock, but for this project itself."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    assert len(packages) > 50
    for package in packages:
        if "virtual" in package["source"] or "editable" in package["source"]:
            assert package["name"] == "dastra-webhooks"
            continue
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        assert files, package["name"]
        assert all(file["hash"].startswith("sha256:") for file in files), package["name"]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_package_of_a_bundle_has_hashes(bundle: str) -> None:
    """An exact version and at least one hash for each, so that the installer refuses everything else."""
    found = entries(bundles.export(bundle, "requirements.txt"))
    assert len(found) >= 5
    for entry in found:
        assert re.match(r"[a-z0-9.-]+==[^\s;]+( ;[^\\]+)? \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("infra/*/tools/*.txt")) + sorted(ROOT.glob("scripts/tools/*.txt")), ids=lambda p: p.stem
)
def test_every_tool_has_hashes(path: Path) -> None:
    """The locks of the tools that are installed beside the project."""
    for entry in entries(path.read_text("utf-8")):
        assert re.match(r"[a-zA-Z0-9._-]+(\[[^\]]+\])?==\S+( ;[^\\]+)? \\\n    --hash=sha256:[0-9a-f]{64}", entry), (
            entry
        )


def test_the_bundles_are_known() -> None:
    """A dependency group of a cloud has a build script, by which every check here finds it."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    clouds = {path.parent.name.partition("_")[0] for path in ROOT.glob("*/wiring.py")}
    assert set(BUNDLES) == clouds
    assert set(BUNDLES) <= groups.keys()
