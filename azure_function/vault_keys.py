"""Key Vault as the key source. Asked itself, since what Azure puts into a setting from a vault is up to a day old."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import ResourceNotFoundError

from azure_function.places import SecretPlace
from azure_function.sdk import Lazy, options, port_error
from core.keys import usable_keys
from core.ports import PortError
from core.signature import SignatureKey

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.keyvault.secrets import SecretClient

_CONNECTIONS: Final = 2


def secret_client(place: SecretPlace, credential: Callable[[], TokenCredential], seconds: float) -> SecretClient:
    """The SDK's client of one vault; ``seconds`` is what one call may take in all."""
    from azure.keyvault.secrets import SecretClient

    settings: dict[str, Any] = options(seconds, _CONNECTIONS, local=place.local, clear_text=place.local)
    if not place.local:
        return SecretClient(place.vault, credential(), **settings)
    from azure_function.local import LocalToken

    address = place.vault.replace("http://", "https://", 1)
    return SecretClient(address, LocalToken(), verify_challenge_resource=False, **settings)


class VaultKeys:
    """The keys in a secret's value, in any form that ``core.signature.parse_keys`` reads.

    Arguments as for :func:`secret_client`.
    """

    def __init__(self, place: SecretPlace, credential: Callable[[], TokenCredential], seconds: float) -> None:
        self._place: Final = place
        self._client: Final = Lazy(lambda: secret_client(place, credential, seconds))

    def fetch(self, timeout: float) -> tuple[SignatureKey, ...]:
        """Read the secret itself, never a cached value.

        Raises:
            PortError: it has no value yet, the value holds no key, or Key Vault did not answer.
        """
        return usable_keys(self.text(timeout))

    def text(self, timeout: float) -> str:  # noqa: ARG002 - set when the client was made
        """The secret's value as it stands there.

        Raises:
            PortError: it has none yet, or Key Vault did not answer.
        """
        try:
            return self._client.get().get_secret(self._place.name, self._place.version).value or ""
        except ResourceNotFoundError as error:
            raise PortError("no_value") from error
        except Exception as error:
            found = port_error(error)
            if found.timed_out:
                self._client.discard()
            raise found from error
