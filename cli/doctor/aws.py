"""Inside a deployment on AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

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
    Absent,
    Looking,
    Retentions,
    judge_alarms,
    judge_recipients,
    judge_states,
)
from cli.doctor.model import Result
from cli.target import Names
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX

EXPECTED: Final = (
    "event_lost", "platform_error", "platform_error_throttled", "platform_error_5xx", "bad_signature_high",
    "bad_signature_low", "authentic_from_unlisted_address", "too_large", "spooled", "quarantined", "expiring",
    "dead_letters", "unread", "slow",
)  # fmt: skip
"""The alarms that the template always makes, each by what follows the stack's name; a test compares."""
_ALARM: Final = r"([a-z0-9_]+)"
"""What follows the stack's name and a hyphen. With another hyphen, the alarm is of a stack whose name is longer."""
_MISSING: Final = frozenset({
    "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NoSuchBucket", "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration", "ServerSideEncryptionConfigurationNotFoundError", "NotFound",
})  # fmt: skip
_PENDING: Final = "PendingConfirmation"
_SET_EMAIL: Final = "Deploy again with NotificationEmail set to an address that somebody reads."

Client = Callable[[str], Any]


@dataclass(slots=True)
class Inside:
    """One look into a deployment. ``client`` makes a service's client, ``advise`` explains an error code."""

    client: Client
    advise: Callable[[str], str | None]
    names: Names
    stack: str | None
    _queue: dict[str, str] = field(default_factory=dict)
    _dead: dict[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[Result]:
        """Every row."""
        looking = Looking(self._explain)
        if self.names.queue is None:
            yield QUEUE.skipped("the queue is not named", "Set DASTRA_QUEUE too.")
        else:
            yield looking.at(QUEUE, self._look_at_queue)
            if self._queue:
                yield looking.at(DEAD_LETTERS, self._look_at_dead_letters)
                fault = _open(self._queue)
                yield (
                    QUEUE_ACCESS.failed(fault, AGAIN) if fault else QUEUE_ACCESS.passed("encrypted, no policy opens it")
                )
        if self.names.store is None:
            yield RETENTION.skipped("the bucket is not named", "Set DASTRA_STORE too.")
        else:
            if self._queue and self._dead:
                yield looking.at(RETENTION, self._look_at_retention)
            else:
                yield RETENTION.skipped("the queues must be seen first")
            yield looking.at(STORE_ACCESS, self._look_at_public_access)
            yield looking.at(STORE_ENCRYPTION, self._look_at_encryption)
        alarms: dict[str, Mapping[str, Any]] = {}
        yield looking.at(ALARMS, lambda: self._look_at_alarms(alarms))
        if alarms:
            yield judge_states(len(alarms), sorted(name for name, alarm in alarms.items() if _rings(alarm)))
            yield looking.at(RECIPIENTS, lambda: self._look_at_recipients(alarms))

    def _look_at_queue(self) -> Result:
        self._queue = self._attributes(str(self.names.queue))
        waiting = self._queue.get("ApproximateNumberOfMessages", "?")
        return QUEUE.passed(f"{waiting} messages wait, kept {_days(self._queue):.3g} d")

    def _look_at_dead_letters(self) -> Result:
        policy = json.loads(self._queue.get("RedrivePolicy") or "{}")
        arn = str(policy.get("deadLetterTargetArn") or "")
        if not arn:
            return DEAD_LETTERS.failed("the queue has no dead-letter queue: a message is tried until it expires", AGAIN)
        *_, account, name = arn.split(":")
        url = self.client("sqs").get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        self._dead = self._attributes(url)
        waiting = self._dead.get("ApproximateNumberOfMessages", "0")
        if waiting != "0":
            return DEAD_LETTERS.warned(
                f"{waiting} messages are there", "Mend the consumer, then: aws sqs start-message-move-task."
            )
        return DEAD_LETTERS.passed(f"after {policy.get('maxReceiveCount')} attempts, none now")

    def _attributes(self, url: str) -> dict[str, str]:
        found: dict[str, str] = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
            "Attributes"
        ]
        return found

    def _look_at_retention(self) -> Result:
        rules = self.client("s3").get_bucket_lifecycle_configuration(Bucket=self.names.store)["Rules"]
        days: dict[str, float] = {}
        for rule in rules:
            prefix = rule.get("Prefix") or rule.get("Filter", {}).get("Prefix") or ""
            if rule.get("Status") == "Enabled" and (kept := rule.get("Expiration", {}).get("Days")):
                days[prefix] = min(float(kept), days.get(prefix, float(kept)))
        return Retentions(
            _days(self._queue),
            _days(self._dead),
            *(days.get(prefix, days.get("")) for prefix in (CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX)),
        ).judge()

    def _look_at_public_access(self) -> Result:
        block = self.client("s3").get_public_access_block(Bucket=self.names.store)["PublicAccessBlockConfiguration"]
        wanted = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        off = [name for name in wanted if not block.get(name)]
        if off:
            return STORE_ACCESS.failed(f"off: {', '.join(off)}", AGAIN)
        return STORE_ACCESS.passed("all four blocks are on")

    def _look_at_encryption(self) -> Result:
        found = self.client("s3").get_bucket_encryption(Bucket=self.names.store)["ServerSideEncryptionConfiguration"]
        kinds = [rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in found["Rules"]]
        return STORE_ENCRYPTION.passed(", ".join(kinds))

    def _look_at_alarms(self, alarms: dict[str, Mapping[str, Any]]) -> Result:
        cloudwatch = self.client("cloudwatch")
        only = {"AlarmNamePrefix": f"{self.stack}-"} if self.stack else {}
        pages = cloudwatch.get_paginator("describe_alarms").paginate(**only)
        everything = [alarm for page in pages for alarm in page.get("MetricAlarms", ())]
        prefix = f"{self.stack}-" if self.stack else self._prefix(everything)
        for alarm in everything:
            if prefix and (match := re.fullmatch(re.escape(prefix) + _ALARM, alarm["AlarmName"])):
                alarms[match[1]] = alarm
        # Without an address for alarms none of them has an action, which is one row and not fourteen faults.
        told = any(alarm.get("AlarmActions") for alarm in alarms.values())
        found = {name: _fault(alarm, told=told) for name, alarm in alarms.items()}
        # The optional ones are no less useless when they tell nobody.
        return judge_alarms((*EXPECTED, *sorted(found.keys() - set(EXPECTED))), found)

    def _prefix(self, alarms: list[Mapping[str, Any]]) -> str | None:
        """What the names of this deployment's alarms begin with, by the alarm that watches its queue."""
        queue = str(self.names.queue).rpartition("/")[2]
        for alarm in alarms:
            names = {each["Value"] for each in alarm.get("Dimensions", ()) if each.get("Name") == "QueueName"}
            if queue in names and alarm["AlarmName"].endswith("-unread"):
                return str(alarm["AlarmName"].removesuffix("unread"))
        return None

    def _look_at_recipients(self, alarms: Mapping[str, Mapping[str, Any]]) -> Result:
        topics = {action for alarm in alarms.values() for action in alarm.get("AlarmActions", ()) if ":sns:" in action}
        sns = self.client("sns")
        arns = [
            subscription["SubscriptionArn"]
            for topic in sorted(topics)
            for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
            for subscription in page.get("Subscriptions", ())
        ]
        reached = [arn for arn in arns if arn.startswith("arn:")]
        unconfirmed = [arn for arn in arns if arn == _PENDING]
        if reached and unconfirmed:
            unconfirmed = []  # somebody is told
        return judge_recipients(reached, unconfirmed, _SET_EMAIL)

    def _explain(self, error: Exception) -> Absent:
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code") or "unknown")
        elif isinstance(error, BotoCoreError):
            code = type(error).__name__
        else:
            return Absent(False, type(error).__name__)
        return Absent(code in _MISSING, code, self.advise(code) or "")


def _days(attributes: Mapping[str, str]) -> float:
    return int(attributes.get("MessageRetentionPeriod", "0")) / 86_400


def _open(attributes: Mapping[str, str]) -> str:
    """What is wrong with who may read a queue; empty where nothing is."""
    if attributes.get("SqsManagedSseEnabled") != "true" and not attributes.get("KmsMasterKeyId"):
        return "it is not encrypted"
    for statement in json.loads(attributes.get("Policy") or "{}").get("Statement", ()):
        everybody = statement.get("Principal") in ("*", {"AWS": "*"})
        if statement.get("Effect") == "Allow" and everybody and not statement.get("Condition"):
            return "its policy lets everybody in"
    return ""


def _rings(alarm: Mapping[str, Any]) -> bool:
    return bool(alarm.get("StateValue") == "ALARM")


def _fault(alarm: Mapping[str, Any], *, told: bool) -> str | None:
    if not alarm.get("ActionsEnabled", True):
        return "its actions are switched off"
    if told and not alarm.get("AlarmActions"):
        return "it tells nobody"
    return None
