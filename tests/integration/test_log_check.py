"""The log check must fail when something leaks: tiny pytest sessions that leak on purpose, run for real."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests import log_check, planted

ROOT: Final = Path(__file__).parents[2]

LEAKING: Final = {
    "a body on standard output": "print('received', planted.body())",
    "a body in base64": "print(base64.b64encode(b'x' + planted.body()).decode())",
    "a body in base64, shifted": "print(base64.b64encode(b'xy' + planted.body()).decode())",
    "a body on standard error": "print(planted.MARKER, file=sys.stderr)",
    "a body below Python": "os.write(1, planted.body() + b'\\n')",
    "a body from another program": "subprocess.run([sys.executable, '-c', f'print({planted.MARKER!r})'], check=True)",
    "a body in a log record": "logging.getLogger('x').warning('bad: %s', planted.MARKER)",
    "a body in a traceback": "logging.getLogger('x').error('bad', exc_info=ValueError(planted.MARKER))",
    "a key": "print(json.dumps({'key': planted.KEY}))",
    "a key that is not ASCII": "print(json.dumps({'key': planted.key('clé-' + planted.nonce())}))",
    "a signature": "print(f'expected={planted.signature(planted.body())}')",
    "a signature in hex": "print(base64.b64decode(planted.signature(planted.body())).hex())",
    "a signature without padding": "print(planted.signature(planted.body()).rstrip('='))",
    "a signature, url-safe": "print(planted.signature(planted.body()).replace('+', '-').replace('/', '_'))",
    "another thread": "t = threading.Thread(target=print, args=(planted.KEY,)); t.start(); t.join()",
}
CLEAN: Final = {
    "nothing": "pass",
    "an id": "print(hashlib.sha256(planted.body()).hexdigest())",
    "another digest": "print(base64.b64encode(hashlib.sha256(planted.body()).digest()).decode())",
    "a fingerprint": "print(SignatureKey(planted.KEY))",
}
IMPORTS: Final = """
import base64, hashlib, json, logging, os, subprocess, sys, threading
import pytest
from core.signature import SignatureKey
from tests import planted
"""


def run(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest, with the plugin, on a file of this source."""
    (folder / "test_tiny.py").write_text(IMPORTS + source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.log_check",
            "-p",
            "no:cacheprovider",
            "-q",
            "-rA",
            *options,
            folder,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _test(name: str, statement: str) -> str:
    return f"\ndef test_{name}():\n    {statement}\n"


def test_each_leak_fails_its_test(tmp_path: Path) -> None:
    """In an xdist worker: each leaking test fails, each clean one passes, and so the session fails."""
    source = "".join(_test(f"leak_{number}", statement) for number, statement in enumerate(LEAKING.values()))
    source += "".join(_test(f"clean_{number}", statement) for number, statement in enumerate(CLEAN.values()))
    done = run(tmp_path, source, "-n", "1")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    failed = {int(number) for number in re.findall(r"^FAILED .*::test_leak_(\d+)", done.stdout, re.MULTILINE)}
    assert [name for number, name in enumerate(LEAKING) if number not in failed] == []
    assert f"{len(CLEAN)} passed" in done.stdout
    assert f"{len(LEAKING)} failed" in done.stdout
    log_check.check(done.stdout + done.stderr)


def test_a_leak_outside_the_test_itself_fails_too(tmp_path: Path) -> None:
    """In a fixture before or after, while a module is imported, and in a test that fails anyway."""
    source = """
@pytest.fixture
def before():
    print(planted.KEY)

@pytest.fixture
def after():
    yield
    print(planted.KEY)

def test_before(before): pass
def test_after(after): pass
def test_fails_anyway():
    print(planted.KEY)
    assert False
"""
    done = run(tmp_path, source)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert done.stdout.count("log check: a key in") >= 3
    assert planted.KEY not in done.stdout
    imported = run(tmp_path, "\nprint(planted.KEY)\ndef test_nothing(): pass\n")
    assert imported.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "log check: a key in" in imported.stdout


def test_a_clean_session_passes(tmp_path: Path) -> None:
    """The check does not cry wolf, and a test whose subject is to print may say so."""
    source = "".join(_test(f"clean_{number}", statement) for number, statement in enumerate(CLEAN.values()))
    source += "\n@pytest.mark.prints_planted" + _test("on_purpose", "print(planted.KEY)")
    done = run(tmp_path, source)
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def test_it_says_when_it_is_off(tmp_path: Path) -> None:
    """With ``-s`` nothing is captured, so nothing can be checked, and the summary says so."""
    done = run(tmp_path, _test("nothing", "pass"), "-s")
    assert done.returncode == pytest.ExitCode.OK
    assert "log check: OFF" in done.stdout


def test_it_is_on_in_this_suite(pytestconfig: pytest.Config) -> None:
    """The suite that you are running has the check."""
    assert pytestconfig.pluginmanager.hasplugin("tests.log_check")
    with pytest.raises(log_check.LeakError, match="log check: a key"):
        log_check.check(f"key={planted.KEY}")
