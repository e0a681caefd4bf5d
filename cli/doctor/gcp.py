"""Inside a deployment on Google Cloud.

The shapes are those of the REST references of Pub/Sub (v1), Cloud Storage (v1) and Cloud Monitoring (v3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from cli.doctor.inside import (
    AGAIN,
    ALARMS,
    CLAIMS_PREFIX,
    DEAD_LETTERS,
    QUEUE,
    QUEUE_ACCESS,
    RECIPIENTS,
    RETENTION,
    STORE_ACCESS,
    STORE_ENCRYPTION,
    SUBSCRIPTION,
    Looking,
    Retentions,
    judge_alarms,
    judge_recipients,
)
from cli.doctor.model import Result, some
from cli.doctor.rest import Rest
from cli.target import Names
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX

EXPECTED: Final = (
    "authentic_from_unlisted_address", "bad_signature_high", "bad_signature_low", "dead_letters", "event_lost",
    "expiring", "no_subscription", "platform_error", "quarantined", "redrive_failed", "slow", "spooled", "too_large",
    "unread",
)  # fmt: skip
"""The alarms of infra/gcp/alarms that are always there, each by its label; a test compares."""
_EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})
_KINDS: Final = {"pushConfig": "push", "bigqueryConfig": "BigQuery", "cloudStorageConfig": "Cloud Storage"}
_SET_EMAIL: Final = "Deploy again with ALARM_EMAIL set to an address that somebody reads."


@dataclass(frozen=True, slots=True)
class Services:
    """Where the three APIs are."""

    pubsub: str = "https://pubsub.googleapis.com"
    storage: str = "https://storage.googleapis.com"
    monitoring: str = "https://monitoring.googleapis.com"


@dataclass(slots=True)
class Inside:
    """One look into a deployment."""

    rest: Rest
    names: Names
    services: Services = field(default_factory=Services)
    _subscriptions: list[dict[str, Any]] = field(default_factory=list)
    _dead: list[dict[str, Any]] = field(default_factory=list)

    def rows(self) -> Iterator[Result]:
        """Every row."""
        looking = Looking(self.rest.explain)
        if self.names.queue is None:
            yield QUEUE.skipped("the topic is not named", "Set DASTRA_QUEUE too.")
        else:
            yield looking.at(QUEUE, self._look_at_topic)
            yield looking.at(SUBSCRIPTION, self._look_at_subscriptions)
            yield looking.at(DEAD_LETTERS, self._look_at_dead_letters)
            yield looking.at(QUEUE_ACCESS, self._look_at_access)
        if self.names.store is None:
            yield RETENTION.skipped("the bucket is not named", "Set DASTRA_STORE too.")
        else:
            bucket: dict[str, Any] = {}
            yield looking.at(RETENTION, lambda: self._look_at_retention(bucket))
            if bucket:
                yield _public(bucket)
                yield _encryption(bucket)
        if self.names.queue is None:
            yield ALARMS.skipped("the topic, whose name says which alarms are meant, is not named")
            return
        channels: list[str] = []
        yield looking.at(ALARMS, lambda: self._look_at_alarms(channels))
        yield looking.at(RECIPIENTS, lambda: self._look_at_channels(channels))

    def _topic(self, name: str | None, suffix: str = "") -> dict[str, Any]:
        return self.rest.get(f"{self.services.pubsub}/v1/{name}{suffix}")

    def _attached(self, topic: str) -> list[dict[str, Any]]:
        names = self.rest.pages(f"{self.services.pubsub}/v1/{topic}/subscriptions", "subscriptions")
        return [self._topic(str(name)) for name in names]

    def _look_at_topic(self) -> Result:
        topic = self._topic(self.names.queue)
        regions = topic.get("messageStoragePolicy", {}).get("allowedPersistenceRegions", ())
        outside = [region for region in regions if not region.startswith("europe-")]
        if outside or not regions:
            return QUEUE.warned(
                f"messages may be kept in {some(outside) if outside else 'any region'}",
                "Events carry personal data: limit the topic's message storage policy, as the template does.",
            )
        return QUEUE.passed(f"messages stay in {len(regions)} regions of Europe")

    def _look_at_subscriptions(self) -> Result:
        self._subscriptions = self._attached(str(self.names.queue))
        usable = [each for each in self._subscriptions if not each.get("detached")]
        if not usable:
            return SUBSCRIPTION.failed(
                "the topic has none: what it acknowledges is lost, and Dastra gets 200 all the same",
                "Deploy again at once, then bring back what the topic kept: gcloud pubsub subscriptions seek.",
            )
        ends = [_short(each) for each in usable if each.get("expirationPolicy", {}).get("ttl")]
        if ends or all("expirationPolicy" not in each for each in usable):
            return SUBSCRIPTION.warned(
                "it is deleted when nobody uses it for a while, and then events are lost",
                "gcloud pubsub subscriptions update NAME --expiration-period=never",
                ends,
            )
        return SUBSCRIPTION.passed(
            some([f"{_short(each)} ({_kind(each)}, kept {_days(each):.3g} d)" for each in usable])
        )

    def _look_at_dead_letters(self) -> Result:
        policies = [each["deadLetterPolicy"] for each in self._subscriptions if each.get("deadLetterPolicy")]
        if not policies:
            return DEAD_LETTERS.failed(
                "no subscription has a dead-letter topic: a message is tried until it expires", AGAIN
            )
        topic = str(policies[0]["deadLetterTopic"])
        self._dead = self._attached(topic)
        if not self._dead:
            return DEAD_LETTERS.failed("the dead-letter topic has no subscription: dead letters are lost", AGAIN)
        return DEAD_LETTERS.passed(f"after {policies[0].get('maxDeliveryAttempts', 5)} attempts")

    def _look_at_access(self) -> Result:
        policy = self._topic(self.names.queue, ":getIamPolicy")
        open_ = {each["role"] for each in policy.get("bindings", ()) if _EVERYBODY & set(each.get("members", ()))}
        if open_:
            return QUEUE_ACCESS.failed(f"everybody has {some(sorted(open_))}", "Take that binding away.")
        return QUEUE_ACCESS.passed("encrypted by Google, and no binding for everybody")

    def _look_at_retention(self, bucket: dict[str, Any]) -> Result:
        url = f"{self.services.storage}/storage/v1/b/{quote(str(self.names.store), safe='')}"
        bucket |= self.rest.get(url, projection="full")
        ages: dict[str, float] = {}
        for rule in bucket.get("lifecycle", {}).get("rule", ()):
            condition = rule.get("condition", {})
            if rule.get("action", {}).get("type") == "Delete" and "age" in condition:
                for prefix in condition.get("matchesPrefix", ("",)):
                    ages[prefix] = min(float(condition["age"]), ages.get(prefix, float(condition["age"])))
        if not self._subscriptions or not self._dead:
            return RETENTION.skipped("the subscriptions must be seen first")
        return Retentions(
            max(map(_days, self._subscriptions)),
            max(map(_days, self._dead)),
            *(ages.get(prefix, ages.get("")) for prefix in (CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX)),
        ).judge()

    def _look_at_alarms(self, channels: list[str]) -> Result:
        project, name = self._deployment()
        url = f"{self.services.monitoring}/v3/projects/{project}/alertPolicies"
        found: dict[str, str | None] = {}
        for policy in self.rest.pages(url, "alertPolicies", pageSize="500"):
            labels = policy.get("userLabels", {})
            if labels.get("app") == name and "alarm" in labels:
                found[labels["alarm"]] = _fault(policy)
                channels += policy.get("notificationChannels", ())
        return judge_alarms(EXPECTED, found)

    def _look_at_channels(self, channels: Sequence[str]) -> Result:
        found = [self.rest.get(f"{self.services.monitoring}/v3/{name}") for name in sorted(set(channels))]
        on = [each for each in found if each.get("enabled", True)]
        waiting = [each["name"] for each in on if each.get("verificationStatus") == "UNVERIFIED"]
        reached = [each["name"] for each in on if each["name"] not in waiting]
        return judge_recipients(reached, () if reached else waiting, _SET_EMAIL)

    def _deployment(self) -> tuple[str, str]:
        """Project and name, which the topic's path has: ``projects/PROJECT/topics/NAME-events``."""
        _, project, _, topic = str(self.names.queue).split("/")
        return project, topic.removesuffix("-events")


def _short(subscription: Mapping[str, Any]) -> str:
    return str(subscription.get("name", "?")).rpartition("/")[2]


def _kind(subscription: Mapping[str, Any]) -> str:
    return next((kind for name, kind in _KINDS.items() if subscription.get(name)), "pull")


def _days(subscription: Mapping[str, Any]) -> float:
    """Pub/Sub writes seconds with an s behind; where it is silent it keeps seven days."""
    return float(str(subscription.get("messageRetentionDuration", "604800s")).rstrip("s")) / 86_400


def _public(bucket: Mapping[str, Any]) -> Result:
    found = bucket.get("iamConfiguration", {})
    if found.get("publicAccessPrevention") != "enforced":
        return STORE_ACCESS.failed("public access prevention is not enforced", AGAIN)
    if not found.get("uniformBucketLevelAccess", {}).get("enabled"):
        return STORE_ACCESS.failed("single objects may have rights of their own", AGAIN)
    return STORE_ACCESS.passed("public access prevention is enforced")


def _encryption(bucket: Mapping[str, Any]) -> Result:
    own = bucket.get("encryption", {}).get("defaultKmsKeyName")
    return STORE_ENCRYPTION.passed("with a key of yours" if own else "by Google")


def _fault(policy: Mapping[str, Any]) -> str | None:
    if not policy.get("enabled", True):
        return "it is switched off"
    if not policy.get("notificationChannels"):
        return "it tells nobody"
    return None
