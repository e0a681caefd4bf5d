"""Which deployment a command talks to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Final, Protocol, cast

from cli.exits import CliError, Exit
from cli.local.state import RunState, find_run
from cli.output import Output
from core.delivery import Delivery, Limits
from core.log import LogEvent, Value
from core.message import QueueMessage
from core.ports import PortError, Queue, Store
from core.redrive import Redrive

STACK: Final = "DASTRA_STACK"
REGION: Final = "AWS_REGION"
CLOUD: Final = "DASTRA_CLOUD"
QUEUE: Final = "DASTRA_QUEUE"
STORE: Final = "DASTRA_STORE"
SECRET: Final = "DASTRA_SIGNATURE_KEYS_SECRET"  # noqa: S105 - the name of a setting
OWN_NAMES: Final = frozenset({STACK, CLOUD, "DASTRA_API_KEY", "DASTRA_API_URL"})
"""Names with the settings' prefix that only the command line reads; the receiver would call them unknown."""

START: Final = "To start a local run, in another terminal: dastra-webhooks run"

WORKERS: Final = 8
SECONDS: Final = 5.0
"""What one call to a service may take: as long as a person waits without doubt."""


class SecretStore(Protocol):
    """One secret of a platform's secret store. Both calls raise PortError."""

    def read(self) -> str | None:
        """Its present value; None while it has none."""

    def write(self, text: str) -> None:
        """Give it a new value."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a deployment's parts are called, each in its cloud's own notation; None where it is not known."""

    queue: str | None = None
    store: str | None = None
    secret: str | None = None
    url: str | None = None
    """The endpoint that Dastra is to call."""


class Cloud(Protocol):
    """What the command line needs of a cloud. Register it in `CLOUDS`."""

    def owns(self, names: Names) -> bool:
        """Whether these names have this cloud's form."""

    def use(self, environment: Mapping[str, str]) -> None:
        """Let this process's SDK reach a local run, by what its state file says, and nothing else."""

    def find(self, deployment: str) -> Names:
        """The names that the deployment tool put out for a deployment of this name.

        Raises:
            CliError: there is none, it lacks something, or the cloud cannot be reached.
        """

    def queue(self, name: str, seconds: float, workers: int) -> Queue:
        """The queue of this name; ``seconds`` is what one call may take."""

    def store(self, name: str, seconds: float, workers: int) -> Store:
        """The store of this name."""

    def secret(self, name: str) -> SecretStore:
        """The secret of this name."""

    def advice(self, code: str) -> str | None:
        """What to do about an error code of this cloud's services."""


CLOUDS: Final[Mapping[str, str]] = {
    "aws": "cli.clouds.aws",
    "azure": "cli.clouds.azure",
    "gcp": "cli.clouds.gcp",
}
"""Each cloud with the module that has its ``cloud()``, imported when it is needed. The first one is the default."""


@dataclass(frozen=True)
class Target:
    """A deployment. Its parts are made when they are first used; each raises CliError where its name is not known."""

    title: str
    cloud: Cloud
    names: Names
    is_local: bool = False

    @cached_property
    def store(self) -> Store:
        """The store."""
        return self.cloud.store(self._name(self.names.store, STORE, "store"), SECONDS, WORKERS)

    @cached_property
    def queue(self) -> Queue:
        """The queue."""
        return self.cloud.queue(self._name(self.names.queue, QUEUE, "queue"), SECONDS, WORKERS)

    @cached_property
    def secret(self) -> SecretStore:
        """The secret with the keys."""
        return self.cloud.secret(self._name(self.names.secret, SECRET, "secret of the keys"))

    @property
    def url(self) -> str:
        """The endpoint; CliError where it is not known, as where the parts were named one by one."""
        if self.names.url is None:
            raise CliError(f"which endpoint it has is not known ({self.title}).", "Give its URL.", Exit.USAGE)
        return self.names.url

    def redrive(self, queue: Queue | None = None) -> Redrive:
        """What reads, drops and, given a queue, sends stored events."""
        limits = Limits(queue_seconds=SECONDS, store_seconds=SECONDS, workers=WORKERS)
        return Redrive(Delivery(queue or _NoQueue(), self.store, _Quiet(), limits))

    def failure(self, what: str, error: PortError) -> CliError:
        """The error to raise where a part of the deployment did not do what was asked."""
        advice = self.cloud.advice(error.code)
        if advice is None:
            advice = "There was no answer in time. Try again." if error.timed_out else ""
        return CliError(f"{what}: {error.code} ({self.title}).", advice, Exit.UNREACHABLE)

    def _name(self, name: str | None, variable: str, part: str) -> str:
        if name is None:
            raise CliError(
                f"which {part} to use is not known ({self.title}).", f"Set {variable} too.", Exit.NO_DEPLOYMENT
            )
        return name


@dataclass(frozen=True, slots=True)
class Where:
    """The deployment that a person named by options."""

    stack: str | None = None
    cloud: str | None = None
    region: str | None = None
    local: bool = False

    def find(self, out: Output) -> Target:
        """What the options name, else the environment, else the local run that is up.

        Raises:
            CliError: none is named, it is named twice, or it cannot be found.
        """
        if self.local and (self.stack or self.region):
            raise CliError("--local excludes --stack and --region.", "Leave one of them out.", Exit.USAGE)
        if self.local:
            run = find_run()
            if run is None:
                raise CliError("no local run is up in this directory or above it.", START, Exit.NO_DEPLOYMENT)
            return _of_run(run)
        if self.region:
            os.environ[REGION] = os.environ["AWS_DEFAULT_REGION"] = self.region
        cloud = self.cloud or os.environ.get(CLOUD)
        if cloud and cloud not in CLOUDS:
            raise CliError(f"{cloud!r} is no cloud of the command line.", f"There is: {', '.join(CLOUDS)}", Exit.USAGE)
        if stack := self.stack or os.environ.get(STACK):
            return _of_stack(stack, cloud or next(iter(CLOUDS)), out)
        names = Names(*(os.environ.get(name) or None for name in (QUEUE, STORE, SECRET)))
        if names != Names():
            return _of_names(names, [cloud] if cloud else list(CLOUDS))
        run = find_run()
        if run is not None:
            out.note(f"Using the local run at {run.url} (no deployment is named).")
            return _of_run(run)
        raise CliError(
            "no deployment is named, and no local run is up.",
            f"Name one with --stack NAME or {STACK}, or set {QUEUE}, {STORE} and {SECRET}.\n{START}",
            Exit.NO_DEPLOYMENT,
        )


def load_cloud(name: str) -> Cloud:
    """A cloud of the registry."""
    return cast(Cloud, import_module(CLOUDS[name]).cloud())


def _of_run(run: RunState) -> Target:
    cloud = load_cloud(run.cloud)
    cloud.use(run.env)
    return Target(f"the local run at {run.url}", cloud, Names(run.queue, run.store, run.secret, run.url), is_local=True)


def _of_stack(stack: str, name: str, out: Output) -> Target:
    cloud = load_cloud(name)
    with out.status(f"Looking up the deployment {stack}"):
        names = cloud.find(stack)
    return Target(f"the deployment {stack}", cloud, names)


def _of_names(names: Names, clouds: Sequence[str]) -> Target:
    for name in clouds:
        cloud = load_cloud(name)
        if cloud.owns(names):
            return Target("named by the environment", cloud, names)
    raise CliError(
        f"the names in {QUEUE}, {STORE} and {SECRET} have not the form that they have on {' or '.join(clouds)}.",
        "On AWS they are a queue's URL, a bucket's name and a secret's ARN or name.",
        Exit.NO_DEPLOYMENT,
    )


class _NoQueue:
    """Stands where nothing is sent."""

    def takes(self, message: QueueMessage) -> bool:  # noqa: ARG002 - the port's form
        return True

    def send(self, message: QueueMessage, timeout: float) -> None:  # noqa: ARG002 - the port's form
        raise PortError("no_queue")

    def discard(self) -> None:
        pass


class _Quiet:
    """A log that says nothing: a command tells what it did itself."""

    def write(self, event: LogEvent, fields: Mapping[str, Value]) -> None:
        pass

    def count(self, event: LogEvent) -> None:
        pass
