"""The doctor finds nothing wrong with the real entry point of any cloud, as the local run has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import planted
from tests.cli.helpers import clean_environment, program, running


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_every_local_run_is_well(tmp_path: Path, cloud: str) -> None:
    """Every attack is refused, every genuine event taken, and nothing leaks, through each cloud's real entry point."""
    with running(tmp_path, "--cloud", cloud, "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        done = program("doctor", "--json", folder=tmp_path, environment=clean_environment())
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        said = json.loads(done.stdout)
        assert said["counts"]["fail"] == said["counts"]["warn"] == 0, said
        assert len(run.bodies()) == len(said["probes"]) + 1  # and the run's own sample
