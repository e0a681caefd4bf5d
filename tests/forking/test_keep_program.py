"""`make keep`: run on copies of this project, which must then pass their own checks."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.keep_plan import Rules
from tests.forking.project import BIN, ROOT, copy, environment, git, keep, run

CLOUDS = sorted(Rules.read().clouds)
PACKAGES = {"aws": "aws_lambda", "azure": "azure_function", "gcp": "gcp_function"}
MODULES = {"aws": "aws_lambda.wiring", "azure": "azure_function.wiring", "gcp": "gcp_function.wiring"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all its clouds."""
    return copy(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module", params=CLOUDS)
def cut(request: pytest.FixtureRequest, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy in which one cloud was kept."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    done = keep(folder, request.param, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Next:  make check" in done.stdout
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def cloud_of(folder: Path) -> str:
    """Which cloud a copy kept."""
    return next(cloud for cloud, package in PACKAGES.items() if (folder / package).is_dir())


def test_a_dry_run_changes_nothing(whole: Path) -> None:
    """It says what would go and what would change, and that nothing was done."""
    done = keep(whole, "gcp", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "aws_lambda/  (" in done.stdout
    assert "pyproject.toml" in done.stdout
    assert "Nothing was done" in done.stdout
    assert git(whole, "status", "--porcelain") == ""


@pytest.mark.parametrize("said", ["", "no\n", "y\n"])
def test_nothing_is_done_without_a_yes(whole: Path, said: str) -> None:
    """Only the word itself goes on; no answer at all does not."""
    done = keep(whole, "gcp", said=said)
    assert done.returncode == 1
    assert done.stdout.rstrip().endswith("Nothing was done.")
    assert git(whole, "status", "--porcelain") == ""


def test_uncommitted_work_is_safe(whole: Path) -> None:
    """Where git could not bring everything back, nothing is touched, and the file in the way is named."""
    (whole / "notes.md").write_text("mine\n")
    try:
        done = keep(whole, "aws", "--yes")
        assert done.returncode == 1
        assert "not committed (notes.md …)" in done.stderr
        assert (whole / "azure_function").is_dir()
    finally:
        (whole / "notes.md").unlink()


def test_a_wrong_cloud_is_an_error(whole: Path) -> None:
    """With the names that there are, and no traceback."""
    done = keep(whole, "")
    assert done.returncode == 1
    assert "There is: aws, gcp, azure" in done.stderr


def test_what_is_left_is_clean(cut: Path) -> None:
    """Format, lint, import contracts and the lock file hold as they stand, and the packages import."""
    cloud = cloud_of(cut)
    for command in (
        [str(BIN / "ruff"), "check", "--no-cache", "."],
        [str(BIN / "ruff"), "format", "--no-cache", "--check", "."],
        [str(BIN / "lint-imports"), "--no-logo", "--no-cache"],
        [sys.executable, "scripts/uv.py", "lock", "--check"],
        [sys.executable, "-c", f"import core.receiver, cli.main, {MODULES[cloud]}"],
        [str(BIN / "python"), "-m", "cli.main", "--help"],
    ):
        done = run(cut, *command, env=environment(PYTHONPATH=str(cut)))
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert {path.name for path in cut.iterdir()} & set(PACKAGES.values()) == {PACKAGES[cloud]}


def test_a_few_of_its_tests_pass(cut: Path) -> None:
    """The message, and the contract on the cloud that is left, through its real entry point."""
    tests = ["tests/unit/test_message.py", "tests/contract/test_genuine.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "message or openssl", *tests]
    done = run(cut, *command, env=environment(PYTHONPATH=str(cut)))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_everything_that_is_left_passes(cut: Path) -> None:
    """`make check` in an environment of its own: no dependency of another cloud is there to lean on."""
    own = environment()
    # Its own packages have no bytecode yet; without it every program that its tests start takes seconds more.
    del own["PYTHONDONTWRITEBYTECODE"]
    done = run(cut, "make", "check", "WORKERS=2", env=own, seconds=2900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert (cut / ".venv") != (ROOT / ".venv")
