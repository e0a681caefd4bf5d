"""What the page on personal data says of AWS is what the template makes."""

from __future__ import annotations

import tomllib
from typing import Final

from core.message import CLAIMS_PREFIX
from core.records import ADDRESSES_PREFIX, QUARANTINE_PREFIX, SPOOL_PREFIX
from tests.deploy.aws import ROOT, resources, template
from tests.docs.personal_data import WHERE, column, days, kept, longest, section

CLOUD: Final = "AWS"
DAY: Final = 86_400


def made() -> dict[str, int]:
    """Days by place, from the template."""
    parsed = template()
    queues = resources(parsed, "AWS::SQS::Queue")
    rules = resources(parsed)["Store"]["Properties"]["LifecycleConfiguration"]["Rules"]
    return {
        "queue": queues["EventQueue"]["Properties"]["MessageRetentionPeriod"] // DAY,
        "dead letters": queues["DeadLetterQueue"]["Properties"]["MessageRetentionPeriod"] // DAY,
        "log": parsed["Parameters"]["LogRetentionDays"]["Default"],
        **{rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule},
    }


def test_the_days_are_the_templates() -> None:
    """Every place that expires, and none that does not."""
    table, wanted = kept(CLOUD), made()
    assert {place: days(table[place]) for place in wanted} == wanted
    assert {CLAIMS_PREFIX, SPOOL_PREFIX, QUARANTINE_PREFIX} <= wanted.keys()
    assert table[ADDRESSES_PREFIX] == "for good"


def test_the_longest_ways_add_up() -> None:
    """Held, then a dead letter, which counts from when it was first sent; held, then a large body."""
    each = made()
    held = each[QUARANTINE_PREFIX]
    assert longest(CLOUD) == [held + each["dead letters"], held + each[CLAIMS_PREFIX]]


def test_what_is_encrypted_with_a_key_of_ones_own() -> None:
    """Everything that has a key in the template takes the parameter, so that the sentence about all of them holds."""
    for name, resource in resources(template()).items():
        if resource["Type"] in {
            "AWS::SQS::Queue",
            "AWS::S3::Bucket",
            "AWS::SecretsManager::Secret",
            "AWS::Logs::LogGroup",
        }:
            assert "KmsKeyArn" in str(resource["Properties"]), name
    topic = resources(template(), "AWS::SNS::Topic")["AlarmTopic"]["Properties"]
    assert topic["KmsMasterKeyId"]["Fn::If"][:2] == ["HasKmsKey", {"Ref": "KmsKeyArn"}]


def test_nothing_is_traced_or_copied() -> None:
    """No tracing of the functions, no access log, no versions and no replica of the bucket."""
    parsed = template()
    functions = [
        *resources(parsed, "AWS::Serverless::Function").values(),
        {"Properties": parsed["Globals"]["Function"]},
    ]
    assert not [each for each in functions if "Tracing" in each["Properties"]]
    store = resources(parsed)["Store"]["Properties"].keys()
    assert not store & {"LoggingConfiguration", "VersioningConfiguration", "ReplicationConfiguration"}


def test_the_region_is_sams() -> None:
    """The default that the page names."""
    deploy = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))["default"]["deploy"]["parameters"]
    assert f"`{deploy['region']}`" in next(iter(column(section(WHERE, CLOUD)).values()))
