"""What the local run needs of a cloud; `cli.commands.run` lists those that have it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from cli.local.faults import FaultProxy
from cli.local.front import HttpAnswer, HttpRequest
from cli.local.journal import Journal


@dataclass(frozen=True, slots=True)
class Handled:
    """One request that was answered, for whoever watches."""

    request: HttpRequest
    size: int
    """Bytes of the body, also where it was too large to be kept."""
    answer: HttpAnswer
    milliseconds: float
    lines: tuple[Mapping[str, Any], ...] = ()
    """What the receiver logged about it."""


@dataclass(frozen=True, slots=True)
class Depths:
    """How much is where: messages on the queue, and the keys in spool and quarantine, oldest first."""

    queue: int
    spool: tuple[str, ...]
    quarantine: tuple[str, ...]


Watch = Callable[[Handled], None]
"""Is told of every request, on the request's own thread. Must not raise."""


class LocalCloud(Protocol):
    """A deployment on this machine: the cloud's real entry points before emulated services."""

    title: str
    """What runs, for a person: two lines of at most 72 characters."""
    queue: str
    store: str
    secret: str
    """The names of its parts, in the cloud's notation."""
    most_bytes: int
    """The largest body that the platform hands to the entry point."""

    @property
    def faults(self) -> Mapping[str, FaultProxy]:
        """The proxies in front of ``queue``, ``store`` and ``keys``."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What another process's SDK needs to reach the emulated services, faults included."""

    def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request through the entry point, on a thread of its own. Never raises."""

    def turn_away(self, request: HttpRequest, size: int) -> HttpAnswer:
        """The platform's own answer to a body of ``size`` bytes, more than ``most_bytes``; the request has none."""

    def redrive(self) -> Mapping[str, Any]:
        """Run the redrive entry point once: ``sent``, ``failed``, ``skipped``.

        Raises:
            core.ports.PortError: the store does not answer.
        """

    def messages(self) -> list[dict[str, Any]]:
        """Every message on the queue, oldest first, none touched; claim checks followed. Not through the proxies."""

    def stored(self) -> list[dict[str, Any]]:
        """Every event in spool and quarantine, oldest first; claim checks followed. Not through the proxies."""

    def depths(self) -> Depths:
        """What can be counted without reading a body: asked every second while somebody looks. As ``stored``."""


class Start(Protocol):
    """What a cloud's module calls ``start``: makes the deployment for as long as the ``with`` block runs.

    It may change this process's environment for good, and raises CliError where something does not start.
    ``settings`` are the user's own, ``keys`` the text for the secret, ``journal`` is ``sys.stdout`` already.
    """

    def __call__(
        self, settings: Mapping[str, str], keys: str, journal: Journal, watch: Watch
    ) -> AbstractContextManager[LocalCloud]:
        """Start it."""


def body_as_json(body: bytes) -> dict[str, str]:
    """A body as text, or as base64 under another name where it is not UTF-8."""
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode("ascii")}
