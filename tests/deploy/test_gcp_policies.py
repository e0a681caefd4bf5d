import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from scripts.gcp_tools import CHECKOV, MAKE
from tests.deploy.gcp import INFRA, Json, copy_of_infra

pytestmark = pytest.mark.timeout(120)


def scan(directory: Path) -> Json:
    """What checkov, a policy scanner, finds in a directory. Offline; its own rules alone."""
    program = CHECKOV.program("checkov")
    if program is None:
        pytest.skip(f"needs the policy scanner checkov: run `{MAKE}`")
    command = [
        str(program),
        "--directory",
        str(directory),
        "--framework",
        "terraform",
        "--skip-download",
        "--output",
        "json",
    ]
    with tempfile.TemporaryDirectory() as home:  # it leaves a cache there
        env = {"PATH": os.environ["PATH"], "HOME": home, "LOG_LEVEL": "ERROR"}
        run = subprocess.run(command, capture_output=True, text=True, env=env, timeout=110, check=False)
    found: Json = json.loads(run.stdout)
    assert found["summary"]["parsing_errors"] == 0
    return found["results"]  # type: ignore[no-any-return]


def suppressions() -> dict[tuple[str, str], str]:
    """The reason of each finding that is suppressed, by file and check."""
    return {
        (path.name, check): reason
        for path in INFRA.glob("*.tf")
        for check, reason in re.findall(r"#checkov:skip=(\w+):(.+)", path.read_text("utf-8"))
    }


def test_no_finding_but_those_that_are_explained() -> None:
    """Nothing fails; what is suppressed would have failed otherwise, so no suppression outlives its reason."""
    found = scan(INFRA)
    assert [f"{each['check_id']} {each['resource']}" for each in found["failed_checks"]] == []
    assert len(found["passed_checks"]) > 20
    skipped = {(each["file_path"].lstrip("/"), each["check_id"]) for each in found["skipped_checks"]}
    assert skipped == suppressions().keys()


def test_each_suppression_says_why() -> None:
    """A sentence, not a word; and they are counted, so that one more is a decision."""
    reasons = suppressions()
    assert len(reasons) == 7
    for (file, check), reason in reasons.items():
        assert len(reason) > 25, f"{file}: {check}"
        assert reason.endswith("."), f"{file}: {check}"


def test_the_scanner_finds_a_public_bucket() -> None:
    """The check above can fail: a bucket without its two protections is two findings."""
    change = {
        "store.tf": (
            '  uniform_bucket_level_access = true\n  public_access_prevention    = "enforced"\n',
            "  uniform_bucket_level_access = false\n",
        )
    }
    with copy_of_infra(change) as directory:
        failed = {each["check_id"] for each in scan(directory)["failed_checks"]}
    assert {"CKV_GCP_29", "CKV_GCP_114"} <= failed
