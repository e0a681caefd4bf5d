"""What the page on personal data says of Google Cloud is what the templates make."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, Final

from core.message import CLAIMS_PREFIX
from core.records import ADDRESSES_PREFIX, QUARANTINE_PREFIX, SPOOL_PREFIX
from tests.deploy.gcp import INFRA, PROJECT, Command, parsed
from tests.deploy.test_gcp_gcloud import lint
from tests.docs.commands import commands
from tests.docs.personal_data import PAGE, WHERE, column, days, kept, longest, section

CLOUD: Final = "Google Cloud"
DAY: Final = 86_400
FILES: Final = parsed()


def of(file: str, kind: str) -> dict[str, Any]:
    """The resources of a type in a file, by name."""
    return {name: body for entry in FILES[file]["resource"] for name, body in entry.get(kind, {}).items()}


def variable(name: str) -> Any:
    """A variable's default."""
    return next(entry[name]["default"] for entry in FILES["variables.tf"]["variable"] if name in entry)


def made() -> dict[str, int]:
    """Days by place, from the templates."""
    subscriptions = of("queue.tf", "google_pubsub_subscription")
    spans = {
        name: int(body["message_retention_duration"].removesuffix("s")) // DAY for name, body in subscriptions.items()
    }
    rules = json.loads((INFRA / "lifecycle.json").read_text("utf-8"))["rule"]
    return {
        "queue": spans["events"],
        "dead letters": spans["dead_letters"],
        **{
            prefix: rule["condition"]["age"]
            for rule in rules
            if rule["action"]["type"] == "Delete"
            for prefix in rule["condition"]["matchesPrefix"]
        },
    }


def test_the_days_are_the_templates() -> None:
    """Every place that expires, and none that does not."""
    table, wanted = kept(CLOUD), made()
    assert {place: days(table[place]) for place in wanted} == wanted
    assert {CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX} <= wanted.keys()
    assert table[ADDRESSES_PREFIX] == "for good"


def test_topics_keep_what_was_acknowledged() -> None:
    """As the page says, and for no longer than their subscription."""
    topics = of("queue.tf", "google_pubsub_topic")
    for name, subscription in of("queue.tf", "google_pubsub_subscription").items():
        assert topics[name]["message_retention_duration"] == subscription["message_retention_duration"]
    for place in ("queue", "dead letters"):
        assert "also after it was acknowledged" in kept(CLOUD)[place]


def test_the_longest_ways_add_up() -> None:
    """Held, then on the queue, then a dead letter, which counts from when it became one; held, then a large body."""
    each = made()
    held = each[QUARANTINE_PREFIX]
    assert longest(CLOUD) == [held + each["queue"] + each["dead letters"], held + each[CLAIMS_PREFIX]]


def test_no_log_bucket_is_made_here() -> None:
    """So the log's days and place are Google's own, as the page says."""
    kinds = {kind for content in FILES.values() for entry in content.get("resource", []) for kind in entry}
    assert not {kind for kind in kinds if kind.startswith("google_logging_") and kind != "google_logging_metric"}
    assert kept(CLOUD)["log"].startswith("30 days, Google's default ")


def test_places_are_the_variables_defaults() -> None:
    """Regions, the bucket's location and the copies of the secret."""
    where = column(section(WHERE, CLOUD))
    assert f"`{variable('region')}`" in where["functions, schedule, images"]
    assert f"`{variable('bucket_location')}`" in where["store"]
    for region in variable("secret_locations"):
        assert f"`{region}`" in where["secret"]
    words = {11: "eleven"}
    assert where["messages at rest"].startswith(f"{words[len(variable('message_regions'))]} regions, all inside the EU")
    assert all(region.startswith("europe-") for region in variable("message_regions"))
    # London and Zurich, which are in Europe and not in the EU.
    assert not {"europe-west2", "europe-west6"} & set(variable("message_regions"))


def test_nothing_deleted_is_kept() -> None:
    """No soft delete unless it is asked for, and no versions."""
    assert variable("soft_delete_days") == 0
    assert "versioning" not in of("store.tf", "google_storage_bucket")["store"]


def test_gcloud_knows_the_commands(tmp_path: Path) -> None:
    """The real gcloud parses what the page tells somebody to type."""
    typed = [found.text.replace("=ID", f"={PROJECT}").replace("BUCKET", "bucket") for found in commands(PAGE)]
    given = [Command(tuple(shlex.split(text))) for text in typed if text.startswith("gcloud ")]
    assert len(given) >= 8
    assert lint(given, tmp_path) == []
