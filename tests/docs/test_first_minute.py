"""The README's first minute, typed as it stands into a shell, against the local run that it starts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests import planted
from tests.cli.helpers import PROGRAM, clean_environment, running
from tests.docs.commands import ROOT, blocks

README: Final = ROOT / "README.md"
SECTION: Final = re.compile(r"^## Try it.*?(?=^## )", re.MULTILINE | re.DOTALL)


def shell_blocks() -> list[str]:
    """The blocks of the section, without those that start or test the project."""
    match = SECTION.search(README.read_text("utf-8"))
    assert match is not None
    return [block for _, block in blocks(README) if block in match[0] and not block.startswith("make ")]


@pytest.mark.skipif(sys.platform != "linux", reason="sends from 127.0.0.2, which only Linux has by itself")
def test_the_commands_of_the_first_minute(tmp_path: Path) -> None:
    """Copied and pasted, but for the port, the key and the place of the program, each command does what is said."""
    for tool in ("curl", "openssl"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool} (Debian: apt-get install {tool})")
    with running(tmp_path, "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        script = "set -euo pipefail\n" + "".join(shell_blocks())
        script = re.sub(r"^KEY=.*$", f"KEY={planted.KEY}", script, flags=re.MULTILINE)
        script = script.replace("http://127.0.0.1:8080/", run.url).replace(".venv/bin/dastra-webhooks", str(PROGRAM))
        # It says by its exit code that the signature does not match, which is what the reader is shown.
        script = re.sub(r"(explain --last)[^\n]*", r"\1 || test $? = 1", script)
        script = re.sub(r"\bcurl ", "curl --silent --show-error --noproxy '*' ", script)
        assert script.count("curl ") >= 5
        done = subprocess.run(
            ["bash"],
            cwd=tmp_path,
            input=script,
            env=clean_environment(COLUMNS="200", NO_COLOR="1"),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout
        for match in re.finditer(r"^SIG=|Dastra-Signature: (\S+)", said):
            planted.register_signature(match[1])
        # One answer for each promise of the comments, in their order.
        promised = re.findall(r"# (?:200 \{\"status\":\"(\w+)\"\}|one byte more: (401))", "".join(shell_blocks()))
        assert promised
        wanted = [verdict or "unauthorized" for verdict, _ in promised]
        found = re.findall("|".join(sorted(set(wanted))), said)
        assert next(word for word in found if word in wanted) == wanted[0]
        for word in wanted:
            assert word in found, f"nothing was {word}:\n{said}"
        # In the end everything is on the queue: the greeting, the signed one, the spooled one and the held one.
        bodies = [json.loads(body) for body in run.bodies()]
        assert len(bodies) == 4
        assert run.get("stored")["events"] == [] if isinstance(run.get("stored"), dict) else run.get("stored") == []


def test_the_signature_of_openssl(tmp_path: Path) -> None:
    """The one line that shows what Dastra's signature is gives just that, for a body with accents."""
    page = ROOT / "docs/signature-troubleshooting.md"
    if shutil.which("openssl") is None or not page.exists():
        pytest.skip("needs openssl (Debian: apt-get install openssl)")
    (command,) = [block for _, block in blocks(page) if block.startswith("openssl dgst")]
    body = '{"eventName":"Tâche créée"}'.encode()
    (tmp_path / "body.bin").write_bytes(body)
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=clean_environment(KEY=planted.KEY), capture_output=True, check=True
    )
    assert done.stdout.decode() == planted.signature(body)
