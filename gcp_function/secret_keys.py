"""Secret Manager as the key source, through its API: a mounted secret without a version would stop the deployment."""

from __future__ import annotations

import os
from typing import Final

from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from core.keys import usable_keys
from core.signature import SignatureKey
from gcp_function.sdk import SOFT, Lazy, attempt, grpc_transport

EMULATOR: Final = "SECRET_MANAGER_EMULATOR_HOST"
"""Where an emulator listens, ``host:port``; named as Google names those of its other services."""


def secret_manager() -> SecretManagerServiceClient:
    """The generated client over gRPC."""
    return SecretManagerServiceClient(
        transport=grpc_transport(SecretManagerServiceGrpcTransport, os.environ.get(EMULATOR))
    )


class SecretKeys:
    """The keys in a secret's newest version, in any form that ``core.signature.parse_keys`` reads.

    Args:
        secret: the secret's resource name, ``projects/PROJECT/secrets/SECRET``, with or without ``/versions/VERSION``.
    """

    def __init__(self, secret: str) -> None:
        self._version: Final = secret if "/versions/" in secret else f"{secret}/versions/latest"
        self._client: Final = Lazy(secret_manager)

    def fetch(self, timeout: float) -> tuple[SignatureKey, ...]:
        """Read the secret itself; nothing here caches it.

        Raises:
            PortError: it has no version yet, the version holds no key, or Secret Manager did not answer.
        """
        return usable_keys(self.text(timeout))

    def text(self, timeout: float) -> str:
        """The text of the secret's newest version as it stands there.

        Raises:
            PortError: it has none yet, or Secret Manager did not answer.
        """

        def access(client: SecretManagerServiceClient, seconds: float) -> bytes:
            answer = client.access_secret_version(name=self._version, retry=None, timeout=seconds)
            return bytes(answer.payload.data)

        return attempt(self._client, access, timeout * SOFT).decode("utf-8", "replace")
