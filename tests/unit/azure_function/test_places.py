"""The three names of a deployment's parts: what is understood, and what is said about the rest."""

from __future__ import annotations

import pytest

from azure_function.places import Places, QueuePlace, SecretPlace, StorePlace
from core.settings import Settings, SettingsError
from tests import planted

KEYS = {"DASTRA_SIGNATURE_KEYS": "an-invented-key-of-nobody"}
QUEUE = "example.servicebus.windows.net/events"
STORE = "https://example.blob.core.windows.net/events"
SECRET = "https://example.vault.azure.net/secrets/signature-keys"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (QUEUE, QueuePlace("example.servicebus.windows.net", "events", local=False)),
        (
            "sb://example.servicebus.windows.net/a/b.c_d-e",
            QueuePlace("example.servicebus.windows.net", "a/b.c_d-e", local=False),
        ),
        (
            "example.servicebus.chinacloudapi.cn/events",
            QueuePlace("example.servicebus.chinacloudapi.cn", "events", local=False),
        ),
        ("127.0.0.1:41234/events", QueuePlace("127.0.0.1:41234", "events", local=True)),
        ("localhost:5672/events", QueuePlace("localhost:5672", "events", local=True)),
    ],
)
def test_a_queue_is_a_namespace_and_a_name(text: str, expected: QueuePlace) -> None:
    """Any cloud's suffix, with or without a scheme; a port only where it is an emulator on this machine."""
    assert QueuePlace.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "events",
        "example/events",
        "example.servicebus.windows.net",
        "example.servicebus.windows.net/",
        "example.servicebus.windows.net:5671/events",
        "https://sqs.eu-west-1.amazonaws.com/123456789012/events",
        "projects/p/topics/t",
        "Endpoint=sb://example.servicebus.windows.net/;SharedAccessKeyName=x;SharedAccessKey=y",
        "192.0.2.1:5672/events",
        f"{QUEUE}\n",
    ],
)
def test_what_is_no_queue_is_refused(text: str) -> None:
    """A connection string above all: it would carry a key. And no clear text to another machine."""
    with pytest.raises(ValueError, match=r"<namespace>\.servicebus\.windows\.net/<queue>"):
        QueuePlace.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STORE, StorePlace(STORE, local=False)),
        (f"{STORE}/", StorePlace(STORE, local=False)),
        (
            "http://127.0.0.1:10000/devstoreaccount1/events",
            StorePlace("http://127.0.0.1:10000/devstoreaccount1/events", local=True),
        ),
    ],
)
def test_a_store_is_a_containers_url(text: str, expected: StorePlace) -> None:
    """With or without a slash at its end; in clear text only on this machine."""
    assert StorePlace.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "events",
        "https://example.blob.core.windows.net",
        "https://example.blob.core.windows.net/",
        "https://example.blob.core.windows.net/a/b",
        "https://example.blob.core.windows.net/ab",
        "https://example.blob.core.windows.net/a--b",
        "https://example.blob.core.windows.net/Events",
        "https://example.blob.core.windows.net:443/events",
        "https://user@example.blob.core.windows.net/events",
        f"{STORE}?sv=2026&sig=x",
        "http://example.blob.core.windows.net/events",
        "https://127.0.0.1:10000/devstoreaccount1/events",
        "http://[::1/events",
    ],
)
def test_what_is_no_store_is_refused(text: str) -> None:
    """A URL with a signature above all, which would be a key; and everything that is no container."""
    with pytest.raises(ValueError, match="<container>"):
        StorePlace.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SECRET, SecretPlace("https://example.vault.azure.net", "signature-keys", None, local=False)),
        (f"{SECRET}/", SecretPlace("https://example.vault.azure.net", "signature-keys", None, local=False)),
        (
            f"{SECRET}/0123456789abcdef0123456789abcdef",
            SecretPlace(
                "https://example.vault.azure.net", "signature-keys", "0123456789abcdef0123456789abcdef", local=False
            ),
        ),
        ("http://127.0.0.1:8200/secrets/keys", SecretPlace("http://127.0.0.1:8200", "keys", None, local=True)),
    ],
)
def test_a_secret_is_a_vault_and_a_name(text: str, expected: SecretPlace) -> None:
    """The current version unless one is named."""
    assert SecretPlace.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "signature-keys",
        "https://example.vault.azure.net/signature-keys",
        "https://example.vault.azure.net/keys/signature-keys",
        "https://example.vault.azure.net/secrets/with_underscore",
        "http://example.vault.azure.net/secrets/signature-keys",
        "@Microsoft.KeyVault(SecretUri=https://example.vault.azure.net/secrets/signature-keys)",
    ],
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    """A reference of the platform too, which would be a day old."""
    with pytest.raises(ValueError, match="<vault>"):
        SecretPlace.parse(text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    """One error names each setting with its value and what would be valid."""
    env = {"DASTRA_QUEUE": "q", "DASTRA_STORE": "s", "DASTRA_SIGNATURE_KEYS_SECRET": "k"}
    with pytest.raises(SettingsError) as caught:
        Places.of(Settings.from_env(env))
    assert [fault.partition(" ")[0] for fault in caught.value.faults] == [
        "DASTRA_QUEUE",
        "DASTRA_STORE",
        "DASTRA_SIGNATURE_KEYS_SECRET",
    ]


def test_without_a_secret_the_keys_stand_in_the_settings() -> None:
    """Then there is no vault to ask."""
    places = Places.of(Settings.from_env({"DASTRA_QUEUE": QUEUE, "DASTRA_STORE": STORE, **KEYS}))
    assert places.secret is None
    assert not places.queue.local
    assert not places.store.local


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("QUEUE", f"Endpoint=sb://example.servicebus.windows.net/;SharedAccessKey={planted.OTHER_KEY};EntityPath=q"),
        ("QUEUE", f"https://user:{planted.OTHER_KEY}@example.servicebus.windows.net/q"),
        ("STORE", f"{STORE}?sv=2026&sig={planted.OTHER_KEY}"),
        ("SIGNATURE_KEYS_SECRET", planted.OTHER_KEY),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(name: str, text: str) -> None:
    """A connection string, a signed URL and the key itself are refused by the setting's name, without their value."""
    env = {"DASTRA_QUEUE": QUEUE, "DASTRA_STORE": STORE, "DASTRA_SIGNATURE_KEYS_SECRET": SECRET}
    with pytest.raises(SettingsError, match=f"DASTRA_{name} is ") as caught:
        Places.of(Settings.from_env({**env, f"DASTRA_{name}": text}))
    assert planted.OTHER_KEY not in str(caught.value)
