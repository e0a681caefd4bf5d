"""Emulators on this machine: what the SDKs do not do in clear text. Imported for loopback addresses alone.

The names and keys are those that every emulator of Azure has; they open nothing else.
"""

from __future__ import annotations

import time
from typing import Any, Final

from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.core.pipeline.transport import RequestsTransport

ACCOUNT: Final = "devstoreaccount1"
ACCOUNT_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's account (its README)."""
QUEUE_KEY_NAME: Final = "RootManageSharedAccessKey"
QUEUE_KEY: Final = "SAS_KEY_VALUE"
"""Of Microsoft's emulator for Service Bus (its documentation)."""
_HOUR: Final = 3600


def queue_credential() -> AzureNamedKeyCredential:
    """For the emulator's queues."""
    return AzureNamedKeyCredential(QUEUE_KEY_NAME, QUEUE_KEY)


def store_credential() -> AzureNamedKeyCredential:
    """For the emulator's blobs."""
    return AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY)


class LocalToken:
    """A token that is none."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """The word ``local``, for an hour."""
        return AccessToken("local", int(time.time()) + _HOUR)


class ClearText(RequestsTransport):  # type: ignore[misc] # the package hides its type
    """Sends in clear text what Key Vault's client insists on calling ``https``."""

    def send(self, request: Any, **options: Any) -> Any:
        """Send one request."""
        url: str = request.url
        request.url = url.replace("https://", "http://", 1)
        try:
            return super().send(request, **options)
        finally:
            request.url = url  # the client looks at it again before it answers the vault's challenge
