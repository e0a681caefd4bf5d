"""Cloud Storage's adapter against fake-gcs-server, with faults on the wire."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud.storage import Blob

from cli.local.faults import Fault, FaultProxy
from cli.local.gcp_emulator import GcpEmulator
from core.ports import NotFoundError, PortError
from gcp_function.gcs_store import GcsStore, storage_client

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[GcpEmulator]:
    """The emulated bucket's server."""
    with GcpEmulator(google_pubsub=False) as started:
        yield started


@pytest.fixture
def proxy(emulator: GcpEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A fault proxy before it, to which this process's clients are led."""
    with FaultProxy(int(emulator.storage.rpartition(":")[2])) as started:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", started.url)
        yield started


@pytest.fixture
def store(proxy: FaultProxy) -> Iterator[GcsStore]:
    """A bucket of the test's own."""
    name = f"bucket-{uuid.uuid4().hex}"
    client = storage_client(2)
    client.create_bucket(name)
    client.close()
    made = GcsStore(name, 4)
    yield made
    made._client.get(1).close()


def test_what_is_put_comes_back(store: GcsStore) -> None:
    """Any bytes with any metadata, listed in the order of their keys, and gone once they are deleted, however often."""
    metadata = {"id": "1", "reason": "é", "address": "192.0.2.44"}
    for key in ("spool/b", "spool/a", "claims/c"):
        assert store.put(key, b"\0\xff", metadata, 5)
    found = store.get("spool/a", 5)
    assert (found.key, found.body, found.metadata) == ("spool/a", b"\0\xff", metadata)
    assert [entry.key for entry in store.list("spool/", 10, 5)] == ["spool/a", "spool/b"]
    assert [entry.key for entry in store.list("spool/", 1, 5)] == ["spool/a"]
    (entry,) = store.list("claims/", 10, 5)
    assert entry.size == 2
    assert entry.modified.tzinfo is not None
    for _ in range(2):
        store.delete("spool/a", 5)
    with pytest.raises(NotFoundError):
        store.get("spool/a", 5)
    assert store.url("claims/c") == f"gs://{store._name}/claims/c"


def test_only_if_absent(store: GcsStore) -> None:
    """A lease is taken by one of many who ask at once."""
    taken: list[bool] = []

    def take(number: int) -> None:
        taken.append(store.put("leases/x", str(number).encode(), {}, 5, only_if_absent=True))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]
    assert store.put("leases/x", b"over", {}, 5)
    assert store.get("leases/x", 5).body == b"over"


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.ERROR_500, Fault.ERROR_503, Fault.HANGING, Fault.SILENT])
def test_one_failure_of_a_put_is_healed(store: GcsStore, proxy: FaultProxy, fault: Fault) -> None:
    """The second attempt writes what the first did not."""
    proxy.set(fault, times=1)
    assert store.put("spool/a", b"body", {"id": "1"}, 3)
    assert store.get("spool/a", 5).body == b"body"


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.CUT_HALF])
def test_a_put_whose_answer_was_lost_is_not_written_again(
    store: GcsStore, proxy: FaultProxy, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands there already; to write it again would take the right to overwrite, which the receiver may lack."""
    writes = []
    upload = Blob.upload_from_string

    def noted(blob: Blob, body: bytes, **named: Any) -> None:
        writes.append(named["if_generation_match"])
        upload(blob, body, **named)

    monkeypatch.setattr(Blob, "upload_from_string", noted)
    proxy.set(fault, times=1)
    assert store.put("spool/a", b"body", {"id": "1"}, 3)
    assert writes == [None, 0]
    assert store.get("spool/a", 5).body == b"body"


def test_a_lease_whose_answer_was_lost_is_not_asked_for_again(store: GcsStore, proxy: FaultProxy) -> None:
    """Somebody else's and one's own would then look alike."""
    proxy.set(Fault.CUT, times=1)
    with pytest.raises(PortError):
        store.put("leases/x", b"", {}, 3, only_if_absent=True)


@pytest.mark.parametrize("fault", [Fault.HANGING, Fault.SILENT])
@pytest.mark.parametrize("operation", ["put", "get", "list", "delete"])
def test_a_store_that_hangs_is_given_up(store: GcsStore, proxy: FaultProxy, fault: Fault, operation: str) -> None:
    """By the client itself, within the time it was given, as a time-out."""
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: store.put("spool/a", b"", {}, 1),
        "get": lambda: store.get("spool/a", 1),
        "list": lambda: store.list("spool/", 5, 1),
        "delete": lambda: store.delete("spool/a", 1),
    }
    proxy.set(fault)
    with pytest.raises(PortError) as raised:
        calls[operation]()
    assert raised.value.timed_out
    asked = proxy.requests
    proxy.set(Fault.NONE)
    assert proxy.requests == asked


def test_a_refusal_is_told_by_its_name(store: GcsStore, proxy: FaultProxy) -> None:
    """A bucket that is not there is no reason to ask twice; the code is the library's word and no text."""
    missing = GcsStore("no-such-bucket", 2)
    asked = proxy.requests
    with pytest.raises(PortError, match=r"^NotFound$"):
        missing.put("spool/a", b"", {}, 3)
    assert proxy.requests == asked + 1
    missing._client.get(1).close()


def test_nothing_is_asked_beside_the_call(store: GcsStore, proxy: FaultProxy) -> None:
    """The library would look the bucket up on a thread of its own, for traces; the receiver has no right to that."""
    before = threading.active_count()
    asked = proxy.requests
    store.put("spool/a", b"", {}, 3)
    assert threading.active_count() == before
    assert proxy.requests == asked + 1
