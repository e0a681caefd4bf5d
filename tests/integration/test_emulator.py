"""The embedded AWS emulator as a child process: what it offers, where it listens, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cli.local import emulator as module
from cli.local.emulator import AwsEmulator, EmulatorError, Names, Resources, provision
from cli.local.sockets import listeners

pytest.importorskip("ministack", reason="needs the embedded AWS emulator: uv sync --group local")
pytestmark = pytest.mark.emulator

DIRECT = Config(proxies={})


@pytest.fixture(scope="module")
def running() -> Iterator[AwsEmulator]:
    """Start one emulator for the module."""
    with AwsEmulator() as emulator:
        yield emulator


@pytest.fixture
def resources(running: AwsEmulator) -> Resources:
    """Empty the emulator and make the resources of a deployment."""
    running.reset()
    return provision(running.session(), endpoint_url=running.endpoint_url)


def alive(group: int) -> bool:
    """Say whether a process group has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_provision_makes_what_a_deployment_has(running: AwsEmulator, resources: Resources) -> None:
    """Queue, dead letters, limits and retention are set, the bucket exists, the secret exists and has no value."""
    session, at = running.session(), running.endpoint_url
    sqs = session.client("sqs", endpoint_url=at, config=DIRECT)
    queue = sqs.get_queue_attributes(QueueUrl=resources.queue_url, AttributeNames=["All"])["Attributes"]
    dlq = sqs.get_queue_attributes(QueueUrl=resources.dlq_url, AttributeNames=["All"])["Attributes"]
    assert queue["VisibilityTimeout"] == "60"
    assert json.loads(queue["RedrivePolicy"]) == {"deadLetterTargetArn": dlq["QueueArn"], "maxReceiveCount": 5}
    assert (queue["MaximumMessageSize"], dlq["MaximumMessageSize"]) == ("1048576", "1048576")
    assert (queue["MessageRetentionPeriod"], dlq["MessageRetentionPeriod"]) == ("345600", "1209600")
    s3 = session.client("s3", endpoint_url=at, config=DIRECT)
    assert s3.list_objects_v2(Bucket=resources.bucket)["KeyCount"] == 0
    secrets = session.client("secretsmanager", endpoint_url=at, config=DIRECT)
    with pytest.raises(ClientError) as caught:
        secrets.get_secret_value(SecretId=resources.secret_id)
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    secrets.put_secret_value(SecretId=resources.secret_id, SecretString="invented")
    assert secrets.get_secret_value(SecretId=resources.secret_id)["SecretString"] == "invented"
    for client in (sqs, s3, secrets):
        client.close()


def test_peeking_shows_everything_and_changes_nothing(running: AwsEmulator, resources: Resources) -> None:
    """Every message, oldest first, whole, with its attributes, in flight or not; receive counts stay as they were."""
    sqs = running.session().client("sqs", endpoint_url=running.endpoint_url, config=DIRECT)
    bodies = ["\ufeffbegins with a byte order mark", "tab\tline\r\n😀\ufffd", "x" * (1024 * 1024), *"0123456789ab"]
    for number, body in enumerate(bodies):
        sqs.send_message(
            QueueUrl=resources.queue_url,
            MessageBody=body,
            MessageAttributes={
                "ce-id": {"DataType": "String", "StringValue": f"é{number}"},
                "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
            },
        )
    (taken,) = sqs.receive_message(QueueUrl=resources.queue_url)["Messages"]
    seen = running.messages(resources.queue_name)
    assert [message.body for message in seen] == bodies
    assert [message.attributes for message in seen] == [
        {"ce-id": f"é{number}", "raw": b"\x00\xff"} for number in range(len(bodies))
    ]
    assert [message.in_flight for message in seen] == [message.message_id == taken["MessageId"] for message in seen]
    assert sum(message.receive_count for message in seen) == 1
    assert abs(seen[0].sent_at - time.time()) < 60
    assert running.messages(resources.queue_name) == seen
    sqs.change_message_visibility(
        QueueUrl=resources.queue_url, ReceiptHandle=taken["ReceiptHandle"], VisibilityTimeout=0
    )
    received = sqs.receive_message(
        QueueUrl=resources.queue_url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert {message["MessageId"]: message["Attributes"]["ApproximateReceiveCount"] for message in received} == {
        message.message_id: "2" if message.message_id == taken["MessageId"] else "1" for message in seen[:10]
    }
    sqs.close()


def test_peeking_at_a_queue_that_is_not_there(running: AwsEmulator, resources: Resources) -> None:
    """The error names the queues there are."""
    with pytest.raises(LookupError, match=f"{Names().queue}', '{Names().dead_letters}"):
        running.messages("elsewhere")
    assert running.messages(Names().dead_letters) == []


def test_reset_leaves_nothing(running: AwsEmulator, resources: Resources) -> None:
    """After a reset no queue is left, and the same names can be provisioned again."""
    running.reset()
    with pytest.raises(LookupError):
        running.messages(resources.queue_name)
    provision(running.session(), endpoint_url=running.endpoint_url)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_listens_on_loopback_alone(running: AwsEmulator, resources: Resources) -> None:
    """One listening socket, on 127.0.0.1, also after every service was used."""
    port = int(running.endpoint_url.rpartition(":")[2])
    assert listeners(running.pid) == {(ip_address("127.0.0.1"), port)}


def test_a_listener_beyond_loopback_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it listened on all interfaces, the start would fail and say where."""
    monkeypatch.setattr(module, "listeners", lambda group: {(ip_address("0.0.0.0"), 4566)})
    emulator = AwsEmulator()
    with pytest.raises(EmulatorError, match=r"alone: \['0\.0\.0\.0:4566'\]"):
        emulator.__enter__()
    assert not alive(emulator.pid)


def test_the_end_leaves_no_process_no_listener_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the block the process group is gone, the port refuses and the scratch directory is removed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with AwsEmulator() as emulator:
        client = emulator.session().client("s3", endpoint_url=emulator.endpoint_url, config=DIRECT)
        client.list_buckets()  # leaves a connection open, which must not delay the end
        assert len(list(tmp_path.iterdir())) == 1
        assert alive(emulator.pid)
    client.close()
    assert not alive(emulator.pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(emulator.endpoint_url.rpartition(":")[2])))
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """A parent that dies by SIGKILL can clean nothing up: the emulator goes all the same, with its directory."""
    program = (
        "import time\n"
        "from cli.local.emulator import AwsEmulator\n"
        "with AwsEmulator() as emulator:\n"
        "    print(emulator.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        assert alive(group)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while alive(group) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(group)
    assert list(tmp_path.iterdir()) == []


def test_an_early_end_is_told_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it dies at the start, the error carries its status and the end of what it said."""
    monkeypatch.setattr(module, "_CHILD", "import sys; print('invented'); print('complaint'); sys.exit(3)")
    with pytest.raises(EmulatorError, match="ended with status 3:\ninvented\ncomplaint"), AwsEmulator():
        pass


def test_no_answer_in_time_is_an_error_and_leaves_nothing() -> None:
    """A start that takes too long fails with a sentence, and what was started is gone."""
    emulator = AwsEmulator(start_seconds=0)
    with pytest.raises(EmulatorError, match="did not answer within 0 s"), emulator:
        pass
    assert not alive(emulator.pid)
