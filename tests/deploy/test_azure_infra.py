"""`infra/azure` without an account: names, types, access, settings, retention; and each rule on a broken copy."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

MISSING: Final = "needs the Bicep parsers of the test group: make setup"
pytest.importorskip("tree_sitter_bicep", reason=MISSING)
pytest.importorskip("pycep", reason=MISSING)

from scripts import gcp_tools  # noqa: E402 - after the parsers are known to be there
from tests.deploy.azure import (  # noqa: E402
    DEPLOYMENTS,
    HOST,
    INFRA,
    LEAST,
    MOST,
    ROOT,
    RULES,
    Copy,
    compiled,
    deployment,
    host,
    secretless,
)
from tests.deploy.bicep import BicepError, Template, deploy  # noqa: E402

BICEP: Final = sorted(INFRA.rglob("*.bicep"))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """The project's files, to break."""
    return Copy.make(tmp_path)


# -------------------------------------------------------------------------------------------------------- the templates


@pytest.mark.parametrize("path", BICEP, ids=lambda path: path.stem)
def test_two_parsers_read_every_template(path: Path) -> None:
    """Both grammars for Bicep that are published as Python packages take each file."""
    from pycep import BicepParser

    assert BicepParser().parse(text=path.read_text("utf-8"))
    assert not Template(path).root.has_error


def test_the_compiler_would_take_it() -> None:
    """Every name is declared and used; properties, values and required fields are those of the type definitions."""
    assert compiled(INFRA) == []


@pytest.mark.parametrize("params", DEPLOYMENTS)
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_holds(rule: str, params: str) -> None:
    """Access, settings, retention and alarms are as the design has them, whatever the parameters are."""
    assert RULES[rule](deployment(params), DEPLOYMENTS[params]) == []


def test_no_template_reads_or_takes_a_key() -> None:
    """Identities open everything, so no template asks Azure for a key and no parameter is one."""
    assert secretless(INFRA) == []


def test_the_host_goes_with_the_templates() -> None:
    """Sampling drops nothing that alarms count, requests are as many as threads, and the host never says 429."""
    assert host(json.loads(HOST.read_text("utf-8")), deployment()) == []


def test_every_branch_is_taken() -> None:
    """The sets of parameters differ in what they make, so that conditions are judged both ways."""
    least, most = deployment("least"), deployment("most")
    assert len(least.of("Microsoft.Authorization/roleAssignments")) == 5
    assert len(most.of("Microsoft.Authorization/roleAssignments")) == 11
    app = most.one("Microsoft.Web/sites").body["properties"]
    assert app["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"] == [{"name": "http", "instanceCount": 2}]
    assert app["siteConfig"]["ipSecurityRestrictions"][0]["headers"] == {"x-azure-fdid": [MOST["frontDoorId"]]}
    assert most.one("Microsoft.KeyVault/vaults").body["properties"]["enablePurgeProtection"] is True
    assert least.one("Microsoft.KeyVault/vaults").body["properties"]["enablePurgeProtection"] is None


def test_names_fit() -> None:
    """Azure's limits for names ("Resource name rules") hold for the longest environment name."""
    made = deploy(INFRA / "main.bicep", {**MOST, "environmentName": "e" * 40, "resourceGroupName": ""})
    limits = {
        "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
        "Microsoft.KeyVault/vaults": r"[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
        "Microsoft.ServiceBus/namespaces": r"[a-zA-Z][a-zA-Z0-9-]{4,48}[a-zA-Z0-9]",
        "Microsoft.Web/sites": r"[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]",
        "Microsoft.Web/serverfarms": r"[a-zA-Z0-9-]{1,40}",
        "Microsoft.ManagedIdentity/userAssignedIdentities": r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}",
        "Microsoft.OperationalInsights/workspaces": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]",
        "Microsoft.Insights/actionGroups": r"[^:<>+/&%\\?|]{1,260}",
        "Microsoft.Resources/resourceGroups": r"[\w().-]{0,89}[\w()-]",
    }
    for type_, form in limits.items():
        for resource in made.of(type_):
            assert re.fullmatch(form, resource.name), resource.name
    assert len(made.one("Microsoft.Insights/actionGroups").body["properties"]["groupShortName"]) <= 12


def test_regions_are_in_the_eu() -> None:
    """Without a word everything is in the EU, and a region elsewhere is refused."""
    region = deployment("least").one("Microsoft.Web/sites").body["location"]
    assert region == "francecentral"
    with pytest.raises(BicepError, match="allowed"):
        deploy(INFRA / "main.bicep", {**LEAST, "location": "eastus"})


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"silenceHours": 72}, id="longer than Azure Monitor looks back"),
        pytest.param({"sourceIpMode": "maybe"}, id="unknown mode"),
        pytest.param({"maximumInstanceCount": 10}, id="fewer than the plan takes"),
        pytest.param({"instanceMemoryMB": 1024}, id="no such instance"),
        pytest.param({"lockSeconds": 600}, id="longer than Service Bus locks"),
        pytest.param({"maxBodyBytes": 5_000_000}, id="larger than the receiver takes"),
        pytest.param({"environmentName": ""}, id="no name"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any]) -> None:
    """What the receiver or Azure could not do is refused before anything is made."""
    with pytest.raises(BicepError, match="against @"):
        deploy(INFRA / "main.bicep", {**LEAST, **params})


def test_outputs_are_what_the_next_steps_need() -> None:
    """The command line finds the deployment by the outputs; the first page of the guide names the others."""
    outputs = deployment().outputs
    assert {
        "DASTRA_QUEUE",
        "DASTRA_STORE",
        "DASTRA_SIGNATURE_KEYS_SECRET",
        "WEBHOOK_URL",
        "NEXT_STEP",
    } <= outputs.keys()
    assert outputs["WEBHOOK_URL"].startswith("https://")
    stack = f"export DASTRA_CLOUD=azure DASTRA_STACK={LEAST['environmentName']}"
    assert outputs["NEXT_STEP"] == f"{stack} && .venv/bin/dastra-webhooks register --workspace ID --all"


# -------------------------------------------------------------------------------------------------------- broken copies

BROKEN: Final[Mapping[str, Sequence[tuple[str, str, str, str]]]] = {
    "compiler": [
        ("queue", "disableLocalAuth", "disableLocalAuthentication", "has no property"),
        ("queue", "'P4D'", "4", "not string"),
        ("queue", "name: 'Standard'", "name: 'standard'", "known: Basic"),
        ("queue", "maxDeliveryCount: maxDeliveryCount", "maxDeliveryCount: maxDeliveries", "not declared"),
        ("queue", "    lockDuration: 'PT${lockSeconds}S'\n", "", "never used"),
        ("queue", "  location: location\n", "", "location"),
        ("store", "          type: 'Lifecycle'\n", "", "lacks type"),
        ("store", "parent: blobs\n", "parent: account\n", "no parent of"),
        ("receiver", "functionAppConfig", "functionsAppConfig", "has no property"),
        ("receiver", "instanceMemoryMB: instanceMemoryMB", "memory: instanceMemoryMB", "no property memory"),
        ("keys", "vault.properties.vaultUri", "vault.properties.uri", "nothing that Azure"),
        ("alarms", "threshold: 0\n            failing", "threshold: '0'\n            failing", "not int"),
        ("alarms", "alarm.query", "alarm.search", "does not exist"),
        ("keys", "@description('Where.')\n", "", "no description"),
        ("main", "    lockSeconds: lockSeconds\n", "", "never used"),
        ("main", "token: token\n    purgeProtection", "purgeProtection", "not given"),
        ("main", "queue.outputs.address", "queue.outputs.adress", "does not exist"),
        ("main", "purgeProtection: vaultPurgeProtection", "purge: vaultPurgeProtection", "no parameter"),
        ("main", "dependsOn: [access]", "dependOn: [access]", "no property of a module"),
        ("receiver", "'${identityId}': {}", "'${identity}': {}", "not declared"),
        ("retention", "totalRetentionInDays", "totalRetention", "has no property"),
    ],
    "roles": [
        ("access", "'69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'", "'b24988ac-6180-42a0-ab88-20f7382dd24c'", "none of the"),
        ("access", "'4633458b-17de-408a-b874-0445c86b69e6'", "'8e3af657-a8ff-443c-a75c-2fe8c4bcb635'", "none of the"),
        ("access", "  scope: queue\n", "  scope: namespace\n", "nothing of ours|wanted"),
        ("access", "  scope: hostAccount\n", "  scope: account\n", "owns the account with events"),
        ("access", "    condition: noChangeOfAddresses\n    conditionVersion: '2.0'\n", "", "accept addresses"),
        ("access", "    principalType: 'ServicePrincipal'\n", "", "without principalType"),
        ("main", "  dependsOn: [access]\n", "", "before its roles"),
        ("main", "dependsOn: [access]", "dependsOn: [identity]", "before its roles"),
        ("main", "identity.outputs.principalId", "identity.outputs.clientId", "roles are"),
    ],
    "closed": [
        ("store", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true", "allowSharedKeyAccess"),
        ("store", "allowBlobPublicAccess: false", "allowBlobPublicAccess: true", "allowBlobPublicAccess"),
        ("store", "publicAccess: 'None'", "publicAccess: 'Blob'", "publicAccess"),
        ("store", "'TLS1_2'", "'TLS1_0'", "minimumTlsVersion"),
        ("queue", "disableLocalAuth: true", "disableLocalAuth: false", "disableLocalAuth"),
        ("keys", "enableRbacAuthorization: true", "enableRbacAuthorization: false", "enableRbac"),
        ("logs", "DisableLocalAuth: true", "DisableLocalAuth: false", "DisableLocalAuth"),
        ("receiver", "allow: false", "allow: true", "allow is True"),
        ("receiver", "['ftp', 'scm']", "['ftp']", "not for ftp and scm"),
        ("receiver", "? null : 'Deny'", "? null : 'Allow'", "passed by"),
        ("receiver", "'managedidentity'", "'AccountKey=x'", "holds a secret"),
        ("receiver", "type: 'UserAssigned'", "type: 'SystemAssigned, UserAssigned'", "not the one identity"),
        ("receiver", "'UserAssignedIdentity'", "'SystemAssignedIdentity'", "storage.authentication is"),
        ("receiver", ";ClientId=${identityClientId}'", "'", "AUTHENTICATION_STRING does not name"),
        ("receiver", "    AzureWebJobsStorage__clientId: identityClientId\n", "", "Storage__clientId does not name"),
        ("receiver", "    AZURE_CLIENT_ID: identityClientId\n", "", "AZURE_CLIENT_ID does not name"),
        ("main", "identity.outputs.clientId", "identity.outputs.principalId", "does not name"),
    ],
    "text": [
        (
            "receiver",
            "hostAccount.properties.primaryEndpoints.blob\n    AzureWeb",
            "hostAccount.listKeys()\n    AzureWeb",
            "listKeys",
        ),
    ],
    "runs": [
        ("main", "DASTRA_SOURCE_IP_MODE:", "DASTRA_SOURCE_IP_MODUS:", "did you mean"),
        ("main", "      DASTRA_MAX_BODY_BYTES: string(maxBodyBytes)\n", "", "settings are"),
        (
            "main",
            "param queueBudgetSeconds string = '2.5'",
            "param queueBudgetSeconds string = '5.5'",
            "three quarters",
        ),
        ("main", "max(2, trustedProxyHops)", "max(1, trustedProxyHops)", "Front Door"),
        ("main", "DASTRA_API_KEY_SECRET:", "DASTRA_API_KEY:", "did you mean DASTRA_API_KEY_SECRET"),
        (
            "main",
            "      DASTRA_WORKSPACE_ID: dastraWorkspaceId > 0 ? string(dastraWorkspaceId) : ''\n",
            "",
            "settings are",
        ),
        ("main", "DASTRA_WEBHOOK_IDS: webhookIds", "DASTRA_WEBHOOK_IDS: apiUrl", "WEBHOOK_IDS"),
        ("main", "DASTRA_API_URL: apiUrl", "DASTRA_API_URL: 'https://api.dastra.eu/v2'", "settings of the check"),
        ("keys", "secrets/${apiKeySecretName}'", "secrets/${secretName}'", "replace the signature keys"),
        ("receiver", "string(concurrency)", "'8'", "threads"),
        ("receiver", "        maximumInstanceCount: maximumInstanceCount\n", "", "most instances"),
        ("receiver", "minTlsVersion: '1.2'", "minTlsVersion: '1.2'\n      ftpsState: 'Disabled'", "refuses siteConfig"),
        ("receiver", "'azd-service-name'", "'azd-service'", "azd does not find"),
        ("receiver", "version: '3.13'", "version: '3.11'", "3.13"),
        (
            "receiver",
            "PYTHON_THREADPOOL",
            "FUNCTIONS_WORKER_RUNTIME: 'python'\n    PYTHON_THREADPOOL",
            "Flex Consumption's",
        ),
    ],
    "retention": [
        ("queue", "'P4D'", "'P14D'", "4 days"),
        ("queue", "deadLetteringOnMessageExpiration: true", "deadLetteringOnMessageExpiration: false", "drops"),
        ("queue", "requiresDuplicateDetection: true", "requiresDuplicateDetection: false", "second message"),
        ("store", "days: 50", "days: 30", "outlives its claim"),
        ("store", "'claims/'", "'addresses/'", "addresses are forgotten"),
        ("store", "days: 30", "days: 31", "7 days before"),
        ("store", "isVersioningEnabled: false", "isVersioningEnabled: true", "copies outlive"),
        ("retention", "  'AppRequests'\n", "", r"left to \['AppRequests'\]"),
        ("retention", "      totalRetentionInDays: retentionDays\n", "", "AppTraces is kept for other than 30"),
        ("retention", "retentionInDays: retentionDays", "retentionInDays: 90", "AppTraces is kept for other than 30"),
        ("logs", "retentionInDays: retentionDays", "retentionInDays: 30", "other than 60 days"),
        ("logs", "retentionDays == 30", "retentionDays == 60", "other than 30 days"),
        ("main", "  dependsOn: [receiver]\n", "", "before that can be active"),
    ],
    "alarms": [
        ("alarms", "name: 'too_large'", "name: 'to_large'", "searched for"),
        ("alarms", "[actions.id]", "[]", "tells nobody"),
        ("alarms", "webhookCheck ? checkAlarms : []", "checkAlarms", "searched for"),
        ("alarms", "webhookCheck ? checkAlarms : []", "webhookCheck ? [] : checkAlarms", "searched for"),
        ("alarms", "line.blocked", "line.block", "no field is called block"),
        ("alarms", '"webhook_check" and', '"webhook_checks" and', "no event is called webhook_checks"),
        ("alarms", "actionGroupId: actions.id", "actionGroupId: workspaceId", "tells nobody"),
        ("alarms", '"event_lost", "no_key", "internal_error"', '"event_gone"', "no event is called event_gone"),
        ("alarms", "line.expiring_count", "line.expiring", "no field is called expiring"),
        ("alarms", "window: 'PT15M'", "window: 'PT20M'", "window"),
        ("alarms", "'DeadletteredMessages'", "'DeadLetters'", "metrics watched"),
        ("alarms", "        values: [queueName]\n", "        values: ['*']\n", "other queues"),
        ("alarms", "emailAddress: notificationEmail", "emailAddress: 'nobody@example.com'", "mails go to"),
        ("alarms", "    severity: 1\n    window: 'PT15M'", "    severity: 3\n    window: 'PT15M'", "another severity"),
        (
            "alarms",
            "enabled: true\n      scopes: [workspaceId]",
            "enabled: false\n      scopes: [workspaceId]",
            "is off",
        ),
        ("alarms", "            threshold: 0\n", "            threshold: 5\n", "does not fire at one"),
    ],
    "host": [
        ("host", '"Trace;Request;Exception;Event"', '"Request;Exception"', "sampling"),
        ("host", '"default": "Information"', '"default": "Warning"', "not logged"),
        ("host", '"maxConcurrentRequests": 16', '"maxConcurrentRequests": 100', "another number"),
        ("host", '"dynamicThrottlesEnabled": false', '"dynamicThrottlesEnabled": true', "429"),
        ("host", '"routePrefix": "api"', '"routePrefix": ""', "prefix"),
        ("host", '"00:02:00"', '"00:00:30"', "redrive"),
    ],
}
"""By rule: a file, what is replaced there, by what, and what the rule must say then."""


def judged(copy: Copy, by: str) -> Iterator[str]:
    """What a rule says of a copy, with one set of parameters after the other."""
    match by:
        case "compiler":
            yield from compiled(copy.infra)
        case "text":
            yield from secretless(copy.infra)
        case "host":
            yield from host(json.loads(copy.host.read_text("utf-8")), deployment())
        case _:
            for params in DEPLOYMENTS.values():
                yield from RULES[by](deploy(copy.infra / "main.bicep", params), params)


@pytest.mark.parametrize(
    ("by", "file", "old", "new", "says"),
    [
        pytest.param(by, *case, id=f"{by}-{number}")
        for by, cases in BROKEN.items()
        for number, case in enumerate(cases, 1)
    ],
)
def test_a_broken_copy_is_noticed(copy: Copy, by: str, file: str, old: str, new: str, says: str) -> None:
    """Each rule complains about what it is for: nothing here passes because nobody looked."""
    copy.change(file, old, new)
    faults = []
    for fault in judged(copy, by):
        if re.search(says, fault):
            return
        faults.append(fault)
    pytest.fail(f"nothing says {says!r}: {faults}")


def test_both_parsers_notice_a_syntax_error(copy: Copy) -> None:
    """A brace that is missing is an error for either grammar, and for the front end."""
    from lark.exceptions import LarkError
    from pycep import BicepParser

    copy.change("keys", "    sku: {\n", "    sku: \n")
    broken = copy.infra / "modules/keys.bicep"
    with pytest.raises(LarkError):
        BicepParser().parse(text=broken.read_text("utf-8"))
    assert any("syntax error" in fault for fault in Template(broken).faults())


# -------------------------------------------------------------------------------------------------------------- scanner


def scan(folder: Path) -> dict[str, Any]:
    """What checkov says, with the checks of our own."""
    program = gcp_tools.CHECKOV.program("checkov")
    if program is None:
        pytest.skip(f"needs the scanner: run `{gcp_tools.MAKE}`")
    run = subprocess.run(
        [
            *(str(program), "--directory", str(folder), "--framework", "bicep", "--skip-download", "--output", "json"),
            *("--external-checks-dir", str(INFRA / "checks")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    result: dict[str, Any] = json.loads(run.stdout)
    return result


@pytest.mark.slow
def test_the_scanner_has_nothing_to_say() -> None:
    """Checkov reads every file and finds nothing that is not explained where it is; our checks of Service Bus ran."""
    result = scan(INFRA)
    assert [(c["check_id"], c["resource"]) for c in result["results"]["failed_checks"]] == []
    assert result["summary"]["parsing_errors"] == 0
    passed = {check["check_id"] for check in result["results"]["passed_checks"]}
    assert {"CKV_DASTRA_1", "CKV_DASTRA_2", "CKV_DASTRA_3", "CKV_DASTRA_4"} <= passed
    written = sum(len(re.findall(r"checkov:skip=", path.read_text("utf-8"))) for path in BICEP)
    assert result["summary"]["skipped"] == written, "an explanation stands for a finding that there is not"


@pytest.mark.slow
def test_the_scanner_sees_what_is_broken(copy: Copy) -> None:
    """Shared keys on the queue and blobs for anybody are findings, the first of them of our own check."""
    copy.change("queue", "disableLocalAuth: true", "disableLocalAuth: false")
    copy.change("queue", "requiresDuplicateDetection: true", "requiresDuplicateDetection: false")
    copy.change("store", "allowBlobPublicAccess: false", "allowBlobPublicAccess: true")
    copy.change("store", "publicAccess: 'None'", "publicAccess: 'Container'")
    failed = {check["check_id"] for check in scan(copy.infra)["results"]["failed_checks"]}
    assert {"CKV_DASTRA_1", "CKV_DASTRA_3", "CKV_AZURE_34"} <= failed


def test_every_finding_that_is_let_pass_says_why() -> None:
    """An explanation is a sentence."""
    for path in BICEP:
        for reason in re.findall(r"checkov:skip=CKV\w*:(.*)", path.read_text("utf-8")):
            assert reason.endswith("."), f"{path.name}: {reason}"


# ------------------------------------------------------------------------------------------------------------------ azd


def substituted() -> dict[str, Any]:
    """The parameters as azd fills them in: variables, then defaults, then the type that the template wants."""
    params = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    types = {name: declaration.subject for name, declaration in Template(INFRA / "main.bicep").params.items()}
    filled: dict[str, Any] = {}
    for name, entry in params.items():
        match = re.fullmatch(r"\$\{([A-Z_]+)(?:=([^}]*))?\}", entry["value"])
        assert match, name
        text = {"AZURE_ENV_NAME": "test"}.get(match[1], match[2] or "")
        if types[name] == "bool":
            filled[name] = text == "true"
        else:
            filled[name] = int(text) if types[name] == "int" else text
    return filled


def test_azd_can_set_every_parameter() -> None:
    """Each parameter of the template has a variable, and a default there is the template's own."""
    declared = Template(INFRA / "main.bicep").params
    filled = substituted()
    assert filled.keys() == declared.keys()
    made, plain = deploy(INFRA / "main.bicep", filled), deployment("least")
    assert [(r.id, r.body) for r in made.resources] == [(r.id, r.body) for r in plain.resources]


def test_azd_variables_are_not_taken_for_settings() -> None:
    """No variable of azd has a name that begins as the receiver's settings do, and none stands twice."""
    names = re.findall(r"\$\{([A-Z_]+)", (INFRA / "main.parameters.json").read_text("utf-8"))
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("DASTRA_")]


def test_azd_finds_template_service_and_build() -> None:
    """The file azure.yaml names the template, and the service by the function app's tag."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML of the test group: make setup")
    content = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    infra = content["infra"]
    assert (ROOT / infra["path"] / f"{infra['module']}.bicep").is_file()
    assert infra["provider"] == "bicep"
    tag = deployment().one("Microsoft.Web/sites").body["tags"]["azd-service-name"]
    assert content["services"] == {tag: {"project": "build/azure", "language": "python", "host": "function"}}
