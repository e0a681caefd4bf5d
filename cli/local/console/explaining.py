"""Why a remembered request's signature does not match, as `dastra-webhooks explain` finds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cli.explain.capture import Capture, declared_length
from cli.explain.key_forms import GivenKey
from cli.explain.verdict import explain_request
from cli.local.console.recorder import Entry
from core.signature import SignatureKey

_SECONDS: Final = 3.0
"""The search takes a core, which the receiver needs too."""


def explained(entry: Entry, keys: Sequence[SignatureKey]) -> dict[str, Any]:
    """The verdict, in the form of ``explain --json``. Blocks for some seconds at most."""
    request = entry.request
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
    capture = Capture(request.method, request.path.decode("latin-1"), headers, entry.body, declared_length(headers))
    return explain_request(capture, [GivenKey(key, "this run") for key in keys], seconds=_SECONDS).as_json()
