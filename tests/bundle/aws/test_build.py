"""What `sam build` and `make build-aws` make."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from scripts import build_aws, bundles, python313

NATIVE = re.compile(r"\.cpython-313-(aarch64|x86_64)-linux-gnu\.so$")


def names(bundle: Path) -> list[str]:
    """Every file of the bundle."""
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())


@pytest.mark.slow
def test_two_builds_are_identical(bundle: Path, python313: Path, tmp_path: Path) -> None:
    """The same inputs give the same bytes, folder and zip, wherever the bundle is built."""
    again = build_aws.build(tmp_path / "elsewhere" / "aws", python313)
    assert again.digest == build_aws.digest(bundle)
    for folder, archive in ((bundle, tmp_path / "1.zip"), (again.folder, tmp_path / "2.zip")):
        assert build_aws.write_zip(folder, archive) <= build_aws.GOAL_BYTES
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("1.zip", "2.zip")}
    assert len(digests) == 1


@pytest.mark.slow
def test_the_zip_is_the_folder(bundle: Path, tmp_path: Path) -> None:
    """The zip holds every file once, readable by all, in the order of the names, with one fixed time."""
    build_aws.write_zip(bundle, tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        entries = archive.infolist()
        assert [entry.filename for entry in entries] == names(bundle)
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
        assert archive.testzip() is None


@pytest.mark.slow
def test_it_runs_on_both_processors(bundle: Path) -> None:
    """Native code is there once for arm64 and once for x86_64, and nowhere else."""
    native = [name for name in names(bundle) if name.endswith(".so")]
    found: dict[str, set[str]] = {}
    for name in native:
        match = NATIVE.search(name)
        assert match, f"{name} loads on one processor and nobody can tell which"
        found.setdefault(name[: match.start()], set()).add(match[1])
        machine = (bundle / name).read_bytes()[18:20]
        assert machine == {"aarch64": b"\xb7\x00", "x86_64": b"\x3e\x00"}[match[1]], f"{name} is not what it says"
    assert found
    assert all(processors == {"aarch64", "x86_64"} for processors in found.values())


@pytest.mark.slow
def test_every_module_is_compiled(bundle: Path) -> None:
    """Each module has bytecode that Python 3.13 takes as it is, and that names no path of the building machine."""
    modules = [name for name in names(bundle) if name.endswith(".py")]
    for name in modules:
        path = Path(name)
        compiled = (bundle / path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc").read_bytes()
        assert compiled[4:8] == b"\x01\x00\x00\x00", f"{name}: not an unchecked hash"
        assert str(bundle).encode() not in compiled
        assert str(build_aws.ROOT).encode() not in compiled
    assert len([name for name in names(bundle) if name.endswith(".pyc")]) == len(modules)


@pytest.mark.slow
def test_it_holds_what_the_handlers_need_and_nothing_else(bundle: Path) -> None:
    """Our packages, the locked ones with their licences, no SDK that the runtime ships, no tests, no tool's records."""
    held = names(bundle)
    top = {name.partition("/")[0] for name in held}
    assert {"core", "aws_lambda", "pydantic", "pydantic_core", "aws_lambda_powertools"} <= top
    assert not top & {"boto3", "botocore", "s3transfer", "urllib3", "cli", "tests", "bin", ".lock"}
    packages = sorted(bundle.glob("*.dist-info"))
    assert packages
    for package in packages:
        metadata = PathDistribution(package).metadata
        licences = [name for name in held if re.match(rf"{re.escape(package.name)}/(licenses/)?LICEN[CS]E", name)]
        assert licences or "License" in metadata or "License-Expression" in metadata, package.name
    assert not [name for name in held if re.search(r"\.pyi$|/RECORD$|direct_url|/tests?/", name)]


@pytest.mark.slow
def test_without_python_313_it_builds_without_bytecode_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine without Python 3.13 gets a bundle that works, and a warning that tells how to get the faster one.

    On standard output: `sam build` shows what make wrote on standard error only when it fails.
    """
    monkeypatch.setattr(build_aws, "find_python", lambda: None)
    assert build_aws.main(["--output", str(tmp_path / "aws")]) == 0
    printed = capsys.readouterr()
    assert "warning: no Python 3.13 was found, so the bundle has no bytecode" in printed.out
    assert "PYTHON313=" in printed.out
    assert "warning" not in printed.err
    assert "within the goal" in printed.out
    assert not list((tmp_path / "aws").rglob("*.pyc"))
    assert (tmp_path / "aws/core/receiver.py").is_file()


def test_a_failed_build_says_why_and_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be installed is an error with uv's own words above it; a bundle that was there stays."""
    old = tmp_path / "aws" / "old"
    old.parent.mkdir()
    old.touch()
    monkeypatch.setattr(
        build_aws, "_requirements", lambda: f"no-such-package-of-this-project==1.0 --hash=sha256:{'0' * 64}\n"
    )
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert build_aws.main(["--no-bytecode", "--output", str(tmp_path / "aws")]) == 1
    assert "error: uv pip failed" in capsys.readouterr().err
    assert old.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "aws"]


def test_platforms_that_differ_in_more_than_native_code_are_an_error(tmp_path: Path) -> None:
    """One bundle for both processors is right only as long as nothing but native code differs; the build checks it."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, text in ((one, "1"), (other, "2")):
        folder.mkdir()
        (folder / "module.py").write_text(text)
    with pytest.raises(build_aws.BuildError, match=r"module\.py differs between the platforms"):
        build_aws._merge([one, other], tmp_path / "merged")
    (other / "module.py").unlink()
    with pytest.raises(build_aws.BuildError, match=r"module\.py exists for one platform alone"):
        build_aws._merge([one, other], tmp_path / "merged")


def test_a_python_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shim that leads nowhere is no Python 3.13; the search goes on to the next candidate."""
    broken = tmp_path / "python3.13"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    works = tmp_path / "works"
    works.write_text(f"#!/bin/sh\necho 3.13 {sys.executable}\n")
    works.chmod(0o755)
    monkeypatch.setattr(
        python313, "_candidates", lambda: iter([str(tmp_path / "absent"), str(broken), sys.executable, str(works)])
    )
    found = python313.find_python()
    version = subprocess.run([sys.executable, "--version"], capture_output=True, text=True, check=True).stdout
    assert found == Path(sys.executable), version


def test_the_bill_of_materials_asks_for_what_the_build_installs() -> None:
    """The same packages, versions and hashes, with the same one left out."""
    lines = [
        line for line in bundles.export("aws", "requirements.txt").splitlines() if not line.strip().startswith("#")
    ]
    assert lines == [line for line in build_aws._requirements().splitlines() if line.strip()]
    assert bundles.RUNTIME_SHIPS["aws"] == build_aws.RUNTIME_SHIPS
