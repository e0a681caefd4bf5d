import json

from core.message import CLAIMS_PREFIX
from core.records import ADDRESSES_PREFIX, LEASE_KEY, QUARANTINE_PREFIX, SPOOL_PREFIX
from core.redrive import EXPIRY_WARNING_SECONDS
from tests.deploy.gcp import INFRA, Json, planned

DAY = 86_400
# What Pub/Sub allows for a subscription and for a topic: "Subscription properties" and "Replay" in its documentation.
LONGEST = 31 * DAY


def seconds(duration: str) -> int:
    """A duration such as 60s."""
    return int(duration.removesuffix("s"))


def subscriptions() -> dict[str, Json]:
    """The two subscriptions."""
    return planned().of("google_pubsub_subscription")


def lifecycle() -> dict[str, int]:
    """Seconds by prefix, from the bucket as it is planned; "" where a rule is for the whole bucket."""
    rules = planned().resources["google_storage_bucket.store"]["lifecycle_rule"]
    kept: dict[str, int] = {}
    for rule in rules:
        condition = rule["condition"][0]
        if rule["action"][0]["type"] == "Delete":
            for prefix in condition["matches_prefix"] or [""]:
                kept[prefix] = condition["age"] * DAY
    return kept


def test_queue_is_kept_for_four_days_and_dead_letters_for_fourteen() -> None:
    """The order of the design: queue, then dead letters; both within what Pub/Sub allows."""
    queue = seconds(subscriptions()["events"]["message_retention_duration"])
    dead = seconds(subscriptions()["dead_letters"]["message_retention_duration"])
    assert (queue, dead) == (4 * DAY, 14 * DAY)
    assert queue < dead < LONGEST


def test_claims_outlive_every_pointer_to_them() -> None:
    """A pointer may wait in the spool, then on the queue, then among the dead letters, one after the other."""
    queue = seconds(subscriptions()["events"]["message_retention_duration"])
    dead = seconds(subscriptions()["dead_letters"]["message_retention_duration"])
    kept = lifecycle()
    assert kept[CLAIMS_PREFIX] > kept[SPOOL_PREFIX] + queue + dead


def test_spool_and_quarantine_are_kept_for_thirty_days_with_a_warning_seven_before() -> None:
    """The alarm `expiring` counts what is older than 23 days; the bucket deletes at 30."""
    kept = lifecycle()
    assert kept[SPOOL_PREFIX] == kept[QUARANTINE_PREFIX] == 30 * DAY
    assert kept[SPOOL_PREFIX] - EXPIRY_WARNING_SECONDS == 7 * DAY


def test_nothing_else_expires() -> None:
    """Accepted addresses and the lease have no rule, and no rule is for the whole bucket."""
    kept = lifecycle()
    assert kept.keys() == {CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX}
    for key in (f"{ADDRESSES_PREFIX}192.0.2.1", LEASE_KEY):
        assert not any(key.startswith(prefix) for prefix in kept)


def test_topics_keep_what_their_subscription_does() -> None:
    """A subscription made anew can go back as far as the old one could, and no personal data stays longer."""
    topics = planned().of("google_pubsub_topic")
    for name, values in subscriptions().items():
        assert topics[name]["message_retention_duration"] == values["message_retention_duration"]
        assert not values["retain_acked_messages"]


def test_what_is_deleted_is_gone() -> None:
    """Cloud Storage's soft delete and its versions are off unless somebody wants them."""
    for values in planned().of("google_storage_bucket").values():
        assert not values["versioning"]
    store = planned().resources["google_storage_bucket.store"]
    assert store["soft_delete_policy"] == [{"retention_duration_seconds": 0}]
    more = planned(soft_delete_days=7).resources["google_storage_bucket.store"]
    assert more["soft_delete_policy"] == [{"retention_duration_seconds": 7 * DAY}]


def test_stored_events_survive_a_destroy_by_mistake() -> None:
    """Terraform deletes neither the store with events in it nor the keys, unless that was set."""
    plan, set_ = planned(), planned(delete_stored_data=True)
    for each, data_goes in ((plan, False), (set_, True)):
        assert each.resources["google_storage_bucket.store"]["force_destroy"] is data_goes
        assert each.resources["google_secret_manager_secret.keys"]["deletion_protection"] is not data_goes


def test_the_lifecycle_file_is_what_gcloud_takes() -> None:
    """The same file is given to `gcloud storage buckets update --lifecycle-file`: rules under one `rule`."""
    content = json.loads((INFRA / "lifecycle.json").read_text("utf-8"))
    assert content.keys() == {"rule"}
    for rule in content["rule"]:
        assert rule.keys() == {"action", "condition"}
        assert isinstance(rule["condition"]["age"], int)
