"""Inside Google Cloud, against its REST APIs played on loopback: each fault is found by its own row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions

from cli.clouds import gcp
from cli.clouds.gcp import cloud
from cli.doctor.gcp import EXPECTED, Inside, Services
from cli.doctor.model import Result, Status
from cli.doctor.rest import Rest
from cli.target import Names
from gcp_function.sdk import port_error
from tests.deploy.gcp import INFRA
from tests.doctor.examine import troubled
from tests.doctor.rest_api import TOKEN, Api, serving_api

TOPIC = "projects/p/topics/dastra-webhooks-events"
DEAD_TOPIC = "projects/p/topics/dastra-webhooks-dead-letters"
EVENTS = "projects/p/subscriptions/dastra-webhooks-events"
DEAD = "projects/p/subscriptions/dastra-webhooks-dead-letters"
CHANNEL = "projects/p/notificationChannels/1"
BUCKET = "/storage/v1/b/p-store"
POLICIES = "/v3/projects/p/alertPolicies"
OPTIONAL = {"silence", "webhook_errors", "webhook_blocked", "webhook_check_failed"}
"""Alarms that a variable switches on."""
NAMES = Names(TOPIC, "p-store", "projects/p/secrets/s")


def deployment() -> dict[str, Any]:
    """A deployment as infra/gcp makes it, in the shapes of the REST references."""
    subscription = {"name": EVENTS, "topic": TOPIC, "messageRetentionDuration": "345600s", "expirationPolicy": {},
                    "deadLetterPolicy": {"deadLetterTopic": DEAD_TOPIC, "maxDeliveryAttempts": 10}}  # fmt: skip
    dead = {"name": DEAD, "topic": DEAD_TOPIC, "messageRetentionDuration": "1209600s", "expirationPolicy": {}}
    lifecycle = json.loads((INFRA / "lifecycle.json").read_text())
    alarms = [
        {"name": f"projects/p/alertPolicies/{name}", "userLabels": {"app": "dastra-webhooks", "alarm": name},
         "enabled": True, "notificationChannels": [CHANNEL]}
        for name in EXPECTED
    ]  # fmt: skip
    others = [{"name": "projects/p/alertPolicies/other", "userLabels": {"app": "another"}, "enabled": False}]

    def pages(query: Any) -> dict[str, Any]:
        if "pageToken" in query:
            return {"alertPolicies": [*alarms[3:], *others]}
        return {"alertPolicies": alarms[:3], "nextPageToken": "second"}

    return {
        f"/v1/{TOPIC}": {"name": TOPIC, "messageStoragePolicy": {"allowedPersistenceRegions": ["europe-west1"]}},
        f"/v1/{TOPIC}/subscriptions": {"subscriptions": [EVENTS]},
        f"/v1/{EVENTS}": subscription,
        f"/v1/{DEAD_TOPIC}/subscriptions": {"subscriptions": [DEAD]},
        f"/v1/{DEAD}": dead,
        f"/v1/{TOPIC}:getIamPolicy": {
            "bindings": [{"role": "roles/pubsub.publisher", "members": ["serviceAccount:r"]}]
        },
        BUCKET: {
            "name": "p-store",
            "lifecycle": lifecycle,
            "iamConfiguration": {
                "publicAccessPrevention": "enforced",
                "uniformBucketLevelAccess": {"enabled": True},
            },
        },
        POLICIES: pages,
        f"/v3/{CHANNEL}": {"name": CHANNEL, "type": "email", "enabled": True},
        "alarms": alarms,
    }


@pytest.fixture
def api() -> Iterator[Api]:
    """The APIs with a whole deployment on them."""
    with serving_api(deployment()) as running:
        yield running


def look(api: Api, token: str = TOKEN, names: Names = NAMES) -> dict[str, Result]:
    """What the doctor sees."""
    rest = Rest(lambda: token, cloud().advice)
    return {row.id: row for row in Inside(rest, names, Services(api.url, api.url, api.url)).rows()}


def test_a_deployment_by_the_template_passes(api: Api) -> None:
    """Every row passes; alarms come in pages, and those of another deployment do not count."""
    rows = look(api)
    assert troubled(rows) == set(), rows
    assert set(rows) == {
        "queue", "subscription", "dead-letters", "queue-access", "retention", "store-access", "store-encryption",
        "alarms", "alarm-recipients",
    }  # fmt: skip
    assert rows["subscription"].found == "dastra-webhooks-events (pull, kept 4 d)"
    assert rows["retention"].found == "queue 4 d, dead letters 14 d, claims 50 d, spool and quarantine 30 d"


Change = Callable[[dict[str, Any]], object]


def _lifecycle(prefix: str, age: int) -> Change:
    def change(answers: dict[str, Any]) -> None:
        for rule in answers[BUCKET]["lifecycle"]["rule"]:
            if rule["condition"].get("matchesPrefix") == [prefix]:
                rule["condition"]["age"] = age

    return change


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (lambda a: a[f"/v1/{TOPIC}"].pop("messageStoragePolicy"), "queue"),
        (lambda a: a.__setitem__(f"/v1/{TOPIC}:getIamPolicy", {"bindings": [
            {"role": "roles/pubsub.subscriber", "members": ["allUsers"]}]}), "queue-access"),
        (lambda a: a[f"/v1/{EVENTS}"].update(expirationPolicy={"ttl": "2678400s"}), "subscription"),
        (lambda a: a[f"/v1/{EVENTS}"].pop("expirationPolicy"), "subscription"),
        (lambda a: a[f"/v1/{EVENTS}"].pop("deadLetterPolicy"), "dead-letters"),
        (lambda a: a.__setitem__(f"/v1/{DEAD_TOPIC}/subscriptions", {}), "dead-letters"),
        (lambda a: a[f"/v1/{DEAD}"].update(messageRetentionDuration="86400s"), "retention"),
        (_lifecycle("claims/", 20), "retention"),
        (_lifecycle("spool/", 7), "retention"),
        (lambda a: a[BUCKET].pop("lifecycle"), "retention"),
        (lambda a: a[BUCKET]["iamConfiguration"].update(publicAccessPrevention="inherited"), "store-access"),
        (lambda a: a[BUCKET]["iamConfiguration"].pop("uniformBucketLevelAccess"), "store-access"),
        (lambda a: a["alarms"][0].update(enabled=False), "alarms"),
        (lambda a: a["alarms"][1].update(notificationChannels=[]), "alarms"),
        (lambda a: a["alarms"][2]["userLabels"].update(app="another"), "alarms"),
        (lambda a: a[f"/v3/{CHANNEL}"].update(enabled=False), "alarm-recipients"),
        (lambda a: a[f"/v3/{CHANNEL}"].update(verificationStatus="UNVERIFIED"), "alarm-recipients"),
        (lambda a: a.pop(f"/v3/{CHANNEL}"), "alarm-recipients"),
    ],
    ids=[
        "any-region", "open-topic", "expires", "expires-by-default", "no-dead-letters", "dead-letters-lost",
        "short-dead-letters", "short-claims", "short-spool", "no-lifecycle", "maybe-public", "object-rights",
        "alarm-off", "alarm-tells-nobody", "alarm-gone", "channel-off", "unverified", "channel-gone",
    ],
)  # fmt: skip
def test_a_fault_is_found_by_its_row(api: Api, change: Change, row: str) -> None:
    """One change for the worse is found by one row, which says what to do."""
    change(api.answers)
    rows = look(api)
    assert troubled(rows) == {row}, rows
    assert rows[row].advice


@pytest.mark.parametrize("gone", [{}, {"subscriptions": [EVENTS]}], ids=["none", "detached"])
def test_a_topic_without_a_subscription_fails(api: Api, gone: dict[str, Any]) -> None:
    """A topic that nobody is attached to drops what it acknowledges: that fails, and says to act at once."""
    api.answers[f"/v1/{TOPIC}/subscriptions"] = gone
    api.answers[f"/v1/{EVENTS}"]["detached"] = True
    rows = look(api)
    assert rows["subscription"].status is Status.FAIL
    assert "at once" in rows["subscription"].advice


def test_no_topic_fails(api: Api) -> None:
    """A topic that is gone fails its row."""
    del api.answers[f"/v1/{TOPIC}"]
    assert look(api)["queue"].status is Status.FAIL


@pytest.mark.parametrize("kind", ["pushConfig", "bigqueryConfig", "cloudStorageConfig"])
def test_the_subscriptions_kind_is_told(api: Api, kind: str) -> None:
    """How a subscription delivers is shown."""
    api.answers[f"/v1/{EVENTS}"][kind] = {"pushEndpoint": "https://example.org"}
    assert "pull" not in look(api)["subscription"].found


def test_without_rights_every_row_warns(api: Api) -> None:
    """Whoever is not logged in, or may not look, gets warnings with what to do, and no text of the service."""
    for rows in (look(api, "another token"), look(_forbidden(api))):
        assert {row.status for row in rows.values()} <= {Status.WARN, Status.SKIPPED, Status.FAIL}
        assert rows["queue"].status is Status.WARN
        assert "gcloud auth" in rows["queue"].advice
        assert "quote anything" not in str(rows)


def _forbidden(api: Api) -> Api:
    api.answers.update(dict.fromkeys(api.answers, 403))
    return api


@pytest.mark.parametrize(
    ("reason", "said"),
    [("SERVICE_DISABLED", "often another one"), ("USER_PROJECT_DENIED", "serviceusage.serviceUsageConsumer")],
)
def test_a_call_billed_to_the_wrong_project_is_told_from_a_missing_right(api: Api, reason: str, said: str) -> None:
    """Google's details say it, and the remedy is a login's quota project; other reasons leave the status as it was."""
    api.answers[f"/v1/{TOPIC}"] = (403, reason)
    assert "set-quota-project" in look(api)["queue"].advice
    assert said in look(api)["queue"].advice
    api.answers[f"/v1/{TOPIC}"] = (403, "IAM_PERMISSION_DENIED")
    assert "may not do this" in look(api)["queue"].advice


@pytest.mark.parametrize(
    ("reason", "code"),
    [("SERVICE_DISABLED", "SERVICE_DISABLED"), ("IAM_PERMISSION_DENIED", "Forbidden"), (None, "Forbidden")],
)
def test_a_librarys_error_keeps_the_reason_that_has_a_remedy(reason: str | None, code: str) -> None:
    """The same for what the client libraries raise: queue, store and secret of the command line."""
    forbidden: Any = exceptions.Forbidden
    info = {"reason": reason} if reason else None
    found = port_error(forbidden("a text that may quote anything", error_info=info))
    assert found.code == code
    assert cloud().advice(found.code)


USER = {"type": "authorized_user", "client_id": "invented", "client_secret": "invented", "refresh_token": "invented"}


@pytest.fixture
def logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Mapping[str, str]], None]]:
    """Logs somebody in, as `gcloud auth application-default login` leaves it."""

    def log_in(credentials: Mapping[str, str]) -> None:
        (tmp_path / "adc.json").write_text(json.dumps(credentials))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
        gcp._credentials.cache_clear()

    yield log_in
    gcp._credentials.cache_clear()


def service_account() -> dict[str, str]:
    """A service account's key, made here."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": key.decode(),
        "token_uri": "https://127.0.0.1/",
    }  # fmt: skip


def test_a_person_bills_the_deployments_project(api: Api, logged_in: Callable[[Mapping[str, str]], None]) -> None:
    """A person's calls name the topic's project; a service account's name none, since it belongs to a project."""
    for credentials, billed in ((USER, "p"), (service_account(), None)):
        logged_in(credentials)
        headers = cloud().rest(NAMES).headers
        api.billed.clear()
        rest = Rest(lambda: TOKEN, cloud().advice, headers)
        assert list(Inside(rest, NAMES, Services(api.url, api.url, api.url)).rows())
        assert set(api.billed) == {billed}
    logged_in(USER)
    assert cloud().rest(Names()).headers() == {}


def test_what_is_not_named_is_skipped(api: Api) -> None:
    """Without names the rows say which setting names them."""
    rows = look(api, names=Names())
    assert {row.status for row in rows.values()} == {Status.SKIPPED}


def test_the_alarms_are_the_templates() -> None:
    """The doctor expects exactly the alarms that the template always makes."""
    assert {path.stem for path in (INFRA / "alarms").glob("*.json")} - OPTIONAL == set(EXPECTED)
