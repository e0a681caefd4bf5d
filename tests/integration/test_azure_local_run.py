"""The local run of Azure and the command line's way to a deployment there."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Final

import pytest

from cli.clouds import azure as cloud_module
from cli.clouds.azure import cloud
from cli.exits import CliError
from cli.local import azurite
from cli.local.azure import LocalAzure
from cli.local.cloud import Depths, Handled
from cli.local.faults import Fault
from cli.local.front import HttpRequest
from cli.local.journal import Journal
from cli.target import Names
from core.message import QueueMessage
from core.ports import PortError
from tests import planted
from tests.planted import KEY

pytestmark = pytest.mark.emulator

ALLOW: Final = {"DASTRA_SOURCE_IP_ALLOWLIST": "127.0.0.1"}


class Run:
    """A local run, and what it told of each request."""

    def __init__(self, local: LocalAzure, handled: list[Handled], journal: Path) -> None:
        self.local, self.handled, self.journal = local, handled, journal

    def post(self, body: bytes, *, key: str = KEY, chunked: bool = False, method: str = "POST") -> tuple[int, bytes]:
        """Send a signed request from this machine."""
        headers = [(b"host", b"127.0.0.1:8080"), (b"dastra-signature", planted.signature(body, key).encode())]
        headers.append((b"transfer-encoding", b"chunked") if chunked else (b"content-length", b"%d" % len(body)))
        answer = self.local(HttpRequest(method, b"/dastra", b"a=b", headers, body, "127.0.0.1", time.time()))
        return answer.status, answer.body


@pytest.fixture
def blobs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which service keeps the blobs: the stand-in, unless a test asks for Azurite."""
    if getattr(request, "param", None) != "azurite":
        monkeypatch.setenv(azurite.VARIABLE, "")
    elif azurite.find() is None:
        pytest.skip("needs Azurite: make azure-tools, or name its program azurite-blob in AZURITE")


either = pytest.mark.parametrize("blobs", ["stand-in", "azurite"], indirect=True)


@pytest.fixture
def start(blobs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """Starts a local run; without the worker, which takes one function app in a process."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    with ExitStack() as stack:

        def make(**settings: str) -> Run:
            journal = Journal(tmp_path / "receiver.log")
            stack.callback(journal.close)
            stack.enter_context(redirect_stdout(journal))
            handled: list[Handled] = []
            local = LocalAzure({**ALLOW, **settings}, KEY, journal, handled.append, worker=False)
            return Run(stack.enter_context(local), handled, tmp_path / "receiver.log")

        yield make


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_event_goes_all_the_way(start: Callable[..., Run], chunked: bool) -> None:
    """Accepted, shown with its attributes, watched with its log line, and written to the journal."""
    run = start()
    body = planted.body()
    assert run.post(body, chunked=chunked) == (200, b'{"status":"accepted"}')
    (message,) = run.local.messages()
    assert message["body"].encode() == body
    assert message["attributes"]["cloudEvents:type"] == "eu.dastra.DataSubjectCreation"
    (handled,) = run.handled
    assert [line["message"] for line in handled.lines][-1] == "accepted"
    assert '"message":"accepted"' in run.journal.read_text()


@either
def test_faults_spool_and_redrive(start: Callable[..., Run]) -> None:
    """A broken queue is switched by the name that the controls use; the spool is shown, and goes back."""
    run = start()
    run.local.faults["queue"].set(Fault.REFUSED)
    assert run.local.faults["queue"].mode is Fault.REFUSED
    body = planted.body()
    assert run.post(body) == (200, b'{"status":"spooled"}')
    (stored,) = run.local.stored()
    assert (stored["reason"], stored["body"].encode()) == ("queue_failed", body)
    assert run.local.depths() == Depths(0, (stored["key"],), ())
    run.local.faults["queue"].set(Fault.NONE)
    assert run.local.redrive() == {"sent": 1, "failed": 0, "skipped": False}
    assert [message["body"].encode() for message in run.local.messages()] == [body]
    run.local.faults["store"].set(Fault.REFUSED)
    with pytest.raises(PortError):
        run.local.redrive()


@either
def test_a_claim_check_is_shown_with_its_body(start: Callable[..., Run]) -> None:
    """And what is no text in base64."""
    run = start()
    body = planted.body(pad="x" * 300_000)
    assert run.post(body)[0] == 200
    assert run.local.messages()[0]["body"].encode() == body
    assert run.post(b"\xff" + planted.MARKER.encode()) == (200, b'{"status":"quarantined"}')
    assert "body_base64" in run.local.stored()[0]


def test_an_azurite_that_does_not_start_is_said(start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own words, and how to go on without it."""
    monkeypatch.setenv(azurite.VARIABLE, "/bin/false")
    with pytest.raises(CliError, match="Azurite did not start") as caught:
        start()
    assert "AZURITE=" in caught.value.hint


def test_what_a_person_reads_fits_two_lines(start: Callable[..., Run]) -> None:
    """The title is at most two lines of 72 characters."""
    lines = start().local.title.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 72


def test_the_host_turns_away_what_is_too_large(start: Callable[..., Run]) -> None:
    """Before a function sees it, with the host's own answer."""
    run = start()
    request = HttpRequest("POST", b"/", b"", [], b"", "127.0.0.1", time.time())
    assert run.local.turn_away(request, 200_000_000).status == 413
    assert run.handled[-1].size == 200_000_000


def test_the_classic_form_runs_here_too(start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """With its one blind spot: a chunked body is lost, as on the platform."""
    monkeypatch.setenv("HTTP_FORM", "classic")
    run = start()
    assert run.post(planted.body()) == (200, b'{"status":"accepted"}')
    assert run.post(planted.body(), chunked=True) == (401, b'{"error":"unauthorized"}')


# -- the command line's cloud ------------------------------------------------------------------------------------------


def test_the_parts_of_a_run_are_reached_by_their_names(start: Callable[..., Run]) -> None:
    """Queue, store and secret through the receiver's own adapters, as the commands use them."""
    run = start()
    azure = cloud()
    azure.use(run.local.environment)
    assert azure.owns(Names(run.local.queue, run.local.store, run.local.secret))
    queue = azure.queue(run.local.queue, 5, 2)
    queue.send(QueueMessage("id", b"{}", {"id": "id", "type": "x"}), 5)
    assert [message["id"] for message in run.local.messages()] == ["id"]
    queue.close()  # type: ignore[attr-defined]
    store = azure.store(run.local.store, 5, 2)
    store.put("addresses/192.0.2.1", b"", {}, 5)
    assert [entry.key for entry in store.list("addresses/", 9, 5)] == ["addresses/192.0.2.1"]
    secret = azure.secret(run.local.secret)
    assert secret.read() == KEY
    secret.write(planted.NEWER_KEY)
    assert secret.read() == planted.NEWER_KEY
    assert azure.secret(run.local.secret.replace("signature-keys", "another")).read() is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (Names("example.servicebus.windows.net/events", "https://a.blob.core.windows.net/events", None), True),
        (Names(None, "https://a.blob.core.windows.net/events", None), True),
        (Names(None, None, "https://v.vault.azure.net/secrets/k"), True),
        (Names("https://sqs.eu-west-1.amazonaws.com/123456789012/q", "bucket", "secret"), False),
        (Names("projects/p/topics/t", "bucket", "projects/p/secrets/s"), False),
        (Names(None, "bucket", None), False),
        (Names(None, None, None), False),
    ],
)
def test_whose_names_they_are(names: Names, expected: bool) -> None:
    """Azure's own form, and no other cloud's."""
    assert cloud().owns(names) is expected


AZD: Final = """#!{python}
import sys
assert sys.argv[1:] == ["env", "get-values", "--environment", "prod", "--no-prompt"], sys.argv
print({output!r})
sys.exit({status})
"""


@pytest.fixture
def azd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Puts a program ``azd`` on PATH that answers as told."""

    def put(output: str, status: int) -> None:
        program = tmp_path / "azd"
        program.write_text(AZD.format(python=sys.executable, output=output, status=status))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


def test_a_deployment_is_found_by_its_azd_environment(azd: Callable[[str, int], None]) -> None:
    """The outputs that the deployment put there, quoted as azd quotes them."""
    azd(
        'AZURE_ENV_NAME="prod"\nDASTRA_QUEUE="n.servicebus.windows.net/q"\nDASTRA_STORE="https://a.blob.core.windows.net/c"\nDASTRA_SIGNATURE_KEYS_SECRET="https://v.vault.azure.net/secrets/s"\nWEBHOOK_URL="https://f.azurewebsites.net/api/receive"\n',
        0,
    )
    assert cloud().find("prod") == Names(
        "n.servicebus.windows.net/q",
        "https://a.blob.core.windows.net/c",
        "https://v.vault.azure.net/secrets/s",
        "https://f.azurewebsites.net/api/receive",
    )


@pytest.mark.parametrize(
    ("output", "status", "text"),
    [
        ('DASTRA_QUEUE="x"\n', 0, "lacks DASTRA_STORE and DASTRA_SIGNATURE_KEYS_SECRET"),
        ("ERROR: no environment\n", 1, "cannot be read"),
    ],
)
def test_what_is_no_deployment_is_said(azd: Callable[[str, int], None], output: str, status: int, text: str) -> None:
    """An environment that is not deployed, or not there."""
    azd(output, status)
    with pytest.raises(CliError, match=text):
        cloud().find("prod")


def test_without_azd_it_is_said_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Install it, or name the parts."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CliError) as caught:
        cloud().find("prod")
    assert "DASTRA_QUEUE" in str(caught.value.__dict__)
    with pytest.raises(CliError, match="no name of an azd environment"):
        cloud().find("--help")


def test_every_error_that_needs_a_hand_has_advice() -> None:
    """Not logged in, without roles, a wrong name; nothing is made up for what is not known."""
    azure = cloud()
    for code in (
        "CredentialUnavailableError",
        "AuthorizationPermissionMismatch",
        "ServiceBusAuthenticationError",
        "Forbidden",
    ):
        assert azure.advice(code)
    assert azure.advice("ValueError") is None
    assert cloud_module.OUTPUTS[0] == "DASTRA_QUEUE"


def test_who_deployed_a_moment_ago_is_told_to_wait() -> None:
    """What refuses for want of a role says that a new one takes minutes, and not only which."""
    for code in (
        "AuthorizationPermissionMismatch",
        "AuthorizationFailure",
        "ServiceBusAuthorizationError",
        "Forbidden",
    ):
        assert "up to ten minutes" in str(cloud().advice(code))
