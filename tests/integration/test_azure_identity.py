"""The way into production: a managed identity's token, over TLS, to a Service Bus that looks at it."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from azure.core.credentials import AccessToken
from azure.servicebus import TransportType
from azure.servicebus.aio import ServiceBusClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from azure_function import identity
from azure_function.identity import AsyncToken, managed_identity
from azure_function.places import QueuePlace
from azure_function.service_bus_queue import ServiceBusQueue, connector
from cli.local.azure_broker import Broker
from cli.local.azure_services import IDENTITY_HEADER, IDENTITY_PATH, Services
from cli.local.faults import LOOPBACK
from cli.local.front import Server, listen
from core.ports import PortError
from tests.integration.test_azure_queue import QUEUE, failure, message

pytestmark = pytest.mark.emulator

RESOURCE: Final = "https://servicebus.azure.net"
CLIENT: Final = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of its own for ``localhost``, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """The identity endpoint, where the SDK looks for it, and the identity that the deployment names."""
    made = Services()
    sock = listen(0)
    with Server(made, sock):
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://{LOOPBACK}:{sock.getsockname()[1]}{IDENTITY_PATH}")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
        monkeypatch.setattr(identity, "_shared", [])
        yield made


def _is_ours(kind: str, token: str) -> bool:
    """Whether a token is one that the endpoint gave out for Service Bus."""
    parts = token.split(".")
    if kind != "jwt" or len(parts) != 3:
        return False
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(parts[1]))
    return bool(str(claims["aud"]).startswith(RESOURCE) and claims["exp"] > time.time())


def test_a_token_of_the_managed_identity_opens_the_queue(services: Services, certificate: Path) -> None:
    """TLS with a verified certificate, a token for the identity that the setting names, no key anywhere."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=str(certificate))
    with Broker(tls=server, verify=_is_ours) as broker:
        broker.create_queue(QUEUE)

        def connect() -> ServiceBusClient:
            return ServiceBusClient(
                "localhost",
                AsyncToken(managed_identity()),
                retry_total=0,
                transport_type=TransportType.Amqp,
                custom_endpoint_address=f"sb://localhost:{broker.port}",
                ssl_context=trusted,
            )

        queue = ServiceBusQueue(connect, QUEUE)
        try:
            sent = message()
            queue.send(sent, 10)
            assert [found.message.body for found in broker.messages(QUEUE)] == [sent.body]
        finally:
            queue.close()
    assert [resource.rstrip("/") for resource in services.tokens] == [RESOURCE]
    assert services.clients == [CLIENT]


def test_store_and_vault_are_asked_for_as_the_named_identity(services: Services) -> None:
    """Every service's token is asked for with the client id: an app without an identity of its own has no other."""
    for scope in ("https://storage.azure.com/.default", "https://vault.azure.net/.default"):
        assert managed_identity().get_token(scope).token
    assert services.clients == [CLIENT, CLIENT]


def test_in_the_cloud_the_client_speaks_tls_to_the_namespace() -> None:
    """What the setting names is a host of Service Bus, and the client for it is one that encrypts and has a token."""
    place = QueuePlace.parse("example.servicebus.windows.net/events")
    assert not place.local
    asked: list[str] = []

    class Credential:
        def get_token(self, *scopes: str, **_: Any) -> AccessToken:
            asked.extend(scopes)
            return AccessToken("token", int(time.time()) + 3600)

    client = connector(place, Credential)()
    assert client.fully_qualified_namespace == "example.servicebus.windows.net"
    assert client._config.use_tls is True
    assert isinstance(client._credential, AsyncToken)
    assert not asked


def test_without_an_identity_a_send_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the identity endpoint is not there, that is what is told, and no thread is left waiting for it."""
    with listen(0) as silent:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://{LOOPBACK}:{silent.getsockname()[1]}{IDENTITY_PATH}")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        monkeypatch.setattr(identity, "_shared", [])
        with Broker(verify=_is_ours) as broker:
            broker.create_queue(QUEUE)
            token = AsyncToken(managed_identity())
            queue = ServiceBusQueue(
                lambda: ServiceBusClient(broker.address, token, use_tls=False, retry_total=0), QUEUE
            )
            try:
                before = threading.active_count()
                for _ in range(5):
                    error, seconds = failure(lambda: queue.send(message(), 0.4))
                    assert error.timed_out
                    assert seconds < 2
                # One for the loop, and one that asks for a token.
                assert threading.active_count() <= before + 2
            finally:
                queue.close()


def test_one_question_serves_all_who_wait() -> None:
    """A hundred callers at once ask the blocking credential once; a failure reaches each; the next asks again."""
    import asyncio

    calls = 0
    ready = threading.Event()

    class Slow:
        def get_token(self, *scopes: str, **_: Any) -> AccessToken:
            nonlocal calls
            calls += 1
            ready.wait(5)
            if calls == 2:
                raise PortError("no identity")
            return AccessToken(f"token-{calls}", int(time.time()) + 3600)

    async def run() -> None:
        token = AsyncToken(Slow())
        waiting = [asyncio.ensure_future(token.get_token("scope")) for _ in range(100)]
        await asyncio.sleep(0.05)
        ready.set()
        assert {found.token for found in await asyncio.gather(*waiting)} == {"token-1"}
        with pytest.raises(PortError):
            await token.get_token("scope")
        assert (await token.get_token("scope")).token == "token-3"

    asyncio.run(run())
    assert calls == 3


def test_the_credential_is_one_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads ask first, there is one, since it keeps the tokens."""
    monkeypatch.setattr(identity, "_shared", [])
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: managed_identity(), range(32)))
    assert len(found) == 1
