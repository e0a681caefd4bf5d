"""The receiver of one instance, as the front calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cli.local.front import HttpAnswer, HttpRequest


@dataclass(slots=True)
class EntryPoint:
    """What answers a request, in the form that the front of the local run calls."""

    receive: Callable[[HttpRequest], HttpAnswer]
    most_bytes: int
    too_large: HttpAnswer

    def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request."""
        return self.receive(request)

    def turn_away(self, _: HttpRequest, size: int) -> HttpAnswer:
        """The platform's answer to a body that it does not hand on."""
        del size
        return self.too_large
