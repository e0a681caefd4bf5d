import re
from typing import Any

import pytest

from core.message import CLAIMS_PREFIX
from core.records import ADDRESSES_PREFIX, LEASE_KEY, QUARANTINE_PREFIX, SPOOL_PREFIX
from tests.deploy.gcp import INFRA, NAME, NUMBER, PROJECT, planned

STORE = f"{PROJECT}-{NAME}-store"
OBJECTS = f"projects/_/buckets/{STORE}/objects/"
AGENT = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"


def account(name: str) -> str:
    """One of the service accounts."""
    return f"serviceAccount:{NAME}-{name}@{PROJECT}.iam.gserviceaccount.com"


def grants(**variables: Any) -> list[tuple[str, str, str, str]]:
    """Every role that is given: what kind of thing it is on, which one, to whom, which role."""
    found = []
    for address, values in planned(**variables).resources.items():
        if "_iam_" in address:
            kind = address.partition("_iam_")[0].removeprefix("google_")
            on = next(
                str(values[key])
                for key in ("topic", "subscription", "secret_id", "bucket", "repository", "name", "project")
                if values.get(key)
            )
            found.append((kind, on, values["member"], values["role"]))
    return found


def test_these_roles_are_given_and_no_other() -> None:
    """The whole of it, so that a new one is a decision: each on the one thing that it is for."""
    topics = f"projects/{PROJECT}/topics/{NAME}"
    assert sorted(grants()) == sorted(
        [
            ("pubsub_topic", f"{topics}-events", account("receive"), "roles/pubsub.publisher"),
            ("pubsub_topic", f"{topics}-events", account("redrive"), "roles/pubsub.publisher"),
            ("pubsub_topic", f"{topics}-dead-letters", AGENT, "roles/pubsub.publisher"),
            (
                "pubsub_subscription",
                f"projects/{PROJECT}/subscriptions/{NAME}-events",
                AGENT,
                "roles/pubsub.subscriber",
            ),
            (
                "secret_manager_secret",
                f"projects/{PROJECT}/secrets/{NAME}-keys",
                account("receive"),
                "roles/secretmanager.secretAccessor",
            ),
            ("storage_bucket", STORE, account("receive"), "roles/storage.legacyBucketReader"),
            ("storage_bucket", STORE, account("receive"), "roles/storage.objectUser"),
            ("storage_bucket", STORE, account("receive"), "roles/storage.objectCreator"),
            ("storage_bucket", STORE, account("redrive"), "roles/storage.legacyBucketReader"),
            ("storage_bucket", STORE, account("redrive"), "roles/storage.objectUser"),
            ("artifact_registry_repository", f"{NAME}-images", account("build"), "roles/artifactregistry.writer"),
            ("project", PROJECT, account("build"), "roles/logging.logWriter"),
            ("project", PROJECT, account("build"), "roles/storage.objectViewer"),
            ("cloud_run_v2_service", f"{NAME}-redrive", account("schedule"), "roles/run.invoker"),
            ("cloud_run_v2_service", f"{NAME}-receive", "allUsers", "roles/run.invoker"),
        ]
    )


def test_the_check_may_read_its_key_and_no_more() -> None:
    """One role on one secret for its account, and one for the schedule that calls it."""
    more = set(grants(webhook_check=True)) - set(grants())
    assert more == {
        (
            "secret_manager_secret",
            f"projects/{PROJECT}/secrets/{NAME}-api-key",
            account("watch"),
            "roles/secretmanager.secretAccessor",
        ),
        ("cloud_run_v2_service", f"{NAME}-watch", account("schedule"), "roles/run.invoker"),
    }
    plan = planned(webhook_check=True)
    function = plan.resources["google_cloudfunctions2_function.watch[0]"]["service_config"][0]
    assert f"serviceAccount:{function['service_account_email']}" == account("watch")
    assert function["ingress_settings"] == "ALLOW_INTERNAL_ONLY"
    target = plan.resources["google_cloud_scheduler_job.watch[0]"]["http_target"][0]
    assert target["uri"] == target["oidc_token"][0]["audience"] == function["uri"]


def test_nothing_is_public_but_the_webhook() -> None:
    """Everybody is named once, on the receiver, and not at all where an organisation forbids it."""
    assert [grant[:2] for grant in grants() if grant[2].startswith("all")] == [
        ("cloud_run_v2_service", f"{NAME}-receive")
    ]
    assert not [
        values
        for values in planned(public_access="none").resources.values()
        if str(values.get("member", "")).startswith("all")
    ]
    for values in planned().of("google_storage_bucket").values():
        assert values["public_access_prevention"] == "enforced"
        assert values["uniform_bucket_level_access"] is True


def test_no_broad_role_and_no_wildcard() -> None:
    """No basic role, no admin, no role on the project for what runs, no text that matches everything."""
    for _, on, member, role in grants():
        assert re.fullmatch(r"roles/[a-z]+\.[A-Za-z]+", role), role
        assert (
            not re.search(r"(owner|editor|viewer|admin)$", role.partition(".")[2], re.IGNORECASE)
            or role == "roles/storage.objectViewer"
        )
        assert "*" not in member + on
        if on == PROJECT:
            assert member == account("build")
    for path in INFRA.glob("*.tf"):
        assert not re.search(r"roles/(owner|editor|viewer)\b", path.read_text("utf-8")), path.name


def may(who: str, permission: str, key: str) -> bool:
    """Whether an account has a permission on an object, by the roles' documented permissions and their conditions."""
    role_permissions = {
        "roles/storage.legacyBucketReader": {"list"},
        "roles/storage.objectCreator": {"create"},
        "roles/storage.objectUser": {"create", "get", "delete", "list"},
    }
    for values in planned().of("google_storage_bucket_iam_member").values():
        if values["member"] != account(who) or permission not in role_permissions[values["role"]]:
            continue
        if not values["condition"]:
            return True
        # Listing is asked for on the bucket, whose name no prefix below it matches.
        name = f"projects/_/buckets/{STORE}" if permission == "list" else OBJECTS + key
        prefixes = re.findall(r'resource\.name\.startsWith\("([^"]+)"\)', values["condition"][0]["expression"])
        if any(name.startswith(prefix) for prefix in prefixes):
            return True
    return False


@pytest.mark.parametrize(
    ("who", "permissions", "prefix"),
    [
        ("receive", {"create", "get", "delete", "list"}, CLAIMS_PREFIX),
        ("receive", {"create", "list"}, SPOOL_PREFIX),
        ("receive", {"create", "list"}, QUARANTINE_PREFIX),
        ("receive", {"list"}, ADDRESSES_PREFIX),
        ("receive", {"list"}, LEASE_KEY),
        ("redrive", {"create", "get", "delete", "list"}, CLAIMS_PREFIX),
        ("redrive", {"create", "get", "delete", "list"}, SPOOL_PREFIX),
        ("redrive", {"create", "get", "delete", "list"}, QUARANTINE_PREFIX),
        ("redrive", {"create", "get", "delete", "list"}, LEASE_KEY),
        ("redrive", {"list"}, ADDRESSES_PREFIX),
    ],
)
def test_each_account_may_do_its_work_and_no_more(who: str, permissions: set[str], prefix: str) -> None:
    """What the core does below each prefix is allowed, and nothing besides: above all nobody accepts an address.

    A claim of the same event may be written over, which Cloud Storage allows only with the right to delete.
    """
    every = ("create", "get", "delete", "list")
    assert {permission for permission in every if may(who, permission, f"{prefix}x")} == permissions


def test_conditions_name_this_bucket_alone() -> None:
    """A condition cannot match another bucket whose name begins the same."""
    for values in planned().of("google_storage_bucket_iam_member").values():
        for condition in values["condition"]:
            found = re.findall(r'startsWith\("([^"]+)"\)', condition["expression"])
            assert found
            assert all(prefix.startswith(OBJECTS) and prefix.endswith("/") for prefix in found)


def test_each_part_has_an_account_of_its_own() -> None:
    """Receiver, redrive, schedule and builder do not share one, and none is the project's default."""
    plan = planned()
    receive = plan.resources["google_cloudfunctions2_function.receive"]["service_config"][0]["service_account_email"]
    redrive = plan.resources["google_cloudfunctions2_function.redrive"]["service_config"][0]["service_account_email"]
    job = plan.resources["google_cloud_scheduler_job.redrive"]["http_target"][0]["oidc_token"][0][
        "service_account_email"
    ]
    accounts = {
        f"{values['account_id']}@{PROJECT}.iam.gserviceaccount.com"
        for values in plan.of("google_service_account").values()
    }
    assert len({receive, redrive, job}) == 3
    assert {receive, redrive, job} < accounts
    assert all(len(each.partition("@")[0]) <= 30 for each in accounts), "Google allows 30 characters"


def test_the_schedule_signs_in() -> None:
    """The redrive is called with an identity token for its own address, and nobody else may call it."""
    plan = planned()
    target = plan.resources["google_cloud_scheduler_job.redrive"]["http_target"][0]
    uri = plan.resources["google_cloudfunctions2_function.redrive"]["service_config"][0]["uri"]
    assert target["uri"] == target["oidc_token"][0]["audience"] == uri
    callers = [grant[2] for grant in grants() if grant[1] == f"{NAME}-redrive" and grant[3] == "roles/run.invoker"]
    assert callers == [account("schedule")]
