"""Each bundle is the same bytes wherever and whenever it is built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bundles

ROOT = Path(__file__).parents[2]
BUNDLES = bundles.names()


def build(project: Path, bundle: str, output: Path, **environment: str) -> dict[str, bytes]:
    """Run a build script as `make build-...` does; the bundle's files by name."""
    subprocess.run(
        [sys.executable, str(project / f"scripts/build_{bundle}.py"), "--output", str(output)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return {
        path.relative_to(output).as_posix(): path.read_bytes() for path in sorted(output.rglob("*")) if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES)
def test_two_builds_of_two_checkouts_are_identical(bundle: str, tmp_path: Path) -> None:
    """Another folder, another umask, another hash seed, another time zone: the same names, bytes, modes and times."""
    first = build(ROOT, bundle, tmp_path / "one" / bundle, PYTHONHASHSEED="1", TZ="UTC")
    checkout = tmp_path / "another place" / "clone"
    for name in (
        "core",
        "scripts",
        "LICENSE",
        "pyproject.toml",
        "uv.lock",
        *(p.name for p in ROOT.glob("*_*") if (p / "wiring.py").exists()),
    ):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            checkout.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, checkout / name)
    if (ROOT / ".tools").is_dir():
        (checkout / ".tools").symlink_to(ROOT / ".tools")
    before = os.umask(0o077)
    try:
        second = build(checkout, bundle, tmp_path / "two" / bundle, PYTHONHASHSEED="2", TZ="Pacific/Kiritimati")
    finally:
        os.umask(before)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert str(tmp_path).encode() not in b"".join(second.values())
    for name in first:
        one, two = (tmp_path / place / bundle / name for place in ("one", "two"))
        assert (one.stat().st_mode, one.stat().st_mtime) == (two.stat().st_mode, two.stat().st_mtime)
