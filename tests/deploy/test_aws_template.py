"""The template says the same as the code: settings, metrics, alarms."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest

from core import log
from core.log import LogEvent
from core.screening import SourceIpMode
from core.settings import NAMES, PREFIX, Settings
from tests.deploy import aws
from tests.deploy.aws import ROOT, Template, resources, walk

NAMESPACE: Final = {"Fn::Sub": "DastraWebhooks/${AWS::StackName}"}

AWS_METRICS: Final = {
    ("AWS/Lambda", "Errors"),
    ("AWS/Lambda", "Throttles"),
    ("AWS/Lambda", "Url4xxCount"),
    ("AWS/Lambda", "Url5xxCount"),
    ("AWS/Lambda", "UrlRequestCount"),
    ("AWS/Lambda", "UrlRequestLatency"),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
}
"""AWS's own, by name (AWS Lambda, "Monitoring Lambda function URLs" and "Types of metrics"; Amazon SQS, "Available
CloudWatch metrics")."""

ALARMS: Final = {
    "event_lost",
    "platform_error",
    "platform_error_throttled",
    "platform_error_5xx",
    "bad_signature_high",
    "bad_signature_low",
    "authentic_from_unlisted_address",
    "too_large",
    "spooled",
    "quarantined",
    "expiring",
    "dead_letters",
    "unread",
    "slow",
    "silence",
}


@pytest.fixture
def template() -> Template:
    """The template as it is written."""
    return aws.template()


def emitted() -> dict[str, set[str]]:
    """The names of our metrics by the function that emits them."""
    by_service: dict[str, set[str]] = {"receiver": set(), "redrive": set()}
    for event in vars(log).values():
        if isinstance(event, LogEvent):
            service = "redrive" if event in (log.REDRIVE, log.REDRIVE_SKIPPED) else "receiver"
            by_service[service] |= {metric.name for metric in event.metrics}
    return by_service


def test_every_setting_in_the_template_is_known_to_the_code(template: Template) -> None:
    """Every DASTRA_ name exists, and of those that make sense on a function URL none is missing."""
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    named = {name.removeprefix(PREFIX) for name in variables if name.startswith(PREFIX)}
    assert named <= set(NAMES)
    # A key never stands in a template, and a function URL's address comes from its context, past all proxies.
    assert set(NAMES) - named == {"SIGNATURE_KEYS", "TRUSTED_PROXY_HOPS"}
    for name, resource in resources(template, "AWS::Serverless::Function").items():
        assert "Environment" not in resource["Properties"], f"{name} would have settings of its own"


def defaults(template: Template, **chosen: Any) -> dict[str, str]:
    """The environment of a function in a stack with these parameters and the defaults of the others."""
    values = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()} | chosen
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    return {
        name: values.get(value["Ref"], value["Ref"]) if "Ref" in value else "x" for name, value in variables.items()
    }


def test_the_parameters_defaults_are_the_codes_own(template: Template) -> None:
    """A stack with no parameter set runs with the very settings that the code has by default."""
    with_defaults = Settings.from_env(
        {"DASTRA_QUEUE": "EventQueue", "DASTRA_STORE": "Store", "DASTRA_SIGNATURE_KEYS_SECRET": "SignatureKeys"}
    )
    assert Settings.from_env(defaults(template)) == with_defaults


def test_the_parameters_limits_are_the_codes_own(template: Template) -> None:
    """Whatever CloudFormation lets through the receiver can start with, at both ends of each range."""
    parameters = template["Parameters"]
    assert parameters["SourceIpMode"]["AllowedValues"] == ["quarantine", "observe", "reject", "off"]
    assert set(parameters["SourceIpMode"]["AllowedValues"]) == set(SourceIpMode)
    for mode in SourceIpMode:
        assert Settings.from_env(defaults(template, SourceIpMode=str(mode))).source_ip_mode is mode
    ends = [
        {name: str(parameters[name][end])}
        for name in ("MaxBodyBytes", "MaxEventAgeSeconds")
        for end in ("MinValue", "MaxValue")
    ]
    # The two budgets depend on each other, which a template cannot say.
    ends += [
        {"TimeBudgetSeconds": str(parameters["TimeBudgetSeconds"]["MinValue"]), "QueueBudgetSeconds": "0.375"},
        {
            "TimeBudgetSeconds": str(parameters["TimeBudgetSeconds"]["MaxValue"]),
            "QueueBudgetSeconds": str(parameters["QueueBudgetSeconds"]["MaxValue"]),
        },
        {"QueueBudgetSeconds": str(parameters["QueueBudgetSeconds"]["MinValue"])},
        {"SourceIpAllowlist": "192.0.2.44, 2001:db8::/32"},
    ]
    for chosen in ends:
        Settings.from_env(defaults(template, **chosen))


def test_every_parameter_is_used_described_and_grouped(template: Template) -> None:
    """Each parameter has a default, so that a guided deployment is a row of Enters, and says what it is for."""
    parameters = template["Parameters"]
    used = {
        value
        for path, value in walk([template["Resources"], template["Conditions"], template["Globals"]])
        if path.endswith("/Ref")
    }
    used |= {
        name
        for path, value in walk(template["Resources"])
        if path.endswith("/Fn::Sub")
        for name in re.findall(r"\$\{(\w+)\}", str(value))
    }
    assert set(parameters) <= used
    assert all("Default" in parameter and parameter["Description"] for parameter in parameters.values())
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    assert [name for group in interface["ParameterGroups"] for name in group["Parameters"]] == sorted(
        parameters, key=[name for group in interface["ParameterGroups"] for name in group["Parameters"]].index
    )
    assert set(interface["ParameterLabels"]) == set(parameters)


def test_every_alarm_watches_a_metric_that_exists(template: Template) -> None:
    """A metric of ours is emitted under that name, namespace and dimension; one of AWS's is in its documentation.

    An alarm on a misspelt one would never fire, and nobody would know.
    """
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        properties = alarm["Properties"]
        ((dimension,),) = (properties["Dimensions"],)
        if properties["Namespace"] == NAMESPACE:
            assert dimension["Name"] == "service", name
            assert properties["MetricName"] in emitted()[dimension["Value"]], name
        else:
            assert (properties["Namespace"], properties["MetricName"]) in AWS_METRICS, name
            known = {
                "FunctionName": {"Ref": "Receiver"},
                "QueueName": {"Fn::GetAtt": dimension["Value"].get("Fn::GetAtt")},
            }
            assert dimension["Value"] == known[dimension["Name"]], name


def test_the_functions_emit_into_the_namespace_of_the_alarms(template: Template) -> None:
    """Both functions are told the namespace that the alarms watch, one for each stack."""
    assert template["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == NAMESPACE


def test_every_alarm_is_there_and_tells_somebody(template: Template) -> None:
    """Every alarm is named after its stack, says how bad it is and where to read on, and mails when it begins and ends.

    The gauges take silence for a fault, all others take it for peace.
    """
    found = {}
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        properties = alarm["Properties"]
        found[properties["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")] = properties
        action = {"Fn::If": ["HasEmail", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}
        assert properties["AlarmActions"] == properties["OKActions"] == action, name
        description = properties["AlarmDescription"]
        text = description["Fn::Sub"] if isinstance(description, dict) else description
        assert re.match(r"Severity: (highest|high|low)\. ", text), name
        assert re.search(r"What to do: docs/operations\.md, [a-z_]+\.$", text), name
        assert len(text) < 1024, name
    assert set(found) == ALARMS
    silent = {name for name, properties in found.items() if properties["TreatMissingData"] == "breaching"}
    assert silent == {"spooled", "quarantined", "expiring", "silence"}
    assert {properties["TreatMissingData"] for properties in found.values()} == {"breaching", "notBreaching"}


def test_alarms_fire_where_they_should(template: Template) -> None:
    """One lost event, one platform error, one bad signature are enough; slow is over 3 seconds at the 99th centile."""
    found = {
        alarm["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-"): alarm["Properties"]
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
    }
    one = ALARMS - {"slow", "silence", "unread", "spooled", "quarantined", "expiring"}
    for name in one:
        properties = found[name]
        assert properties["Threshold"] == 1, name
        assert properties["EvaluationPeriods"] == 1, name
        assert properties["ComparisonOperator"] == "GreaterThanOrEqualToThreshold", name
    assert (found["slow"]["ExtendedStatistic"], found["slow"]["Threshold"]) == ("p99", 3000)
    # An alarm can look back seven days, which is the parameter's limit (CloudWatch API, PutMetricAlarm).
    assert found["silence"]["Period"] * template["Parameters"]["SilenceHours"]["MaxValue"] == 7 * 86_400
    queue = resources(template, "AWS::SQS::Queue")["EventQueue"]["Properties"]
    assert found["unread"]["Threshold"] * 2 == queue["MessageRetentionPeriod"]


def test_the_topic_lets_the_alarms_of_the_stack_speak(template: Template) -> None:
    """The topic takes messages from the alarms that are named as this template names them, and the key lets them."""
    (policy,) = resources(template, "AWS::SNS::TopicPolicy").values()
    allow, _ = policy["Properties"]["PolicyDocument"]["Statement"]
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"].endswith(":alarm:${AWS::StackName}-*")
    (key,) = resources(template, "AWS::KMS::Key").values()
    services = [
        statement for statement in key["Properties"]["KeyPolicy"]["Statement"] if "Service" in statement["Principal"]
    ]
    assert [statement["Action"] for statement in services] == [["kms:Decrypt", "kms:GenerateDataKey"]]


def test_the_dashboard_shows_metrics_that_exist(template: Template) -> None:
    """The dashboard is valid JSON, names every alarm but the optional one, and draws only what is emitted."""
    body = resources(template, "AWS::CloudWatch::Dashboard")["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(body)["widgets"]
    shown = {re.sub(r"\W|Arn", "", arn) for arn in widgets[0]["properties"]["alarms"]}
    assert shown == set(resources(template, "AWS::CloudWatch::Alarm")) - {"SilenceAlarm"}
    drawn = set()
    for widget in widgets[1:]:
        last: list[Any] = []
        for metric in widget["properties"]["metrics"]:
            given = [part for part in metric if not isinstance(part, dict)]
            if given[0] == "...":
                given = [*last[: len(last) - len(given) + 1], *given[1:]]
            given = [last[index] if part == "." else part for index, part in enumerate(given)]
            last = given
            drawn.add((given[0], given[1], given[2], given[3]))
    for namespace, name, dimension, value in drawn:
        if namespace == "DastraWebhooks/${AWS::StackName}":
            assert dimension == "service"
            assert name in emitted()[value], name
        else:
            assert (namespace, name) in AWS_METRICS, name
    assert {name for _, name, _, _ in drawn} >= set.union(*emitted().values()) - {"NoKey"}


def test_what_the_command_line_reads_is_put_out(template: Template) -> None:
    """The outputs that `dastra-webhooks --stack` reads are there, and those a person needs next."""
    from cli.clouds.aws import OUTPUTS

    outputs = template["Outputs"]
    assert set(OUTPUTS) <= set(outputs)
    assert {"WebhookUrl", "QueueArn", "DeadLetterQueueUrl", "NextStep"} <= set(outputs)
    assert all(output["Description"] for output in outputs.values())


def test_the_key_policy_for_a_key_of_ones_own_names_every_service(template: Template) -> None:
    """The policy to copy is JSON, and lets in the services that use the key by themselves: alarms and logs."""
    policy = json.loads((ROOT / "infra/aws/kms-key-policy.json").read_text("utf-8"))
    services = {
        statement["Principal"]["Service"] for statement in policy["Statement"] if "Service" in statement["Principal"]
    }
    assert services == {"cloudwatch.amazonaws.com", "logs.REGION.amazonaws.com"}
    assert "infra/aws/kms-key-policy.json" in template["Parameters"]["KmsKeyArn"]["Description"]
