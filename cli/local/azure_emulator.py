"""What a deployment on Azure has, on this machine: a Service Bus namespace, Blob Storage, a Key Vault, an identity."""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from cli.local.azure_broker import Broker
from cli.local.azure_services import ACCOUNT, IDENTITY_HEADER, IDENTITY_PATH, Services
from cli.local.faults import LOOPBACK, FaultProxy
from cli.local.front import Server, listen

QUEUE: Final = "dastra-webhooks"
CONTAINER: Final = "dastra-webhooks"
SECRET: Final = "signature-keys"  # noqa: S105 - a name


class AzureEmulator:
    """All of it while the ``with`` block runs: in this process, on loopback ports, each behind what can break it."""

    def __init__(self, **broker: Any) -> None:
        self.services: Final = Services()
        self.broker: Final = Broker(**broker)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.broker)
            sock = listen(0)
            self._port = int(sock.getsockname()[1])
            stack.enter_context(Server(self.services, sock))
            self.store: FaultProxy = stack.enter_context(FaultProxy(self._port))
            self.vault: FaultProxy = stack.enter_context(FaultProxy(self._port))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def create(self, name: str, *, deduplicates: bool = True) -> None:
        """Make a queue and a container of this name."""
        self.broker.create_queue(name, deduplicates=deduplicates)
        self.services.create_container(name)

    def queue_address(self, queue: str) -> str:
        """A queue, as the setting names it."""
        return f"{self.broker.address}/{queue}"

    def container_url(self, container: str, *, direct: bool = False) -> str:
        """A container, as the setting names it; ``direct`` leads past what can break."""
        base = f"http://{LOOPBACK}:{self._port}" if direct else self.store.url
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


def without_proxies() -> None:
    """Take away what would send calls to this machine through a proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = f"{LOOPBACK},localhost"
