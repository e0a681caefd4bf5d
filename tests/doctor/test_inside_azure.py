"""Inside Azure, against its Resource Manager played on loopback: each fault is found by its own row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.clouds.azure import cloud
from cli.doctor.azure import EXPECTED, Inside
from cli.doctor.model import Result, Status
from cli.doctor.rest import Rest
from cli.target import Names
from tests.doctor.examine import troubled
from tests.doctor.rest_api import TOKEN, Api, serving_api

GROUP = "/subscriptions/0/resourceGroups/rg-test"
NAMESPACE = f"{GROUP}/providers/Microsoft.ServiceBus/namespaces/sb-dastra-x"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/steventsx"
QUEUE = f"{NAMESPACE}/queues/dastra-events"
POLICY = f"{ACCOUNT}/managementPolicies/default"
CONTAINER = f"{ACCOUNT}/blobServices/default/containers/events"
INSIGHTS = f"{GROUP}/providers/Microsoft.Insights"
GRAPH = "/providers/Microsoft.ResourceGraph/resources"
NAMES = Names(
    "sb-dastra-x.servicebus.windows.net/dastra-events",
    "https://steventsx.blob.core.windows.net/events",
    "https://kv-x.vault.azure.net/secrets/dastra-signature-keys",
)
METRIC = ("platform_error_5xx", "dead_letters", "unread")


def deployment() -> dict[str, Any]:
    """A deployment as infra/azure makes it, in the shapes of the REST references."""

    def graph(asked: Any) -> dict[str, Any]:
        ids = {"sb-dastra-x": NAMESPACE, "steventsx": ACCOUNT}
        return {"data": [{"id": id_} for name, id_ in ids.items() if f"'{name}'" in asked["query"]]}

    def rule(prefix: str, days: int) -> dict[str, Any]:
        actions = {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": days}}}
        filters = {"blobTypes": ["blockBlob"], "prefixMatch": [f"events/{prefix}"]}
        return {"name": prefix, "enabled": True, "definition": {"filters": filters, "actions": actions}}

    group = f"{INSIGHTS}/actionGroups/test-alarms"
    log = [
        {"name": f"test-{name}", "properties": {"enabled": True, "actions": {"actionGroups": [group]}}}
        for name in EXPECTED
        if name not in METRIC
    ]
    metric = [
        {"name": f"test-{name}", "properties": {"enabled": True, "actions": [{"actionGroupId": group}]}}
        for name in METRIC
    ]
    receivers = [{"name": "alarms", "emailAddress": "alarms@example.org", "status": "Enabled"}]
    roles = [{"name": "Monitoring Reader", "roleId": "43d0d8ad-25c7-4714-9337-8ba259a9fe05"}]
    # Application Insights makes it by itself; a role of the subscription has no status.
    azures_own = f"{INSIGHTS}/actionGroups/Application Insights Smart Detection"
    return {
        GRAPH: graph,
        NAMESPACE: {"properties": {"disableLocalAuth": True}},
        QUEUE: {
            "properties": {
                "status": "Active", "defaultMessageTimeToLive": "P4D", "deadLetteringOnMessageExpiration": True,
                "maxDeliveryCount": 5, "countDetails": {"activeMessageCount": 2, "deadLetterMessageCount": 0},
            }
        },
        ACCOUNT: {"properties": {"allowBlobPublicAccess": False, "allowSharedKeyAccess": False,
                                 "encryption": {"keySource": "Microsoft.Storage"}}},
        CONTAINER: {"properties": {"publicAccess": "None"}},
        POLICY: {"properties": {"policy": {"rules": [
            rule("claims/", 50), rule("spool/", 30), rule("quarantine/", 30)]}}},
        f"{INSIGHTS}/scheduledQueryRules": {"value": log},
        f"{INSIGHTS}/metricAlerts": {"value": metric},
        f"{INSIGHTS}/actionGroups": {"value": [
            # Azure answers with resource groups and providers in letters of its own choice.
            {"id": group.replace("rg-test", "RG-TEST").replace("Insights", "insights"), "name": "test-alarms",
             "properties": {"enabled": True, "emailReceivers": receivers, "armRoleReceivers": []}},
            {"id": azures_own, "name": "Application Insights Smart Detection",
             "properties": {"enabled": True, "emailReceivers": [], "armRoleReceivers": roles}}]},
    }  # fmt: skip


@pytest.fixture
def api() -> Iterator[Api]:
    """The API with a whole deployment on it."""
    with serving_api(deployment()) as running:
        yield running


def look(api: Api, token: str = TOKEN, names: Names = NAMES) -> dict[str, Result]:
    """What the doctor sees."""
    return {row.id: row for row in Inside(Rest(lambda: token, cloud().advice), names, api.url).rows()}


def test_a_deployment_by_the_template_passes(api: Api) -> None:
    """Every row passes, and each question names the version of the API that it was written for."""
    rows = look(api)
    assert troubled(rows) == set(), rows
    assert set(rows) == {
        "queue", "dead-letters", "queue-access", "retention", "store-access", "store-encryption", "alarms",
        "alarm-recipients",
    }  # fmt: skip
    assert rows["retention"].found == "queue 4 d, dead letters for ever, claims 50 d, spool and quarantine 30 d"
    assert rows["alarm-recipients"].found == "1 recipient"
    assert all("api-version" in query for _, query in api.asked)


Change = Callable[[dict[str, Any]], object]


def _of(path: str, **changes: Any) -> Change:
    return lambda answers: answers[path]["properties"].update(changes)


def _group(**changes: Any) -> Change:
    return lambda answers: answers[f"{INSIGHTS}/actionGroups"]["value"][0]["properties"].update(changes)


def _rule(place: int, days: int) -> Change:
    def change(answers: dict[str, Any]) -> None:
        rule = answers[POLICY]["properties"]["policy"]["rules"][place]
        rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterModificationGreaterThan"] = days

    return change


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (_of(QUEUE, status="Disabled"), "queue"),
        (_of(QUEUE, deadLetteringOnMessageExpiration=False), "dead-letters"),
        (_of(QUEUE, countDetails={"deadLetterMessageCount": 3}), "dead-letters"),
        (_of(QUEUE, defaultMessageTimeToLive="P10675199DT2H48M5.4775807S"), "retention"),
        (_of(NAMESPACE, disableLocalAuth=False), "queue-access"),
        (_rule(0, 20), "retention"),
        (_rule(1, 7), "retention"),
        (lambda a: a[POLICY]["properties"]["policy"]["rules"][2].update(enabled=False), "retention"),
        (lambda a: a.pop(POLICY), "retention"),
        (_of(ACCOUNT, allowBlobPublicAccess=True), "store-access"),
        (_of(ACCOUNT, allowSharedKeyAccess=True), "store-access"),
        (_of(CONTAINER, publicAccess="Blob"), "store-access"),
        (lambda a: a[f"{INSIGHTS}/metricAlerts"]["value"].pop(), "alarms"),
        (lambda a: a[f"{INSIGHTS}/metricAlerts"]["value"][0]["properties"].update(enabled=False), "alarms"),
        (lambda a: a[f"{INSIGHTS}/scheduledQueryRules"]["value"][0]["properties"].update(actions={}), "alarms"),
        (_group(emailReceivers=[]), "alarm-recipients"),
        (_group(enabled=False), "alarm-recipients"),
        (lambda a: a[f"{INSIGHTS}/actionGroups"].update(value=[]), "alarm-recipients"),
        (lambda a: a[f"{INSIGHTS}/actionGroups"]["value"].pop(0), "alarm-recipients"),
    ],
    ids=[
        "queue-off", "expired-are-lost", "dead-letter", "queue-for-ever", "connection-strings", "short-claims",
        "short-spool", "rule-off", "no-policy", "public-blobs", "account-keys", "public-container", "alarm-gone",
        "alarm-off", "alarm-tells-nobody", "no-receiver", "group-off", "no-group",
        "azures-own-group",
    ],
)  # fmt: skip
def test_a_fault_is_found_by_its_row(api: Api, change: Change, row: str) -> None:
    """One change for the worse is found by one row, which says what to do."""
    change(api.answers)
    rows = look(api)
    assert troubled(rows) == {row}, rows
    assert rows[row].advice


def test_a_queue_that_is_gone_fails(api: Api) -> None:
    """A queue that is not in its namespace fails its row; what hangs on it is skipped."""
    del api.answers[QUEUE]
    rows = look(api)
    assert troubled(rows) == {"queue"}
    assert rows["queue"].status is Status.FAIL
    assert rows["retention"].status is Status.SKIPPED


def test_a_queue_that_keeps_for_ever_is_told_so(api: Api) -> None:
    """Azure's longest time, which is its way to say never, is not shown as millions of days."""
    api.answers[QUEUE]["properties"]["defaultMessageTimeToLive"] = "P10675199DT2H48M5.4775807S"
    assert "the queue keeps messages for ever" in look(api)["retention"].details


def test_who_sees_nothing_is_told_so(api: Api) -> None:
    """An identity without the role Reader gets an empty list from the resource graph: no fault of the queue."""
    api.answers[GRAPH] = {"data": []}
    rows = look(api)
    assert rows["queue"].status is rows["retention"].status is Status.WARN
    assert "Reader" in rows["queue"].advice
    assert rows["alarms"].status is Status.SKIPPED


def test_without_rights_every_row_warns(api: Api) -> None:
    """Whoever is not logged in gets warnings, and no text of the service."""
    rows = look(api, "another token")
    assert {row.status for row in rows.values()} == {Status.WARN, Status.SKIPPED}
    assert "quote anything" not in str(rows)


def test_what_is_not_named_is_skipped(api: Api) -> None:
    """Without names the rows say which setting names them."""
    assert {row.status for row in look(api, names=Names()).values()} == {Status.SKIPPED}


def test_the_alarms_are_the_templates() -> None:
    """The doctor expects exactly the alarms that the template always makes."""
    text = (Path(__file__).parents[2] / "infra/azure/modules/alarms.bicep").read_text()
    named = {
        name
        for array in ("logAlarms", "metricAlarms")
        for name in re.findall(
            r"^    name: '(\w+)'", text.partition(f"var {array} = [")[2].partition("\n]")[0], re.MULTILINE
        )
    }
    assert named == set(EXPECTED)
