"""The guide for AWS, against the template, SAM's settings and the SDK's own list of operations."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from typing import Any, Final

import botocore.session
import pytest
from botocore import xform_name

from scripts import smoke_aws
from tests.deploy.aws import ROOT, Template, resources, template
from tests.docs.commands import commands, inline

PAGE: Final = ROOT / "docs/deploy-aws.md"
GUIDE: Final = PAGE.read_text("utf-8")
DAY: Final = 86_400
SERVICES: Final = {"Serverless": "lambda"}
"""Prefixes of permissions where a resource's type has another name."""


def section(heading: str) -> str:
    """The part of the guide below a heading of the second rank."""
    return GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> dict[str, str]:
    """The first table of a text: the second cell by the first."""
    cells = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1] for row in cells[2:]}


def test_the_guide_counts_alarms_as_they_are() -> None:
    """As many as there are without the optional ones."""
    alarms = resources(template(), "AWS::CloudWatch::Alarm").values()
    assert f"{sum('Condition' not in alarm for alarm in alarms)} alarms to an e-mail address" in GUIDE


def test_every_parameter_has_its_row_and_default() -> None:
    """All of them, in the order in which `sam deploy --guided` asks, and no other."""
    table = rows(section("What can be set"))
    parameters = template()["Parameters"]
    assert [name.strip("`") for name in table] == list(parameters)
    for name, default in table.items():
        written = str(parameters[name.strip("`")]["Default"])
        assert default == (f"`{written}`" if written else "empty"), name


def named(parsed: Template) -> set[str]:
    """Every name that the template gives to something, and the properties that the guide speaks of."""
    found = {*parsed["Parameters"], *parsed["Outputs"], *parsed["Resources"]}
    return found | {key for each in resources(parsed).values() for key in each.get("Properties", {})}


def test_the_guide_names_what_the_template_has() -> None:
    """A parameter, an output, a resource or a property in the guide is one of the template."""
    codes = re.findall(r"`([A-Z][a-z]+[A-Z]\w+)(?:=\w+)?`", GUIDE)
    codes += re.findall(r"OutputKey=='(\w+)'", GUIDE) + re.findall(r"--logical-resource-id (\w+)", GUIDE)
    assert len(set(codes)) > 20
    assert set(codes) <= named(template())


def test_limits_that_the_guide_names_are_the_templates() -> None:
    """Silence in hours, and the values of the mode and of the processor."""
    parameters = template()["Parameters"]
    lines = {line.split("|")[1].strip(" `"): line for line in section("What can be set").splitlines() if "| `" in line}
    assert f"at most {parameters['SilenceHours']['MaxValue']}" in lines["SilenceHours"]
    for name in ("SourceIpMode", "Architecture", "WebhookCheck"):
        for value in parameters[name]["AllowedValues"]:
            assert f"`{value}`" in lines[name], value


def test_the_guide_says_how_long_things_are_kept() -> None:
    """Days of queue, dead letters, prefixes and logs are those of the template; of addresses there is no end."""
    kept, parsed = rows(section("What is kept, and for how long")), template()
    queues = resources(parsed, "AWS::SQS::Queue")
    for row, queue in (("messages on the queue", "EventQueue"), ("dead letters", "DeadLetterQueue")):
        days = queues[queue]["Properties"]["MessageRetentionPeriod"] // DAY
        assert re.match(rf"{days} days\b", kept[row]), row
    rules = resources(parsed)["Store"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    for row, text in kept.items():
        for prefix in re.findall(r"`([a-z]+/)`", row):
            days = expiring.pop(prefix, None)
            assert text == (f"{days} days" if days else "for good"), prefix
    assert not expiring
    assert kept["logs"].startswith(f"{parsed['Parameters']['LogRetentionDays']['Default']} days ")


def test_rights_are_listed_for_every_service_of_the_template() -> None:
    """A resource of a new kind needs a row, and no row is about what is not there."""
    parsed = template()
    kinds = {resource["Type"].split("::")[1] for resource in resources(parsed).values()}
    wanted = {SERVICES.get(kind, kind.lower()) for kind in kinds} | {"cloudformation", "scheduler"}
    table = rows(GUIDE.partition("\n### Rights of whoever deploys\n")[2].partition("\n## ")[0])
    assert {name.strip("`") for name in table} == wanted
    roles = resources(parsed, "AWS::IAM::Role").values()
    words = {3: "three", 5: "five"}
    always = sum("Condition" not in role for role in roles)
    assert table["`iam`"].startswith(
        f"{words[always]} roles with inline policies, {words[len(roles)]} with `WebhookCheck`"
    )


def test_the_steps_begin_with_sams_settings() -> None:
    """Stack and region that Enter takes are those of samconfig.toml, and so are those of the `export` line."""
    deploy = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))["default"]["deploy"]["parameters"]
    assert f"Enter for `{deploy['stack_name']}` and `{deploy['region']}`" in GUIDE
    assert f"export DASTRA_STACK={deploy['stack_name']} AWS_REGION={deploy['region']}" in GUIDE
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    assert "`CAPABILITY_IAM`" in GUIDE


def test_the_key_policy_is_filled_in_by_the_command_that_is_shown() -> None:
    """`sed` leaves JSON without a place-holder, for the account, region and stack that it names."""
    (command,) = [found.text for found in commands(PAGE) if found.text.startswith("sed ")]
    line, _, target = command.rpartition(" > ")
    assert f"file://{target}" in GUIDE
    filled = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    policy: dict[str, Any] = json.loads(filled)
    assert not re.search(r"ACCOUNT|REGION|STACK", filled)
    assert policy["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert "arn:aws:logs:eu-west-3:123456789012:log-group:/aws/lambda/dastra-webhooks-*" in filled


RENAMED: Final = {"Endpoint": "notification-endpoint"}
"""What `aws` calls otherwise (awscli, customizations/argrename.py)."""
OWN: Final = ("aws s3 ", "aws logs tail ")
"""What is the command line's own, and no operation of a service (awscli, customizations/s3 and customizations/logs)."""
CALLS: Final = [
    found.text
    for found in (*commands(PAGE), *inline(PAGE))
    if found.text.startswith("aws ") and not found.text.startswith(OWN)
]


@pytest.mark.parametrize("command", CALLS)
def test_the_aws_command_line_has_every_command(command: str) -> None:
    """Its commands and options are made of the SDK's operations and their members; a few are its own."""
    _, service, operation, *rest = shlex.split(command)
    model = botocore.session.get_session().get_service_model(service)
    known = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in known
    shape = model.operation_model(known[operation]).input_shape
    assert shape is not None
    members = {RENAMED.get(member, xform_name(member, "-")) for member in shape.members} | {"query", "output"}
    assert {word.removeprefix("--") for word in rest if word.startswith("--")} <= members


def test_there_are_commands_to_check() -> None:
    """The list above is not empty by accident."""
    assert len(CALLS) >= 6


def test_options_of_the_smoke_script_exist() -> None:
    """What the guide says of `make smoke-aws` is what the script has."""
    source = (ROOT / "scripts/smoke_aws.py").read_text("utf-8")
    for option in re.findall(r"`ARGS=(--[a-z-]+)`", GUIDE):
        assert f'"{option}"' in source, option
    assert smoke_aws.NEVER_RUN.endswith("never against a real account.")


def test_the_guide_says_what_was_not_run() -> None:
    """Nobody may take this template, these rights or these fronts for tried."""
    text = " ".join(GUIDE.split())
    assert "**Not run: a deployment to a real account.**" in text
    assert "it was **not tried** with an identity that has nothing else" in text
    assert "none of this was run on AWS" in text
    assert "There are two ways out, neither of which was tried" in text


def test_the_guide_names_the_sam_that_the_tests_run() -> None:
    """Its lock has that version; the oldest that builds this template was found by hand."""
    locked = re.search(r"^aws-sam-cli==(\d+\.\d+)", (ROOT / "infra/aws/tools/sam.txt").read_text("utf-8"), re.MULTILINE)
    assert locked is not None
    assert f"1.128 or newer: older ones do not know Python 3.13. The tests run {locked[1]}." in " ".join(GUIDE.split())


def test_the_guide_says_how_long_an_alarm_may_take() -> None:
    """What the template knows of CloudWatch's way to look back, and which alarms begin by ringing."""
    alarms, text = resources(template(), "AWS::CloudWatch::Alarm"), " ".join(section("Alarms that need a word").split())
    late = [name for name, alarm in alarms.items() if "up to about an hour" in str(alarm["Properties"])]
    assert sorted(late) == ["ExpiringAlarm", "QuarantinedAlarm", "SpooledAlarm"]
    assert (
        "`spooled`, `quarantined` and `expiring` also fire when the redrive writes no numbers, up to about an hour"
        in text
    )
    # More than a day makes an alarm one of several days (CloudWatch, "Alarm evaluation").
    (period,) = [each["MetricStat"]["Period"] for each in alarms["SilenceAlarm"]["Properties"]["Metrics"][:1]]
    assert f"From {DAY // period + 1} hours on CloudWatch looks once an hour" in text
    runs = alarms["WebhookCheckFailedAlarm"]["Properties"]["EvaluationPeriods"]
    assert f"it fires when {['no', 'one', 'two', 'three'][runs]} checks in a row could not" in text
