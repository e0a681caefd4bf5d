"""The way that no emulator shows: TLS to Google's own host name, and tokens from a metadata server that may hang.

gRPC is led to a stand-in by a proxy on loopback and a certificate made for the occasion, so that the code under test is
what runs in a deployment: no emulator is named to it for Pub/Sub.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from cli.local.gcp_standin import GcpStandIn
from gcp_function.wiring import WORKERS
from tests import planted
from tests.contract.answers import ACCEPTED, SPOOLED
from tests.contract.bypass import signed
from tests.drivers import Platform
from tests.drivers.gcp import GcpDriver
from tests.drivers.gcp_process import Process, running, threads
from tests.integration.test_gcp_server import environment

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate: apt-get install openssl"),
]

HOST: Final = "pubsub.googleapis.com"
TOKEN: Final = "invented-access-token-of-a-test"
ACCOUNT: Final = "/computeMetadata/v1/instance/service-accounts/default/"


class Metadata:
    """Google's metadata server, as far as the auth library asks; ``hang`` is a path below which nothing is answered."""

    def __init__(self) -> None:
        self.hang: str | None = None
        self.expires_in = 3600
        self.tokens = 0
        self.end: Final = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server: Final = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        if self.hang is not None and path.startswith(self.hang):
            self.end.wait(60)
            return
        bodies: dict[str, Any] = {
            "/": "",
            "/computeMetadata/v1/project/project-id": "local-project",
            "/computeMetadata/v1/universe/universe-domain": "googleapis.com",
            ACCOUNT: {"email": "receiver@example.org", "aliases": ["default"], "scopes": ["cloud-platform"]},
            f"{ACCOUNT}token": {"access_token": TOKEN, "expires_in": self.expires_in, "token_type": "Bearer"},
        }
        self.tokens += path.endswith("/token")
        found = bodies.get(path)
        body = (found if isinstance(found, str) else json.dumps(found)).encode()
        request.send_response(404 if found is None else 200)
        request.send_header("Metadata-Flavor", "Google")
        request.send_header("Content-Type", "application/text" if isinstance(found, str) else "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self.end.set()
        self._server.shutdown()
        self._server.server_close()


class Tunnel:
    """An HTTP proxy that leads every CONNECT to one port on loopback."""

    def __init__(self, port: int) -> None:
        self._target: Final = port
        self.asked: Final[list[str]] = []
        self._listener: Final = socket.create_server(("127.0.0.1", 0))
        self.url: Final = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            self.asked.append(head.split()[1].decode())
            with socket.create_connection(("127.0.0.1", self._target)) as upstream:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
                back.start()
                _pump(client, upstream)
                back.join()

    def close(self) -> None:
        self._listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class Google:
    """A deployment without an emulator for Pub/Sub."""

    def __init__(self, env: Mapping[str, str], metadata: Metadata, tunnel: Tunnel, driver: GcpDriver) -> None:
        self.env: Final = env
        self.metadata: Final = metadata
        self.tunnel: Final = tunnel
        self.driver: Final = driver

    def spooled(self) -> int:
        return len(self.driver.stored("spool/"))


@pytest.fixture
def google(platform_of: Callable[[str], Platform], tmp_path: Path) -> Iterator[Google]:
    """The stand-in under Google's name, with the topic of the deployment on it, and a metadata server."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}"),
            *("-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    with ExitStack() as stack:
        driver = stack.enter_context(platform_of("gcp").deploy())
        assert isinstance(driver, GcpDriver)
        stand_in = stack.enter_context(GcpStandIn(credentials))
        stand_in.add_topic(driver.topic)
        metadata, tunnel = Metadata(), Tunnel(int(stand_in.address.rpartition(":")[2]))
        stack.callback(metadata.close)
        stack.callback(tunnel.close)
        env = environment(driver, SIGNATURE_KEYS=planted.KEY, SIGNATURE_KEYS_SECRET="")
        del env["PUBSUB_EMULATOR_HOST"]
        env |= {
            "GCE_METADATA_HOST": metadata.address,
            "GCE_METADATA_IP": metadata.address,
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certificate),
            "grpc_proxy": tunnel.url,
            "HOME": str(tmp_path),
            "CLOUDSDK_CONFIG": str(tmp_path),
        }
        yield Google(env, metadata, tunnel, driver)


def check_kept(google: Google, function: Process, count: int) -> None:
    """So many events, as many at once as there are threads: each is kept in time, and threads do not pile up."""
    (worker,) = function.workers()
    before = google.spooled()
    counts = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in range(count // WORKERS):
            for answer in pool.map(lambda _: function.post(signed()), range(WORKERS)):
                assert answer == SPOOLED
                assert answer.seconds < 6 + 1.5
            counts.append(threads(worker))
    assert google.spooled() == before + count
    # gunicorn's, one for each call of the queue, of the store and of the auth library, and some that gRPC keeps.
    assert max(counts) <= 5 * WORKERS


def test_one_token_and_one_connection_for_all(google: Google, tmp_path: Path) -> None:
    """Over TLS, under Google's name, with a token of the function's own identity, asked for once."""
    with running(tmp_path, google.env) as function:
        for _ in range(5):
            assert function.post(signed()) == ACCEPTED
    assert google.tunnel.asked == [f"{HOST}:443"]
    assert google.metadata.tokens == 1


@pytest.mark.parametrize("path", ["/", f"{ACCOUNT}token"])
def test_a_metadata_server_that_hangs_from_the_start(google: Google, tmp_path: Path, path: str) -> None:
    """Whether the client cannot even be made, or its first token does not come: all is kept, in time."""
    google.metadata.hang = path
    with running(tmp_path, google.env) as function:
        check_kept(google, function, 3 * WORKERS)


def test_a_token_that_cannot_be_renewed(google: Google, tmp_path: Path) -> None:
    """An instance that has worked, and whose token runs out while the metadata server hangs: all is kept, in time."""
    google.metadata.expires_in = 1
    with running(tmp_path, google.env) as function:
        assert function.post(signed()) == ACCEPTED
        time.sleep(1.1)
        google.metadata.hang = ACCOUNT
        check_kept(google, function, 3 * WORKERS)
