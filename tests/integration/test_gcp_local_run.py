"""Google Cloud's part of the local run and of the commands: the real functions, and what a person is shown of them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from cli.clouds.gcp import Gcp
from cli.exits import CliError, Exit
from cli.local.cloud import Depths, Handled
from cli.local.faults import Fault
from cli.local.front import HttpRequest
from cli.local.gcp import LocalGcp
from cli.local.gcp_emulator import INSTALL, pubsub_command
from cli.local.journal import Journal
from cli.target import Names
from core.ports import PortError
from tests import planted
from tests.contract.bypass import NAME, sized
from tests.log_check import check

pytestmark = pytest.mark.emulator

KINDS = [
    pytest.param(
        True, marks=pytest.mark.skipif(pubsub_command() is None, reason=f"needs Google's emulator: {INSTALL}")
    ),
    False,
]


class Local:
    """A local run, and what its screen was told."""

    def __init__(self, cloud: LocalGcp, handled: list[Handled], journal: Path) -> None:
        self.cloud = cloud
        self.handled = handled
        self.journal = journal

    def post(self, body: bytes, signature: str | None = None, *more: tuple[str, str]) -> tuple[int, bytes]:
        """Send a request; signed, unless a signature is given."""
        headers = ((NAME, planted.signature(body) if signature is None else signature), *more)
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        with redirect_stdout(self.cloud._journal):
            answer = self.cloud(HttpRequest("POST", b"/dastra", b"", raw, body, "127.0.0.1", time.time()))
        return answer.status, answer.body


@pytest.fixture(scope="module", params=KINDS, ids=["google", "stand-in"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A run for the tests of its kind; what it does to the environment is undone."""
    before = dict(os.environ)
    path = tmp_path_factory.mktemp("local") / "receiver.log"
    journal, handled = Journal(path), list[Handled]()
    settings = {"DASTRA_SOURCE_IP_ALLOWLIST": "127.0.0.1"}
    try:
        with (
            redirect_stdout(journal),
            LocalGcp(settings, planted.KEY, journal, handled.append, google_pubsub=request.param) as cloud,
        ):
            yield Local(cloud, handled, path)
    finally:
        os.environ.clear()
        os.environ.update(before)
        journal.close()
    check(path.read_text(), "the local run's log")


@pytest.fixture
def local(shared: Local) -> Iterator[Local]:
    """The run, healthy before and after."""
    yield shared
    for proxy in shared.cloud.faults.values():
        proxy.set(Fault.NONE)


def test_an_event_is_shown_as_it_stands_on_the_topic(local: Local) -> None:
    """Its exact bytes and its attributes; looking again shows it again, and a consumer of its own finds it too."""
    body = planted.body(eventName="\u2028 é 😀") + b"\r\n"
    assert local.post(body) == (200, b'{"status":"accepted"}')
    shown = local.cloud.messages()[-1]
    assert shown["body"].encode() == body
    assert shown["id"] == shown["attributes"]["ce-id"]
    assert local.cloud.messages()[-1] == shown
    told = local.handled[-1]
    assert (told.answer.status, told.size) == (200, len(body))
    assert [line["message"] for line in told.lines][-1] == "accepted"


def test_a_forged_event_is_refused(local: Local) -> None:
    """One changed byte: 401, and nothing is queued or stored."""
    body = planted.body()
    before = local.cloud.messages()
    assert local.post(body.replace(b"4242", b"4243"), planted.signature(body))[0] == 401
    assert local.cloud.messages() == before
    assert local.cloud.stored() == []


def test_what_the_queue_does_not_take_is_shown_and_goes_on(local: Local) -> None:
    """A switched fault spools an event, which the redrive's own function puts on the topic."""
    body = planted.body()
    local.cloud.faults["queue"].set(Fault.ERROR_503)
    assert local.post(body) == (200, b'{"status":"spooled"}')
    (stored,) = local.cloud.stored()
    assert (stored["reason"], stored["address"], stored["body"].encode()) == ("queue_failed", "127.0.0.1", body)
    assert local.cloud.depths() == Depths(len(local.cloud.messages()), (stored["key"],), ())
    local.cloud.faults["queue"].set(Fault.NONE)
    assert local.cloud.redrive() == {"sent": 1, "failed": 0, "skipped": False}
    assert local.cloud.stored() == []
    assert local.cloud.messages()[-1]["body"].encode() == body
    local.cloud.faults["store"].set(Fault.ERROR_503)
    with pytest.raises(PortError):
        local.cloud.redrive()


def test_bodies_that_are_no_text(local: Local) -> None:
    """Held for a person, and shown in base64."""
    body = b"\xff\xfe" + planted.nonce().encode()
    assert local.post(body) == (200, b'{"status":"quarantined"}')
    (stored,) = local.cloud.stored()
    assert "body" not in stored
    assert stored["body_base64"]
    store = Gcp().store(local.cloud.store, 5, 2)
    store.delete(stored["key"], 5)


def test_a_client_cannot_say_where_it_is(local: Local) -> None:
    """Its address is the connection's, as Google's front end writes it."""
    assert local.post(planted.body(), None, ("X-Forwarded-For", "203.0.113.1")) == (200, b'{"status":"accepted"}')
    assert local.handled[-1].lines[-1]["source_ip"] == "127.0.0.1"


def test_a_large_event_passes(local: Local) -> None:
    """The largest that the receiver takes; a larger one is refused by it, and one beyond 32 MiB by Google."""
    most = sized(4 * 1024 * 1024)
    assert local.post(most) == (200, b'{"status":"accepted"}')
    assert local.cloud.messages()[-1]["body"].encode() == most
    assert local.post(most + b" ") == (413, b'{"error":"too large"}')
    request = HttpRequest("POST", b"/", b"", (), b"", "127.0.0.1", time.time())
    assert local.cloud.turn_away(request, local.cloud.most_bytes + 1).status == 413


def test_the_title_says_what_pubsub_is(local: Local) -> None:
    """Google's own emulator or a stand-in; where it is the latter, the log says how to get the former."""
    is_google = "Google's own Pub/Sub" in local.cloud.title
    assert is_google is (INSTALL not in local.journal.read_text())
    assert all(len(line) <= 72 for line in local.cloud.title.splitlines())
    assert len(local.cloud.title.splitlines()) == 2


def test_the_commands_reach_it(local: Local) -> None:
    """Queue, store and secret of the run, through the receiver's own adapters, by the environment that it gives out."""
    gcp = Gcp()
    names = Names(local.cloud.queue, local.cloud.store, local.cloud.secret)
    assert gcp.owns(names)
    gcp.use(local.cloud.environment)
    assert gcp.store(local.cloud.store, 5, 2).list("spool/", 10, 5) == []
    secret = gcp.secret(local.cloud.secret)
    assert secret.read() == planted.KEY
    secret.write(f"{planted.NEWER_KEY},{planted.KEY}")
    assert secret.read() == f"{planted.NEWER_KEY},{planted.KEY}"
    body = planted.body()
    assert local.post(body, planted.signature(body, planted.NEWER_KEY))[0] == 200
    with pytest.raises(PortError):
        gcp.secret(f"{local.cloud.secret}-missing").write("x")


# -- names of a deployment ---------------------------------------------------------------------------------------------

TOPIC, SECRET = "projects/p/topics/t", "projects/p/secrets/s"
OWNED = {
    Names(TOPIC, "bucket", SECRET): True,
    Names(TOPIC): True,
    Names(None, "bucket", SECRET): True,
    Names(None, "bucket", f"{SECRET}/versions/1"): True,
    Names(None, "bucket"): False,
    Names("https://sqs.eu-west-1.amazonaws.com/123456789012/q", "bucket", SECRET): False,
    Names(None, None, "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s"): False,
    Names(): False,
}


@pytest.mark.parametrize("names", OWNED, ids=str)
def test_whose_names_they_are(names: Names) -> None:
    """A topic's or a secret's path is Google's; a bucket's name alone could be anybody's."""
    assert Gcp().owns(names) is OWNED[names]


SERVICE = """{"spec": {"template": {"spec": {"containers": [{"env": [
  {"name": "DASTRA_QUEUE", "value": "projects/p/topics/t"}, {"name": "DASTRA_STORE", "value": "bucket"},
  {"name": "DASTRA_SIGNATURE_KEYS_SECRET", "value": "projects/p/secrets/s"}, {"name": "OTHER"}]}]}}},
  "status": {"url": "https://dastra-webhooks-receive-hash.a.run.app"}}"""


def gcloud(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """A gcloud that does as the script says and notes its arguments."""
    program = folder / "gcloud"
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/arguments\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "arguments"


@pytest.mark.parametrize(
    ("deployment", "where"),
    [
        ("dastra-webhooks", ""),
        ("projects/p/locations/europe-west1/services/dastra-webhooks", "--project=p --region=europe-west1 "),
    ],
)
def test_a_deployment_is_found_by_its_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deployment: str, where: str
) -> None:
    """The program gcloud is asked for the service, whose settings name the parts."""
    arguments = gcloud(tmp_path, monkeypatch, f"cat <<'END'\n{SERVICE}\nEND")
    assert Gcp().find(deployment) == Names(TOPIC, "bucket", SECRET, "https://dastra-webhooks-receive-hash.a.run.app")
    assert arguments.read_text() == f"run services describe dastra-webhooks {where}--format=json --quiet\n"


_ABSENT = "ERROR: (gcloud.run.services.describe) Cannot find service [x]"
_LOGGED_OUT = "ERROR: You do not currently have an active account selected."
FAILURES: dict[str, tuple[str, Exit, str]] = {
    "absent": (f"echo '{_ABSENT}' >&2; exit 1", Exit.NO_DEPLOYMENT, "there is no"),
    "logged out": (f"echo '{_LOGGED_OUT}' >&2; exit 1", Exit.UNREACHABLE, "looked up"),
    "no JSON": ("echo nonsense", Exit.UNREACHABLE, "looked up"),
    "another's": ("echo '{\"spec\": {}}'", Exit.NO_DEPLOYMENT, "lacks DASTRA_QUEUE and DASTRA_STORE"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_deployment_that_is_not_found_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In gcloud's own words where it has some."""
    script, code, said = FAILURES[name]
    gcloud(tmp_path, monkeypatch, script)
    with pytest.raises(CliError, match=said) as raised:
        Gcp().find("x")
    assert raised.value.code is code


def test_a_name_that_is_none_and_a_machine_without_gcloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run for a name that could not be one, and a missing gcloud is said to be missing."""
    names: list[Any] = ["", "--help", "a b", "projects/p/services/s", "X", "x;y"]
    for name in names:
        with pytest.raises(CliError) as raised:
            Gcp().find(name)
        assert raised.value.code is Exit.USAGE
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CliError, match="not installed"):
        Gcp().find("dastra-webhooks")


def test_errors_have_advice() -> None:
    """What a person sees most often, and nothing invented for the rest."""
    assert "gcloud auth" in str(Gcp().advice("DefaultCredentialsError"))
    assert Gcp().advice("SomethingElse") is None
