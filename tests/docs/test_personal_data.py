"""The page on personal data knows every place, and its search finds a person; its days are held for each cloud."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.dastra.rotation import PREFIX as ROTATIONS_PREFIX
from core import log
from core.message import CLAIMS_PREFIX
from core.records import ADDRESSES_PREFIX, LEASE_KEY, QUARANTINE_PREFIX, SPOOL_PREFIX
from core.redrive import EXPIRY_WARNING_SECONDS
from tests.cli.helpers import PROGRAM, clean_environment, elsewhere, program, running
from tests.docs.commands import commands
from tests.docs.personal_data import HOW_LONG, PAGE, TEXT, column, days, kept, section, summary

CLOUDS = re.findall(r"^### (.+)$", section(HOW_LONG), re.MULTILINE)


def test_every_prefix_of_the_store_is_a_place() -> None:
    """A new kind of object in the store needs a row that says what it holds."""
    lease = LEASE_KEY.partition("/")[0] + "/"
    prefixes = {CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX, ADDRESSES_PREFIX, ROTATIONS_PREFIX, lease}
    assert {place for place in column(section("Every place")) if place.endswith("/")} == prefixes


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_place_has_its_days(cloud: str) -> None:
    """What is listed as a place is said for each cloud, and nothing else; what goes by itself at once has no row."""
    passing = {ROTATIONS_PREFIX, LEASE_KEY.partition("/")[0] + "/"}
    assert set(kept(cloud)) == set(column(section("Every place"))) - passing


def test_there_is_at_least_one_cloud() -> None:
    """A project of one cloud has its own section left."""
    assert CLOUDS


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_summary_fits_the_cloud(cloud: str) -> None:
    """The figures of the summary, and those for the record, are the tables'; where a cloud differs, it is said."""
    queue, dead, held, large = summary()
    table = kept(cloud)
    assert days(table["queue"]) == queue
    if "until somebody takes them" not in table["dead letters"]:
        assert days(table["dead letters"]) == dead
    assert {days(table[SPOOL_PREFIX]), days(table[QUARANTINE_PREFIX])} == {held}
    assert days(table[CLAIMS_PREFIX]) == large
    before = held - EXPIRY_WARNING_SECONDS // 86_400
    assert f"gone after {held} days, and the alarm `expiring` says so {before} days before" in TEXT


def test_the_log_has_no_field_that_the_page_does_not_know() -> None:
    """A new field of text in the log may be personal: then the page has to say so."""
    assert set(log.TEXT_FIELDS) == {
        *("event_id", "event_type", "webhook_id", "key", "source_ip"),
        # Codes and places of our own: nothing of a sender.
        *("reason", "error", "during", "at", "place"),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="sends from 127.9.0.1, which only Linux has by itself")
def test_the_search_finds_the_events_of_a_person(tmp_path: Path) -> None:
    """Typed as it stands, it prints the key of the one held event with that address, whatever its case."""
    if shutil.which("jq") is None:
        pytest.skip("needs jq (Debian: apt-get install jq)")
    (command,) = [found.text for found in commands(PAGE) if "| xargs" in found.text]
    assert "jane.doe@example.com" in command
    with running(tmp_path, "--redrive-every", "0") as run:
        wanted = []
        for address in ("Jane.Doe@Example.com", "john.doe@example.com"):
            sent = program("send", "--from", elsewhere(), "--set", f"data.email={address}", folder=tmp_path)
            assert b"quarantined" in sent.stdout + sent.stderr
            listed = program("quarantine", "list", "--json", folder=tmp_path).stdout
            wanted.append(re.findall(r'"key": ?"([^"]+)"', listed.decode())[-1])
        done = subprocess.run(
            ["bash", "-c", command.replace(".venv/bin/dastra-webhooks", str(PROGRAM))],
            cwd=run.folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.stdout.split() == wanted[:1], done.stderr
