"""The emulated Google Cloud: what is Google's own, what stands in, and the faults in front of it, on the wire."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument, NotFound
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.types import Secret, SecretPayload
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PubsubMessage

from cli.local.faults import Fault
from cli.local.gcp_emulator import INSTALL, PROJECT, EmulatorError, GcpEmulator, Names, pubsub_command
from cli.local.gcp_faults import GrpcFaultProxy
from cli.local.sockets import listeners
from core.message import QueueMessage
from core.ports import PortError
from gcp_function.pubsub_queue import PubsubQueue, publisher
from gcp_function.sdk import grpc_transport
from gcp_function.secret_keys import EMULATOR, SecretKeys, secret_manager
from tests.planted import KEY, OTHER_KEY

pytestmark = pytest.mark.emulator

KINDS = [
    pytest.param(
        True, marks=pytest.mark.skipif(pubsub_command() is None, reason=f"needs Google's emulator: {INSTALL}")
    ),
    False,
]
NAMES = Names()


@pytest.fixture(scope="module", params=KINDS, ids=["google", "stand-in"])
def started(request: pytest.FixtureRequest) -> Iterator[GcpEmulator]:
    """One emulator for the tests of its kind."""
    with GcpEmulator(google_pubsub=request.param) as emulator:
        yield emulator


@pytest.fixture
def emulator(started: GcpEmulator, monkeypatch: pytest.MonkeyPatch) -> GcpEmulator:
    """An emulator with a topic and a subscription of the test's own, to which this process's clients are led."""
    name = f"test-{uuid.uuid4().hex}"
    names = Names(
        topic=f"projects/{PROJECT}/topics/{name}",
        subscription=f"projects/{PROJECT}/subscriptions/{name}",
        bucket=name,
        secret=f"projects/{PROJECT}/secrets/{name}",
    )
    monkeypatch.setitem(globals(), "NAMES", names)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", started.pubsub)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", started.storage)
    monkeypatch.setenv(EMULATOR, started.secrets)
    client = publisher()
    client.create_topic(name=names.topic)
    end(client)
    with subscriber(started) as found:
        found.create_subscription(name=names.subscription, topic=names.topic)
    return started


def end(client: PublisherClient | SecretManagerServiceClient) -> None:
    """Close a client's connections."""
    client.transport.close()  # type: ignore[no-untyped-call]


def subscriber(emulator: GcpEmulator) -> SubscriberClient:
    """A client for the consumer's side."""
    return SubscriberClient(transport=grpc_transport(SubscriberGrpcTransport, emulator.pubsub))


def message(**attributes: str) -> QueueMessage:
    """A small message."""
    return QueueMessage("an-id", b"\0\xff not text", {"id": "an-id", **attributes})


def test_a_message_comes_back_as_it_went(emulator: GcpEmulator) -> None:
    """Any bytes and any attributes; what is acknowledged is gone, what is given back comes again."""
    PubsubQueue(NAMES.topic).send(message(type="é"), 5)
    with subscriber(emulator) as client:
        (received,) = client.pull(subscription=NAMES.subscription, max_messages=5).received_messages
        assert received.message.data == b"\0\xff not text"
        assert dict(received.message.attributes) == {"ce-id": "an-id", "ce-type": "é"}
        client.modify_ack_deadline(subscription=NAMES.subscription, ack_ids=[received.ack_id], ack_deadline_seconds=0)
        (again,) = client.pull(subscription=NAMES.subscription, max_messages=5, timeout=5).received_messages
        assert again.message.message_id == received.message.message_id
        client.acknowledge(subscription=NAMES.subscription, ack_ids=[again.ack_id])


def test_what_is_not_there(emulator: GcpEmulator) -> None:
    """A topic and a secret that nobody made are NotFound; so is a secret without a version, until it has one."""
    with pytest.raises(PortError, match="NotFound"):
        PubsubQueue(f"{NAMES.topic}-2").send(message(), 5)
    keys = SecretKeys(NAMES.secret)
    with pytest.raises(PortError, match="NotFound"):
        keys.fetch(1)
    client = secret_manager()
    secret = Secret(replication={"automatic": {}})
    client.create_secret(parent=f"projects/{PROJECT}", secret_id=NAMES.secret.rpartition("/")[2], secret=secret)
    with pytest.raises(PortError, match="NotFound"):
        keys.fetch(1)
    for text, count in ((KEY, 1), (f"{OTHER_KEY}, {KEY}", 2)):
        client.add_secret_version(parent=NAMES.secret, payload=SecretPayload(data=text.encode()))
        assert len(keys.fetch(1)) == count
    assert len(SecretKeys(f"{NAMES.secret}/versions/1").fetch(1)) == 1
    end(client)


def test_it_listens_on_loopback_alone(emulator: GcpEmulator) -> None:
    """No socket of this process group or of the emulators' is open to the network."""
    groups = {os.getpgid(int(pid)) for pid in _descendants(os.getpid())}
    found = {address for group in groups for address, _ in listeners(group)}
    assert found
    for address in found:  # Java's are IPv4 inside IPv6
        plain = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        assert (plain or address).is_loopback


def _descendants(pid: int) -> Iterator[str]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # threads and processes come and go meanwhile
            for child in (task / "children").read_text().split():
                yield child
                yield from _descendants(int(child))


def test_the_emulators_end_with_their_parent(tmp_path: Path) -> None:
    """Even when it is killed, nothing of it is left running."""
    program = """
import subprocess, time
from cli.local.gcp_emulator import GcpEmulator
emulator = GcpEmulator()
emulator.__enter__()
print("up", flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    children = list(_descendants(parent.pid))
    assert children
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while (left := [pid for pid in children if _lives(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_google_s_emulator_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Java, or without the emulator, asking for it says how to get it, and the stand-in takes its place."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert pubsub_command() is None
    with pytest.raises(EmulatorError, match="gcloud components install"), GcpEmulator(google_pubsub=True):
        pass
    with GcpEmulator() as started:
        assert not started.is_google
        assert started.pubsub == started.secrets


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[PublisherClient]:
    """A client of the stand-in, which keeps Pub/Sub's limits."""
    with GcpEmulator(google_pubsub=False) as started:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", started.pubsub)
        client = publisher()
        client.create_topic(name=NAMES.topic)
        yield client
        end(client)


BREAKING = {
    "nothing": PubsubMessage(),
    "too many attributes": PubsubMessage(data=b"x", attributes={f"a{n}": "x" for n in range(101)}),
    "long name": PubsubMessage(data=b"x", attributes={"a" * 257: "x"}),
    "empty name": PubsubMessage(data=b"x", attributes={"": "x"}),
    "reserved name": PubsubMessage(data=b"x", attributes={"google": "x"}),
    "long value": PubsubMessage(data=b"x", attributes={"a": "é" * 513}),
    "long ordering key": PubsubMessage(data=b"x", ordering_key="x" * 1025),
    "too large": PubsubMessage(data=b"x" * 10_000_000),
}


@pytest.mark.parametrize("name", BREAKING)
def test_the_stand_in_keeps_the_documented_limits(strict: PublisherClient, name: str) -> None:
    """Google's emulator accepts all of these; the service and the stand-in do not."""
    with pytest.raises(InvalidArgument):
        strict.publish(topic=NAMES.topic, messages=[BREAKING[name]], retry=None, timeout=20)


def test_what_is_just_within_the_limits_passes(strict: PublisherClient) -> None:
    """The largest request, the most attributes, the longest names and values."""
    fits = [
        PubsubMessage(data=b"x" * 9_999_900),
        PubsubMessage(attributes={f"a{n}": "x" for n in range(100)}),
        PubsubMessage(data=b"x", attributes={"a" * 256: "é" * 512}, ordering_key="x" * 1024),
    ]
    for fitting in fits:
        strict.publish(topic=NAMES.topic, messages=[fitting], retry=None, timeout=20)


@pytest.mark.parametrize("size", [9_999_000, 9_999_800, 9_999_900, 9_999_910, 9_999_950, 10_000_000, 10_000_001])
def test_our_own_check_agrees_with_the_limit(strict: PublisherClient, size: int) -> None:
    """What ``takes`` says of a message near the limit is what the service would say."""
    queue = PubsubQueue(NAMES.topic)
    near = QueueMessage("x", b"x" * size, {"id": "x"})
    if queue.takes(near):
        queue.send(near, 20)
    else:
        with pytest.raises(PortError) as raised:
            queue.send(near, 20)
        assert raised.value.permanent


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxied(emulator: GcpEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[GrpcFaultProxy, PubsubQueue]]:
    """A queue behind the proxy, its connection up."""
    with GrpcFaultProxy(int(emulator.pubsub.rpartition(":")[2]), slow_seconds=0.2) as proxy:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", proxy.address)
        queue = PubsubQueue(NAMES.topic)
        queue.send(message(), 5)
        yield proxy, queue


def sent(emulator: GcpEmulator) -> int:
    """How many messages are on the queue, all of them taken off it."""
    count = 0
    with subscriber(emulator) as client:
        while True:
            try:
                received = client.pull(
                    subscription=NAMES.subscription, max_messages=100, timeout=1, retry=None
                ).received_messages
            except GoogleAPICallError:
                return count
            if not received:
                return count
            client.acknowledge(subscription=NAMES.subscription, ack_ids=[found.ack_id for found in received])
            count += len(received)


AT_ONCE = {
    Fault.REFUSED: ("ServiceUnavailable", 1),
    Fault.RESET: ("ServiceUnavailable", 1),
    Fault.ERROR_500: ("InternalServerError", 1),
    Fault.ERROR_503: ("ServiceUnavailable", 1),
    Fault.THROTTLED: ("ResourceExhausted", 1),
    Fault.CUT: ("ServiceUnavailable", 3),
    Fault.CUT_HALF: ("ServiceUnavailable", 3),
}
"""Each fault that shows at once: the code, and how many copies are on the queue after one send before it and one that
met it, with its second attempt."""


@pytest.mark.parametrize("fault", AT_ONCE)
def test_a_fault_that_shows_at_once(
    emulator: GcpEmulator, proxied: tuple[GrpcFaultProxy, PubsubQueue], fault: Fault
) -> None:
    """Both attempts fail with the service's word for it, long before the time is up; afterwards all is well again."""
    proxy, queue = proxied
    code, copies = AT_ONCE[fault]
    asked = proxy.requests
    proxy.set(fault)
    started = time.monotonic()
    with pytest.raises(PortError) as raised:
        queue.send(message(), 20)
    assert (raised.value.code, raised.value.timed_out, raised.value.permanent) == (code, False, False)
    assert time.monotonic() - started < 5
    assert proxy.requests == asked + (0 if fault is Fault.REFUSED else 2)
    proxy.set(Fault.NONE)
    assert sent(emulator) == copies
    queue.send(message(), 20)
    assert sent(emulator) == 1


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.HANGING, Fault.DRIPPING])
def test_a_fault_that_never_ends(
    emulator: GcpEmulator, proxied: tuple[GrpcFaultProxy, PubsubQueue], fault: Fault
) -> None:
    """The client gives up by itself, before the hard bound would, on two connections; nothing was published."""
    proxy, queue = proxied
    proxy.set(fault)
    started = time.monotonic()
    with pytest.raises(PortError) as raised:
        queue.send(message(), 3)
    assert raised.value.timed_out
    assert 2.5 < time.monotonic() - started < 3.0 + 1.0
    proxy.set(Fault.NONE)
    queue.discard()
    queue.send(message(), 5)
    assert sent(emulator) == 2


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in (Fault.NONE, Fault.REFUSED, Fault.SLOW)])
def test_one_failure_is_healed_by_the_second_attempt(proxied: tuple[GrpcFaultProxy, PubsubQueue], fault: Fault) -> None:
    """A connection that died unseen, or an answer that was lost, costs part of the time and not the place."""
    proxy, queue = proxied
    proxy.set(fault, times=1)
    queue.send(message(), 3)
    assert proxy.mode is Fault.NONE
    queue.send(message(), 3)


def test_a_slow_answer_is_waited_for(emulator: GcpEmulator, proxied: tuple[GrpcFaultProxy, PubsubQueue]) -> None:
    """Late and within the time is in time: one message, no second attempt."""
    proxy, queue = proxied
    proxy.set(Fault.SLOW)
    started = time.monotonic()
    queue.send(message(), 3)
    assert time.monotonic() - started >= 0.2
    assert sent(emulator) == 2


def test_a_client_thrown_away_takes_its_connection_with_it(
    emulator: GcpEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next client connects anew: gRPC would otherwise share the connection that hangs between clients."""
    connections: list[object] = []
    accept: Callable[[GrpcFaultProxy, object], None] = GrpcFaultProxy._accept  # type: ignore[assignment]

    def counted(self: GrpcFaultProxy, listener: object) -> None:
        connections.append(listener)
        accept(self, listener)

    monkeypatch.setattr(GrpcFaultProxy, "_accept", counted)
    with GrpcFaultProxy(int(emulator.pubsub.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", proxy.address)
        queue = PubsubQueue(NAMES.topic)
        for _ in range(3):
            queue.send(message(), 5)
        assert len(connections) == 1
        kept = queue._client.get(1)
        queue.discard()
        queue.send(message(), 5)
        assert len(connections) == 2
        assert queue._client.get(1) is not kept


def test_missing_things_are_not_asked_for_twice(proxied: tuple[GrpcFaultProxy, PubsubQueue]) -> None:
    """An error that a second attempt would meet again ends the send at once."""
    proxy, _ = proxied
    queue = PubsubQueue(f"{NAMES.topic}-missing")
    asked = proxy.requests
    with pytest.raises(PortError, match=NotFound.__name__):
        queue.send(message(), 5)
    assert proxy.requests == asked + 1
