"""Google Cloud: names from the deployed function's settings, parts through the receiver's own adapters."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

from cli.exits import CliError, Exit
from cli.target import SECONDS, Names, SecretStore
from core.ports import PortError
from core.settings import PREFIX

if TYPE_CHECKING:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    from cli.doctor.model import Result
    from cli.doctor.rest import Rest
    from core.ports import Queue, Store

SETTINGS: Final = ("QUEUE", "STORE", "SIGNATURE_KEYS_SECRET")
"""The function's settings that the command line reads, in the order of ``Names``."""
_TOPIC: Final = re.compile(r"projects/([^/\s]+)/topics/[^/\s]+")
_SECRET: Final = re.compile(r"projects/[^/\s]+/secrets/[^/\s]+")
_SERVICE: Final = re.compile(r"(?:projects/([^/\s]+)/locations/([^/\s]+)/services/)?([a-z][a-z0-9-]{0,62})")
_LOOK_UP_SECONDS: Final = 60
_EMULATED: Final = ("PUBSUB_", "STORAGE_", "SECRET_MANAGER_", "GOOGLE_", "CLOUDSDK_")
_LOG_IN: Final = "Log in to Google Cloud first: gcloud auth application-default login"
_BILL: Final = "gcloud auth application-default set-quota-project ID, with the deployment's project"
_ADVICE: Final = {
    "DefaultCredentialsError": _LOG_IN,
    "RefreshError": f"Your Google Cloud session is over. {_LOG_IN}",
    "Unauthenticated": _LOG_IN,
    "Unauthorized": _LOG_IN,
    "UNAUTHENTICATED": _LOG_IN,
    "PERMISSION_DENIED": "Your Google Cloud identity may not do this; see who you are with gcloud auth list.",
    "PermissionDenied": "Your Google Cloud identity may not do this; see who you are with gcloud auth list.",
    "Forbidden": "Your Google Cloud identity may not do this; see who you are with gcloud auth list.",
    "SERVICE_DISABLED": "The API is off in the project that your login bills its calls to, which is often another one: "
    f"{_BILL}.",
    "USER_PROJECT_DENIED": "You may not bill calls to the project that your login names: "
    f"{_BILL}; it takes roles/serviceusage.serviceUsageConsumer there.",
    "NotFound": "There is nothing of that name; check the name and its project.",
    "ServiceUnavailable": "Google Cloud cannot be reached from here: check the network and the proxy.",
    "ConnectError": "Google Cloud cannot be reached from here: check the network and the proxy.",
    "ConnectionError": "Google Cloud cannot be reached from here: check the network and the proxy.",
    "resting": "The queue did not answer in time a moment ago; try again in 15 seconds.",
    "hard_timeout": "It did not answer in time; try again.",
}


class Gcp:
    """The cloud of the registry."""

    def owns(self, names: Names) -> bool:
        """Whether the topic's or the secret's name is a path of Google's; a bucket's name alone could be anybody's."""
        queue = names.queue is not None and _TOPIC.fullmatch(names.queue) is not None
        secret = names.secret is not None and _SECRET.match(names.secret) is not None
        return queue or (names.queue is None and secret)

    def use(self, environment: Mapping[str, str]) -> None:
        """Put the emulators' addresses where the libraries look, in place of the user's own project and identity."""
        for name in [name for name in os.environ if name.startswith(_EMULATED)]:
            del os.environ[name]
        os.environ.update(environment)

    def find(self, deployment: str) -> Names:
        """The names in the settings of a deployed function, asked of gcloud.

        ``deployment`` is the name of its Cloud Run service, or ``projects/P/locations/REGION/services/NAME``.

        Raises:
            CliError: as in ``cli.target.Cloud``.
        """
        match = _SERVICE.fullmatch(deployment)
        if match is None:
            raise CliError(
                f"{deployment!r} is no name of a Cloud Run service.",
                "Valid: NAME, or projects/PROJECT/locations/REGION/services/NAME",
                Exit.USAGE,
            )
        service = _describe(*match.groups())
        template = service.get("spec", {}).get("template", {}).get("spec", {})
        variables = {
            variable.get("name"): variable.get("value")
            for container in template.get("containers", ())
            for variable in container.get("env", ())
        }
        parts = [variables.get(PREFIX + name) or None for name in SETTINGS]
        missing = [PREFIX + name for name, part in zip(SETTINGS, parts, strict=True) if part is None]
        if missing:
            raise CliError(
                f"the service {deployment} lacks {' and '.join(missing)}: it is no deployment of this receiver, or "
                "one of another version.",
                "",
                Exit.NO_DEPLOYMENT,
            )
        return Names(*(*parts, service.get("status", {}).get("url") or None))

    def queue(self, name: str, seconds: float, workers: int) -> Queue:  # noqa: ARG002 - each send is given its time
        """Pub/Sub."""
        from gcp_function.pubsub_queue import PubsubQueue

        return PubsubQueue(name)

    def store(self, name: str, seconds: float, workers: int) -> Store:  # noqa: ARG002 - each call is given its time
        """Cloud Storage."""
        from gcp_function.gcs_store import GcsStore

        return GcsStore(name, workers)

    def secret(self, name: str) -> SecretStore:
        """Secret Manager."""
        return _Secret(name)

    def inside(self, names: Names, deployment: str | None) -> Iterator[Result]:  # noqa: ARG002 - the topic's name says it
        """What the doctor sees of a deployment with these credentials."""
        from cli.doctor.gcp import Inside

        return Inside(self.rest(names), names).rows()

    def rest(self, names: Names) -> Rest:
        """Google's APIs as whoever is logged in here, billed to the deployment's project."""
        from cli.doctor.rest import Rest

        return Rest(_token, self.advice, lambda: _billed(names.queue))

    def advice(self, code: str) -> str | None:
        """What to do about an error code of Google's services, or the name of an exception of its libraries."""
        return _ADVICE.get(code)


class _Secret:
    """A secret's newest version."""

    def __init__(self, name: str) -> None:
        self._name: Final = name

    def read(self) -> str | None:
        from google.api_core.exceptions import NotFound

        try:
            answer = self._client.access_secret_version(
                name=f"{self._name}/versions/latest", timeout=SECONDS, retry=None
            )
        except NotFound as error:
            # The same code says that there is no secret and that the secret has no version yet.
            if "version" in str(error).lower():
                return None
            raise PortError("NotFound") from error
        except Exception as error:
            raise _port_error(error) from error
        return bytes(answer.payload.data).decode("utf-8", "replace")

    def write(self, text: str) -> None:
        from google.cloud.secretmanager_v1.types import SecretPayload

        try:
            self._client.add_secret_version(
                parent=self._name, payload=SecretPayload(data=text.encode()), timeout=SECONDS, retry=None
            )
        except Exception as error:
            raise _port_error(error) from error

    @cached_property
    def _client(self) -> SecretManagerServiceClient:
        from gcp_function.secret_keys import secret_manager

        return secret_manager()


@cache
def _credentials() -> Any:
    import google.auth

    return google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])[0]


def _port_error(error: Exception) -> PortError:
    from gcp_function.sdk import port_error

    return port_error(error)


def _billed(topic: str | None) -> Mapping[str, str]:
    """Whom a call is billed to. A person's login names another project or none; a service account belongs to one."""
    from google.oauth2.credentials import Credentials

    match = _TOPIC.fullmatch(topic or "")
    return {"x-goog-user-project": match[1]} if match and isinstance(_credentials(), Credentials) else {}


def _token() -> str:
    """A token of whoever is logged in here."""
    from google.auth.transport.requests import Request

    credentials = _credentials()
    if not credentials.valid:
        credentials.refresh(Request())
    return str(credentials.token)


def cloud() -> Gcp:
    """The cloud of the registry."""
    return Gcp()


def _describe(project: str | None, region: str | None, name: str) -> dict[str, Any]:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise CliError(
            "a deployment on Google Cloud is looked up with gcloud, which is not installed.",
            f"Install it, or set {', '.join(PREFIX + setting for setting in SETTINGS)}.",
            Exit.UNREACHABLE,
        )
    where = [f"--project={project}", f"--region={region}"] if project else []
    command = [gcloud, "run", "services", "describe", name, *where, "--format=json", "--quiet"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LOOK_UP_SECONDS)  # noqa: S603
        if ran.returncode == 0:
            service: dict[str, Any] = json.loads(ran.stdout)
            return service
        said = ran.stderr.strip().splitlines()
    except subprocess.TimeoutExpired:
        said = [f"gcloud did not answer within {_LOOK_UP_SECONDS} s"]
    except ValueError:
        said = ["gcloud answered with something that is no JSON"]
    absent = any("Cannot find service" in line for line in said)
    raise CliError(
        f"there is no Cloud Run service {name}." if absent else f"the service {name} cannot be looked up.",
        "\n".join(said[:6]) or _LOG_IN,
        Exit.NO_DEPLOYMENT if absent else Exit.UNREACHABLE,
    )
