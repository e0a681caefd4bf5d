"""The directory that is published to Azure, run by the real Python worker with nothing else installed.

Its requirements go into an environment of their own; the worker starts in the directory and sees no other code of ours.
The host's part is played by ``cli/local/azure_host.py``, which needs the standard library alone.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.markers import Marker

from cli.local.azure_emulator import AzureEmulator
from scripts import build_azure, bundles
from tests import planted
from tests.contract.bypass import NAME
from tests.planted import KEY, OTHER_KEY
from tests.unit.api_stub import API_KEY, api_stub, webhook

pytestmark = pytest.mark.emulator

NAMES: Final = "bundle"
CHECKED: Final = "bundle-api-key"
CLIENT: Final = "192.0.2.44"
HOST: Final = build_azure.ROOT / "cli" / "local" / "azure_host.py"
ACCEPTED: Final = (200, b'{"status":"accepted"}')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory, built from the present code."""
    return build_azure.build(tmp_path_factory.mktemp("azure") / "built").folder


@pytest.fixture(scope="module")
def python(folder: Path, python313: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the directory's requirements and nothing else, every hash checked."""
    place = tmp_path_factory.mktemp("azure") / "venv"
    uv = [sys.executable, str(build_azure.ROOT / "scripts" / "uv.py")]
    found = place / "bin" / "python"
    subprocess.run([*uv, "venv", "--quiet", "--python", str(python313), str(place)], check=True)
    install = ["pip", "install", "--quiet", "--python", str(found), "--require-hashes"]
    subprocess.run([*uv, *install, "--requirement", str(folder / "requirements.txt")], check=True)
    return found


@pytest.fixture(scope="module")
def emulator() -> Iterator[AzureEmulator]:
    """What the function app talks to."""
    with AzureEmulator() as running:
        yield running


class Worker:
    """The worker with the directory, in a process of its own; asked in JSON lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self.started: dict[str, Any] = json.loads(self._out.readline())

    def ask(self, **question: Any) -> dict[str, Any]:
        """One question, one answer."""
        self._in.write(json.dumps(question) + "\n")
        self._in.flush()
        answer: dict[str, Any] = json.loads(self._out.readline())
        return answer

    def post(
        self, body: bytes, *, key: str = KEY, chunked: bool = False, method: str = "POST", target: str = "/api/receive"
    ) -> tuple[int, bytes, dict[str, Any]]:
        """Send a signed request from a listed address."""
        headers = [(NAME, planted.signature(body, key)), ("X-Forwarded-For", f"203.0.113.9, {CLIENT}:4711")]
        encoded = base64.b64encode(body).decode()
        got = self.ask(method=method, target=target, headers=headers, body=encoded, chunked=chunked)
        return got["status"], base64.b64decode(got["body"]), got


@contextmanager
def working(folder: Path, python: Path, emulator: AzureEmulator, more: Mapping[str, str]) -> Iterator[Worker]:
    """Start the worker in the directory with these settings, on an empty queue and store."""
    emulator.create(NAMES)
    emulator.services.set_secret(NAMES, KEY)
    settings = {
        "DASTRA_QUEUE": emulator.queue_address(NAMES),
        "DASTRA_STORE": emulator.container_url(NAMES),
        "DASTRA_SIGNATURE_KEYS_SECRET": emulator.secret_url(NAMES),
        "DASTRA_SOURCE_IP_ALLOWLIST": CLIENT,
        **more,
    }
    process = subprocess.Popen(
        [str(python), "-I", str(HOST), str(folder)],
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Worker(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(20)
        finally:
            process.kill()
            assert process.stdout is not None
            process.stdout.close()
            process.wait()


@pytest.fixture(scope="module")
def worker(folder: Path, python: Path, emulator: AzureEmulator) -> Iterator[Worker]:
    """The worker with the usual settings."""
    with working(folder, python, emulator, {}) as running:
        yield running


@pytest.fixture
def empty(emulator: AzureEmulator) -> AzureEmulator:
    """An empty queue and store."""
    emulator.create(NAMES)
    return emulator


def queued(emulator: AzureEmulator) -> list[bytes]:
    """The bodies on the queue."""
    return [found.message.body for found in emulator.broker.messages(NAMES)]


def test_the_directory_is_what_the_platform_looks_for(folder: Path) -> None:
    """The files by their names at the top, our code, and nothing of tests, commands or other clouds."""
    assert {path.name for path in folder.iterdir()} == {
        ".funcignore",
        "LICENSE",
        "azure_function",
        "core",
        "function_app.py",
        "host.json",
        "requirements.txt",
    }
    assert {path.suffix for path in folder.rglob("*") if path.parent != folder and path.is_file()} == {".py"}
    assert "local.settings.json" in (folder / ".funcignore").read_text()


def test_every_requirement_is_one_version_with_hashes(folder: Path) -> None:
    """What is installed in the cloud is what was tested, the worker's own version included."""
    text = (folder / "requirements.txt").read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all(re.match(r"[a-z0-9-]+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)
    names = {entry.partition("==")[0] for entry in entries}
    assert {"azure-functions", "azure-functions-runtime", "azure-servicebus", "azure-identity"} <= names
    assert not names & {"aiohttp", "boto3", "fastapi", "google-cloud-pubsub", "httpx", "pytest", "typer"}


def test_requirements_are_those_of_the_functions_python(folder: Path) -> None:
    """What the lock holds for CPython 3.13 on Linux, its conditions read by another library, and no condition left."""
    where = {
        "implementation_name": "cpython", "platform_python_implementation": "CPython", "platform_machine": "x86_64",
        "os_name": "posix", "sys_platform": "linux", "platform_system": "Linux",
        "python_version": build_azure.RUNTIME, "python_full_version": f"{build_azure.RUNTIME}.0", "extra": "",
    }  # fmt: skip
    entry = re.compile(r"^([a-z0-9.-]+==[^\s;]+)(?: ; ([^\\]+))? \\$", re.MULTILINE)
    locked = entry.findall(bundles.export("azure", "requirements.txt"))
    assert any(condition for _, condition in locked)
    wanted = {pinned for pinned, condition in locked if not condition or Marker(condition).evaluate(where)}
    lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith(" ")]
    assert {line.removesuffix(" \\") for line in lines} == wanted


def test_another_python_refuses_the_requirements(folder: Path) -> None:
    """A build on a wrong Python fails and says so, where it would leave out what an import then looks for."""
    if sys.version_info >= (3, 13):
        pytest.skip("needs an older Python than the function's: run it with `make test PYTHON=python3.12`")
    uv = [sys.executable, str(build_azure.ROOT / "scripts" / "uv.py"), "pip", "install", "--dry-run", "--quiet"]
    install = [*uv, "--require-hashes", "--python", sys.executable, "--requirement", str(folder / "requirements.txt")]
    run = subprocess.run(install, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "does not satisfy Python>=3.13" in " ".join(run.stderr.split())


def test_the_same_code_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Two builds are equal, file by file."""
    assert build_azure.digest(build_azure.build(tmp_path / "again").folder) == build_azure.digest(folder)


def test_a_build_that_changes_nothing_touches_nothing(tmp_path: Path) -> None:
    """The directory stays the very same, since somebody may be reading it; and one with another file is replaced."""
    target = tmp_path / "built"
    build_azure.build(target)
    before = target.stat().st_ino
    build_azure.build(target)
    assert target.stat().st_ino == before
    (target / "left-over").touch()
    build_azure.build(target)
    assert target.stat().st_ino != before
    assert not (target / "left-over").exists()
    assert list(tmp_path.iterdir()) == [target]


def test_builds_at_once_do_not_harm_each_other(tmp_path: Path) -> None:
    """None fails, and what is there in the end is one of theirs, whole."""
    target = tmp_path / "built"

    def put(number: int) -> None:
        scratch = tmp_path / f"scratch-{number}"
        for turn in range(40):
            staged = scratch / f"staged-{turn}"
            staged.mkdir(parents=True)
            (staged / "who").write_text(f"{number}-{turn}")
            build_azure._put(staged, target, build_azure.digest(staged))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(8)))
    assert [path.name for path in target.iterdir()] == ["who"]
    assert (target / "who").read_text().endswith("-39")


def test_the_worker_indexes_both_functions(worker: Worker) -> None:
    """One for every path and method, open to all, since the signature is the authentication; and one on a schedule."""
    functions = worker.started["functions"]
    assert functions.keys() == {"receive", "redrive"}
    (trigger, answer) = functions["receive"]
    assert (trigger["type"], trigger["authLevel"], trigger["route"]) == ("httpTrigger", "ANONYMOUS", "{*path}")
    assert "methods" not in trigger
    assert answer["type"] == "http"
    (timer,) = functions["redrive"]
    assert (timer["type"], timer["schedule"], timer["runOnStartup"]) == ("timerTrigger", "0 */5 * * * *", False)
    assert worker.started["streaming"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_genuine_event_goes_from_http_to_the_queue(worker: Worker, empty: AzureEmulator, chunked: bool) -> None:
    """With a length or chunked: 200, the exact bytes on the queue, and one log line with the invocation's own id."""
    body = planted.body(pad="x" * 50_000)
    status, text, got = worker.post(body, chunked=chunked)
    assert (status, text) == ACCEPTED
    assert queued(empty) == [body]
    assert got["headers"]["content-type"] == "application/json"
    (line,) = [json.loads(line) for line in got["lines"] if "accepted" in line]
    assert (line["message"], line["source_ip"]) == ("accepted", CLIENT)


def test_what_is_said_during_the_start_is_not_lost(folder: Path, python: Path, emulator: AzureEmulator) -> None:
    """The host drops a line without an invocation; so the first invocation brings the lines of the start."""
    with working(folder, python, emulator, {}) as fresh:
        _, _, got = fresh.post(planted.body())
        assert [json.loads(line)["message"] for line in got["lines"]] == ["keys_loaded", "accepted"]
        assert not [line for line in got["dropped"] if line.startswith("{")]


def test_what_is_not_genuine_gets_the_fixed_answers(worker: Worker, empty: AzureEmulator) -> None:
    """Forged, other methods (also those that no web server knows), too large: the same answers as on every cloud."""
    assert worker.post(planted.body(), key=OTHER_KEY)[:2] == (401, b'{"error":"unauthorized"}')
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "MADEUP"):
        status, text, got = worker.post(planted.body(), method=method)
        assert (status, text, got["headers"]["allow"]) == (405, b'{"error":"method not allowed"}', "POST")
    assert worker.post(b"", method="HEAD")[0] == 405
    large = b"x" * (4 * 1024 * 1024 + 1)
    for chunked in (False, True):
        assert worker.post(large, chunked=chunked)[:2] == (413, b'{"error":"too large"}')
    assert not queued(empty)
    assert not empty.services.blobs(NAMES)


@pytest.mark.parametrize("path", ["/api/receive", "/api/anything/else", "/api/docs", "/api/openapi.json", "/api/"])
def test_every_path_below_the_prefix_is_ours(worker: Worker, empty: AzureEmulator, path: str) -> None:
    """No path is answered by the web server itself, which would leave the invocation waiting."""
    body = planted.body()
    assert worker.post(body, target=f"{path}?a=b")[:2] == ACCEPTED
    assert queued(empty) == [body]


def test_the_store_is_imported_after_the_first_answer(folder: Path, python: Path, empty: AzureEmulator) -> None:
    """The start does not pay for Blob Storage's library, and neither does an event that must be kept."""
    library = "azure.storage.blob"
    with working(folder, python, empty, {}) as worker:
        assert library not in worker.ask(modules=[library])["modules"]
        assert worker.post(planted.body())[:2] == ACCEPTED
        deadline = time.monotonic() + 60
        while library not in worker.ask(modules=[library])["modules"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_what_must_be_looked_at_is_kept(worker: Worker, empty: AzureEmulator) -> None:
    """The store works in the published directory."""
    body = f"{planted.MARKER} {planted.nonce()}".encode()
    assert worker.post(body)[:2] == (200, b'{"status":"quarantined"}')
    assert [blob.body for blob in empty.services.blobs(NAMES, "quarantine/")] == [body]


def test_the_check_of_the_webhooks_is_a_timer_of_its_own(folder: Path, python: Path, emulator: AzureEmulator) -> None:
    """Where it has a key, the worker has it too; its line is not dropped, and events come in beside it as before."""
    emulator.create(CHECKED)
    emulator.services.set_secret(CHECKED, API_KEY)
    with api_stub() as api:
        more = {"DASTRA_API_KEY_SECRET": emulator.secret_url(CHECKED), "DASTRA_API_URL": api.url}
        api.has(webhook(1, 5, blocked=True))
        with working(folder, python, emulator, more) as worker:
            assert worker.started["functions"].keys() == {"receive", "redrive", "watch"}
            assert worker.post(planted.body())[:2] == ACCEPTED
            lines = [json.loads(line) for line in worker.ask(timer="watch")["lines"]]
    assert [line["message"] for line in lines] == ["webhook_blocked", "webhook_check"]
    assert lines[-1]["blocked"] == 1


def test_the_timer_puts_the_spool_back_and_tells_how_full_the_store_is(worker: Worker, empty: AzureEmulator) -> None:
    """The timer function, run as the host runs it, empties the spool; its line has the gauges and is not dropped."""
    body = planted.body()
    assert worker.post(body)[:2] == ACCEPTED
    (message,) = empty.broker.messages(NAMES)
    metadata = {name.partition(":")[2]: value for name, value in message.attributes.items()} | {
        "reason": "queue_failed"
    }
    empty.create(NAMES)
    empty.services.put_blob(NAMES, f"spool/20260302T091603700Z-{message.message.id}", body, metadata)
    (line,) = [json.loads(line) for line in worker.ask(timer="redrive")["lines"]]
    assert (line["message"], line["sent"], line["failed"], line["spool_count"]) == ("redrive", 1, 0, 0)
    assert queued(empty) == [body]
    assert not empty.services.blobs(NAMES)


def test_the_worker_forgets_invocations_and_waits_for_none_for_ever(worker: Worker) -> None:
    """What the worker lacks is there: it keeps nothing of an invocation, and gives up one whose request never comes."""
    for _ in range(50):
        worker.ask(method="GET", target="/api/receive", headers=[])
    assert worker.ask(modules=[])["remembered"] == 0
    started = time.monotonic()
    assert "did not pass the request on" in (worker.ask(without_request=30)["failure"] or "")
    assert time.monotonic() - started < 20
    time.sleep(1.5)
    assert worker.ask(modules=[])["remembered"] == 0
    assert worker.post(planted.body())[:2] == ACCEPTED


def test_the_classic_form_takes_what_has_a_length_and_tells_the_rest_apart(
    folder: Path, python: Path, emulator: AzureEmulator
) -> None:
    """With ``HTTP_FORM=classic`` a chunked event is lost, as the platform has it, and raises its own alarm."""
    with working(folder, python, emulator, {"HTTP_FORM": "classic"}) as classic:
        assert not classic.started["streaming"]
        body = planted.body()
        assert classic.post(body)[:2] == ACCEPTED
        status, text, got = classic.post(planted.body(), chunked=True)
        assert (status, text) == (401, b'{"error":"unauthorized"}')
        (line,) = [json.loads(line) for line in got["lines"]]
        assert (line["level"], line["message"]) == ("ERROR", "body_not_received")
        assert queued(emulator) == [body]


def test_a_bad_setting_fails_at_start_and_says_what_is_wrong(folder: Path, python: Path) -> None:
    """Every faulty setting is named, with what would be valid; no secret is."""
    run = subprocess.run(
        [str(python), "-I", str(HOST), str(folder)],
        cwd=folder,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "DASTRA_QUEUE": "sqs",
            "DASTRA_STORE": "http://example.blob.core.windows.net/events",
            "DASTRA_SIGNATURE_KEYS": KEY,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode != 0
    assert "DASTRA_QUEUE is 'sqs': valid: <namespace>.servicebus.windows.net/<queue>" in run.stderr
    assert "DASTRA_STORE is 'http://example.blob.core.windows.net/events'" in run.stderr
    assert KEY not in run.stderr + run.stdout
