"""Azure: names from an azd environment, parts through the receiver's own adapters."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final

from azure_function.places import QueuePlace, SecretPlace, StorePlace
from cli.exits import CliError, Exit
from cli.target import SECONDS, Names, SecretStore
from core.settings import PREFIX

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.keyvault.secrets import SecretClient

    from cli.doctor.model import Result
    from core.ports import Queue, Store

OUTPUTS: Final = (f"{PREFIX}QUEUE", f"{PREFIX}STORE", f"{PREFIX}SIGNATURE_KEYS_SECRET")
"""The deployment's outputs that the command line reads, in the order of ``Names``."""
ENDPOINT: Final = "WEBHOOK_URL"
"""The output with the function's URL."""
_ENVIRONMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._()-]{0,63}")
_LOOK_UP_SECONDS: Final = 60
_LOG_IN: Final = "Log in to Azure first: az login (or azd auth login)."
_ROLES: Final = (
    "Your Azure identity may not do this. It needs data roles on the deployment's parts, which an owner has not by "
    "themselves: Storage Blob Data Contributor, Azure Service Bus Data Sender, Key Vault Secrets Officer. "
    "azd up gives them to whoever deploys, and roles take up to ten minutes to work: then try again."
)
_ADVICE: Final = {
    "CredentialUnavailableError": _LOG_IN,
    "ClientAuthenticationError": _LOG_IN,
    "AuthenticationFailed": _LOG_IN,
    "Unauthorized": _LOG_IN,
    "ServiceBusAuthenticationError": _ROLES,
    "ServiceBusAuthorizationError": _ROLES,
    "AuthorizationPermissionMismatch": _ROLES,
    "AuthorizationFailure": _ROLES,
    "AuthorizationFailed": "Your Azure identity may not look: it needs the role Reader on the resource group.",
    "Forbidden": _ROLES,
    "ContainerNotFound": "There is no such container; check the name.",
    "MessagingEntityNotFoundError": "There is no such queue in the namespace; check the name.",
    "SecretNotFound": "There is no such secret in the vault; check the name.",
    "ConnectError": "Azure cannot be reached from here: check the network and the proxy.",
    "ServiceRequestError": "Azure cannot be reached from here: check the names, the network and the proxy.",
    "ServiceRequestTimeoutError": "Azure cannot be reached from here: check the network and the proxy.",
    "ServiceBusConnectionError": "Service Bus cannot be reached from here: check the name and port 5671 (AMQP).",
    "resting": "The queue did not answer in time a moment ago; try again in 15 seconds.",
    "hard_timeout": "It did not answer in time; try again.",
}


class Azure:
    """The cloud of the registry."""

    def owns(self, names: Names) -> bool:
        """Whether the queue's name, or where there is none another one, has Azure's form."""
        forms = ((names.queue, QueuePlace), (names.store, StorePlace), (names.secret, SecretPlace))
        given = [(name, form) for name, form in forms if name is not None]
        return bool(given) and _has_form(*given[0])

    def use(self, environment: Mapping[str, str]) -> None:
        """Nothing has to be led astray: the names of an emulator's parts say where they are."""
        os.environ.update(environment)

    def find(self, deployment: str) -> Names:
        """The names that ``azd up`` put out in the azd environment of this name.

        Raises:
            CliError: as in ``cli.target.Cloud``.
        """
        if not _ENVIRONMENT.fullmatch(deployment):
            raise CliError(f"{deployment!r} is no name of an azd environment.", "", Exit.USAGE)
        values = _azd_values(deployment)
        missing = [name for name in OUTPUTS if not values.get(name)]
        if missing:
            raise CliError(
                f"the azd environment {deployment} lacks {' and '.join(missing)}: it is not deployed, or it is no "
                "deployment of this receiver.",
                "azd up deploys it; azd env list shows which there are.",
                Exit.NO_DEPLOYMENT,
            )
        return Names(*(values.get(name) or None for name in (*OUTPUTS, ENDPOINT)))

    def queue(self, name: str, seconds: float, workers: int) -> Queue:  # noqa: ARG002 - each send is given its time
        """Service Bus."""
        from azure_function.service_bus_queue import ServiceBusQueue, connector

        place = QueuePlace.parse(name)
        return ServiceBusQueue(connector(place, credential), place.queue)

    def store(self, name: str, seconds: float, workers: int) -> Store:
        """Blob Storage."""
        from azure_function.blob_store import BlobStore

        return BlobStore(StorePlace.parse(name), credential, seconds, workers)

    def secret(self, name: str) -> SecretStore:
        """Key Vault."""
        return _Secret(SecretPlace.parse(name))

    def inside(self, names: Names, deployment: str | None) -> Iterator[Result]:  # noqa: ARG002 - the names suffice
        """What the doctor sees of a deployment with these credentials."""
        from cli.doctor.azure import MANAGEMENT, Inside
        from cli.doctor.rest import Rest

        def token() -> str:
            return credential().get_token(f"{MANAGEMENT}/.default").token

        return Inside(Rest(token, self.advice), names).rows()

    def advice(self, code: str) -> str | None:
        """What to do about an error code of Azure's services, or the name of an exception of its SDK."""
        return _ADVICE.get(code)


class _Secret:
    """A secret's current value."""

    def __init__(self, place: SecretPlace) -> None:
        self._place: Final = place

    def read(self) -> str | None:
        from azure.core.exceptions import ResourceNotFoundError

        from azure_function.sdk import port_error

        try:
            return self._client.get_secret(self._place.name).value
        except ResourceNotFoundError:
            # A deployment makes none: the first value makes the secret.
            return None
        except Exception as error:
            raise port_error(error) from error

    def write(self, text: str) -> None:
        from azure_function.sdk import port_error

        try:
            self._client.set_secret(self._place.name, text, content_type="text/plain")
        except Exception as error:
            raise port_error(error) from error

    @cached_property
    def _client(self) -> SecretClient:
        from azure_function.vault_keys import secret_client

        return secret_client(self._place, credential, SECONDS)


@cache
def credential() -> TokenCredential:
    """Whoever is logged in here: ``az login``, ``azd auth login`` and what else the SDK looks for."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def cloud() -> Azure:
    """The cloud of the registry."""
    return Azure()


def _has_form(name: str, form: type[QueuePlace] | type[StorePlace] | type[SecretPlace]) -> bool:
    try:
        form.parse(name)
    except ValueError:
        return False
    return True


def _azd_values(environment: str) -> dict[str, str]:
    azd = shutil.which("azd")
    if azd is None:
        raise CliError(
            "a deployment on Azure is looked up with azd, which is not installed.",
            f"Install it, or set {', '.join(OUTPUTS)}.",
            Exit.UNREACHABLE,
        )
    command = [azd, "env", "get-values", "--environment", environment, "--no-prompt"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LOOK_UP_SECONDS)  # noqa: S603
        said = ran.stderr.strip().splitlines() or ran.stdout.strip().splitlines()
    except subprocess.TimeoutExpired:
        raise CliError(f"azd did not answer within {_LOOK_UP_SECONDS} s.", "", Exit.UNREACHABLE) from None
    if ran.returncode:
        raise CliError(f"the azd environment {environment} cannot be read.", "\n".join(said[:6]), Exit.NO_DEPLOYMENT)
    values = {}
    for line in ran.stdout.splitlines():
        name, found, quoted = line.partition("=")
        if found:
            values[name.strip()] = "".join(shlex.split(quoted))
    return values
