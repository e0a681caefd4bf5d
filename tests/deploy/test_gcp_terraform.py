import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from core.settings import NAMES as SETTINGS
from core.settings import PREFIX, WATCH_NAMES, Settings
from core.source_ip import PRESET
from core.watch_settings import API_URL, WatchSettings
from gcp_function.wiring import ALLOCATOR
from tests.deploy.gcp import (
    INFRA,
    NAME,
    PROJECT,
    REQUIRED,
    ROOT,
    Json,
    copy_of_infra,
    make_plan,
    needs_terraform,
    parsed,
    planned,
    refusal,
)
from tests.deploy.terraform_provider import SCHEMA, provider, terraform

# Starts a program of the vendor's for each test.
pytestmark = pytest.mark.slow


WORDS_OF_TERRAFORM = {"count", "depends_on", "for_each", "lifecycle", "provider"}


def bare(text: str) -> str:
    """A string as python-hcl2 gives it, without its quotes."""
    return text.strip('"')


def schema_faults(files: Mapping[str, Json], resources: Json) -> Iterator[str]:
    """What the files say that the provider does not know, and what they leave out that it wants."""
    for file, content in files.items():
        for entry in content.get("resource", []):
            for type_, named in entry.items():
                for name, body in named.items():
                    where = f"{file}: {bare(type_)}.{bare(name)}"
                    tree = resources.get(bare(type_))
                    if tree is not None:
                        yield from _faults(where, body, tree, WORDS_OF_TERRAFORM)
                    elif bare(type_).startswith("google_"):
                        yield f"{where}: the schema has no such resource; run scripts/google_provider_schema.py"


def _faults(where: str, body: Json, tree: Json, allowed: set[str]) -> Iterator[str]:
    present: set[str] = set()
    for key, value in body.items():
        if key.startswith("__") or key in allowed:
            continue
        if key == "dynamic":
            for dynamic in value:
                for label, inner in dynamic.items():
                    if not label.startswith("__"):
                        present.add(bare(label))
                        for content in inner["content"]:
                            yield from _block_faults(where, bare(label), content, tree)
            continue
        present.add(key)
        if key in tree["blocks"]:
            for block in value:
                yield from _block_faults(where, key, block, tree)
        elif key not in tree["attributes"]:
            # The parser gives a block as a list of objects.
            like_a_block = isinstance(value, list) and value and isinstance(value[0], dict)
            yield f"{where}: {key} is no {'block' if like_a_block else 'attribute'}"
        elif tree["attributes"][key].get("computed"):
            yield f"{where}: {key} can only be read"
    for key, wanted in {**tree["attributes"], **tree["blocks"]}.items():
        if wanted["required"] and key not in present:
            yield f"{where}: {key} is missing"


def _block_faults(where: str, name: str, body: Json, tree: Json) -> Iterator[str]:
    inner = tree["blocks"].get(name)
    if inner is None:
        yield f"{where}: {name} is no block"
    else:
        yield from _faults(f"{where}.{name}", body, inner, set())


def provider_schema() -> Json:
    """The provider's schema, as far as it is used."""
    content: Json = json.loads(SCHEMA.read_text("utf-8"))
    return content


def test_files_are_formatted() -> None:
    """`terraform fmt` would change nothing."""
    command = [needs_terraform(), "fmt", "-check", "-diff", "-no-color", str(INFRA)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout


def test_files_have_canonical_form_without_terraform_too() -> None:
    """Two spaces a level, no tab, no space at a line's end, one line's end at the end: what can be seen without it."""
    for path in sorted(INFRA.glob("*.tf")):
        text = path.read_text("utf-8")
        assert text.endswith("}\n"), path.name
        for number, line in enumerate(text.splitlines(), 1):
            assert line == line.rstrip(), f"{path.name}:{number}"
            assert "\t" not in line, f"{path.name}:{number}"
            assert (len(line) - len(line.lstrip())) % 2 == 0, f"{path.name}:{number}"


def test_every_attribute_and_block_is_the_providers() -> None:
    """Names and required parts agree with the schema of the provider that versions.tf asks for."""
    assert list(schema_faults(parsed(), provider_schema()["resources"])) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (
            "queue.tf",
            "ack_deadline_seconds       = var",
            "ack_deadline             = var",
            "ack_deadline is no attribute",
        ),
        ("queue.tf", "dead_letter_policy {", "dead_letters {", "dead_letters is no block"),
        ("queue.tf", "minimum_backoff =", "least_backoff =", "retry_policy: least_backoff is no attribute"),
        ("store.tf", "bucket_location\n", "bucket_location\n  url = 1\n", "url can only be read"),
        ("store.tf", "  location                    = var.bucket_location\n", "", "location is missing"),
        ("alarms.tf", "cross_series_reducer =", "reducer =", "aggregations: reducer is no attribute"),
        ("secret.tf", 'resource "google_secret_manager_secret"', 'resource "google_secret"', "no such resource"),
    ],
)
def test_a_name_that_the_provider_does_not_know_is_found(file: str, old: str, new: str, fault: str) -> None:
    """The check above can fail: each break on a copy is named."""
    with copy_of_infra({file: (old, new)}) as directory:
        found = list(schema_faults(parsed(directory), provider_schema()["resources"]))
    assert any(fault in each for each in found), found


def test_schema_is_the_one_that_versions_ask_for() -> None:
    """The provider's version in versions.tf begins where the checked one is."""
    major, minor, _ = provider_schema()["provider"].split(".")
    assert f'version = "~> {major}.{minor}"' in (INFRA / "versions.tf").read_text("utf-8")


def test_terraform_validates() -> None:
    """The real terraform finds every reference, type and argument right, against the provider's schema."""
    program = needs_terraform()
    with copy_of_infra() as directory, provider(PROJECT) as running:
        terraform(program, directory, running.environment(), "validate", "-no-color")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("queue.tf", "ack_deadline_seconds       = var", "ack_deadline             = var", "Unsupported argument"),
        (
            "queue.tf",
            "google_pubsub_topic.events.id",
            "google_pubsub_topic.event.id",
            "Reference to undeclared resource",
        ),
        ("function.tf", "timeout_seconds                  = 30", 'timeout_seconds = "soon"', "a number is required"),
        ("outputs.tf", "google_pubsub_topic.events.id", "google_pubsub_topic.events.url", "Unsupported attribute"),
    ],
)
def test_terraform_refuses_what_is_wrong(file: str, old: str, new: str, said: str) -> None:
    """The validation above can fail: it is terraform's own, and the stand-in's schema is strict."""
    program = needs_terraform()
    with (
        copy_of_infra({file: (old, new)}) as directory,
        provider(PROJECT) as running,
        pytest.raises(AssertionError, match=said),
    ):
        terraform(program, directory, running.environment(), "validate", "-no-color")


def test_every_variable_says_what_it_is() -> None:
    """Each has a type and a description; each with a closed set or a range of values checks it."""
    free = {"bucket_location", "scheduler_region", "source_ip_allowlist", "delete_stored_data", "source_dir"}
    free |= {"webhook_check"}
    for entry in parsed()["variables.tf"]["variable"]:
        for name, body in entry.items():
            assert body.get("type"), name
            assert len(bare(body.get("description", ""))) > 20, name
            assert ("validation" in body) is (bare(name) not in free), name


def test_only_two_variables_have_no_default() -> None:
    """A first deployment needs the project and an address for the alarms, as terraform.tfvars.example says."""
    entries = [(bare(name), body) for entry in parsed()["variables.tf"]["variable"] for name, body in entry.items()]
    required = {name for name, body in entries if "default" not in body}
    example = (INFRA / "terraform.tfvars.example").read_text("utf-8")
    assert required == {"project", "alarm_email"}
    for line in example.splitlines():
        name = line.lstrip("# ").partition("=")[0].strip()
        if "=" in line and name.isidentifier():
            assert name in dict(entries), f"terraform.tfvars.example names {name}"
            assert line.startswith("#") is (name not in required), line


def test_the_example_values_are_taken(tmp_path: Path) -> None:
    """terraform.tfvars.example with every line in use is a deployment that can be planned."""
    example = (INFRA / "terraform.tfvars.example").read_text("utf-8")
    used = [line.removeprefix("# ") for line in example.splitlines() if "=" in line]
    with copy_of_infra() as directory:
        (directory / "terraform.tfvars").write_text("\n".join(used) + "\n", "utf-8")
        plan = make_plan(directory, {})
    assert plan.resources["google_cloudfunctions2_function.receive"]["location"] == "europe-west9"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"project": "12345678"}, "A project id has 6 to 30"),
        ({"region": "Europe"}, "A region looks like europe-west1"),
        ({"name": "Dastra"}, "4 to 21 lower-case letters"),
        ({"name": "a-name-that-is-much-too-long"}, "4 to 21 lower-case letters"),
        ({"alarm_email": "nobody"}, "An e-mail address"),
        ({"message_regions": ["europe-west3"]}, "must contain region"),
        ({"secret_locations": []}, "At least one region"),
        ({"notification_channels": ["somewhere"]}, "full name"),
        ({"silence_hours": 24}, "from 0 to 23"),
        ({"public_access": "everybody"}, "Valid: all-users, none"),
        ({"ingress": "ALLOW_SOME"}, "Valid: ALLOW_ALL"),
        ({"trusted_proxy_hops": 2}, "goes around the load balancer"),
        ({"trusted_proxy_hops": 0, "ingress": "ALLOW_INTERNAL_AND_GCLB"}, "from 1 to 10"),
        ({"source_ip_mode": "block"}, "Valid: off, observe, quarantine, reject"),
        ({"max_body_bytes": 5_000_000}, "from 1 to 4194304"),
        ({"max_event_age_seconds": -1}, "From 0 to 31536000"),
        ({"time_budget_seconds": 10}, "From 0.5 to 9"),
        ({"queue_budget_seconds": 5}, "three quarters"),
        ({"max_instances": 0}, "from 1 to 100"),
        ({"min_instances": 11}, "from 0 to max_instances"),
        ({"ack_deadline_seconds": 5}, "from 10 to 600"),
        ({"max_delivery_attempts": 4}, "from 5 to 100"),
        ({"soft_delete_days": 3}, "from 7 to 90"),
        ({"api_url": "http://api.dastra.eu"}, "An address with https"),
        ({"workspace_id": -1}, "from 0 to 2147483647"),
        ({"webhook_ids": ["1,2"]}, "a webhook's number"),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_a_bad_value_is_refused_before_anything_is_made(variables: dict[str, Any], said: str) -> None:
    """Terraform says what is valid, at plan time, for every variable that has bounds."""
    assert said in refusal(**variables)


FUNCTIONS = ("receive", "redrive")


def environment(function: str, **variables: Any) -> dict[str, str]:
    """The environment of one of the two functions."""
    values = planned(**variables).resources[f"google_cloudfunctions2_function.{function}"]
    found: dict[str, str] = values["service_config"][0]["environment_variables"]
    return found


@pytest.mark.parametrize("function", FUNCTIONS)
def test_settings_are_read_as_they_are_deployed(function: str) -> None:
    """The function's environment is one that `Settings.from_env` takes, with every name known and the defaults kept."""
    env = environment(function)
    ours = {name for name in env if name.startswith(PREFIX)}
    settings = Settings.from_env(env)
    assert ours == {PREFIX + name for name in SETTINGS if name != "SIGNATURE_KEYS"}
    assert settings == Settings.from_env(
        {f"{PREFIX}{name}": env[f"{PREFIX}{name}"] for name in ("QUEUE", "STORE", "SIGNATURE_KEYS_SECRET")}
    )
    assert settings.queue == f"projects/{PROJECT}/topics/{NAME}-events"
    assert settings.signature_keys_secret == f"projects/{PROJECT}/secrets/{NAME}-keys"
    assert env["GOOGLE_CLOUD_PROJECT"] == PROJECT


def test_every_setting_reaches_the_function() -> None:
    """Each variable that stands for a setting changes it."""
    env = environment(
        "receive",
        source_ip_mode="observe",
        source_ip_allowlist=[PRESET, "192.0.2.0/24"],
        trusted_proxy_hops=2,
        ingress="ALLOW_INTERNAL_AND_GCLB",
        max_body_bytes=1000,
        max_event_age_seconds=3600,
        time_budget_seconds=5,
        queue_budget_seconds=1.5,
    )
    settings = Settings.from_env(env)
    assert settings.source_ip_mode == "observe"
    assert "192.0.2.7" in settings.source_ip_allowlist
    assert settings.trusted_proxy_hops == 2
    assert settings.max_body_bytes == 1000
    assert settings.max_event_age_seconds == 3600
    assert settings.time_budget_seconds == 5
    assert settings.queue_budget_seconds == 1.5


def test_the_checks_settings_are_read_as_they_are_deployed() -> None:
    """By default it asks Dastra itself about all webhooks; each variable reaches its setting; the receiver has none."""
    env = environment("watch[0]", webhook_check=True)
    secret = f"projects/{PROJECT}/secrets/{NAME}-api-key"
    assert WatchSettings.from_env(env) == WatchSettings(secret, API_URL)
    Settings.from_env(env)
    ours = {PREFIX + name for name in WATCH_NAMES}
    assert ours <= env.keys()
    for function in FUNCTIONS:
        assert not ours & environment(function, webhook_check=True).keys()
    chosen = environment(
        "watch[0]", webhook_check=True, webhook_ids=["1", "22"], workspace_id=7, api_url="https://api.example.org"
    )
    assert WatchSettings.from_env(chosen) == WatchSettings(secret, "https://api.example.org", ("1", "22"), 7)


def test_the_check_has_the_time_it_takes() -> None:
    """The secret, two requests and the pause between them, with room for a start; the scheduler waits longer."""
    from core import watch

    plan = planned(webhook_check=True)
    function = plan.resources["google_cloudfunctions2_function.watch[0]"]["service_config"][0]
    deadline = int(plan.resources["google_cloud_scheduler_job.watch[0]"]["attempt_deadline"].removesuffix("s"))
    longest = watch.KEY_SECONDS + watch.ATTEMPTS * watch.API_SECONDS + watch.PAUSE_SECONDS
    assert longest + 20 <= function["timeout_seconds"] < deadline < 15 * 60
    assert function["max_instance_count"] == function["max_instance_request_concurrency"] == 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_as_many_requests_at_a_time_as_threads(function: str) -> None:
    """Concurrency equals the threads of the framework, and a whole processor allows more than one."""
    values = planned().resources[f"google_cloudfunctions2_function.{function}"]["service_config"][0]
    env = values["environment_variables"]
    assert values["max_instance_request_concurrency"] == int(env["THREADS"]) * int(env["WORKERS"])
    assert float(values["available_cpu"]) >= 1
    assert values["available_memory"] == "512Mi"
    assert values["max_instance_count"] >= 1


def test_sixteen_requests_of_four_mebibytes_fit() -> None:
    """The receiver takes 16 requests at a time, as its memory allows, and outlives its own time budget.

    Its threads share two heaps, and large blocks stay out of them: else what large requests leave behind adds up.
    """
    values = planned().resources["google_cloudfunctions2_function.receive"]["service_config"][0]
    assert values["max_instance_request_concurrency"] == 16
    assert values["environment_variables"].items() >= ALLOCATOR.items()
    assert ALLOCATOR == {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "262144"}
    assert values["timeout_seconds"] > 10


def test_redrive_has_the_time_it_takes() -> None:
    """A run takes 45 seconds and counts after it; the scheduler waits longer than the function may take."""
    plan = planned()
    function = plan.resources["google_cloudfunctions2_function.redrive"]["service_config"][0]
    job = plan.resources["google_cloud_scheduler_job.redrive"]
    assert 45 + 30 <= function["timeout_seconds"] < int(job["attempt_deadline"].removesuffix("s"))
    assert function["max_instance_count"] == function["max_instance_request_concurrency"] == 1
    assert function["ingress_settings"] == "ALLOW_INTERNAL_ONLY"


def test_all_functions_are_built_of_one_source() -> None:
    """Python 3.13, an entry point for each, a builder's account and a repository of their own."""
    plan = planned(webhook_check=True)
    for function in (*FUNCTIONS, "watch[0]"):
        build = plan.resources[f"google_cloudfunctions2_function.{function}"]["build_config"][0]
        assert (build["runtime"], build["entry_point"]) == ("python313", function.removesuffix("[0]"))
        assert build["service_account"].endswith(f"/{NAME}-build@{PROJECT}.iam.gserviceaccount.com")
        assert build["docker_repository"].endswith(f"/repositories/{NAME}-images")


def test_an_acknowledged_message_has_somewhere_to_be() -> None:
    """Both subscriptions, and the right to move dead letters, are there before the function; neither expires."""
    plan = planned()
    before = plan.before("google_cloudfunctions2_function.receive")
    assert before >= {
        "google_pubsub_subscription.events",
        "google_pubsub_subscription.dead_letters",
        "google_pubsub_topic_iam_member.dead_letters_arrive",
        "google_pubsub_subscription_iam_member.dead_letters_leave",
        "google_pubsub_topic_iam_member.publishes",
        "google_storage_bucket_iam_member.store",
        "google_secret_manager_secret_iam_member.receive_reads_keys",
    }
    for values in plan.of("google_pubsub_subscription").values():
        assert values["expiration_policy"] == [{"ttl": ""}]


def test_alarms_wait_for_their_metrics() -> None:
    """Cloud Monitoring answers 404 for an alarm on a metric that is seconds old: a pause and the builds lie between."""
    before = planned(webhook_check=True).before("google_monitoring_alert_policy.this")
    assert before >= {"google_logging_metric.this", "time_sleep.settled"}
    assert before >= {f"google_cloudfunctions2_function.{function}" for function in ("receive", "redrive", "watch")}


def test_what_was_just_enabled_or_given_is_waited_for() -> None:
    """A minute for services before anything uses one, three for roles before a build: also where more come later."""
    plan, more = planned(), planned(webhook_check=True)
    assert plan.resources["time_sleep.enabled"]["create_duration"] == "60s"
    assert plan.resources["time_sleep.settled"]["create_duration"] == "180s"
    for address in plan.resources:
        name = address.partition("[")[0]
        # A role waits for its account, which the plan does not show where a local stands between them.
        if name not in {"google_project_service.used", "time_sleep.enabled"} and "_iam_" not in name:
            assert "time_sleep.enabled" in plan.before(name), address
    for trigger, names in (("accounts", "google_service_account"), ("metrics", "google_logging_metric")):
        listed = more.resources["time_sleep.settled"]["triggers"][trigger].split()
        assert sorted(f'this["{name}"]' for name in listed) == sorted(more.of(names))
        assert plan.resources["time_sleep.settled"]["triggers"][trigger].split() != listed
    services = {values["service"] for values in plan.of("google_project_service").values()}
    assert set(plan.resources["time_sleep.enabled"]["triggers"]["services"].split()) == services


def test_pubsubs_own_account_is_there_before_it_gets_roles() -> None:
    """A project that has not used Pub/Sub yet lacks it, and Google refuses a role for an account that is not there."""
    plan = planned()
    assert plan.resources["google_project_service_identity.pubsub"]["service"] == "pubsub.googleapis.com"
    for role in ("topic_iam_member.dead_letters_arrive", "subscription_iam_member.dead_letters_leave"):
        assert "google_project_service_identity.pubsub" in plan.before(f"google_pubsub_{role}")


def test_a_destroy_that_would_stop_half_way_does_not_begin() -> None:
    """Terraform itself deletes nothing until it was told, by an apply, that the store and the keys may go.

    What it says then is what the page says.
    """
    program, options = needs_terraform(), ("-auto-approve", "-input=false", "-no-color")
    given = [f"-var={name}={value}" for name, value in REQUIRED.items()] + ["-var=webhook_check=true"]
    told = "-var=delete_stored_data=true"
    commands = "terraform apply -var delete_stored_data=true && terraform destroy -var delete_stored_data=true"
    assert f"    cd infra/gcp && {commands}\n" in (ROOT / "docs/deploy-gcp.md").read_text("utf-8")
    with copy_of_infra() as directory, provider(PROJECT) as running:
        env = running.environment()
        terraform(program, directory, env, "apply", *options, *given)
        made = terraform(program, directory, env, "state", "list")
        for already_too_late in ((), (told,)):
            with pytest.raises(AssertionError) as refused:
                terraform(program, directory, env, "destroy", *options, *given, *already_too_late)
            assert commands in " ".join(str(refused.value).split())
        assert running.deleted == []
        assert terraform(program, directory, env, "state", "list") == made
        terraform(program, directory, env, "apply", *options, *given, told)
        assert running.deleted == []
        terraform(program, directory, env, "destroy", *options, *given, told)
        assert terraform(program, directory, env, "state", "list") == ""
        assert {"google_storage_bucket", "google_secret_manager_secret"} <= set(running.deleted)


def test_a_fork_keeps_the_providers_that_it_tried() -> None:
    """The lock file is no secret and no build: git sees it, and the page says to commit it."""
    lock = "infra/gcp/.terraform.lock.hcl"
    run = subprocess.run(["git", "check-ignore", lock], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert f"`{lock}`" in (ROOT / "docs/deploy-gcp.md").read_text("utf-8")


def test_the_guard_waits_for_everything() -> None:
    """What it does not wait for, directly or through others, would be deleted beside it."""
    plan = planned(webhook_check=True)
    everything = {address.partition("[")[0] for address in plan.resources} - {"terraform_data.guard"}
    assert plan.before("terraform_data.guard") >= everything


def test_the_secret_has_no_version() -> None:
    """No key is in Terraform's files or state: it comes after the deployment, through the secret store's API."""
    assert not [address for address in planned().resources if "secret_version" in address]
    assert "secret_data" not in "".join(path.read_text("utf-8") for path in INFRA.glob("*.tf"))


def test_everything_is_in_the_eu_by_default() -> None:
    """Functions, images, schedule, secret, messages and bucket."""
    plan = planned()
    outside = {"europe-west2", "europe-west6"}  # London and Zurich
    places = {
        *(values["location"] for values in plan.of("google_cloudfunctions2_function").values()),
        *(values["location"] for values in plan.of("google_artifact_registry_repository").values()),
        *(values["region"] for values in plan.of("google_cloud_scheduler_job").values()),
        *(
            replica["location"]
            for replica in plan.resources["google_secret_manager_secret.keys"]["replication"][0]["user_managed"][0][
                "replicas"
            ]
        ),
    }
    for values in plan.of("google_pubsub_topic").values():
        places |= set(values["message_storage_policy"][0]["allowed_persistence_regions"])
    assert all(place.startswith("europe-") and place not in outside for place in places), places
    assert {values["location"] for values in plan.of("google_storage_bucket").values()} == {"EU"}


def test_outputs_say_the_address_and_the_next_step() -> None:
    """The webhook's address, the service by which the command line finds everything else, and what to do now."""
    outputs = planned().outputs
    assert outputs["webhook_url"].startswith("https://")
    service = f"projects/{PROJECT}/locations/europe-west1/services/{NAME}-receive"
    assert f"export DASTRA_CLOUD=gcp DASTRA_STACK={service}\n" in outputs["next_step"]
    assert "no-invoker-iam-check" not in outputs["next_step"]
    assert "api-key" not in outputs["next_step"]
    assert f"secrets versions add {NAME}-api-key" in planned(webhook_check=True).outputs["next_step"]
    assert "no-invoker-iam-check" in planned(public_access="none").outputs["next_step"]
