"""What is done with azd: its hooks, `make deploy-azure` and the smoke script, run with an azd that only takes notes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from scripts import smoke_azure
from scripts.smoke_azure import Smoke

ROOT: Final = Path(__file__).resolve().parents[2]
NAME: Final = "dastra-smoke-test"


@dataclass(frozen=True)
class Programs:
    """A folder of programs that write down how they were called, one call a line, in the order of the calls."""

    folder: Path

    def add(self, name: str, does: str = "") -> None:
        """A program; ``does`` is shell, with the call's arguments."""
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.folder}/calls"\n{does}\n', "utf-8")
        path.chmod(0o755)

    @property
    def path(self) -> str:
        """A PATH on which they come first."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def calls(self, *names: str) -> list[str]:
        """The calls of these programs."""
        made = (self.folder / "calls").read_text("utf-8").splitlines()
        return [call for call in made if call.partition(" ")[0] in names]


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """None yet."""
    return Programs(tmp_path)


def failing(times: int, what: str) -> str:
    """Shell for an azd that fails at something so often, and says why."""
    return f"""
    case "$1" in
    {what})
        echo x >>"$(dirname "$0")/tries"
        if [ "$(wc -l <"$(dirname "$0")/tries")" -le {times} ]; then echo "BlobUploadFailedException: 403"; exit 1; fi
    esac
    """


# ----------------------------------------------------------------------------------------------------------- azure.yaml


@pytest.fixture
def hooks() -> dict[str, Any]:
    """The hooks of the project."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML of the test group: make setup")
    found: dict[str, Any] = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))["hooks"]
    return found


@pytest.mark.parametrize("name", ["prepackage", "predeploy"])
def test_azd_builds_with_a_python_that_make_finds(hooks: dict[str, Any], name: str) -> None:
    """The hook is the target of the Makefile, with none of the arguments that `make deploy-azure` has for azd."""
    hook = hooks[name]["posix"]
    assert hook["shell"] == "sh"
    # As make passes it on to what it runs; n: only show the commands.
    outer = {**os.environ, "MAKEFLAGS": "n -- ARGS=--environment\\ mine"}
    run = subprocess.run(["sh", "-c", hook["run"]], cwd=ROOT, env=outer, capture_output=True, text=True, check=True)
    assert "scripts/build_azure.py" in run.stdout
    assert "--environment" not in run.stdout
    assert "python3.11" in run.stdout


def test_on_windows_the_build_says_what_it_takes(hooks: dict[str, Any]) -> None:
    """It stops, and names WSL: neither sh nor make is there."""
    for name in ("prepackage", "predeploy"):
        assert "WSL" in hooks[name]["windows"]["run"]
        assert hooks[name]["windows"]["run"].rstrip().endswith("exit 1")


def test_after_a_deployment_azd_says_the_whole_address_and_what_comes_next(hooks: dict[str, Any]) -> None:
    """Out of the outputs, which azd gives to its hooks; what it prints itself is the bare host."""
    hook = hooks["postdeploy"]
    outputs = {
        "WEBHOOK_URL": "https://func-dastra-x.azurewebsites.net/api/receive",
        "NEXT_STEP": "export DASTRA_STACK=mine && .venv/bin/dastra-webhooks register --workspace ID --all",
    }
    run = subprocess.run(
        [hook["shell"], "-c", hook["run"]], env={**os.environ, **outputs}, capture_output=True, text=True, check=True
    )
    assert set(outputs.values()) <= {line.strip() for line in run.stdout.splitlines()}


# ------------------------------------------------------------------------------------------------------------- Makefile


def deploy(programs: Programs) -> subprocess.CompletedProcess[str]:
    """`make deploy-azure` for one environment."""
    if shutil.which("make") is None:
        pytest.skip("needs make (Debian: apt-get install make)")
    programs.add("sleep")
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(
        ["make", "deploy-azure", "ARGS=--environment mine"],
        cwd=ROOT,
        env={**env, "PATH": programs.path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_refused_upload_is_tried_again(programs: Programs) -> None:
    """Where azd fails after the resources are there, it deploys the code once more after a pause, and says so."""
    programs.add("azd", failing(1, "up"))
    run = deploy(programs)
    assert run.returncode == 0, run.stderr
    assert programs.calls("azd", "sleep") == [
        "azd up --environment mine",
        "azd env get-value WEBHOOK_URL --environment mine --no-prompt",
        "sleep 120",
        "azd deploy --environment mine",
    ]
    assert "once more in two minutes" in run.stderr


def test_what_succeeds_is_not_repeated(programs: Programs) -> None:
    """One `azd up` is all."""
    programs.add("azd")
    assert deploy(programs).returncode == 0
    assert programs.calls("azd", "sleep") == ["azd up --environment mine"]


def test_where_nothing_was_made_nothing_is_tried_again(programs: Programs) -> None:
    """Who is not logged in, for one, is told at once, by azd itself."""
    programs.add("azd", failing(2, "up|env"))
    run = deploy(programs)
    assert run.returncode != 0
    assert not programs.calls("sleep")
    assert "once more" not in run.stderr


# ----------------------------------------------------------------------------------------------------- the smoke script

LISTED: Final = '[{"Name":"other","IsDefault":false},{"Name":"mine","IsDefault":true}]'
Run = Callable[..., list[str]]


@pytest.fixture
def smoke(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the script up to the first request, and gives what it had azd do."""
    monkeypatch.setenv("PATH", programs.path)
    monkeypatch.setattr(smoke_azure, "PAUSE_SECONDS", 0)

    def run(fails: str, *, keep: bool = False, listed: str = LISTED) -> list[str]:
        # Without outputs nothing can be asked: that is as far as it goes without a deployment.
        programs.add("azd", f"{fails}\ncase \"$2\" in list) echo '{listed}' ;; get-values) exit 1 ;; esac")
        programs.add("az")
        with pytest.raises(subprocess.CalledProcessError):
            Smoke("subscription", "francecentral", NAME, keep, dry_run=False).run()
        return [
            call.removesuffix(" --no-prompt").replace(f" --environment {NAME}", "") for call in programs.calls("azd")
        ]

    return run


MADE: Final = [
    "azd env list --output json",
    f"azd env new {NAME} --subscription subscription --location francecentral",
    "azd env set SOURCE_IP_MODE observe",
]
LEFT: Final = ["azd down --force --purge", "azd env select mine", f"azd env remove {NAME} --force"]


def test_the_smoke_test_deploys_again_where_a_role_is_not_known_yet(
    smoke: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice more at most, each time with a word; and it shows what azd said."""
    assert smoke(failing(2, "up")) == [*MADE, *["azd up"] * 3, "azd env get-values --output json", *LEFT]
    said = capsys.readouterr().out
    assert "attempt 1 of 3 failed" in said
    assert "attempt 2 of 3 failed" in said
    assert "BlobUploadFailedException: 403" in said


def test_the_smoke_test_gives_up_and_leaves_azd_as_it_was(smoke: Run) -> None:
    """After the third failure it deletes, selects the environment of before and removes its own."""
    assert smoke(failing(9, "up")) == [*MADE, *["azd up"] * 3, *LEFT]


def test_what_could_not_be_deleted_keeps_its_environment(smoke: Run) -> None:
    """By its name it can be deleted later; the default is that of before all the same."""
    assert smoke(failing(9, "up|down"))[-2:] == ["azd down --force --purge", "azd env select mine"]


def test_what_is_kept_keeps_its_environment(smoke: Run) -> None:
    """With --keep nothing is deleted, and the default is that of before."""
    assert smoke(failing(9, "up"), keep=True) == [*MADE, *["azd up"] * 3, "azd env select mine"]


@pytest.mark.parametrize("listed", ["[]", "null"])
def test_where_there_was_no_environment_none_is_selected(smoke: Run, listed: str) -> None:
    """Whoever has only tried this out has none afterwards."""
    assert smoke(failing(9, "up"), listed=listed)[-2:] == ["azd down --force --purge", LEFT[-1]]
