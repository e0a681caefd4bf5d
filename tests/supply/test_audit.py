"""No secret in the tree and no hole in the workflows, by scanners that are shown to find both."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import audit

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _scanners() -> None:
    if reason := audit.missing():
        pytest.skip(reason)


def repository(folder: Path, name: str, text: str) -> Path:
    """A git repository with one file."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    return folder


def test_there_is_no_secret_in_the_tree() -> None:
    """None of the forms that a cloud's or a service's secrets have; invented ones are marked as such."""
    assert audit.secrets() == []


def test_a_secret_would_be_found(tmp_path: Path) -> None:
    """A private key and an access key, put together here so that this file holds neither."""
    text = "-----BEGIN " + "RSA PRIVATE KEY-----\nkey = 'AKIA" + "ABCDEFGHIJKLMNOP'\n"
    found = audit.secrets(repository(tmp_path, "settings.py", text))
    assert found == ["settings.py:1: Private Key", "settings.py:2: AWS Access Key"]


def test_the_workflows_have_no_known_hole() -> None:
    """Pinned actions, no token that lies about, no text of strangers in a shell."""
    assert audit.workflows() == ""


def test_a_hole_would_be_found(tmp_path: Path) -> None:
    """A workflow that runs a pull request's title as a command."""
    text = (
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n"
    )
    said = audit.workflows(repository(tmp_path, ".github/workflows/bad.yml", text))
    assert "template-injection" in said
