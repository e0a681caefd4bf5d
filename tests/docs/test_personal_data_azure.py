"""What the page on personal data says of Azure is what the templates make."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

pytest.importorskip("tree_sitter_bicep", reason="needs the Bicep parsers of the test group: make setup")

from core.message import CLAIMS_PREFIX
from core.records import ADDRESSES_PREFIX, QUARANTINE_PREFIX, SPOOL_PREFIX
from tests.deploy.azure import DAY, INFRA, METRIC_RULE, deployment, lifecycle, seconds
from tests.docs.personal_data import WHERE, column, days, kept, longest, section

CLOUD: Final = "Azure"
QUEUE: Final = "Microsoft.ServiceBus/namespaces/queues"


def made() -> dict[str, int]:
    """Days by place, from a deployment without further parameters."""
    least = deployment("least")
    queue = least.one(QUEUE).body["properties"]
    return {
        "queue": seconds(queue["defaultMessageTimeToLive"]) // DAY,
        **{prefix: kept_for // DAY for prefix, kept_for in lifecycle(least).items()},
    }


def properties(kind: str) -> dict[str, Any]:
    """What the only resource of a type is made with."""
    found: dict[str, Any] = deployment("least").one(kind).body["properties"]
    return found


def test_the_days_are_the_templates() -> None:
    """Every place that expires, and none that does not; dead letters are what the queue sets aside."""
    table, wanted = kept(CLOUD), made()
    assert {place: days(table[place]) for place in wanted} == wanted
    assert {CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX} <= wanted.keys()
    assert table[ADDRESSES_PREFIX] == "for good"
    assert properties(QUEUE)["deadLetteringOnMessageExpiration"]
    assert table["dead letters"] == "**until somebody takes them**"


def test_the_longest_way_adds_up() -> None:
    """Held, then a large body."""
    each = made()
    assert longest(CLOUD) == [each[QUARANTINE_PREFIX] + each[CLAIMS_PREFIX]]


def test_the_log_is_kept_as_long_as_every_table_says() -> None:
    """A table of Application Insights without a term of its own would keep 90 days, whatever the workspace has."""
    term = properties("Microsoft.OperationalInsights/workspaces")["retentionInDays"]
    assert days(kept(CLOUD)["log"]) == term
    tables = deployment("least").of("Microsoft.OperationalInsights/workspaces/tables")
    terms = {table.name.rpartition("/")[2]: table.body["properties"] for table in tables}
    assert {"AppTraces", "AppRequests", "AppExceptions", "AppDependencies"} <= terms.keys()
    assert {(each["retentionInDays"], each["totalRetentionInDays"]) for each in terms.values()} == {(term, term)}


def test_a_deleted_secret_stays_as_long_as_the_vault_says() -> None:
    """Soft delete cannot be switched off there."""
    vault = properties("Microsoft.KeyVault/vaults")
    assert f"deleted ones {vault['softDeleteRetentionInDays']} days more" in kept(CLOUD)["secret"]


def test_regions_are_those_that_the_template_takes() -> None:
    """Each of them is named, and no other."""
    allowed = re.search(
        r"@allowed\(\[\n((?:  '\w+'\n)+)\]\)\n@metadata\(\{ azd", (INFRA / "main.bicep").read_text("utf-8")
    )
    assert allowed is not None
    change = column(section(WHERE, CLOUD), 2)["everything but what follows"]
    assert sorted(re.findall(r"`(\w+)`", change.replace("`azd up`", ""))) == sorted(re.findall(r"\w+", allowed[1]))


def test_what_is_global_is_named() -> None:
    """The action group and the alarms on metrics, and nothing else that the templates make."""
    made_there = {
        resource.type for resource in deployment("most").resources if resource.body.get("location") == "global"
    }
    assert made_there == {"Microsoft.Insights/actionGroups", METRIC_RULE}
    where = column(section(WHERE, CLOUD))
    assert [name for name, text in where.items() if "`global`" in text] == [
        "action group, with the addressee's e-mail address",
        "alarms on metrics",
    ]


def test_callers_addresses_are_masked_in_what_azure_records() -> None:
    """The page says that Application Insights keeps none."""
    assert properties("Microsoft.Insights/components")["DisableIpMasking"] is False
