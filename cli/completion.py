"""What the shell completes. Quick, quiet, and from this machine only: a Tab must not wait for a cloud."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.request import ProxyHandler, build_opener

from cli.local.state import find_run

_SECONDS: Final = 1.0
_MOST_BYTES: Final = 4 * 1024 * 1024
_SHORT: Final = 8

Choices = list[tuple[str, str]]
"""Each a word and what it is, which zsh and fish show beside it."""


def event_types(incomplete: str) -> Choices:
    """The documented event types, with their family."""
    from cli.samples import families

    pairs = ((name, family.replace("_", " ")) for family, names in families().items() for name in names)
    return _starting(sorted(pairs), incomplete)


def breaks(incomplete: str) -> Choices:
    """The kinds of `send --break`; the doctor's attacks by name once something is typed that no kind begins with."""
    from cli.breaking import ALL, kinds
    from cli.doctor.attacks import ATTACKS

    found = _starting([*((kind.name, kind.what) for kind in kinds()), (ALL, "each kind once")], incomplete)
    return found or _starting(((attack.name, attack.stands_for) for attack in ATTACKS), incomplete)


def clouds(incomplete: str) -> Choices:
    """The clouds."""
    from cli.target import CLOUDS

    return _starting(((name, "") for name in CLOUDS), incomplete)


def urls(incomplete: str) -> Choices:
    """The local run's URL, while one is up."""
    run = find_run()
    return _starting([(run.url, "the local run")], incomplete) if run else []


def quarantined(incomplete: str) -> Choices:
    """Events that the local run holds."""
    return _starting(_stored("quarantine/"), incomplete)


def unlisted_addresses(incomplete: str) -> Choices:
    """Addresses that the local run holds events of."""
    found = {
        str(event["address"]): "held"
        for event in _ask("stored")
        if event.get("address") and event.get("reason") == "unlisted_address"
    }
    return _starting(found.items(), incomplete)


def _stored(prefix: str) -> Iterator[tuple[str, str]]:
    for event in _ask("stored"):
        key = str(event.get("key", ""))
        if key.startswith(prefix):
            name = key.rpartition("/")[2].partition("-")[2] or key
            yield name[:_SHORT], f"{event.get('reason', '')} {event.get('address') or ''}".strip()


def _ask(what: str) -> list[dict[str, Any]]:
    """A look-up of the local run; nothing where none is up or it does not answer at once."""
    run = find_run()
    if run is None:
        return []
    try:
        with build_opener(ProxyHandler({})).open(f"{run.url}_local/{what}", timeout=_SECONDS) as answer:
            found = json.loads(answer.read(_MOST_BYTES))
    except (OSError, ValueError):
        return []
    return [event for event in found if isinstance(event, dict)] if isinstance(found, list) else []


def _starting(pairs: Iterable[tuple[str, str]], incomplete: str) -> Choices:
    return [pair for pair in pairs if pair[0].startswith(incomplete)]
