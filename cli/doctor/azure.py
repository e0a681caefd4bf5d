"""Inside a deployment on Azure, through Azure Resource Manager. The shapes are those of its REST references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter

from azure_function.places import QueuePlace, StorePlace
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
    Looking,
    Retentions,
    judge_alarms,
    judge_recipients,
)
from cli.doctor.model import Check, Result
from cli.doctor.rest import Rest
from cli.target import Names
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX

EXPECTED: Final = (
    "event_lost", "platform_error", "platform_error_5xx", "bad_signature", "bad_signature_low",
    "authentic_from_unlisted_address", "too_large", "spooled", "quarantined", "expiring", "slow", "dead_letters",
    "unread",
)  # fmt: skip
"""The alarms of infra/azure that are always there, each by what follows the environment's name; a test compares."""
MANAGEMENT: Final = "https://management.azure.com"
_GRAPH: Final = "/providers/Microsoft.ResourceGraph/resources"
_VERSIONS: Final = {
    "graph": "2022-10-01",
    "servicebus": "2021-11-01",
    "storage": "2023-05-01",
    "scheduledQueryRules": "2023-12-01",
    "metricAlerts": "2018-03-01",
    "actionGroups": "2023-01-01",
}
_RECEIVERS: Final = re.compile(r"\w+Receivers")
_DURATION: Final = TypeAdapter(timedelta)
_FOREVER_DAYS: Final = 3650
_SET_EMAIL: Final = "azd env set NOTIFICATION_EMAIL you@example.com, then azd up."
_LOOK_AS: Final = "Look as somebody with the role Reader on the resource group: az account show says who you are."


@dataclass(slots=True)
class Inside:
    """One look into a deployment."""

    rest: Rest
    names: Names
    management: str = MANAGEMENT
    _namespace: str = ""
    _account: str = ""
    _queue: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> Iterator[Result]:
        """Every row."""
        looking = Looking(self.rest.explain)
        if self.names.queue is None:
            yield QUEUE.skipped("the queue is not named", "Set DASTRA_QUEUE too.")
        else:
            yield looking.at(QUEUE, self._look_at_queue)
            if self._queue:
                yield looking.at(DEAD_LETTERS, self._look_at_dead_letters)
                yield looking.at(QUEUE_ACCESS, self._look_at_namespace)
        if self.names.store is None:
            yield RETENTION.skipped("the store is not named", "Set DASTRA_STORE too.")
        else:
            yield looking.at(RETENTION, self._look_at_retention)
            if self._account:
                account: dict[str, Any] = {}
                yield looking.at(STORE_ACCESS, lambda: self._look_at_account(account))
                if account:
                    yield _encryption(account)
        if not (self._namespace or self._account):
            yield ALARMS.skipped("the resource group was not found")
            return
        yield looking.at(ALARMS, self._look_at_alarms)
        yield looking.at(RECIPIENTS, self._look_at_action_groups)

    def _get(self, id_: str, version: str) -> dict[str, Any]:
        return self.rest.get(f"{self.management}{id_}", **{"api-version": _VERSIONS[version]})

    def _find(self, kind: str, name: str) -> str:
        """The id of a resource, of which only the name is known; empty where this identity sees none."""
        query = f"resources | where type =~ '{kind}' and name =~ '{name}' | project id"
        found = self.rest.post(f"{self.management}{_GRAPH}", {"query": query}, **{"api-version": _VERSIONS["graph"]})
        return next((str(row["id"]) for row in found.get("data", ())), "")

    def _look_at_queue(self) -> Result:
        place = QueuePlace.parse(str(self.names.queue))
        self._namespace = self._find("microsoft.servicebus/namespaces", place.address.partition(".")[0])
        if not self._namespace:
            return _unseen(QUEUE, "namespace")
        self._queue = self._get(f"{self._namespace}/queues/{place.queue}", "servicebus")["properties"]
        waiting = self._queue.get("countDetails", {}).get("activeMessageCount", "?")
        if self._queue.get("status", "Active") != "Active":
            return QUEUE.failed(f"it is {self._queue['status']}", "Switch it on again in the portal.")
        return QUEUE.passed(f"{waiting} messages wait, kept {self._kept() or 0:.3g} d")

    def _look_at_dead_letters(self) -> Result:
        dead = self._queue.get("countDetails", {}).get("deadLetterMessageCount", 0)
        if not self._queue.get("deadLetteringOnMessageExpiration"):
            return DEAD_LETTERS.failed("what nobody reads in time is deleted and not set aside", AGAIN)
        if dead:
            return DEAD_LETTERS.warned(f"{dead} messages are there", "Mend the consumer, then send them again.")
        return DEAD_LETTERS.passed(f"after {self._queue.get('maxDeliveryCount')} attempts, none now")

    def _look_at_namespace(self) -> Result:
        found = self._get(self._namespace, "servicebus")["properties"]
        if not found.get("disableLocalAuth"):
            return QUEUE_ACCESS.failed("connection strings open it, beside Entra ID", AGAIN)
        return QUEUE_ACCESS.passed("encrypted by Azure, and Entra ID alone opens it")

    def _kept(self) -> float | None:
        text = self._queue.get("defaultMessageTimeToLive")
        if not text:
            return None
        # Azure says never by the longest time that .NET knows, some 29,000 years.
        days = _DURATION.validate_python(text).total_seconds() / 86_400
        return days if days < _FOREVER_DAYS else None

    def _look_at_retention(self) -> Result:
        account, container = self._store()
        self._account = self._find("microsoft.storage/storageaccounts", account)
        if not self._account:
            return _unseen(RETENTION, "storage account")
        rules = self._get(f"{self._account}/managementPolicies/default", "storage")["properties"]["policy"]["rules"]
        ages: dict[str, float] = {}
        for rule in rules:
            definition = rule.get("definition", {})
            age = definition.get("actions", {}).get("baseBlob", {}).get("delete", {})
            days = age.get("daysAfterModificationGreaterThan")
            if rule.get("enabled", True) and days is not None:
                for prefix in definition.get("filters", {}).get("prefixMatch", (f"{container}/",)):
                    ages[prefix.removeprefix(f"{container}/")] = float(days)
        if not self._queue:
            return RETENTION.skipped("the queue must be seen first")
        # Service Bus keeps dead letters until somebody takes them.
        return Retentions(
            self._kept(),
            None,
            *(ages.get(prefix, ages.get("")) for prefix in (CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX)),
        ).judge(endless_dead_letters=True)

    def _look_at_account(self, account: dict[str, Any]) -> Result:
        account |= self._get(self._account, "storage")["properties"]
        _, container = self._store()
        blobs = self._get(f"{self._account}/blobServices/default/containers/{container}", "storage")["properties"]
        if account.get("allowBlobPublicAccess", True) or (blobs.get("publicAccess") or "None") != "None":
            return STORE_ACCESS.failed("blobs can be made public", AGAIN)
        if account.get("allowSharedKeyAccess", True):
            return STORE_ACCESS.failed("account keys open it, beside Entra ID", AGAIN)
        return STORE_ACCESS.passed("no public blobs, and Entra ID alone opens it")

    def _look_at_alarms(self) -> Result:
        return judge_alarms(EXPECTED, {name: _fault(properties) for name, properties in self._rules()})

    def _rules(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The alerts of the resource group, each by what follows the environment's name."""
        for kind in ("scheduledQueryRules", "metricAlerts"):
            for rule in self._list(kind):
                yield str(rule["name"]).rpartition("-")[2], rule["properties"]

    def _look_at_action_groups(self) -> Result:
        # Application Insights makes a group there too, which has receivers and hears nothing of our alarms.
        told = {id_ for name, properties in self._rules() if name in EXPECTED for id_ in _told(properties)}
        receivers = [
            receiver
            for group in self._list("actionGroups")
            if str(group["id"]).lower() in told and group["properties"].get("enabled")
            for name, listed in group["properties"].items()
            if _RECEIVERS.fullmatch(name)
            for receiver in listed or ()
        ]
        reached = [each["name"] for each in receivers if each.get("status", "Enabled") == "Enabled"]
        return judge_recipients(reached, (), _SET_EMAIL)

    def _list(self, kind: str) -> Iterator[dict[str, Any]]:
        group = re.match(r"/subscriptions/[^/]+/resourceGroups/[^/]+", self._namespace or self._account, re.IGNORECASE)
        url = f"{self.management}{group[0] if group else ''}/providers/Microsoft.Insights/{kind}"
        return self.rest.pages(url, "value", **{"api-version": _VERSIONS[kind]})

    def _store(self) -> tuple[str, str]:
        url = StorePlace.parse(str(self.names.store)).url
        host, _, container = url.partition("://")[2].partition("/")
        return host.partition(".")[0], container


def _unseen(check: Check, what: str) -> Result:
    return check.warned(f"no {what} of this name is seen with these credentials", _LOOK_AS)


def _encryption(account: Mapping[str, Any]) -> Result:
    own = account.get("encryption", {}).get("keySource") == "Microsoft.Keyvault"
    return STORE_ENCRYPTION.passed("with a key of yours" if own else "by Azure")


def _fault(rule: Mapping[str, Any]) -> str | None:
    if not rule.get("enabled"):
        return "it is switched off"
    if not _told(rule):
        return "it tells nobody"
    return None


def _told(rule: Mapping[str, Any]) -> set[str]:
    """The ids of the action groups that an alert calls, in lower case: Azure spells one id in several ways."""
    actions = rule.get("actions") or ()
    if isinstance(actions, dict):  # a search of the log; else a metric
        return {str(id_).lower() for id_ in actions.get("actionGroups") or ()}
    return {str(action.get("actionGroupId")).lower() for action in actions}
