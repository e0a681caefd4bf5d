"""Blob Storage and Key Vault through the official SDKs, before the local run's stand-in and, where it is, Azurite."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import ResourceNotFoundError

from azure_function.blob_store import BlobStore, container_client
from azure_function.consumer import blob_fetch
from azure_function.places import SecretPlace, StorePlace
from azure_function.vault_keys import VaultKeys
from cli.local import azurite
from cli.local.azure_emulator import AzureEmulator
from cli.local.azure_services import ACCOUNT
from cli.local.faults import LOOPBACK, Fault
from core.event import EventError
from core.ports import NotFoundError, PortError
from core.signature import SignatureKey
from tests import planted

pytestmark = pytest.mark.emulator

CONTAINER: Final = "events"
ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 5.0


def _no_identity() -> NoReturn:
    pytest.fail("no identity is needed here")


def _store(url: str, seconds: float, connections: int) -> BlobStore:
    return BlobStore(StorePlace.parse(url), _no_identity, seconds, connections)


@pytest.fixture(scope="module", params=["stand-in", "azurite"])
def place(request: pytest.FixtureRequest) -> Iterator[StorePlace]:
    """A container in either service."""
    if request.param == "stand-in":
        with AzureEmulator() as emulator:
            emulator.services.create_container(CONTAINER)
            yield StorePlace.parse(emulator.container_url(CONTAINER))
        return
    program = azurite.find()
    if program is None:
        pytest.skip("needs Azurite: make azure-tools, or name its program azurite-blob in AZURITE")
    with azurite.running(program) as port:
        found = StorePlace.parse(f"http://{LOOPBACK}:{port}/{ACCOUNT}/{CONTAINER}")
        container_client(found, _no_identity, SECONDS, 2).create_container()
        yield found


@pytest.fixture
def store(place: StorePlace) -> BlobStore:
    """The store as the function app makes it, empty."""
    made = BlobStore(place, _no_identity, SECONDS, 16)
    for entry in made.list("", 10_000, SECONDS):
        made.delete(entry.key, SECONDS)
    return made


def test_a_blob_comes_back_as_it_was_put(store: BlobStore) -> None:
    """Any bytes, also none and four mebibytes, with their metadata."""
    metadata = {"id": "0" * 64, "type": "eu.dastra.TaskCreation", "reason": "queue_failed", "receivedat": "2026-03-02"}
    for body in (b"", b"\0\xff" * 10, os.urandom(4 * 1024 * 1024)):
        assert store.put("spool/20260302T091603700Z-x", body, metadata, SECONDS)
        found = store.get("spool/20260302T091603700Z-x", SECONDS)
        assert (found.key, found.body, dict(found.metadata)) == ("spool/20260302T091603700Z-x", body, metadata)


def test_putting_only_where_there_is_none(store: BlobStore) -> None:
    """The first writes, the second is told; without the wish the second replaces."""
    assert store.put("leases/redrive", b"1", {}, SECONDS, only_if_absent=True)
    assert not store.put("leases/redrive", b"2", {}, SECONDS, only_if_absent=True)
    assert store.get("leases/redrive", SECONDS).body == b"1"
    assert store.put("leases/redrive", b"3", {}, SECONDS)
    assert store.get("leases/redrive", SECONDS).body == b"3"


def test_one_of_many_at_once_gets_the_lease(store: BlobStore) -> None:
    """Concurrent takers of one key: exactly one is told yes."""
    with ThreadPoolExecutor(16) as pool:
        told = list(
            pool.map(lambda n: store.put("leases/redrive", b"%d" % n, {}, SECONDS, only_if_absent=True), range(16))
        )
    assert told.count(True) == 1


def test_a_listing_is_sorted_and_cut(store: BlobStore) -> None:
    """By key, below the prefix, at most so many, with sizes and times, also beyond a page."""
    for number in (3, 1, 2):
        store.put(f"spool/{number}", b"x" * number, {}, SECONDS)
    store.put("quarantine/1", b"", {}, SECONDS)
    entries = store.list("spool/", 10, SECONDS)
    assert [(entry.key, entry.size) for entry in entries] == [("spool/1", 1), ("spool/2", 2), ("spool/3", 3)]
    assert all(abs(entry.modified.timestamp() - time.time()) < 120 for entry in entries)
    assert [entry.key for entry in store.list("spool/", 2, SECONDS)] == ["spool/1", "spool/2"]
    assert not store.list("claims/", 10, SECONDS)


def test_what_is_not_there(store: BlobStore) -> None:
    """Reading says so; deleting does not mind."""
    with pytest.raises(NotFoundError):
        store.get("spool/none", SECONDS)
    store.delete("spool/none", SECONDS)
    store.put("spool/one", b"1", {}, SECONDS)
    store.delete("spool/one", SECONDS)
    with pytest.raises(NotFoundError):
        store.get("spool/one", SECONDS)


def test_a_container_that_is_not_there(place: StorePlace) -> None:
    """The service's own code is told; a missing container is no missing blob to a writer."""
    other = _store(place.url.replace(CONTAINER, "another"), SECONDS, 2)
    with pytest.raises(PortError) as caught:
        other.put("spool/x", b"", {}, SECONDS)
    assert caught.value.code == "ContainerNotFound"


def test_a_claim_is_fetched_from_its_own_folder_alone(place: StorePlace, store: BlobStore) -> None:
    """The pinned fetch follows our own reference, and nothing that somebody else could write into a message."""
    store.put("claims/abc123", b"body", {}, SECONDS)
    store.put("claims/large", b"x" * 2000, {}, SECONDS)
    store.put("spool/secret", b"other", {}, SECONDS)
    fetch = blob_fetch(container_client(place, _no_identity, SECONDS, 2), max_bytes=1000)
    assert fetch(store.url("claims/abc123")) == b"body"
    for other in (
        store.url("spool/secret"),
        store.url("claims/../spool/secret"),
        store.url("claims/%2e%2e/spool/secret"),
        store.url("claims/"),
        store.url("claims/abc123?snapshot=2026"),
        store.url("claims/abc123").replace(CONTAINER, "another"),
        "https://example.org/claims/abc123",
        "claims/abc123",
        "",
    ):
        with pytest.raises(EventError, match="does not point below"):
            fetch(other)
    with pytest.raises(EventError, match="larger than 1000"):
        fetch(store.url("claims/large"))
    with pytest.raises(ResourceNotFoundError):
        fetch(store.url("claims/gone"))


@pytest.mark.parametrize(
    "fault", [Fault.REFUSED, Fault.RESET, Fault.SILENT, Fault.HANGING, Fault.ERROR_500, Fault.THROTTLED, Fault.CUT]
)
def test_the_stores_failures_are_told_in_time(fault: Fault) -> None:
    """Two attempts within what a call may take, and no blob half written; afterwards the same store goes on."""
    with AzureEmulator() as emulator:
        emulator.services.create_container(CONTAINER)
        store = _store(emulator.container_url(CONTAINER), 1.0, 4)
        assert store.put("spool/a", b"1", {}, 1.0)
        emulator.store.set(fault)
        started = time.monotonic()
        with pytest.raises(PortError) as caught:
            store.put("spool/b", b"2", {}, 1.0)
        assert time.monotonic() - started < 3
        assert caught.value.timed_out is (fault in (Fault.SILENT, Fault.HANGING))
        emulator.store.set(Fault.NONE)
        store.discard()
        assert store.put("spool/c", b"3", {}, 1.0)
        assert {blob.body for blob in emulator.services.blobs(CONTAINER)} <= {b"1", b"2", b"3"}


def test_sixteen_calls_at_once_share_a_pool() -> None:
    """Each of sixteen concurrent calls has a connection, and none is thrown away for want of room."""
    with AzureEmulator() as emulator:
        emulator.services.create_container(CONTAINER)
        store = _store(emulator.container_url(CONTAINER), SECONDS, 16)
        together = threading.Barrier(16)

        def put(number: int) -> bool:
            together.wait(10)
            return store.put(f"spool/{number}", b"x" * 100_000, {}, SECONDS)

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(put, range(16)))
        assert len(emulator.services.blobs(CONTAINER)) == 16


def test_a_writer_that_is_killed_leaves_nothing_and_no_noise(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection that ends in the midst of a blob: none of it is stored, and the terminal stays as it was."""
    with AzureEmulator() as emulator:
        emulator.services.create_container(CONTAINER)
        url = urlsplit(emulator.container_url(CONTAINER))
        with socket.create_connection((url.hostname, url.port), timeout=SECONDS) as connection:
            connection.sendall(
                f"PUT {url.path}/spool/half HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: SharedKey {ACCOUNT}:x\r\n"
                "Content-Length: 1000\r\n\r\nhalf".encode()
            )
            time.sleep(0.3)
        assert _store(emulator.container_url(CONTAINER), SECONDS, 2).put("spool/whole", b"1", {}, SECONDS)
        assert [blob.name for blob in emulator.services.blobs(CONTAINER)] == ["spool/whole"]
    assert "Traceback" not in "".join([*capfd.readouterr(), caplog.text])


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def vault() -> Iterator[AzureEmulator]:
    """A vault with no secret."""
    with AzureEmulator() as emulator:
        yield emulator


def _keys(emulator: AzureEmulator, seconds: float = SECONDS) -> VaultKeys:
    return VaultKeys(SecretPlace.parse(emulator.secret_url("keys")), _no_identity, seconds)


def test_keys_are_read_from_the_vault_each_time(vault: AzureEmulator) -> None:
    """The present value, never one that was kept; the vault's challenge is answered once."""
    keys = _keys(vault)
    vault.services.set_secret("keys", planted.KEY)
    assert keys.fetch(SECONDS) == (SignatureKey(planted.KEY),)
    vault.services.set_secret("keys", f'["{planted.NEWER_KEY}", "{planted.KEY}"]')
    asked = vault.vault.requests
    assert keys.fetch(SECONDS) == (SignatureKey(planted.NEWER_KEY), SignatureKey(planted.KEY))
    assert vault.vault.requests == asked + 1


@pytest.mark.parametrize(
    ("value", "code"), [(None, "no_value"), ("", "no_usable_key"), (" \n", "no_usable_key"), ("[]", "no_usable_key")]
)
def test_a_secret_without_a_key(vault: AzureEmulator, value: str | None, code: str) -> None:
    """No secret yet, or one that holds no key: told as such, and the value never in the error."""
    vault.services.set_secret("keys", value)
    with pytest.raises(PortError) as caught:
        _keys(vault).fetch(SECONDS)
    assert caught.value.code == code


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.RESET, Fault.SILENT, Fault.HANGING, Fault.ERROR_503])
def test_the_vaults_failures_are_told_in_time(vault: AzureEmulator, fault: Fault) -> None:
    """And the keys are read again as soon as it answers."""
    vault.services.set_secret("keys", planted.KEY)
    keys = _keys(vault, 0.5)
    vault.vault.set(fault)
    started = time.monotonic()
    with pytest.raises(PortError):
        keys.fetch(0.5)
    assert time.monotonic() - started < 2.5
    vault.vault.set(Fault.NONE)
    assert keys.fetch(0.5) == (SignatureKey(planted.KEY),)
