"""What a deployment on Azure has, on this machine: a Service Bus namespace, Blob Storage, a Key Vault, an identity."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from azure_function.blob_store import container_client
from azure_function.places import StorePlace
from cli.local import azurite
from cli.local.azure_broker import Broker
from cli.local.azure_services import ACCOUNT, IDENTITY_HEADER, IDENTITY_PATH, Blob, Services
from cli.local.faults import LOOPBACK, FaultProxy
from cli.local.front import Server, listen

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

QUEUE: Final = "dastra-webhooks"
CONTAINER: Final = "dastra-webhooks"
SECRET: Final = "signature-keys"  # noqa: S105 - a name


_SECONDS: Final = 10.0


class AzureEmulator:
    """All of it while the ``with`` block runs: on loopback ports, each behind what can break it.

    In this process, but for Blob Storage where ``blobs`` names Azurite's program.
    """

    def __init__(self, *, blobs: Path | None = None, **broker: Any) -> None:
        self._azurite: Final = blobs
        self.services: Final = Services()
        self.broker: Final = Broker(**broker)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.broker)
            sock = listen(0)
            self._port = int(sock.getsockname()[1])
            stack.enter_context(Server(self.services, sock))
            self._blobs = self._port if self._azurite is None else stack.enter_context(azurite.running(self._azurite))
            self.store: FaultProxy = stack.enter_context(FaultProxy(self._blobs))
            self.vault: FaultProxy = stack.enter_context(FaultProxy(self._port))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def create(self, name: str, *, deduplicates: bool = True) -> None:
        """Make a queue and a container of this name."""
        self.broker.create_queue(name, deduplicates=deduplicates)
        if self._azurite is None:
            self.services.create_container(name)
        else:
            with self._client(name) as client:
                client.create_container()

    def blobs(self, container: str, prefix: str = "") -> list[Blob]:
        """The blobs below a prefix, in the order of their names; past what can break."""
        if self._azurite is None:
            return self.services.blobs(container, prefix)
        with self._client(container) as client:
            return [
                Blob(
                    found.name,
                    client.download_blob(found.name).readall(),
                    {name.lower(): value for name, value in (found.metadata or {}).items()},
                    found.last_modified,
                    found.etag,
                )
                for found in client.list_blobs(name_starts_with=prefix, include=["metadata"])
            ]

    def queue_address(self, queue: str) -> str:
        """A queue, as the setting names it."""
        return f"{self.broker.address}/{queue}"

    def container_url(self, container: str, *, direct: bool = False) -> str:
        """A container, as the setting names it; ``direct`` leads past what can break."""
        base = f"http://{LOOPBACK}:{self._blobs}" if direct else self.store.url
        return f"{base}/{ACCOUNT}/{container}"

    def secret_url(self, secret: str) -> str:
        """A secret, as the setting names it."""
        return f"{self.vault.url}/secrets/{secret}"

    def identity(self) -> dict[str, str]:
        """The environment in which the SDK finds its managed identity."""
        return {
            "IDENTITY_ENDPOINT": f"http://{LOOPBACK}:{self._port}{IDENTITY_PATH}",
            "IDENTITY_HEADER": IDENTITY_HEADER,
        }

    def _client(self, container: str) -> ContainerClient:
        place = StorePlace.parse(self.container_url(container, direct=True))
        return container_client(place, _nobody, _SECONDS, 2)


def _nobody() -> NoReturn:
    raise AssertionError("an emulator needs no identity")


def without_proxies() -> None:
    """Take away what would send calls to this machine through a proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = f"{LOOPBACK},localhost"
