"""Shell completion: through a real bash where one is there, quick, from this machine only, and never with an error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx
import pytest
from typer.testing import CliRunner

from cli import completion
from cli.main import app
from cli.samples import event_types
from cli.target import CLOUDS
from cli.version import NAME
from tests import planted
from tests.cli.helpers import PROGRAM, Run, clean_environment, elsewhere

_ANSWER: Final = b"HTTP/1.1 %d x\r\n\r\n"


def offered(*words: str) -> list[str]:
    """What the program offers behind these words, asked as its bash script asks; the last one may be empty or begun."""
    environment = {
        "_DASTRA_WEBHOOKS_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join((NAME, *words)),
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner().invoke(app, [], prog_name=NAME, env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout.split("\n")[:-1] if result.stdout.strip() else []


def test_in_bash(tmp_path: Path) -> None:
    """In a real bash, the script that the program gives out completes what Tab stands behind."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash; Debian: apt-get install bash")
    script = """
        eval "$(dastra-webhooks --show-completion bash)"
        COMP_WORDS=(dastra-webhooks send --event TaskA) COMP_CWORD=3
        IFS=$'\\n' _dastra_webhooks_completion dastra-webhooks
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = clean_environment(
        PATH=f"{PROGRAM.parent}:{os.environ['PATH']}", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    line = [bash, "-c", script]
    ended = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == ""
    assert ended.stdout.split() == ["TaskArchived", "TaskAssigned"]


def test_commands_and_options() -> None:
    """Commands, their subcommands and their options are completed."""
    assert {"send", "spool"} <= set(offered("s"))
    assert offered("quarantine", "re") == ["release"]
    assert "--show-signature" in offered("explain", "--sh")


def test_event_types_and_kinds() -> None:
    """`--event` completes the documented types, `--break` its kinds and the doctor's attacks, `--cloud` the clouds."""
    assert offered("send", "--event", "DataSub") == [name for name in event_types() if name.startswith("DataSub")]
    assert offered("send", "--break", "ar") == ["array"]
    assert "key-guid-bytes" in offered("send", "--break", "key-")
    for command in (("key", "list"), ("run",)):
        assert offered(*command, "--cloud", "a") == [name for name in CLOUDS if name.startswith("a")]


def test_what_the_local_run_holds(run: Run) -> None:
    """Addresses and keys of held events, and the run's URL, are completed while a local run is up."""
    body, address = planted.body(), elsewhere()
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address), trust_env=False) as client:
        client.post(run.url, content=body, headers={"Dastra-Signature": planted.signature(body)}).raise_for_status()
    [key] = [event["key"].rpartition("-")[2] for event in run.get("stored")]
    assert offered("addresses", "accept", "127") == [address]
    assert offered("quarantine", "release", key[:3]) == [key[:8]]
    assert offered("send", "http") == [run.url]


def test_without_a_local_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is offered where there is nothing to ask."""
    monkeypatch.chdir(tmp_path)
    for complete in (completion.urls, completion.quarantined, completion.unlisted_addresses):
        assert complete("") == []


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 500 x\r\n\r\n", b"HTTP/1.1 200 x\r\n\r\n{", b"HTTP/1.1 200 x\r\n\r\n[1]"]
)
def test_a_run_that_does_not_answer_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """A run that hangs, fails or talks nonsense costs a moment and offers nothing: a Tab must not raise."""
    import socket
    import threading

    from cli.local.state import FOLDER, RunState, started_at

    monkeypatch.setattr(completion, "_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        (tmp_path / FOLDER).mkdir()
        RunState(os.getpid(), started_at(os.getpid()), url, "aws", "", "", "", "").write(tmp_path / FOLDER)
        monkeypatch.chdir(tmp_path)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
                time.sleep(0 if answer else 0.6)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert completion.quarantined("") == []
        thread.join(5)


def test_no_sdk_is_loaded_for_a_tab() -> None:
    """Completion imports no cloud's SDK and no emulator."""
    code = (
        "import sys\n"
        "from tests.cli.test_completion import offered\n"
        "assert offered('send', '--event', 'TaskE') == ['TaskEdit']\n"
        "print(sorted({'boto3', 'google.cloud.pubsub_v1', 'azure.servicebus', 'ministack'} & set(sys.modules)))"
    )
    line = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        line, env=clean_environment(), cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == "[]"
