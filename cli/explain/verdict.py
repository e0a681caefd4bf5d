"""The answer about one captured request: valid, explained, suspected, or not explained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cli.explain.capture import Capture
from cli.explain.hypothesis import Hypothesis, Part
from cli.explain.key_forms import GivenKey, key_forms
from cli.explain.observations import Observation, observations
from cli.explain.search import Match, Search
from cli.explain.signature_forms import one_case, signature_forms
from core.signature import SignatureKey, sign

DEFAULT_SECONDS: Final = 30.0
_ORDER: Final = (Part.SIGNATURE, Part.ALGORITHM, Part.KEY, Part.BODY)


class Outcome(StrEnum):
    """What is known about a signature."""

    VALID = "valid"
    EXPLAINED = "explained"
    """It does not match; with what is said undone it does, so that is the reason."""
    SUSPECTED = "suspected"
    """It does not match; something was seen that may be the reason, but cannot be undone to prove it."""
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Difference:
    """How the body that was signed differs from the one that arrived: sizes in bytes, and where they part."""

    arrived: int
    signed: int
    first: int
    """Offset of the first byte that differs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. Holds no key, no signature and no body."""

    outcome: Outcome
    because: tuple[Hypothesis, ...]
    observed: tuple[Observation, ...]
    keys: tuple[GivenKey, ...]
    key: GivenKey | None
    """The key that signed, where it is known."""
    difference: Difference | None
    tried: int
    complete: bool
    """Whether every combination was tried; False where the time ran out first."""

    def as_json(self) -> dict[str, object]:
        """The form of ``--json``."""
        return {
            "verdict": self.outcome.value,
            "valid": self.outcome is Outcome.VALID,
            "key": self.key.key.fingerprint if self.key else None,
            "keys": [
                {"fingerprint": given.key.fingerprint, "from": given.origin, "expected": given.expected}
                for given in self.keys
            ],
            "because": [
                {"part": item.part.value, "code": item.code, "found": item.found, "remedy": item.remedy}
                for item in self.because
            ],
            "observed": [
                {"code": item.code, "found": item.found, "remedy": item.remedy, "suspect": item.suspect}
                for item in self.observed
            ],
            "difference": None
            if self.difference is None
            else {
                "arrived_bytes": self.difference.arrived,
                "signed_bytes": self.difference.signed,
                "first_at": self.difference.first,
            },
            "tried": self.tried,
            "complete": self.complete,
        }


def explain_request(
    capture: Capture,
    keys: Sequence[GivenKey],
    *,
    seconds: float = DEFAULT_SECONDS,
    tick: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Verdict:
    """Say whether a request's signature is right, else why not.

    Args:
        capture: the request.
        keys: the receiver's keys, newest first, and others to try besides (``expected=False``).
        seconds: the most that the search may take.
        tick: told now and then how many combinations were tried.
        clock: a clock in seconds.

    Nothing in a request makes it raise.
    """
    forms = signature_forms(capture.signatures)
    search = Search(seconds, tick, clock)
    match = None
    if capture.signatures:
        match = search.find(capture.body, key_forms(keys), forms, one_case(capture.signatures))
    seen = observations(capture)
    if match is not None:
        outcome = Outcome.EXPLAINED if match.because else Outcome.VALID
        if outcome is Outcome.VALID:
            seen = tuple(item for item in seen if not item.suspect)
        because = tuple(sorted(match.because, key=lambda item: _ORDER.index(item.part)))
    else:
        because = ()
        outcome = Outcome.SUSPECTED if any(item.suspect for item in seen) else Outcome.UNEXPLAINED
    return Verdict(
        outcome,
        because,
        seen,
        tuple(keys),
        match.key.given if match else None,
        _difference(capture, match),
        search.tried,
        search.complete,
    )


def expected_signatures(capture: Capture, keys: Sequence[GivenKey]) -> dict[str, str]:
    """What the header should be for this very body, by the keys' fingerprints. Only for whoever asked for it."""
    given: list[SignatureKey] = [item.key for item in keys if item.expected]
    return {key.fingerprint: sign(capture.body, key) for key in given}


def _difference(capture: Capture, match: Match | None) -> Difference | None:
    if match is None or match.body.body == capture.body:
        return None
    one, other = capture.body, match.body.body
    most = min(len(one), len(other))
    # Halving, since comparing slices is quick and comparing bytes one by one is not.
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return Difference(len(one), len(other), low)
