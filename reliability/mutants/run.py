"""Runs cosmic-ray on a copy of the project, one module at a time."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.exits import CliError
from reliability.mutants.table import Mutant
from reliability.tools import MUTANTS
from scripts.tool_env import ROOT

MODULES: Final = ("core/signature.py", "core/source_ip.py", "core/screening.py")
"""They decide who may be believed."""
_TESTS: Final = (
    "tests/unit/test_signature.py",
    "tests/unit/test_source_ip.py",
    "tests/unit/test_screening.py",
    "tests/unit/test_vectors.py",
    "tests/unit/test_settings.py",
    "tests/unit/test_receiver.py",
    "tests/unit/test_keys.py",
    "tests/reliability/test_boundaries.py",
)
"""The module's own come first, for most mutants end there."""
_PLACE: Final = ROOT / "build/mutants"
_SECONDS: Final = 60
"""After which a mutant counts as noticed: it made something wait for ever."""
_POLL_SECONDS: Final = 0.5
_CONFIG: Final = """\
[cosmic-ray]
module-path = "{module}"
timeout = {seconds}
excluded-modules = []
test-command = "{command}"

[cosmic-ray.distributor]
name = "local"
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a module's mutants; those in annotations, which nothing evaluates, are not made."""

    module: str
    made: int
    unnoticed: int
    survived: frozenset[Mutant]
    """The same, each changed line once."""
    seconds: float

    @property
    def noticed(self) -> int:
        """How many made a test fail."""
        return self.made - self.unnoticed


def run(module: str, told: Callable[[int, int], None]) -> Outcome:
    """Try every mutant of a module; ``told`` is given how many of how many are done.

    Raises:
        CliError: the tests fail without any mutant, or cosmic-ray does not run.
    """
    started = time.monotonic()
    folder = _copy(module)
    config, session = folder / "mutants.toml", folder / "mutants.sqlite"
    tests = sorted(_TESTS, key=lambda path: Path(module).stem not in path)
    python = (sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    command = shlex.join((*python, *(test for test in tests if (folder / test).exists())))
    config.write_text(_CONFIG.format(module=module, seconds=_SECONDS, command=command), "utf-8")
    _cosmic_ray(folder, "baseline", config.name)
    _cosmic_ray(folder, "init", config.name, session.name)
    _leave_out_annotations(session, folder / module)
    made = _count(session, "work_items")
    program = str(MUTANTS.folder / "bin/cosmic-ray")
    child = subprocess.Popen(  # noqa: S603 - our own words
        [program, "exec", config.name, session.name],
        cwd=folder,
        env=_env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        while child.poll() is None:
            told(_count(session, "work_results"), made)
            time.sleep(_POLL_SECONDS)
    finally:
        child.kill()
        child.wait()
    if child.returncode != 0:
        raise CliError(
            f"cosmic-ray ended with {child.returncode} on {module}.",
            _tail(child.stderr.read() if child.stderr else b""),
        )
    told(made, made)
    survived = _survivors(session, module)
    return Outcome(module, made, len(survived), frozenset(survived), round(time.monotonic() - started, 1))


def _copy(module: str) -> Path:
    folder = _PLACE / Path(module).stem
    shutil.rmtree(folder, ignore_errors=True)
    # A cached module of the same second and size would be taken for the mutant.
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("core", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _cosmic_ray(folder: Path, *arguments: str) -> None:
    program = str(MUTANTS.folder / "bin/cosmic-ray")
    done = subprocess.run([program, *arguments], cwd=folder, env=_env(), capture_output=True)  # noqa: PLW1510, S603
    if done.returncode != 0:
        raise CliError(
            f"cosmic-ray {arguments[0]} ended with {done.returncode}: do the tests pass?",
            _tail(done.stderr + done.stdout),
        )


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def _tail(output: bytes) -> str:
    return "\n".join(output.decode("utf-8", "replace").splitlines()[-15:])


def _leave_out_annotations(session: Path, source: Path) -> None:
    """Remove mutants of annotations: the modules here postpone their evaluation, so that they are only text."""
    spans = _annotations(ast.parse(source.read_text("utf-8")))
    with closing(sqlite3.connect(session)) as connection, connection:
        rows = connection.execute("SELECT job_id, start_pos_row, start_pos_col FROM mutation_specs").fetchall()
        left_out = [(job,) for job, *at in rows if any(begin <= tuple(at) < end for begin, end in spans)]
        connection.executemany("DELETE FROM mutation_specs WHERE job_id = ?", left_out)
        connection.executemany("DELETE FROM work_items WHERE job_id = ?", left_out)


def _annotations(tree: ast.AST) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    found: list[ast.expr | None] = []
    for node in ast.walk(tree):
        match node:
            case ast.arg() | ast.AnnAssign():
                found.append(node.annotation)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found.append(node.returns)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in found
        if node is not None
    ]


def _count(session: Path, table: str) -> int:
    with closing(sqlite3.connect(session, timeout=30)) as connection:
        return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names


def _survivors(session: Path, module: str) -> list[Mutant]:
    query = (
        "SELECT definition_name, diff FROM work_results JOIN mutation_specs USING (job_id) "
        "WHERE test_outcome = 'SURVIVED' OR worker_outcome != 'NORMAL'"
    )
    with closing(sqlite3.connect(session)) as connection:
        rows = connection.execute(query).fetchall()
    return [Mutant(module, str(place or ""), *_changed(str(diff).splitlines())) for place, diff in rows]


def _changed(diff: Sequence[str]) -> tuple[str, str]:
    """The line before and after, without their indentation."""
    before = [line[1:].strip() for line in diff if line.startswith("-") and not line.startswith("---")]
    after = [line[1:].strip() for line in diff if line.startswith("+") and not line.startswith("+++")]
    return " ".join(before), " ".join(after)
