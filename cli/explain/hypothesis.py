"""What may have gone wrong between the signer and the receiver, in the words that a person gets to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """What a hypothesis is about."""

    SIGNATURE = "signature"
    ALGORITHM = "algorithm"
    KEY = "key"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One way in which a signature fails to match. Neither text may hold a body, a key or a signature.

    ``code`` is for programs and keeps its meaning; ``found`` says what was signed or sent, ``remedy`` what to do.
    """

    part: Part
    code: str
    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class BodyForm:
    """A body that may be the one that was signed, and how it differs from the one that arrived."""

    body: bytes
    because: tuple[Hypothesis, ...] = ()

    def then(self, step: BodyForm) -> BodyForm:
        """The form that ``step``, which was made from this form's body, is when seen from where this one began."""
        return BodyForm(step.body, self.because + step.because)


BodyForms = Iterator[BodyForm]


def body_form(body: bytes, code: str, found: str, remedy: str) -> BodyForm:
    """A body with the one hypothesis that leads to it."""
    return BodyForm(body, (Hypothesis(Part.BODY, code, found, remedy),))
