"""The guide and the smoke script for Azure, against what is deployed. Neither is run against Azure here."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

pytest.importorskip("tree_sitter_bicep", reason="needs the Bicep parsers of the test group: make setup")

from tests.deploy.azure import INFRA, METRIC_RULE, ROOT, RULE, deployment

GUIDE = (ROOT / "docs/deploy-azure.md").read_text("utf-8")
SCRIPT = ROOT / "scripts/smoke_azure.py"


def smoke(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script where neither azd nor az is to be found."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--subscription", "00000000-0000-0000-0000-000000000000", *arguments],
        input=said,
        env={"PATH": "", "HOME": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_guide_names_variables_that_there_are() -> None:
    """What the guide tells to set is a variable of the parameters' file, and what it reads is an output."""
    known = set(re.findall(r"\$\{([A-Z_]+)", (INFRA / "main.parameters.json").read_text("utf-8")))
    table = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", GUIDE, re.MULTILINE)
    named = {name for cell in table for name in re.findall(r"[A-Z_]+", cell)}
    named |= set(re.findall(r"azd env set ([A-Z_]{3,})", GUIDE)) - {"NAME"}
    assert len(named) >= 8
    assert named <= known
    read = set(re.findall(r"azd env get-value ([A-Z_]+)", GUIDE))
    assert read
    assert read <= deployment().outputs.keys()


def test_the_guide_counts_alarms_as_they_are() -> None:
    """The number of alarms and of searches is that of a deployment without further parameters."""
    made = deployment("least")
    assert f"{len(made.of(RULE)) + len(made.of(METRIC_RULE))} alarms" in GUIDE
    words = {10: "ten"}
    assert f"the {words[len(made.of(RULE))]} searches of the log" in GUIDE


def test_the_guide_tells_the_webhooks_address_from_azds() -> None:
    """It warns of the bare host, and names the path that the output has."""
    host, _, path = str(deployment("least").outputs["WEBHOOK_URL"]).removeprefix("https://").partition("/")
    (warned,) = re.findall(
        r"\*\*The address that azd shows by itself, `https://([\w-]+)….*?/`, is not the\s+webhook's\*\*", GUIDE
    )
    assert host.startswith(warned)
    assert f"the receiver is at `/{path}` below it" in GUIDE


def test_the_guide_says_how_long_the_log_is_kept() -> None:
    """As many days as every table of a deployment without further parameters has."""
    tables = deployment("least").of("Microsoft.OperationalInsights/workspaces/tables")
    (days,) = {table.body["properties"]["totalRetentionInDays"] for table in tables}
    assert f"| the log | {days} days, or `LOG_RETENTION_DAYS` |" in GUIDE
    assert f"| `LOG_RETENTION_DAYS` | `{days}` |" in GUIDE


def test_the_guide_says_what_was_not_run() -> None:
    """Nobody may take these templates for tried."""
    assert "Not run: `bicep build`, and\na deployment to a real account" in GUIDE


def test_a_dry_run_shows_every_command_and_runs_none() -> None:
    """Without az and azd on the path a dry run still ends well, from the compiler to the deletion."""
    run = smoke("--dry-run")
    assert run.returncode == 0, run.stderr
    commands = [line.split()[1:4] for line in run.stdout.splitlines() if line.startswith("$ ")]
    assert commands[0] == ["az", "bicep", "build"]
    assert ["azd", "up", "--environment"] in commands
    assert [command[:3] for command in commands[-3:]] == [
        ["azd", "down", "--force"],
        ["azd", "env", "select"],
        ["azd", "env", "remove"],
    ]
    assert "never been run" in run.stdout


@pytest.mark.parametrize("said", ["", "no\n", "y\n"])
def test_nothing_is_done_without_a_yes(said: str) -> None:
    """Only the word itself goes on; no answer at all does not."""
    run = smoke(said=said)
    assert run.returncode == 1
    assert run.stdout.rstrip().endswith("Nothing was done.")


def test_a_missing_tool_is_told() -> None:
    """Without az the first step fails with its name, and nothing was made that would have to be deleted."""
    run = smoke("--yes")
    assert run.returncode == 1
    assert "az" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_key_is_on_no_command_line() -> None:
    """The invented key goes to the vault in a file; a command line can be read by others on the machine."""
    run = smoke("--dry-run")
    (command,) = [line for line in run.stdout.splitlines() if "keyvault secret set" in line]
    assert "--file" in command
    assert "--value" not in command


def test_the_script_reads_outputs_that_there_are() -> None:
    """Every name that the script looks up in azd's environment is an output of the templates."""
    names = set(re.findall(r'values(?:\.get\(|\[)"([A-Z_]+)"', SCRIPT.read_text("utf-8")))
    assert names
    assert names <= deployment().outputs.keys()
    assert json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]["sourceIpMode"]["value"] == (
        "${SOURCE_IP_MODE=quarantine}"
    )
