"""The template says the same as the code: settings, metrics, alarms."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest

from core import log
from core.log import Level, LogEvent
from core.screening import SourceIpMode
from core.settings import NAMES, PREFIX, WATCH_NAMES, Settings
from core.watch_settings import API_URL, WatchSettings
from tests.deploy import aws
from tests.deploy.aws import ROOT, Template, resources, walk

NAMESPACE: Final = {"Fn::Sub": "DastraWebhooks/${AWS::StackName}"}

AWS_METRICS: Final = {
    ("AWS/Lambda", "ConcurrentExecutions"),
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
    "webhook_errors",
    "webhook_blocked",
    "webhook_check_failed",
}
OPTIONAL: Final = {
    "HasSilence": {"silence"},
    "HasWebhookCheck": {"webhook_errors", "webhook_blocked", "webhook_check_failed"},
}
"""Alarms that are there under a condition alone."""
GAUGES: Final = {"spooled", "quarantined", "expiring"}
FILLED: Final = {"silence", "webhook_check_failed"}
"""Alarms on too little: a period without data is a zero there."""


@pytest.fixture
def template() -> Template:
    """The template as it is written."""
    return aws.template()


def emitted() -> dict[str, set[str]]:
    """The names of our metrics by the function that emits them."""
    by_service: dict[str, set[str]] = {"receiver": set(), "redrive": set(), "watch": set()}
    for event in vars(log).values():
        if isinstance(event, LogEvent):
            service = "redrive" if event in (log.REDRIVE, log.REDRIVE_SKIPPED) else "receiver"
            service = "watch" if event.name.startswith("webhook_") else service
            by_service[service] |= {metric.name for metric in event.metrics}
    return by_service


def test_every_setting_in_the_template_is_known_to_the_code(template: Template) -> None:
    """Every DASTRA_ name exists, and of those that make sense on a function URL none is missing."""
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    named = {name.removeprefix(PREFIX) for name in variables if name.startswith(PREFIX)}
    assert named <= set(NAMES)
    # A key never stands in a template, and a function URL's address comes from its context, past all proxies.
    assert set(NAMES) - named == {"SIGNATURE_KEYS", "TRUSTED_PROXY_HOPS"}
    functions = resources(template, "AWS::Serverless::Function")
    own = {name for name, function in functions.items() if "Environment" in function["Properties"]}
    assert own == {"Watch"}, "another function would have settings of its own"
    assert set(functions["Watch"]["Properties"]["Environment"]["Variables"]) == {PREFIX + name for name in WATCH_NAMES}


def watch_environment(template: Template, **chosen: Any) -> dict[str, str]:
    """What SAM gives the check: its own variables beside those of every function."""
    values = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()} | chosen
    own = resources(template, "AWS::Serverless::Function")["Watch"]["Properties"]["Environment"]["Variables"]
    return defaults(template) | {name: values.get(value["Ref"], value["Ref"]) for name, value in own.items()}


def test_the_checks_parameters_are_the_codes_own_settings(template: Template) -> None:
    """By default it asks Dastra itself about all webhooks; each parameter reaches its setting."""
    assert WatchSettings.from_env(watch_environment(template)) == WatchSettings("ApiKey", API_URL)
    chosen = {"WebhookIds": "1, 22", "WorkspaceId": "7", "ApiUrl": "https://api.example.org"}
    assert WatchSettings.from_env(watch_environment(template, **chosen)) == WatchSettings(
        "ApiKey", "https://api.example.org", ("1", "22"), 7
    )
    for name, value in {**chosen, "NotThere": ""}.items():
        pattern = template["Parameters"].get(name, {"AllowedPattern": "^$"})["AllowedPattern"]
        assert re.search(pattern, value), name
    for name, value in {"ApiUrl": "http://api.example.org", "WorkspaceId": "all", "WebhookIds": "1;2"}.items():
        assert not re.search(template["Parameters"][name]["AllowedPattern"], value), name


def made(template: Template, *conditions: str) -> set[str]:
    """The logical ids of what is there while these conditions hold and no other."""
    return {
        name
        for name, resource in resources(template).items()
        if resource.get("Condition") is None or resource["Condition"] in conditions
    }


def test_the_check_is_off_until_it_is_asked_for(template: Template) -> None:
    """Without a word nothing of it is made, neither function nor secret nor alarm; with `on` all of it is."""
    parameter = template["Parameters"]["WebhookCheck"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("off", ["off", "on"])
    assert template["Conditions"]["HasWebhookCheck"] == {"Fn::Equals": [{"Ref": "WebhookCheck"}, "on"]}
    with_it = made(template, "HasWebhookCheck") - made(template)
    assert with_it == {
        "Watch",
        "WatchLogs",
        "WatchRole",
        "WatchScheduleRole",
        "ApiKey",
        "WebhookErrorsAlarm",
        "WebhookBlockedAlarm",
        "WebhookCheckFailedAlarm",
    }
    # What is always there must not name what may not be, unless it asks first.
    for name in made(template):
        for path, value in walk(resources(template)[name], name):
            if "/Fn::If/1" in path:
                continue
            if path.endswith("/Ref"):
                assert value not in with_it, path
            if path.endswith("/Fn::GetAtt"):
                assert value[0] not in with_it, path
            if path.endswith("/Fn::Sub") and isinstance(value, str):
                assert not with_it & set(re.findall(r"\$\{(\w+)", value)), path
    for name, output in template["Outputs"].items():
        refers = {value for path, value in walk(output) if path.endswith("/Ref")} & with_it
        assert bool(refers) is (output.get("Condition") == "HasWebhookCheck"), name


def test_the_expanded_template_has_the_check_under_its_condition_alone() -> None:
    """What SAM makes of the function and its schedule has the condition too."""
    expanded = aws.transformed()
    schedules = resources(expanded, "AWS::Scheduler::Schedule")
    assert {name: schedule.get("Condition") for name, schedule in schedules.items()} == {
        "RedriveEveryFiveMinutes": None,
        "WatchEveryQuarterOfAnHour": "HasWebhookCheck",
    }
    assert schedules["WatchEveryQuarterOfAnHour"]["Properties"]["ScheduleExpression"] == "rate(15 minutes)"
    for name, resource in resources(expanded).items():
        if name.startswith("Watch"):
            assert resource.get("Condition", "").startswith("HasWebhookCheck"), name


def test_the_check_has_the_time_it_takes(template: Template) -> None:
    """The secret, two requests and the pause between them, with room for a start."""
    from core import watch

    longest = watch.KEY_SECONDS + watch.ATTEMPTS * watch.API_SECONDS + watch.PAUSE_SECONDS
    assert longest + 20 <= resources(template)["Watch"]["Properties"]["Timeout"] <= 900


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


def watched(alarm: Template) -> Template:
    """An alarm's properties, as if it were without metric math: on the very metric that it fills with zeros."""
    properties: Template = alarm["Properties"]
    if "Metrics" not in properties:
        return properties
    metric, filled = properties["Metrics"]
    assert filled["Expression"] == f"FILL({metric['Id']}, 0)"
    # One of the two is the alarm's, and what is not said counts as a yes (CloudWatch API, MetricDataQuery).
    assert (metric["ReturnData"], filled.get("ReturnData", True)) == (False, True)
    stat = metric["MetricStat"]
    return {**properties, **stat["Metric"], "Period": stat["Period"], "Statistic": stat["Stat"]}


def test_every_alarm_watches_a_metric_that_exists(template: Template) -> None:
    """A metric of ours is emitted under that name, namespace and dimension; one of AWS's is in its documentation.

    An alarm on a misspelt one would never fire, and nobody would know.
    """
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        properties = watched(alarm)
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

    The gauges take silence for a fault, all others take it for peace. How long that takes is said where it is long.
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
    assert silent == GAUGES | FILLED
    late = {name for name, properties in found.items() if "up to about an hour" in str(properties["AlarmDescription"])}
    assert late == GAUGES
    # A check that could not read changes nothing of what the last one found; its own alarm tells of it.
    kept = {name for name, properties in found.items() if properties["TreatMissingData"] == "ignore"}
    assert kept == {"webhook_errors", "webhook_blocked"}
    treatments = {properties["TreatMissingData"] for properties in found.values()}
    assert treatments == {"breaching", "notBreaching", "ignore"}


def test_alarms_are_optional_where_their_source_is(template: Template) -> None:
    """Silence needs its hours, and what Dastra says needs the check; all others are always there."""
    for alarm in resources(template, "AWS::CloudWatch::Alarm").values():
        name = alarm["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
        condition = next((condition for condition, names in OPTIONAL.items() if name in names), None)
        assert alarm.get("Condition") == condition, name


def test_alarms_fire_where_they_should(template: Template) -> None:
    """One lost event, one platform error, one bad signature are enough; slow is over 3 seconds at the 99th centile."""
    found = {
        alarm["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-"): watched(alarm)
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
    }
    one = ALARMS - {"slow", "unread"} - FILLED - GAUGES
    for name in one:
        properties = found[name]
        assert properties["Threshold"] == 1, name
        assert properties["EvaluationPeriods"] == 1, name
        assert properties["ComparisonOperator"] == "GreaterThanOrEqualToThreshold", name
    assert (found["slow"]["ExtendedStatistic"], found["slow"]["Threshold"]) == ("p99", 3000)
    silence = found["silence"]
    # An alarm can look back seven days, which is the parameter's limit (CloudWatch API, PutMetricAlarm).
    assert silence["Period"] * template["Parameters"]["SilenceHours"]["MaxValue"] == 7 * 86_400
    assert (silence["EvaluationPeriods"], silence["Threshold"]) == ({"Ref": "SilenceHours"}, 1)
    assert (silence["Statistic"], silence["ComparisonOperator"]) == ("SampleCount", "LessThanThreshold")
    # Three runs of the check, so that one which fails alarms nobody.
    failed = found["webhook_check_failed"]
    assert (failed["Period"], failed["EvaluationPeriods"], failed["DatapointsToAlarm"]) == (15 * 60, 3, 3)
    assert (failed["Statistic"], failed["ComparisonOperator"], failed["Threshold"]) == ("Sum", "LessThanThreshold", 1)
    assert {found[name]["Period"] for name in ("webhook_errors", "webhook_blocked")} == {60}
    queue = resources(template, "AWS::SQS::Queue")["EventQueue"]["Properties"]
    assert found["unread"]["Threshold"] * 2 == queue["MessageRetentionPeriod"]


def test_a_good_number_of_earlier_does_not_hide_that_there_is_none_now(template: Template) -> None:
    """What counts events or checks is filled with zeros: otherwise CloudWatch takes older data for what is missing.

    It looks back over more periods than an alarm has, and uses `TreatMissingData` only for what it does not find there
    (CloudWatch, "How alarm state is evaluated when data is missing").
    """
    filled = {
        alarm["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        if "Metrics" in alarm["Properties"]
    }
    assert filled == FILLED


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
    # As AWS's own example of such a policy has them (SNS, "Enable compatibility between event sources from AWS services
    # and encrypted topics"); so has the policy for a key of the operator's.
    assert [statement["Action"] for statement in services] == [["kms:Decrypt", "kms:GenerateDataKey*"]]
    policy = json.loads((ROOT / "infra/aws/kms-key-policy.json").read_text("utf-8"))
    assert [
        statement["Action"]
        for statement in policy["Statement"]
        if statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ] == [["kms:Decrypt", "kms:GenerateDataKey*"]]


def widgets(template: Template, *conditions: str) -> list[Template]:
    """The dashboard's parts while these conditions hold and no other; what CloudFormation fills in keeps its name."""
    dashboard = resources(template, "AWS::CloudWatch::Dashboard")["Dashboard"]["Properties"]
    text, optional = dashboard["DashboardBody"]["Fn::Sub"]
    for name, value in optional.items():
        condition, yes, no = value["Fn::If"]
        assert (no, "Fn::Sub" in yes) == ("", True), name
        text = text.replace(f"${{{name}}}", yes["Fn::Sub"] if condition in conditions else no)
    # What is filled in must be there: a stack that names a part which its conditions leave out is not made.
    for filled in re.findall(r"\$\{(\w+)[}.]", text):
        assert filled in made(template, *conditions), filled
    parts: list[Template] = json.loads(text)["widgets"]
    return parts


@pytest.mark.parametrize("conditions", [(), ("HasSilence",), ("HasWebhookCheck",), ("HasSilence", "HasWebhookCheck")])
def test_the_dashboard_shows_every_alarm_that_is_there(template: Template, conditions: tuple[str, ...]) -> None:
    """The dashboard is valid JSON and names every alarm, the optional ones while they are on."""
    shown = {re.sub(r"\W|Arn", "", arn) for arn in widgets(template, *conditions)[0]["properties"]["alarms"]}
    assert shown == made(template, *conditions) & resources(template, "AWS::CloudWatch::Alarm").keys()


@pytest.mark.parametrize("conditions", [(), ("HasWebhookCheck",)])
def test_the_dashboard_shows_the_newest_warnings(template: Template, conditions: tuple[str, ...]) -> None:
    """Of each function that is there, and what Lambda itself writes of one that died, without callers' addresses."""
    *_, log_ = widgets(template, *conditions)
    query = log_["properties"]["query"]
    assert (log_["type"], log_["properties"]["view"]) == ("log", "table")
    groups = made(template, *conditions) & resources(template, "AWS::Logs::LogGroup").keys()
    assert set(re.findall(r"SOURCE '\$\{(\w+)\}' \|", query)) == groups
    levels = {event.level for event in vars(log).values() if isinstance(event, LogEvent)} - {Level.INFO}
    assert set(json.loads(re.findall(r"filter level in (\[.*?\])", query)[0])) == levels
    assert "or @message like /Task timed out|Status: (error|timeout)/" in query
    fields = re.findall(r"\| fields (.*?) \|", query)[0]
    assert set(re.findall(r"[@\w]+", fields)) - log.TEXT_FIELDS.keys() == {
        *("@timestamp", "service", "level", "coalesce", "message", "@message", "as", "event")
    }
    assert "source_ip" not in fields


@pytest.mark.parametrize("conditions", [(), ("HasWebhookCheck",)])
def test_the_dashboard_shows_functions_that_fail(template: Template, conditions: tuple[str, ...]) -> None:
    """Errors and throttles of each function that is there; and how many receivers run at once."""
    drawn = metrics(widgets(template, *conditions))
    for function in made(template, *conditions) & resources(template, "AWS::Serverless::Function").keys():
        for name in ("Errors", "Throttles"):
            assert ("AWS/Lambda", name, "FunctionName", f"${{{function}}}") in drawn, function
    assert ("AWS/Lambda", "ConcurrentExecutions", "FunctionName", "${Receiver}") in drawn


def test_dashboards_of_two_regions_do_not_collide(template: Template) -> None:
    """An account has one list of dashboards, so the region is in the name, and the output leads to that name."""
    name = resources(template, "AWS::CloudWatch::Dashboard")["Dashboard"]["Properties"]["DashboardName"]["Fn::Sub"]
    assert name == "${AWS::StackName}-${AWS::Region}"
    assert template["Outputs"]["DashboardUrl"]["Value"]["Fn::Sub"].endswith(f"#dashboards/dashboard/{name}")


def metrics(parts: list[Template]) -> set[tuple[Any, ...]]:
    """What the graphs draw: namespace, metric, dimension and its value, CloudWatch's abbreviations written out."""
    drawn = set()
    for widget in parts:
        last: list[Any] = []
        for metric in widget["properties"].get("metrics", ()):
            given = [part for part in metric if not isinstance(part, dict)]
            if given[0] == "...":
                given = [*last[: len(last) - len(given) + 1], *given[1:]]
            given = [last[index] if part == "." else part for index, part in enumerate(given)]
            last = given
            drawn.add((given[0], given[1], given[2], given[3]))
    return drawn


def test_the_dashboard_shows_metrics_that_exist(template: Template) -> None:
    """It draws every metric of ours, and only what is emitted."""
    drawn = metrics(widgets(template, *OPTIONAL))
    for namespace, name, dimension, value in drawn:
        if namespace == "DastraWebhooks/${AWS::StackName}":
            assert dimension == "service"
            assert name in emitted()[value], name
        else:
            assert (namespace, name) in AWS_METRICS, name
    assert {name for _, name, _, _ in drawn} >= set().union(*emitted().values())


def test_what_the_command_line_reads_is_put_out(template: Template) -> None:
    """The outputs that `dastra-webhooks --stack` reads are there, and those a person needs next."""
    from cli.clouds.aws import OUTPUTS

    outputs = template["Outputs"]
    assert set(OUTPUTS) <= set(outputs)
    assert {"WebhookUrl", "QueueArn", "DeadLetterQueueUrl", "NextStep"} <= set(outputs)
    assert all(output["Description"] for output in outputs.values())
    groups = {name: group.get("Condition") for name, group in resources(template, "AWS::Logs::LogGroup").items()}
    assert {
        output["Value"]["Ref"]: output.get("Condition") for name, output in outputs.items() if name.endswith("LogGroup")
    } == groups


def test_the_key_policy_for_a_key_of_ones_own_names_every_service(template: Template) -> None:
    """The policy to copy is JSON, and lets in the services that use the key by themselves: alarms and logs."""
    policy = json.loads((ROOT / "infra/aws/kms-key-policy.json").read_text("utf-8"))
    services = {
        statement["Principal"]["Service"] for statement in policy["Statement"] if "Service" in statement["Principal"]
    }
    assert services == {"cloudwatch.amazonaws.com", "logs.REGION.amazonaws.com"}
    assert "infra/aws/kms-key-policy.json" in template["Parameters"]["KmsKeyArn"]["Description"]
