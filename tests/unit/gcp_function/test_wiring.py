from __future__ import annotations

import threading
import time

import pytest

from core.receiver import Receiver
from core.settings import SettingsError
from gcp_function import wiring
from gcp_function.wiring import Instance, project_of, read_settings

TOPIC = "projects/example-project/topics/dastra-webhooks"
SECRET = "projects/example-project/secrets/keys"
GOOD = {"DASTRA_QUEUE": TOPIC, "DASTRA_STORE": "bucket", "DASTRA_SIGNATURE_KEYS_SECRET": SECRET}


@pytest.mark.parametrize("secret", [SECRET, f"{SECRET}/versions/3", f"{SECRET}/versions/latest"])
def test_names_in_google_s_notation_are_taken(secret: str) -> None:
    """A secret may name one version; the newest counts where it does not."""
    assert read_settings({**GOOD, "DASTRA_SIGNATURE_KEYS_SECRET": secret}).signature_keys_secret == secret


@pytest.mark.parametrize(
    "queue",
    [
        *("dastra-webhooks", "projects/p/topics/", "projects//topics/t", f"//pubsub.googleapis.com/{TOPIC}"),
        *(f"{TOPIC}/x", "https://sqs.eu-west-1.amazonaws.com/123456789012/queue", "projects/p/subscriptions/s"),
    ],
)
def test_another_queue_s_name_ends_the_start(queue: str) -> None:
    """The message names the setting, its value and what is valid; so it does of a secret, but for its value."""
    with pytest.raises(SettingsError) as raised:
        read_settings({**GOOD, "DASTRA_QUEUE": queue, "DASTRA_SIGNATURE_KEYS_SECRET": "keys"})
    queue_fault, secret_fault = raised.value.faults
    assert queue_fault == f"DASTRA_QUEUE is {queue!r}: valid: a topic's path, projects/PROJECT/topics/TOPIC"
    assert secret_fault.startswith("DASTRA_SIGNATURE_KEYS_SECRET is no secret's resource name: valid: projects/")
    assert "keys" not in secret_fault


def test_the_project_of_the_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the deployment names, else the topic's own."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    assert project_of(read_settings(GOOD)) == "example-project"
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "another-project")
    assert project_of(read_settings(GOOD)) == "another-project"


class Made:
    """Stands for a receiver, and is slow to make."""


def instance(made: list[Made]) -> Instance:
    """One that puts what it makes into a list."""

    def make() -> Receiver:
        time.sleep(0.1)
        made.append(Made())
        return made[-1]  # type: ignore[return-value]

    return Instance(make)


def test_a_process_makes_one_receiver_however_many_come_first() -> None:
    """The first request makes it, those that come meanwhile wait for it."""
    made: list[Made] = []
    shared = instance(made)
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(shared.enter(time.time())[0])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == made * 16


def test_the_request_that_an_instance_was_started_for_has_waited_since_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender's patience began before the process did; a later first request counts from itself."""
    monkeypatch.setattr(wiring, "_STARTED_AT", 1000.0)
    monkeypatch.setattr(wiring, "_IMPORTED_AT", 1003.0)
    made: list[Made] = []
    started_for_it = instance(made)
    assert started_for_it.enter(1003.5)[1] == 1000.0
    assert started_for_it.enter(1003.6)[1] == 1003.6
    kept_warm = instance(made)
    assert kept_warm.enter(1060.0)[1] == 1060.0
