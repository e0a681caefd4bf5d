import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import log
from core.log import NUMBER_FIELDS, TEXT_FIELDS, LogEvent
from tests.deploy.gcp import INFRA, NAME, PROJECT, Json, dashboard, definitions, dry_run, needs_gcloud, planned

# The design's table, and beside it what this cloud needs besides.
TABLE = {
    "event_lost",
    "platform_error",
    "bad_signature_high",
    "bad_signature_low",
    "authentic_from_unlisted_address",
    "spooled",
    "quarantined",
    "expiring",
    "too_large",
    "dead_letters",
    "slow",
    "silence",
    "webhook_errors",
    "webhook_blocked",
}
BESIDES = {"unread", "no_subscription", "redrive_failed", "webhook_check_failed"}
# What is there on request alone: the variable and the option with which it is, and its alarms.
OPTIONAL: dict[str, tuple[dict[str, Any], str, set[str]]] = {
    "silence": ({"silence_hours": 12}, "--silence-hours=12", {"silence"}),
    "check": (
        {"webhook_check": True},
        "--webhook-check=on",
        {"webhook_errors", "webhook_blocked", "webhook_check_failed"},
    ),
}
EVERYTHING: dict[str, Any] = {name: value for given, _, _ in OPTIONAL.values() for name, value in given.items()}
EVERY_OPTION = tuple(option for _, option, _ in OPTIONAL.values())

EVENTS = [event for event in vars(log).values() if isinstance(event, LogEvent)]
EVENT_NAMES = {event.name for event in EVENTS}
# Built-in metrics, as Google's lists of metrics for Cloud Run and Pub/Sub name them, each with its resource.
BUILT_IN = {
    "run.googleapis.com/request_count": "cloud_run_revision",
    "run.googleapis.com/request_latencies": "cloud_run_revision",
    "run.googleapis.com/container/instance_count": "cloud_run_revision",
    "pubsub.googleapis.com/subscription/num_undelivered_messages": "pubsub_subscription",
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": "pubsub_subscription",
}
RESOURCES = {
    "subscription_removed": {"pubsub_subscription", "pubsub_topic"},
    "redrive_failed": {"cloud_scheduler_job"},
    "webhook_check_failed": {"cloud_run_revision", "cloud_scheduler_job"},
}
OURS = f"logging.googleapis.com/user/{NAME}-"


def events_with(metric: str) -> set[str]:
    """The log events that count for a metric of the core; one that adds nothing to it need not be in a log's filter."""
    return {event.name for event in EVENTS if metric in {each.name for each in event.metrics if each.value}}


def events_in(filter_: str) -> set[str]:
    """The event names that a log filter compares the line's message with."""
    found: set[str] = set()
    for group in re.findall(r'jsonPayload\.message=(\([^)]*\)|"[^"]*")', filter_):
        found |= set(re.findall(r'"([^"]+)"', group))
    return found


def filters(value: Any) -> Iterator[str]:
    """Every filter of Cloud Monitoring below a value."""
    match value:
        case dict():
            for key, inner in value.items():
                if key == "filter" and isinstance(inner, str) and "metric.type" in inner:
                    yield inner
                else:
                    yield from filters(inner)
        case list():
            for each in value:
                yield from filters(each)


def conditions(alarm: str, kind: str) -> list[Json]:
    """The conditions of a kind that an alarm has."""
    return [each[kind] for each in definitions("alarms")[alarm]["conditions"] if kind in each]


def metrics_of(alarm: str) -> set[str]:
    """The log-based metrics that an alarm reads."""
    text = json.dumps(definitions("alarms")[alarm])
    return set(re.findall(rf"{re.escape(OURS)}(\w+)", text))


def test_every_alarm_of_the_table_is_there() -> None:
    """Each of the design's, and three of this cloud's own."""
    assert definitions("alarms").keys() == TABLE | BESIDES


def test_every_alarm_reaches_somebody() -> None:
    """Each has the e-mail channel, and every further one that was given; the channel has the address that was given."""
    extra = f"projects/{PROJECT}/notificationChannels/77"
    plan = planned(**EVERYTHING, notification_channels=[extra])
    channel = plan.resources["google_monitoring_notification_channel.email"]
    policies = plan.of("google_monitoring_alert_policy")
    assert (channel["type"], channel["labels"]) == ("email", {"email_address": "oncall@example.com"})
    assert policies.keys() == {f'this["{name}"]' for name in TABLE | BESIDES}
    for policy in policies.values():
        assert policy["notification_channels"] == [f"projects/{PROJECT}/notificationChannels/1", extra]
        assert policy["enabled"] is not False


def test_every_alarm_of_the_gcloud_path_reaches_somebody() -> None:
    """The files that gcloud is given name the same channels."""
    extra = f"projects/{PROJECT}/notificationChannels/77"
    run = dry_run("deploy.sh", *EVERY_OPTION, "--notification-channel", extra)
    for name in TABLE | BESIDES:
        channels = run.filled[f"alarms/{name}.json"]["notificationChannels"]
        assert channels == [f"projects/{PROJECT}/notificationChannels/NUMBER", extra]


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_alarm_is_off_until_it_is_asked_for(name: str) -> None:
    """Both paths leave it out without a word, with whatever it is made of, and make it with one."""
    variables, option, alarms = OPTIONAL[name]
    without, with_it = planned(), planned(**variables)
    addresses = {f'google_monitoring_alert_policy.this["{alarm}"]' for alarm in alarms}
    assert not addresses & without.resources.keys()
    assert addresses <= with_it.resources.keys()
    files = {f"alarms/{alarm}.json" for alarm in alarms}
    assert not files & dry_run("deploy.sh").filled.keys()
    assert files <= dry_run("deploy.sh", option).filled.keys()


def test_silence_is_told_after_its_hours() -> None:
    """Whichever they are."""
    policy = planned(silence_hours=5).resources['google_monitoring_alert_policy.this["silence"]']
    assert policy["conditions"][0]["condition_absent"][0]["duration"] == "18000s"


def test_the_check_makes_nothing_until_it_is_asked_for() -> None:
    """Neither function nor account, secret, schedule, metric or output: without a word, not a trace of it."""
    without, with_it = planned(), planned(webhook_check=True)
    more = {address.partition(".this[")[0] for address in with_it.resources.keys() - without.resources.keys()}
    assert more == {
        "google_cloud_run_v2_service_iam_member.schedule_calls_watch[0]",
        "google_cloud_scheduler_job.watch[0]",
        "google_cloudfunctions2_function.watch[0]",
        "google_logging_metric",
        "google_monitoring_alert_policy",
        "google_secret_manager_secret.api_key[0]",
        "google_secret_manager_secret_iam_member.watch_reads_api_key[0]",
        "google_service_account",
    }
    # The pause is made anew with the metrics that it waits for, and the dashboard has more tiles.
    changed = {"time_sleep.settled", "google_monitoring_dashboard.this"}
    for address, values in without.resources.items():
        assert (values == with_it.resources[address]) is (address not in changed), address
    assert without.outputs["api_key_secret"] is None
    assert with_it.outputs["api_key_secret"].endswith(f"/secrets/{NAME}-api-key")
    made = " ".join(word for command in dry_run("deploy.sh").commands for word in command.words)
    for trace in ("watch", "api-key", "webhook_", "DASTRA_API"):
        assert trace not in made, trace


@pytest.mark.parametrize(
    ("metric", "core_metric"),
    [
        ("event_lost", "EventLost"),
        ("bad_signature_high", "BadSignatureFromListedAddress"),
        ("bad_signature_low", "BadSignatureFromUnlistedAddress"),
        ("authentic_from_unlisted_address", "AuthenticFromUnlistedAddress"),
        ("too_large", "TooLarge"),
        ("duration_ms", "Duration"),
        ("spool_count", "SpoolCount"),
        ("spool_oldest_seconds", "SpoolOldestAge"),
        ("quarantine_count", "QuarantineCount"),
        ("quarantine_oldest_seconds", "QuarantineOldestAge"),
        ("expiring_count", "ExpiringCount"),
        ("webhook_checks", "WebhookChecks"),
        ("webhook_errors", "WebhookErrors"),
        ("webhook_blocked", "WebhooksBlocked"),
        ("webhook_check_failed", "WebhookCheckFailed"),
    ],
)
def test_a_log_based_metric_counts_what_the_cores_metric_does(metric: str, core_metric: str) -> None:
    """The filter names exactly the events that carry the core's metric, so that the clouds raise the same alarms."""
    assert events_in(definitions("metrics")[metric]["filter"]) == events_with(core_metric)


def test_genuine_events_are_those_with_a_durable_place() -> None:
    """`silence` is about authentic events: accepted, spooled or quarantined."""
    assert events_in(definitions("metrics")["genuine"]["filter"]) == {"accepted", "spooled", "quarantined"}


def test_both_kinds_of_bad_signature_are_told_apart() -> None:
    """The one event is split by the field `listed`, into a high and a low alarm."""
    for metric, listed, severity in (
        ("bad_signature_high", "true", "ERROR"),
        ("bad_signature_low", "false", "WARNING"),
    ):
        assert f"jsonPayload.listed={listed}" in definitions("metrics")[metric]["filter"]
        assert definitions("alarms")[metric]["severity"] == severity
        assert metrics_of(metric) == {metric}
    assert "listed" in NUMBER_FIELDS


def test_every_event_and_field_that_is_read_exists() -> None:
    """What the filters and extractors name is in core/log.py: events, fields, and numbers where numbers are needed."""
    for name, metric in definitions("metrics").items():
        assert events_in(metric["filter"]) <= EVENT_NAMES, name
        fields = set(re.findall(r"jsonPayload\.(\w+)", metric["filter"])) - {"message"}
        assert fields <= NUMBER_FIELDS | TEXT_FIELDS.keys(), name
        extracted = re.fullmatch(r"EXTRACT\(jsonPayload\.(\w+)\)", metric.get("valueExtractor", ""))
        assert (extracted is not None) is (metric["metricDescriptor"]["valueType"] == "DISTRIBUTION"), name
        if extracted:
            assert extracted[1] in NUMBER_FIELDS, name


def test_no_label_comes_from_a_sender() -> None:
    """The one label is the name of the event, which the filter limits to a closed list."""
    for name, metric in definitions("metrics").items():
        for label, extractor in metric.get("labelExtractors", {}).items():
            assert (name, label, extractor) == ("outcomes", "outcome", "EXTRACT(jsonPayload.message)")
            assert events_in(metric["filter"]) <= EVENT_NAMES
            assert metric["metricDescriptor"]["labels"] == [{"key": "outcome", "valueType": "STRING"}]


def test_filters_look_at_this_deployment_alone() -> None:
    """Two deployments in one project do not raise each other's alarms."""
    for name, metric in definitions("metrics").items():
        assert NAME in metric["filter"], name
    for name, alarm in definitions("alarms").items():
        for filter_ in filters(alarm):
            assert NAME in filter_, name


def test_every_metric_that_is_read_exists() -> None:
    """In alarms and on the dashboard: a log-based one of ours on its resource, or a built-in one."""
    known = definitions("metrics").keys()
    for name, content in {**definitions("alarms"), "dashboard": dashboard()}.items():
        for filter_ in filters(content):
            (type_,) = re.findall(r'metric\.type="([^"]+)"', filter_)
            (resource,) = re.findall(r'resource\.type="([^"]+)"', filter_)
            if type_.startswith(OURS):
                metric = type_.removeprefix(OURS)
                assert metric in known, f"{name}: {metric}"
                assert resource in RESOURCES.get(metric, {"cloud_run_revision"}), f"{name}: {metric}"
            else:
                assert BUILT_IN[type_] == resource, f"{name}: {type_}"


def test_every_metric_is_read() -> None:
    """None is made, and paid for, that neither an alarm nor the dashboard reads."""
    text = json.dumps([definitions("alarms"), dashboard()])
    for name in definitions("metrics"):
        assert f"{OURS}{name}" in text, name


@pytest.mark.parametrize(
    "alarm",
    sorted(
        {"event_lost", "platform_error", "bad_signature_high", "bad_signature_low", "too_large"}
        | {"authentic_from_unlisted_address", "no_subscription"}
    ),
)
def test_one_is_enough(alarm: str) -> None:
    """These fire at the first, within a minute, and are ready for the next half an hour later."""
    for each in definitions("alarms")[alarm]["conditions"]:
        threshold = each["conditionThreshold"]
        assert (threshold["comparison"], threshold["thresholdValue"]) == ("COMPARISON_GT", 0)
        assert threshold["duration"] == "0s"
        assert threshold["aggregations"] == [
            {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_SUM", "crossSeriesReducer": "REDUCE_SUM"}
        ]
    assert definitions("alarms")[alarm]["alertStrategy"] == {"autoClose": "1800s", "notificationPrompts": ["OPENED"]}


@pytest.mark.parametrize(
    ("alarm", "metric", "limit"),
    [
        ("spooled", "spool_oldest_seconds", 900),
        ("quarantined", "quarantine_count", 0.5),
        ("expiring", "expiring_count", 0.5),
        ("slow", "duration_ms", 3000),
        ("webhook_errors", "webhook_errors", 0.5),
        ("webhook_blocked", "webhook_blocked", 0.5),
    ],
)
def test_a_gauges_limit_is_a_bound_of_its_buckets(alarm: str, metric: str, limit: float) -> None:
    """A percentile of a distribution is a guess inside a bucket; at a bound it cannot be on the wrong side."""
    threshold = conditions(alarm, "conditionThreshold")[0]
    bounds = definitions("metrics")[metric]["bucketOptions"]["explicitBuckets"]["bounds"]
    assert f"{OURS}{metric}" in threshold["filter"]
    assert (threshold["comparison"], threshold["thresholdValue"]) == ("COMPARISON_GT", limit)
    assert threshold["aggregations"][0]["perSeriesAligner"] == "ALIGN_PERCENTILE_99"
    assert limit in bounds
    assert bounds == sorted(set(bounds))


def test_a_count_of_one_is_never_in_the_bucket_of_none() -> None:
    """The counts' bounds lie between whole numbers, the first between 0 and 1."""
    for metric in ("spool_count", "quarantine_count", "expiring_count", "webhook_errors", "webhook_blocked"):
        bounds = definitions("metrics")[metric]["bucketOptions"]["explicitBuckets"]["bounds"]
        assert bounds[0] == 0.5
        assert all(bound % 1 == 0.5 for bound in bounds)


@pytest.mark.parametrize(
    ("alarm", "metric"),
    [("spooled", "spool_count"), ("quarantined", "quarantine_count"), ("expiring", "expiring_count")],
)
def test_missing_gauges_count_as_bad(alarm: str, metric: str) -> None:
    """Whether a metric that nothing adds to has no points or zeros: six runs without one raise the alarm."""
    (absent,) = conditions(alarm, "conditionAbsent")
    runs = [each for each in conditions(alarm, "conditionThreshold") if "redrive_runs" in each["filter"]]
    schedule = planned().resources["google_cloud_scheduler_job.redrive"]["schedule"]
    assert f"{OURS}{metric}" in absent["filter"]
    assert absent["duration"] == "1800s"
    assert (runs[0]["comparison"], runs[0]["thresholdValue"]) == ("COMPARISON_LT", 1)
    assert runs[0]["aggregations"][0]["alignmentPeriod"] == "1800s"
    assert schedule == "*/5 * * * *"
    # Closing it after half an hour without data would call the missing data healed.
    assert definitions("alarms")[alarm]["alertStrategy"]["autoClose"] == "604800s"


def test_a_check_that_cannot_read_is_told() -> None:
    """Two of three that failed, none that succeeded, or a schedule that does not reach it; one alone is nothing."""
    schedule = planned(webhook_check=True).resources["google_cloud_scheduler_job.watch[0]"]["schedule"]
    assert schedule == "*/15 * * * *"
    three = f"{3 * 15 * 60}s"
    failed, unreached, uncounted = conditions("webhook_check_failed", "conditionThreshold")
    for each, resource in ((failed, "cloud_run_revision"), (unreached, "cloud_scheduler_job")):
        assert f'{OURS}webhook_check_failed" AND resource.type="{resource}"' in each["filter"]
        assert (each["comparison"], each["thresholdValue"]) == ("COMPARISON_GT", 1)
        assert each["aggregations"][0] == {
            "alignmentPeriod": three,
            "perSeriesAligner": "ALIGN_SUM",
            "crossSeriesReducer": "REDUCE_SUM",
        }
    assert f"{OURS}webhook_checks" in uncounted["filter"]
    assert (uncounted["comparison"], uncounted["thresholdValue"]) == ("COMPARISON_LT", 1)
    assert uncounted["aggregations"][0]["alignmentPeriod"] == three
    (absent,) = conditions("webhook_check_failed", "conditionAbsent")
    assert f"{OURS}webhook_checks" in absent["filter"]
    assert absent["duration"] == three
    for name in OPTIONAL["check"][2]:
        assert definitions("alarms")[name]["alertStrategy"]["autoClose"] == "604800s", name


def test_what_dastra_says_is_told_at_once_and_held() -> None:
    """Each check counts until the next, so that there is one incident and not one each quarter of an hour."""
    for name in ("webhook_errors", "webhook_blocked"):
        (threshold,) = conditions(name, "conditionThreshold")
        assert (threshold["duration"], threshold["aggregations"][0]["alignmentPeriod"]) == ("0s", f"{15 * 60}s")


def test_a_redrive_that_never_ran_is_noticed() -> None:
    """An absence is seen only where there was something once; a failing schedule speaks for itself."""
    metric = definitions("metrics")["redrive_failed"]["filter"]
    assert 'resource.type="cloud_scheduler_job"' in metric
    assert f'resource.labels.job_id="{NAME}-redrive"' in metric
    assert "severity>=ERROR" in metric


def test_what_never_reaches_the_code_is_seen() -> None:
    """Google's own count leaves out who reached no instance (429) or was not let in (403); its request log does not."""
    metric = definitions("metrics")["platform_error"]["filter"]
    assert f'logName="projects/{PROJECT}/logs/run.googleapis.com%2Frequests"' in metric
    for text in ("httpRequest.status=429", "httpRequest.status>=500", "The request was not authenticated"):
        assert text in metric
    assert "run.googleapis.com/request_count" in json.dumps(definitions("alarms")["platform_error"])


def test_a_topic_without_a_subscription_is_noticed() -> None:
    """Deleting or detaching one of the two subscriptions, or deleting one of the two topics, is in the audit log."""
    metric = definitions("metrics")["subscription_removed"]["filter"]
    for method in ("DeleteSubscription", "DetachSubscription", "DeleteTopic"):
        assert method in metric
    for kind in ("topics", "subscriptions"):
        for end in ("events", "dead-letters"):
            assert f'"projects/{PROJECT}/{kind}/{NAME}-{end}"' in metric
    assert definitions("alarms")["no_subscription"]["severity"] == "CRITICAL"


def test_dead_letters_and_the_queue_are_watched_on_their_own_subscription() -> None:
    """One dead letter is enough; an unread queue is told of two days before it is deleted."""
    (dead,) = conditions("dead_letters", "conditionThreshold")
    (unread,) = conditions("unread", "conditionThreshold")
    queue = planned().resources["google_pubsub_subscription.events"]
    assert f'resource.labels.subscription_id="{NAME}-dead-letters"' in dead["filter"]
    assert dead["thresholdValue"] == 0
    assert f'resource.labels.subscription_id="{NAME}-events"' in unread["filter"]
    assert unread["thresholdValue"] == int(queue["message_retention_duration"].removesuffix("s")) - 2 * 86_400


def test_severities_are_in_order() -> None:
    """A lost event and a lost subscription are the gravest; each alarm says what happened and what to do."""
    alarms = definitions("alarms")
    assert {name for name, alarm in alarms.items() if alarm["severity"] == "CRITICAL"} == {
        "event_lost",
        "no_subscription",
        "webhook_blocked",
    }
    for name, alarm in alarms.items():
        assert alarm["severity"] in {"CRITICAL", "ERROR", "WARNING"}
        assert alarm["userLabels"] == {"app": NAME, "alarm": name}
        assert alarm["displayName"] == f"{NAME} {name}"
        assert len(alarm["documentation"]["content"]) > 100, name
        assert len(alarm["documentation"]["subject"]) <= 255, "Cloud Monitoring allows no more"


def test_commands_in_the_alarms_exist() -> None:
    """An alarm that tells somebody at night to run a command names one that there is."""
    names = {path.stem for path in (INFRA.parents[1] / "cli/commands").glob("*.py")}
    text = json.dumps(definitions("alarms"))
    for command in re.findall(r"`dastra-webhooks ([a-z]+)", text):
        assert command in names, command


def snake(name: str) -> str:
    """A name in Terraform's spelling."""
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)


def as_terraform(value: Any) -> Any:
    """A definition in Terraform's notation: snake_case, nested objects as lists of one."""
    match value:
        case dict():
            return {snake(k): as_terraform(v) for k, v in value.items()}
        case list():
            return [as_terraform(each) for each in value]
        case _:
            return value


def without_nulls(value: Any) -> Any:
    """What is really set."""
    match value:
        case dict():
            return {k: without_nulls(v) for k, v in value.items() if v not in (None, [], {})}
        case list():
            return [without_nulls(each) for each in value]
        case _:
            return value


def test_terraform_makes_the_alarms_as_they_are_defined() -> None:
    """Everything in a definition arrives in the resource: no part is dropped on the way through the dynamic blocks."""
    policies = planned(**EVERYTHING).of("google_monitoring_alert_policy")
    for name, definition in definitions("alarms").items():
        policy = without_nulls(policies[f'this["{name}"]'])
        wanted = as_terraform({k: v for k, v in definition.items() if k != "userLabels"})
        for key in ("documentation", "alert_strategy"):
            wanted[key] = [wanted[key]]
        for each in wanted["conditions"]:
            for kind in ("condition_threshold", "condition_absent"):
                if kind in each:
                    each[kind] = [without_nulls(each[kind])]
        for key, value in wanted.items():
            assert policy[key] == value, f"{name}: {key}"
        assert policy["user_labels"] == definition["userLabels"]


def test_terraform_makes_the_metrics_as_they_are_defined() -> None:
    """The same for the log-based metrics."""
    made = planned(**EVERYTHING).of("google_logging_metric")
    assert made.keys() == {f'this["{name}"]' for name in definitions("metrics")}
    for name, definition in definitions("metrics").items():
        metric = made[f'this["{name}"]']
        descriptor = metric["metric_descriptor"][0]
        wanted = definition["metricDescriptor"]
        assert metric["name"] == f"{NAME}-{name}"
        assert (metric["filter"], metric["description"]) == (definition["filter"], definition["description"])
        assert metric["value_extractor"] == definition.get("valueExtractor")
        assert metric["label_extractors"] == definition.get("labelExtractors")
        assert [descriptor["metric_kind"], descriptor["value_type"], descriptor["unit"]] == [
            wanted[key] for key in ("metricKind", "valueType", "unit")
        ]
        assert [label["key"] for label in descriptor["labels"]] == [label["key"] for label in wanted.get("labels", [])]
        buckets = [each["explicit_buckets"][0]["bounds"] for each in metric["bucket_options"]]
        assert buckets == [
            options["explicitBuckets"]["bounds"] for options in [definition.get("bucketOptions")] if options
        ]


def test_the_dashboard_is_the_same_on_both_paths() -> None:
    """Terraform and the script fill it in alike; what Cloud Monitoring itself fills in is left as it is."""
    for check, option in ((True, "on"), (False, "off")):
        planned_dashboard = json.loads(
            planned(webhook_check=check).resources["google_monitoring_dashboard.this"]["dashboard_json"]
        )
        filled = dry_run("deploy.sh", f"--webhook-check={option}").filled
        assert planned_dashboard == dashboard(check=check) == filled["dashboard.json"]
        assert "dashboard-check.json" not in filled
        assert "${metric.labels.outcome}" in json.dumps(planned_dashboard)


def test_the_dashboard_shows_the_check_of_the_webhooks() -> None:
    """What Dastra counts, and whether the check read, could not, or was not called; without it no tile is empty."""
    read = {
        (metric, resource)
        for filter_ in filters(dashboard())
        for metric, resource in re.findall(rf'{re.escape(OURS)}(webhook_\w+)" AND resource\.type="(\w+)"', filter_)
    }
    assert read == {
        ("webhook_errors", "cloud_run_revision"),
        ("webhook_blocked", "cloud_run_revision"),
        ("webhook_checks", "cloud_run_revision"),
        ("webhook_check_failed", "cloud_run_revision"),
        ("webhook_check_failed", "cloud_scheduler_job"),
    }
    assert "webhook_" not in json.dumps(dashboard(check=False))
    (panel,) = [
        tile["widget"]["logsPanel"] for tile in dashboard()["mosaicLayout"]["tiles"] if "logsPanel" in tile["widget"]
    ]
    for function in ("receive", "redrive", "watch"):
        assert f'"{NAME}-{function}"' in panel["filter"]


def test_the_dashboards_tiles_do_not_overlap() -> None:
    """Each has its place on the grid."""
    layout = dashboard()["mosaicLayout"]
    taken: set[tuple[int, int]] = set()
    for tile in layout["tiles"]:
        cells = {
            (x, y)
            for x in range(tile["xPos"], tile["xPos"] + tile["width"])
            for y in range(tile["yPos"], tile["yPos"] + tile["height"])
        }
        assert not cells & taken
        assert tile["xPos"] + tile["width"] <= layout["columns"]
        taken |= cells


CHECK_WITH_GOOGLES_TYPES = """
import json, pathlib, sys
root = pathlib.Path(sys.argv[1])
sys.path[:0] = [str(root / "lib"), str(root / "lib/third_party")]
from googlecloudsdk.api_lib.util import apis, messages
types = {
    "alarms": apis.GetMessagesModule("monitoring", "v3").AlertPolicy,
    "metrics": apis.GetMessagesModule("logging", "v2").LogMetric,
    "dashboard": apis.GetMessagesModule("monitoring", "v1").Dashboard,
}
for name, content in json.load(sys.stdin).items():
    try:
        messages.DictToMessageWithErrorCheck(content, types[name.partition("/")[0].partition(".")[0]])
    except Exception as error:
        print(name, " ".join(str(error).split()))
"""


def googles_faults(contents: Json, directory: Path) -> list[str]:
    """What Google's own API types, as gcloud ships them, say against definitions."""
    where = subprocess.run(
        [needs_gcloud(), "info", "--format=value(installation.sdk_root,basic.python_location)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "HOME": str(directory),
            "CLOUDSDK_CONFIG": str(directory / "config"),
        },
    )
    root, python = where.stdout.split()
    run = subprocess.run(
        [python, "-c", CHECK_WITH_GOOGLES_TYPES, root],
        input=json.dumps(contents),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return run.stdout.splitlines()


def test_definitions_are_of_googles_own_types(tmp_path: Path) -> None:
    """Every field and every enum value of alarms, metrics and dashboard is one that Google's API has."""
    assert googles_faults(dict(dry_run("deploy.sh", *EVERY_OPTION).filled), tmp_path) == []


def test_googles_types_find_a_wrong_name(tmp_path: Path) -> None:
    """The check above can fail: a misspelt field and an unknown value are both named."""
    broken = json.loads(json.dumps(dict(dry_run("deploy.sh").filled)))
    broken["alarms/spooled.json"]["conditions"][0]["conditionThreshold"]["comparision"] = "COMPARISON_GT"
    broken["metrics/spool_count.json"]["metricDescriptor"]["valueType"] = "GAUGE"
    broken["dashboard.json"]["mosaicLayout"]["tile"] = []
    found = googles_faults(broken, tmp_path)
    named = sorted(line.partition(" ")[0] for line in found)
    assert named == ["alarms/spooled.json", "dashboard.json", "metrics/spool_count.json"]
