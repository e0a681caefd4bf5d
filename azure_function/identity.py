"""Who this is: the function app's managed identity, so that no key of a queue, a store or a vault is kept anywhere."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

_SECONDS: Final = 2.0
"""What one wait for the identity endpoint may take. It is on the instance itself."""
_lock: Final = threading.Lock()
_shared: list[TokenCredential] = []


def managed_identity() -> TokenCredential:
    """The one credential of this process, which keeps its tokens. Making it does no I/O.

    Not ``DefaultAzureCredential``: on a server it may only ever be the identity that the deployment gave rights to.
    ``AZURE_CLIENT_ID`` names it: the templates make one beside the app, which has none of its own.
    """
    with _lock:
        if not _shared:
            from azure.identity import ManagedIdentityCredential

            _shared.append(
                ManagedIdentityCredential(
                    client_id=os.environ.get("AZURE_CLIENT_ID") or None,
                    connection_timeout=_SECONDS,
                    read_timeout=_SECONDS,
                    retry_total=1,
                    retry_backoff_factor=0.1,
                )
            )
        return _shared[0]


class AsyncToken:
    """A blocking credential for an asynchronous client: asked on a thread, once for all who wait meanwhile.

    The SDK's own asynchronous credentials need aiohttp, which nothing else here does.
    """

    def __init__(self, credential: TokenCredential) -> None:
        self._credential: Final = credential
        self._asked: asyncio.Future[AccessToken] | None = None

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """A token for ``scopes``."""
        loop = asyncio.get_running_loop()
        if self._asked is None or self._asked.done() or self._asked.get_loop() is not loop:
            self._asked = loop.create_future()
            threading.Thread(target=self._ask, args=(self._asked, scopes), name="token", daemon=True).start()
        return await asyncio.shield(self._asked)

    def _ask(self, asked: asyncio.Future[AccessToken], scopes: tuple[str, ...]) -> None:
        token: AccessToken | None = None
        failure: Exception | None = None
        try:
            token = self._credential.get_token(*scopes)
        except Exception as error:  # noqa: BLE001 - handed to the one who asked
            failure = error

        def settle() -> None:
            if asked.done():
                return
            if token is not None:
                asked.set_result(token)
            elif failure is not None:
                asked.set_exception(failure)
                asked.exception()  # whoever waited may be gone

        try:
            asked.get_loop().call_soon_threadsafe(settle)
        except RuntimeError:  # the loop is closed: nobody waits
            return

    async def close(self) -> None:
        """Nothing: the blocking credential belongs to all."""

    async def __aenter__(self) -> AsyncToken:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None
