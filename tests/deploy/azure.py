"""What must hold in `infra/azure`: each rule is a function that says what is wrong with a deployment.

The tests ask for nothing on the templates as they are, and for the right complaint on copies that were broken on
purpose, so that no rule is quietly deaf.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from azure_function.places import Places, SecretPlace
from core import log
from core.message import CLAIMS_PREFIX
from core.records import ADDRESSES_PREFIX, LEASE_KEY, QUARANTINE_PREFIX, SPOOL_PREFIX
from core.redrive import EXPIRY_WARNING_SECONDS
from core.settings import NAMES, PREFIX, WATCH_NAMES, Settings, SettingsError
from core.watch_settings import API_URL, WatchSettings
from tests.deploy import resource_types
from tests.deploy.bicep import BicepError, Deployment, Resource, computed, deploy, templates

ROOT: Final = Path(__file__).resolve().parents[2]
INFRA: Final = ROOT / "infra/azure"
HOST: Final = ROOT / "azure_function/host.json"

Tree = dict[str, Any]

LEAST: Final[Tree] = {"environmentName": "test"}
MOST: Final[Tree] = {
    "environmentName": "test",
    "location": "westeurope",
    "resourceGroupName": "privacy",
    "operatorPrincipalId": "00000000-0000-0000-0000-00000000000a",
    "consumerPrincipalId": "00000000-0000-0000-0000-00000000000b",
    "notificationEmail": "oncall@example.com",
    "alarmEvery": "PT1M",
    "silenceHours": 48,
    "sourceIpMode": "observe",
    "sourceIpAllowlist": "192.0.2.0/24",
    "frontDoorId": "00000000-0000-0000-0000-00000000000c",
    "maxBodyBytes": 1048576,
    "instanceMemoryMB": 512,
    "alwaysReadyInstances": 2,
    "logRetentionDays": 60,
    "vaultPurgeProtection": True,
    "storageRedundancy": "Standard_LRS",
    "httpForm": "classic",
    "webhookCheck": True,
    "webhookIds": "1,22",
    "dastraWorkspaceId": 7,
    "apiUrl": "https://api.example.org",
}
CHECKED: Final[Tree] = {"environmentName": "test", "webhookCheck": True}
SILENT: Final[Tree] = {"environmentName": "test", "silenceHours": 24}
DEPLOYMENTS: Final[Mapping[str, Tree]] = {"least": LEAST, "most": MOST, "silent": SILENT, "checked": CHECKED}
"""Parameters that between them take every branch of the templates."""


@cache
def deployment(name: str = "most") -> Deployment:
    """What the templates make with one of these sets of parameters."""
    return deploy(INFRA / "main.bicep", DEPLOYMENTS[name])


@dataclass(frozen=True)
class Copy:
    """A copy of the project's files that are judged here, to break."""

    infra: Path
    host: Path

    @classmethod
    def make(cls, folder: Path) -> Copy:
        """Copy them into an empty folder."""
        shutil.copytree(INFRA, folder / "infra", ignore=shutil.ignore_patterns("tools", "__pycache__"))
        shutil.copyfile(HOST, folder / "host.json")
        return cls(folder / "infra", folder / "host.json")

    def change(self, file: str, old: str, new: str) -> None:
        """Replace a text that stands in a file: `main`, `host`, or a module by its name."""
        path = {"main": self.infra / "main.bicep", "host": self.host}.get(file, self.infra / f"modules/{file}.bicep")
        text = path.read_text("utf-8")
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new), "utf-8")


# --------------------------------------------------------------------------------------------------------- the compiler


def compiled(infra: Path) -> list[str]:
    """What the Bicep compiler would say, as far as it can be known here."""
    found = [fault for template in templates(infra / "main.bicep") for fault in template.faults()]
    if found:
        return found
    trees = resource_types.load()
    for name, params in DEPLOYMENTS.items():
        try:
            made = deploy(infra / "main.bicep", params)
        except BicepError as error:
            return [f"{name}: {error}"]
        found += [f"{name}: {fault}" for resource in made.resources for fault in _typed(resource, trees)]
        for type_, path in made.reads:
            if not resource_types.has(trees.get(type_, {}), path):
                found.append(f"{name}: {type_} has no {path}")
    return found


def _typed(resource: Resource, trees: Mapping[str, resource_types.Tree]) -> Iterator[str]:
    type_ = f"{resource.type}@{resource.version}"
    if type_ not in trees:
        yield f"{type_} is not in tests/deploy/data: run scripts/azure_resource_types.py"
        return
    yield from resource_types.faults({**resource.body, "name": resource.name}, trees[type_], resource.symbol)


# ---------------------------------------------------------------------------------------------------------- who gets in

ROLES: Final[Mapping[str, str]] = {
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Azure Service Bus Data Sender",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}
"""Azure's built-in roles, by the ids in its documentation ("Azure built-in roles")."""

QUEUE: Final = "Microsoft.ServiceBus/namespaces/queues"
CONTAINER: Final = "Microsoft.Storage/storageAccounts/blobServices/containers"
ACCOUNT: Final = "Microsoft.Storage/storageAccounts"
VAULT: Final = "Microsoft.KeyVault/vaults"
INSIGHTS: Final = "Microsoft.Insights/components"
IDENTITY: Final = "Microsoft.ManagedIdentity/userAssignedIdentities"
SITE: Final = "Microsoft.Web/sites"
RECEIVER: Final = {
    ("Azure Service Bus Data Sender", QUEUE),
    ("Storage Blob Data Contributor", CONTAINER),
    ("Key Vault Secrets User", VAULT),
    ("Storage Blob Data Owner", ACCOUNT),
    ("Monitoring Metrics Publisher", INSIGHTS),
}
OPERATOR: Final = {
    ("Key Vault Secrets Officer", VAULT),
    ("Storage Blob Data Contributor", CONTAINER),
    ("Azure Service Bus Data Sender", QUEUE),
    ("Azure Service Bus Data Receiver", QUEUE),
}
CONSUMER: Final = {("Azure Service Bus Data Receiver", QUEUE), ("Storage Blob Data Reader", CONTAINER)}


def roles(made: Deployment, params: Tree) -> list[str]:
    """Roles that are not exactly those that receiver, operator and consumer need, or stand on more than they need.

    Or that the receiver gets only when it is there already: it takes minutes until such a role opens anything.
    """
    found = []
    ids = {resource.id: resource for resource in made.resources}
    before = made.before(made.one(SITE).module)
    principal = computed(made.one(IDENTITY), "properties.principalId")
    wanted = {
        principal: RECEIVER,
        params.get("operatorPrincipalId") or "nobody": OPERATOR,
        params.get("consumerPrincipalId") or "no consumer": CONSUMER,
    }
    wanted.pop("nobody", None)
    wanted.pop("no consumer", None)
    given: dict[str, set[tuple[str, str]]] = {}
    for assignment in made.of("Microsoft.Authorization/roleAssignments"):
        properties = assignment.body["properties"]
        guid = properties["roleDefinitionId"].rpartition("/")[2]
        role = ROLES.get(guid)
        if role is None:
            found.append(f"{assignment.symbol}: {guid} is none of the roles that are known to be needed")
            continue
        on = ids.get(assignment.scope or "")
        if on is None:
            found.append(f"{assignment.symbol}: {role} stands on {assignment.scope}, which is nothing of ours")
            continue
        given.setdefault(properties["principalId"], set()).add((role, on.type))
        if assignment.module not in before:
            found.append(f"{assignment.symbol}: the app may be there before its roles")
        if properties.get("principalType") is None:
            found.append(f"{assignment.symbol}: without principalType Azure may not find a new identity")
        if role == "Storage Blob Data Owner" and on.name == _events_account(made):
            found.append(f"{assignment.symbol}: the host owns the account with events")
        if (properties["principalId"], role) == (principal, "Storage Blob Data Contributor"):
            condition = properties.get("condition") or ""
            if ADDRESSES_PREFIX not in condition or condition.count("ActionMatches") < 3:
                found.append(f"{assignment.symbol}: the receiver may accept addresses by itself")
    if given != wanted:
        found.append(f"roles are {given}, wanted {wanted}")
    return found


def _events_account(made: Deployment) -> str:
    (policy,) = made.of("Microsoft.Storage/storageAccounts/managementPolicies")
    return policy.id.split("/")[-3]


def closed(made: Deployment) -> list[str]:
    """Shared keys, blobs for anybody, old TLS, publishing users: whatever lets in somebody without an identity."""
    found = []
    must: list[tuple[str, str, Any]] = [
        (ACCOUNT, "allowSharedKeyAccess", False),
        (ACCOUNT, "allowBlobPublicAccess", False),
        (ACCOUNT, "supportsHttpsTrafficOnly", True),
        (ACCOUNT, "minimumTlsVersion", "TLS1_2"),
        (ACCOUNT, "isLocalUserEnabled", False),
        (CONTAINER, "publicAccess", "None"),
        ("Microsoft.ServiceBus/namespaces", "disableLocalAuth", True),
        ("Microsoft.ServiceBus/namespaces", "minimumTlsVersion", "1.2"),
        (VAULT, "enableRbacAuthorization", True),
        (VAULT, "accessPolicies", None),
        (INSIGHTS, "DisableLocalAuth", True),
        ("Microsoft.OperationalInsights/workspaces", "features.disableLocalAuth", True),
        (SITE, "httpsOnly", True),
        (SITE, "siteConfig.minTlsVersion", "1.2"),
        (SITE, "functionAppConfig.deployment.storage.authentication", _upload(made)),
        ("Microsoft.Web/sites/basicPublishingCredentialsPolicies", "allow", False),
    ]
    for type_, path, value in must:
        resources = made.of(type_)
        if not resources:
            found.append(f"there is no {type_}")
        for resource in resources:
            is_now = at(resource.body["properties"], path)
            found += [f"{resource.symbol}: {path} is {is_now!r}, not {value!r}"] if is_now != value else []
    policies = {policy.name for policy in made.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")}
    if policies != {"ftp", "scm"}:
        found.append(f"publishing users are off for {policies}, not for ftp and scm")
    if made.of("Microsoft.KeyVault/vaults/secrets"):
        found.append("the template holds a secret")
    if made.of("Microsoft.ServiceBus/namespaces/authorizationRules"):
        found.append("the template makes a shared key of Service Bus")
    for name, value in app_settings(made).items():
        if re.search(r"AccountKey|SharedAccess|SignatureKeys?=", value) or name == f"{PREFIX}SIGNATURE_KEYS":
            found.append(f"the setting {name} holds a secret")
    app = made.one(SITE).body
    site = app["properties"]["siteConfig"]
    if site["ipSecurityRestrictions"] and site["ipSecurityRestrictionsDefaultAction"] != "Deny":
        found.append("Front Door can be passed by")
    if app["identity"] != {"type": "UserAssigned", "userAssignedIdentities": {made.one(IDENTITY).id: {}}}:
        found.append(f"the app is {app['identity']}, not the one identity that has the roles")
    return found + list(_unnamed(made))


def _upload(made: Deployment) -> Tree:
    """As whom the platform writes and reads the package."""
    return {"type": "UserAssignedIdentity", "userAssignedIdentityResourceId": made.one(IDENTITY).id}


def _unnamed(made: Deployment) -> Iterator[str]:
    """Who asks for a token without naming the identity: no platform picks one by itself that is not the app's own."""
    client = computed(made.one(IDENTITY), "properties.clientId")
    settings = app_settings(made)
    wanted = {
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__clientId": client,
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": f"Authorization=AAD;ClientId={client}",
        "AZURE_CLIENT_ID": client,
    }
    for name, value in wanted.items():
        if settings.get(name) != value:
            yield f"the setting {name} does not name the identity"


_HOLDS_A_KEY: Final = re.compile(
    r"^param (\w*(?:key|secret|password|connectionstring)\w*) ", re.IGNORECASE | re.MULTILINE
)


def secretless(infra: Path) -> list[str]:
    """Functions that read keys, and parameters that would hold one."""
    found: list[str] = []
    for path in sorted(infra.rglob("*.bicep")):
        text = path.read_text("utf-8")
        found += [f"{path.name} calls {name}()" for name in re.findall(r"\b(list[A-Z]\w*|getSecret)\(", text)]
        found += [f"{path.name} has a parameter {name}" for name in re.findall(_HOLDS_A_KEY, text)]
    return found


# ---------------------------------------------------------------------------------------------------------- how it runs

ELSEWHERE: Final = {
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "TZ",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_TIME_ZONE",
}
"""Settings that Flex Consumption ignores or refuses ("Flex Consumption plan deprecations" in Azure's documentation)."""
REFUSED_SITE: Final = {
    "alwaysOn",
    "ftpsState",
    "functionAppScaleLimit",
    "functionsRuntimeScaleMonitoringEnabled",
    "linuxFxVersion",
    "netFrameworkVersion",
    "numberOfWorkers",
    "preWarmedInstanceCount",
    "pythonVersion",
    "use32BitWorkerProcess",
}
"""Of `siteConfig`, the same; some of them fail the deployment (Azure/azure-cli issue 31414)."""


def app_settings(made: Deployment) -> dict[str, str]:
    """The function's environment."""
    config = made.one("Microsoft.Web/sites/config")
    return dict(config.body["properties"]) if config.name == "appsettings" else {}


def runs(made: Deployment, params: Tree) -> list[str]:
    """Settings that the receiver would refuse or that are missing, and a plan that is not Flex Consumption's."""
    settings = app_settings(made)
    found = [f"the setting {name} is not Flex Consumption's" for name in sorted(settings.keys() & ELSEWHERE)]
    ours = {name.removeprefix(PREFIX) for name in settings if name.startswith(PREFIX)}
    checks = set(WATCH_NAMES) if params.get("webhookCheck") else set()
    if ours != (set(NAMES) - {"SIGNATURE_KEYS"}) | checks:
        found.append(f"settings are {sorted(ours)}, the receiver knows {sorted(NAMES)}")
    if checks:
        found += _check(settings, params)
    try:
        read = Settings.from_env(settings)
        Places.of(read)
        if (read.max_body_bytes, read.source_ip_mode.value) != (
            params.get("maxBodyBytes", 4194304),
            params.get("sourceIpMode", "quarantine"),
        ):
            found.append("parameters do not arrive as settings")
        if params.get("frontDoorId") and read.trusted_proxy_hops < 2:
            found.append("behind Front Door the caller is the second element from the right")
    except SettingsError as error:
        found.append(str(error))
    app = made.one(SITE).body
    scale = app["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    if settings.get("HTTP_FORM") != params.get("httpForm", "streaming"):
        found.append("the form of the HTTP function does not arrive")
    if settings.get("PYTHON_THREADPOOL_THREAD_COUNT") != str(at(scale, "triggers.http.perInstanceConcurrency")):
        found.append("more requests than threads, or threads than requests")
    if not 40 <= scale.get("maximumInstanceCount", 0) <= 1000:
        found.append("the most instances are not said, or fewer than Flex Consumption takes")
    if scale["instanceMemoryMB"] not in (512, 2048, 4096):
        found.append("Flex Consumption has no such instances")
    if app["properties"]["functionAppConfig"]["runtime"] != {"name": "python", "version": "3.13"}:
        found.append("the bundle is built for Python 3.13")
    if made.one("Microsoft.Web/serverfarms").body["sku"] != {"name": "FC1", "tier": "FlexConsumption"}:
        found.append("the plan is not Flex Consumption")
    refused = sorted(app["properties"]["siteConfig"].keys() & REFUSED_SITE)
    found += [f"Flex Consumption refuses siteConfig.{name}" for name in refused]
    for resource in made.resources:
        if "tags" in resource.body and resource.body["tags"].get("azd-env-name") != params["environmentName"]:
            found.append(f"{resource.symbol} has not the tag azd-env-name")
    if app["tags"].get("azd-service-name") != "receiver" or app["kind"] != "functionapp,linux":
        found.append("azd does not find the function app")
    return found


def _check(settings: Mapping[str, str], params: Tree) -> Iterator[str]:
    """What is wrong with the settings of the webhooks' check."""
    try:
        read = WatchSettings.from_env(settings)
        place = SecretPlace.parse(read.api_key_secret)
    except ValueError as error:
        yield str(error)
        return
    if place.vault != SecretPlace.parse(settings[f"{PREFIX}SIGNATURE_KEYS_SECRET"]).vault:
        yield "the API's key is in a vault that the function app may not read"
    if read.api_key_secret == settings[f"{PREFIX}SIGNATURE_KEYS_SECRET"]:
        yield "the API's key would replace the signature keys"
    ids = tuple(filter(None, params.get("webhookIds", "").split(",")))
    wanted = (params.get("apiUrl", API_URL), ids, params.get("dastraWorkspaceId") or None)
    if (read.api_url, read.webhook_ids, read.workspace_id) != wanted:
        yield "parameters do not arrive as settings of the check"


def host(content: Tree, made: Deployment) -> list[str]:
    """What of host.json does not go with the templates, or would lose what alarms count."""
    found = []
    insights = content["logging"]["applicationInsights"]["samplingSettings"]
    spared = set(insights.get("excludedTypes", "").split(";"))
    if insights.get("isEnabled", True) and not {"Trace", "Request", "Exception"} <= spared:
        found.append("sampling drops lines that alarms count")
    levels = content["logging"]["logLevel"]
    found += [
        f"{category} is not logged from Information on"
        for category in ("default", "Host.Results", "Function")
        if levels.get(category) not in ("Information", "Debug", "Trace")
    ]
    scale = made.one(SITE).body["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    http = content["extensions"]["http"]
    if http["maxConcurrentRequests"] != scale["triggers"]["http"]["perInstanceConcurrency"]:
        found.append("maxConcurrentRequests is another number than the platform's concurrency")
    if http["maxOutstandingRequests"] != -1 or http["dynamicThrottlesEnabled"]:
        found.append("the host may answer 429 by itself")
    if f"/{http['routePrefix']}/receive" not in made.outputs["WEBHOOK_URL"]:
        found.append("WEBHOOK_URL has another route prefix")
    hours, minutes, seconds = map(int, content["functionTimeout"].split(":"))
    if not 90 <= hours * 3600 + minutes * 60 + seconds < 180:
        found.append("a redrive run takes up to 90 seconds, and its lease is for 180")
    return found


# ------------------------------------------------------------------------------------------------------------ retention

DAY: Final = 86_400


def seconds(duration: str) -> int:
    """An ISO 8601 duration as Azure writes them: PT5M, P4D."""
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration)
    if match is None or not any(match.groups()):
        raise ValueError(duration)
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return int(timedelta(days=days, hours=hours, minutes=minutes, seconds=rest).total_seconds())


LOG_TABLES: Final = {
    "AppAvailabilityResults", "AppBrowserTimings", "AppDependencies", "AppEvents", "AppExceptions", "AppMetrics",
    "AppPageViews", "AppPerformanceCounters", "AppRequests", "AppSystemEvents", "AppTraces",
}  # fmt: skip
"""Those that Azure keeps for 90 days by itself ("Manage data retention in a Log Analytics workspace")."""
LOG_DAYS: Final = 30


def logs_kept(made: Deployment, params: Tree) -> Iterator[str]:
    """What keeps logs for other than the days that the parameter says."""
    days = params.get("logRetentionDays", LOG_DAYS)
    workspace = made.one("Microsoft.OperationalInsights/workspaces")
    properties = workspace.body["properties"]
    if properties["retentionInDays"] != days or properties["features"]["immediatePurgeDataOn30Days"] != (days == 30):
        yield f"the workspace keeps logs for other than {days} days"
    tables = {table.name: table for table in made.of("Microsoft.OperationalInsights/workspaces/tables")}
    if tables.keys() != LOG_TABLES:
        yield f"Azure's own 90 days are left to {sorted(LOG_TABLES - tables.keys())}"
    for name, table in tables.items():
        if table.body["properties"] != {"retentionInDays": days, "totalRetentionInDays": days}:
            yield f"{name} is kept for other than {days} days"
        if table.id != f"{workspace.id}/tables/{name}" or made.one(SITE).module not in made.before(table.module):
            yield f"{name} is not of our workspace, or is set before that can be active"


def retention(made: Deployment) -> list[str]:
    """Where the order of the design does not hold: queue 4 days, claims longer than all that points at them, and so on.

    One part of it Service Bus does not have: a dead letter never expires. The 14 days that the other clouds keep one
    are counted in all the same.
    """
    found = []
    queue = made.one(QUEUE).body["properties"]
    kept = lifecycle(made)
    waiting, spooled = seconds(queue["defaultMessageTimeToLive"]), kept.get(SPOOL_PREFIX, 0)
    if waiting != 4 * DAY:
        found.append("the queue keeps messages for other than 4 days")
    if not queue["deadLetteringOnMessageExpiration"]:
        found.append("the queue drops what nobody read")
    if not queue["requiresDuplicateDetection"] or seconds(queue["duplicateDetectionHistoryTimeWindow"]) < 600:
        found.append("a send that is repeated makes a second message")
    if not 5 <= seconds(queue["lockDuration"]) <= 300 or queue["maxDeliveryCount"] < 1:
        found.append("Service Bus refuses the lock or the count")
    if set(kept) != {CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX}:
        found.append(f"the store deletes {sorted(kept)}, and must delete claims, spool and quarantine alone")
    if any(prefix.startswith((ADDRESSES_PREFIX, LEASE_KEY)) for prefix in kept):
        found.append("accepted addresses are forgotten")
    if kept.get(CLAIMS_PREFIX, 0) <= spooled + waiting + 14 * DAY:
        found.append("a pointer outlives its claim")
    if (spooled, kept.get(QUARANTINE_PREFIX)) != (30 * DAY, 30 * DAY):
        found.append("spool and quarantine are not kept for 30 days")
    if spooled - EXPIRY_WARNING_SECONDS != 7 * DAY:
        found.append("the alarm does not come 7 days before")
    for blobs in made.of("Microsoft.Storage/storageAccounts/blobServices"):
        properties = blobs.body["properties"]
        if properties["deleteRetentionPolicy"]["enabled"] or properties["isVersioningEnabled"]:
            found.append(f"{blobs.symbol}: copies outlive their expiry")
    return found


def lifecycle(made: Deployment) -> dict[str, int]:
    """Seconds that each prefix of the events container is kept."""
    container = next(c.name for c in made.of(CONTAINER) if c.symbol == "container")
    kept = {}
    for rule in made.one("Microsoft.Storage/storageAccounts/managementPolicies").body["properties"]["policy"]["rules"]:
        days = rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterModificationGreaterThan"]
        for prefix in rule["definition"]["filters"]["prefixMatch"]:
            if rule["enabled"] and prefix.startswith(f"{container}/"):
                kept[prefix.removeprefix(f"{container}/")] = days * DAY
    return kept


# --------------------------------------------------------------------------------------------------------------- alarms

LOG_ALARMS: Final = {
    "event_lost",
    "platform_error",
    "bad_signature",
    "bad_signature_low",
    "authentic_from_unlisted_address",
    "too_large",
    "spooled",
    "quarantined",
    "expiring",
    "slow",
}
CHECK_ALARMS: Final = {"webhook_errors", "webhook_blocked", "webhook_check_failed"}
METRIC_ALARMS: Final = {
    "platform_error_5xx": (SITE, "Http5xx"),
    "dead_letters": ("Microsoft.ServiceBus/namespaces", "DeadletteredMessages"),
    "unread": ("Microsoft.ServiceBus/namespaces", "ActiveMessages"),
}
WINDOWS: Final = [60 * minutes for minutes in (5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440, 2880)]
"""What Azure takes for a search of the log (Azure/azure-rest-api-specs issue 21258)."""
METRIC_WINDOWS: Final = [60 * minutes for minutes in (1, 5, 15, 30, 60, 360, 720, 1440)]
METRIC_FREQUENCIES: Final = [60 * minutes for minutes in (1, 5, 15, 30, 60)]
"""What Azure takes for a metric."""
RULE: Final = "Microsoft.Insights/scheduledQueryRules"
METRIC_RULE: Final = "Microsoft.Insights/metricAlerts"
BODY_MISSING: Final = "body_not_received"
"""The one event that Azure alone has: `azure_function.classic`."""
EVENTS: Final = {value.name for value in vars(log).values() if isinstance(value, log.LogEvent)} | {BODY_MISSING}


def queries(made: Deployment) -> dict[str, str]:
    """The searches of the log by alarm."""
    prefix = made.one("Microsoft.Insights/actionGroups").name.removesuffix("-alarms") + "-"
    return {
        rule.name.removeprefix(prefix): rule.body["properties"]["criteria"]["allOf"][0]["query"]
        for rule in made.of(RULE)
    }


def alarms(made: Deployment, params: Tree) -> list[str]:
    """Alarms of the design that are missing, cannot fire, or reach nobody."""
    found = []
    group = made.one("Microsoft.Insights/actionGroups")
    mails = [receiver["emailAddress"] for receiver in group.body["properties"]["emailReceivers"]]
    if mails != [mail for mail in [params.get("notificationEmail")] if mail]:
        found.append(f"mails go to {mails}")
    searched = queries(made)
    wanted = set(LOG_ALARMS)
    wanted |= {"silence"} if params.get("silenceHours") else set()
    wanted |= {"body_not_received"} if params.get("httpForm") == "classic" else set()
    wanted |= CHECK_ALARMS if params.get("webhookCheck") else set()
    if searched.keys() != wanted:
        found.append(f"the log is searched for {sorted(searched)}")
    for rule in made.of(RULE):
        properties = rule.body["properties"]
        window, every = seconds(properties["windowSize"]), seconds(properties["evaluationFrequency"])
        if window not in WINDOWS or every > window:
            found.append(f"{rule.name}: a window of {window} seconds, each {every}")
        if properties["actions"]["actionGroups"] != [group.id]:
            found.append(f"{rule.name} tells nobody")
        if properties["scopes"] != [made.one("Microsoft.OperationalInsights/workspaces").id]:
            found.append(f"{rule.name} searches elsewhere")
        (criterion,) = properties["criteria"]["allOf"]
        if (criterion["operator"], criterion["threshold"], criterion["timeAggregation"]) != ("GreaterThan", 0, "Count"):
            found.append(f"{rule.name} does not fire at one")
    watched = {}
    for rule in made.of(METRIC_RULE):
        properties = rule.body["properties"]
        (criterion,) = properties["criteria"]["allOf"]
        name = rule.name.removeprefix(f"{params['environmentName']}-")
        watched[name] = (criterion["metricNamespace"], criterion["metricName"])
        scope = next((r for r in made.resources if r.id == properties["scopes"][0]), None)
        if scope is None or scope.type != criterion["metricNamespace"]:
            found.append(f"{rule.name} watches nothing of ours")
        if [action["actionGroupId"] for action in properties["actions"]] != [group.id]:
            found.append(f"{rule.name} tells nobody")
        if (criterion["operator"], criterion["threshold"]) != ("GreaterThan", 0):
            found.append(f"{rule.name} does not fire at one")
        if (
            seconds(properties["windowSize"]) not in METRIC_WINDOWS
            or seconds(properties["evaluationFrequency"]) not in METRIC_FREQUENCIES
        ):
            found.append(f"{rule.name}: Azure refuses the window or the frequency")
        if scope is not None and scope.type != SITE:
            (dimension,) = criterion["dimensions"] or [{}]
            if dimension != {"name": "EntityName", "operator": "Include", "values": [made.one(QUEUE).name]}:
                found.append(f"{rule.name} watches other queues too")
    if watched != METRIC_ALARMS:
        found.append(f"metrics watched are {watched}")
    for rule in [*made.of(RULE), *made.of(METRIC_RULE)]:
        properties = rule.body["properties"]
        if not properties["enabled"] or not properties["autoMitigate"]:
            found.append(f"{rule.name} is off, or mails again and again")
        words = {0: "highest", 1: "high", 2: "medium", 3: "low"}
        if not properties["description"].startswith(f"Severity: {words[properties['severity']]}."):
            found.append(f"{rule.name} says another severity than it has")
        if "docs/operations.md" not in properties["description"]:
            found.append(f"{rule.name} does not say what to do")
    return found + [fault for name, query in searched.items() for fault in named(name, query)]


def named(name: str, query: str) -> Iterator[str]:
    """Names in a query that the receiver's log does not have."""
    for event in quoted_events(query):
        if event not in EVENTS:
            yield f"{name}: no event is called {event}"
    for column in re.findall(r"\bline\.(\w+)", query):
        if column != "message" and column not in log.TEXT_FIELDS.keys() | log.NUMBER_FIELDS:
            yield f"{name}: no field is called {column}"


def quoted_events(query: str) -> list[str]:
    """The events that a query asks for."""
    found = re.findall(r'\bevent (?:==|!=) "(\w+)"', query)
    for names in re.findall(r"\bevent in \(([^)]*)\)", query):
        found += re.findall(r'"(\w+)"', names)
    return found


def workbook(made: Deployment) -> Tree:
    """The dashboard."""
    content: Tree = json.loads(made.one("Microsoft.Insights/workbooks").body["properties"]["serializedData"])
    return content


def workbook_queries(made: Deployment) -> dict[str, str]:
    """The searches of the dashboard by the tile's name."""
    return {item["name"]: item["content"]["query"] for item in workbook(made)["items"] if item["type"] == 3}


def at(tree: Mapping[str, Any], path: str) -> Any:
    """A value by its dotted path, or None."""
    value: Any = tree
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


Rule = Callable[[Deployment, Tree], Sequence[str]]
RULES: Final[Mapping[str, Rule]] = {
    "roles": roles,
    "closed": lambda made, _: closed(made),
    "runs": runs,
    "retention": lambda made, params: [*retention(made), *logs_kept(made, params)],
    "alarms": alarms,
}
"""Every rule over a deployment, by the name that tests show."""
