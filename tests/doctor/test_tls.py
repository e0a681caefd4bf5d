"""What is wrong with a certificate is found by its own check, and no event goes to an endpoint with a bad one."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from cli.doctor.model import Status
from core.http import Response
from tests.doctor.certificates import Authority
from tests.doctor.examine import examine, ids
from tests.doctor.servers import Came, good, raw, serving


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this process trusts."""
    made = Authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made


def test_a_good_certificate_passes(authority: Authority) -> None:
    """A trusted certificate for the host, far from its end, passes all four rows, and everything goes through TLS."""
    with serving(certificate=authority.issue("127.0.0.1")) as url:
        rows = examine(url)
    assert ids(rows, Status.FAIL) == ids(rows, Status.WARN) == set()
    assert {"https", "tls-version", "tls-chain", "tls-host", "tls-expiry", "accepted"} <= ids(rows, Status.PASS)
    assert rows["tls-version"].found.startswith("TLSv1.")
    assert rows["tls-expiry"].found in ("for 90 days", "for 89 days")


@pytest.mark.parametrize(
    ("host", "days", "failed"),
    [("127.0.0.1", -3, "tls-expiry"), ("receiver.example.org", 90, "tls-host")],
    ids=["expired", "other-host"],
)
def test_a_bad_certificate_fails_its_row_alone(authority: Authority, host: str, days: int, failed: str) -> None:
    """Expired, or for another host: one row fails, the other TLS rows pass, and nothing is sent."""
    sent: list[Came] = []

    def answer(came: Came) -> Response:
        sent.append(came)
        return good(came)

    with serving(answer, certificate=authority.issue(host, days=days)) as url:
        rows = examine(url)
    assert ids(rows, Status.FAIL) == {failed}
    others = {"tls-version", "tls-chain", "tls-host", "tls-expiry"} - {failed}
    assert others <= ids(rows, Status.PASS)
    assert rows["accepted"].status is Status.SKIPPED
    assert sent == []


def test_an_unknown_authority_fails_the_chain(authority: Authority, tmp_path: Path) -> None:
    """A certificate of an authority that nobody knows, a self-signed one too, fails the chain and nothing else."""
    folder = tmp_path / "unknown"
    folder.mkdir()
    unknown = Authority.make(folder, "another authority")
    with serving(certificate=unknown.issue("127.0.0.1")) as url:
        rows = examine(url)
    assert ids(rows, Status.FAIL) == {"tls-chain"}
    assert authority.path.exists()
    assert rows["tls-expiry"].status is Status.SKIPPED


@pytest.mark.parametrize(("days", "status"), [(20.5, Status.WARN), (22, Status.PASS)])
def test_a_certificate_that_ends_soon_warns(authority: Authority, days: float, status: Status) -> None:
    """Under 21 days before its end a certificate warns; above it does not."""
    with serving(certificate=authority.issue("127.0.0.1", days=days)) as url:
        rows = examine(url)
    assert rows["tls-expiry"].status is status
    assert ids(rows, Status.FAIL) == set()


def test_it_goes_through_a_companys_proxy(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where HTTPS_PROXY names a proxy every request goes through it, and the proxy looks the name up."""
    tunnels: list[bytes] = []
    with serving(certificate=authority.issue("receiver.example.org")) as url:
        port = int(url.split(":")[2].split("/")[0])

        def tunnel(connection: socket.socket) -> None:
            head = connection.recv(65536)
            tunnels.append(head.split(b"\r\n")[0])
            with socket.create_connection(("127.0.0.1", port)) as onward:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(onward, connection), daemon=True)
                back.start()
                _pump(connection, onward)
                back.join(5)

        with raw(tunnel) as proxy:
            monkeypatch.setenv("https_proxy", proxy.removesuffix("/dastra"))
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            rows = examine("https://receiver.example.org/dastra")
    assert ids(rows, Status.FAIL) == ids(rows, Status.WARN) == set(), rows
    assert {"dns", "ipv4", "ipv6"} == ids(rows, Status.SKIPPED)
    assert set(tunnels) == {b"CONNECT receiver.example.org:443 HTTP/1.1"} or set(tunnels) == {
        b"CONNECT receiver.example.org:443 HTTP/1.0"
    }


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def test_no_tls_behind_https() -> None:
    """A port that speaks no TLS fails the handshake's row alone."""
    with raw(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        rows = examine(url.replace("http:", "https:"))
    assert ids(rows, Status.FAIL) == {"tls-version"}
