"""The two scripts with the real gcloud, against Cloud Monitoring on loopback; all else, a stand-in says, is there."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.gcp import EMAIL, NAME, PROJECT, copy_of_infra, needs_gcloud
from tests.deploy.gcp_monitoring import Monitoring, monitoring

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STAND_IN = """#!/usr/bin/env bash
case "$*" in
  *monitoring*) [[ $1 == services ]] || exec {gcloud} "$@" ;;
esac
case "$*" in
  *"value(projectNumber)"*) echo 123456789012 ;;
  *"value(serviceConfig.uri)"*) echo https://example.invalid ;;
  *"storage ls"*) exit 1 ;;
esac
"""
ALARMS = ("event_lost", "quarantined", "silence")
"""Enough of them to see it: each costs gcloud's start, once and twice."""


class Scripts:
    """The two scripts of a copy with a few of the alarms."""

    def __init__(self, infra: Path, scratch: Path, api: Monitoring) -> None:
        for path in (infra / "alarms").glob("*.json"):
            if path.stem not in ALARMS:
                path.unlink()
        for path in (infra / "metrics").glob("*.json"):
            path.unlink()
        (infra / "metrics/outcomes.json").write_text("{}", "utf-8")
        gcloud = scratch / "bin/gcloud"
        gcloud.parent.mkdir()
        gcloud.write_text(STAND_IN.replace("{gcloud}", needs_gcloud()), "utf-8")
        gcloud.chmod(0o755)
        pause = gcloud.with_name("sleep")
        pause.write_text("#!/bin/sh\n", "utf-8")
        pause.chmod(0o755)
        (scratch / "source").mkdir()
        (scratch / "source/main.py").touch()
        (scratch / "token").write_text("invented", "utf-8")
        self._infra, self._scratch = infra, scratch
        self._env = {
            "PATH": f"{gcloud.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(scratch),
            "CLOUDSDK_CONFIG": str(scratch / "config"),
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(scratch / "token"),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING": api.url,
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        }

    def run(self, script: str, *options: str) -> None:
        """Run one.

        Raises:
            AssertionError: it failed; with what it said.
        """
        command = ["bash", str(self._infra / script), "--project", PROJECT, *options]
        ran = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=200, check=False)
        assert ran.returncode == 0, ran.stderr[-2000:]

    def deploy(self, *options: str) -> None:
        """Deploy."""
        self.run("deploy.sh", "--alarm-email", EMAIL, "--source", str(self._scratch / "source"), *options)


@pytest.fixture
def api() -> Iterator[Monitoring]:
    """Cloud Monitoring with what another deployment has, made before ours, so that every list begins with it."""
    with monitoring() as running:
        at = f"projects/{PROJECT}"
        other = f"{NAME}-2"
        channel = running.make(
            f"{at}/notificationChannels",
            {"type": "email", "labels": {"email_address": EMAIL}, "userLabels": {"app": other}},
        )
        for alarm in ALARMS:
            labels = {"app": other, "alarm": alarm}
            policy = {
                "displayName": f"{other} {alarm}",
                "userLabels": labels,
                "notificationChannels": [channel["name"]],
            }
            running.make(f"{at}/alertPolicies", policy)
        running.make(f"{at}/dashboards", {"displayName": other})
        yield running


@pytest.fixture
def scripts(api: Monitoring, tmp_path: Path) -> Iterator[Scripts]:
    """The scripts of a copy of infra/gcp."""
    with copy_of_infra() as infra:
        yield Scripts(infra, tmp_path, api)


def counted(api: Monitoring) -> Counter[str]:
    """How many there are of what, ours alone: alarms by their label, channels and dashboards by their kind."""
    ours = [each for each in api.things.values() if each.get("userLabels", {}).get("app") == NAME]
    dashboards = [each for each in api.of("dashboards") if each["displayName"] == NAME]
    return Counter([each["userLabels"].get("alarm", "channel") for each in ours] + ["dashboard"] * len(dashboards))


def test_what_is_there_is_found_again(api: Monitoring, scripts: Scripts) -> None:
    """A second deployment makes nothing twice and deletes what is no longer wanted, and destroy leaves nothing of ours.

    Not even where somebody's own alarm tells the same channel, or an earlier deployment made things twice.
    """
    others = {name: dict(thing) for name, thing in api.things.items()}
    scripts.deploy("--silence-hours", "12")
    once = Counter(event_lost=1, quarantined=1, silence=1, channel=1, dashboard=1)
    assert counted(api) == once
    (channel,) = (c["name"] for c in api.of("notificationChannels") if c["userLabels"]["app"] == NAME)
    ours = [policy for policy in api.of("alertPolicies") if policy["userLabels"]["app"] == NAME]
    assert [policy["notificationChannels"] for policy in ours] == [[channel]] * 3
    again = [policy for policy in ours if policy["userLabels"]["alarm"] == "quarantined"]
    api.make(f"projects/{PROJECT}/alertPolicies", dict(again[0]))
    own = api.make(f"projects/{PROJECT}/alertPolicies", {"displayName": "own", "notificationChannels": [channel]})

    scripts.deploy()
    assert counted(api) == once - Counter(silence=1)
    assert {name: api.things.get(name) for name in others} == others

    api.make(f"projects/{PROJECT}/alertPolicies", dict(again[0]))
    api.make(f"projects/{PROJECT}/dashboards", {"displayName": NAME})
    scripts.run("destroy.sh", "--yes")
    assert api.things == {**others, own["name"]: {**own, "notificationChannels": []}}
