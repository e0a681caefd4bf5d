"""The search: every form of body, key and algorithm, the simplest first, within a bound."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cli.explain.algorithms import OTHERS, RIGHT, Algorithm
from cli.explain.compressed import packed, unpacked
from cli.explain.hypothesis import BodyForm, BodyForms, Hypothesis, body_form
from cli.explain.json_forms import json_forms
from cli.explain.key_forms import KeyForm
from cli.explain.signature_forms import LETTER_CASE, SHORTEST, TRUNCATED, SignatureForm
from cli.explain.text_forms import decoded, edges, encoded, line_ends
from cli.explain.wrapped_forms import other, unwrapped, wrapped

_MOST_PREFIXED: Final = 256 * 1024
_MOST_IN_FRONT: Final = 64

INNER: Final = (unpacked, unwrapped, decoded)
"""Steps that take something off the body."""
MIDDLE: Final = (edges, line_ends, json_forms)
"""Steps that write it another way."""
OUTER: Final = (encoded, wrapped, packed)
"""Steps that put it into something."""


@dataclass(frozen=True, slots=True)
class Match:
    """What reproduces the signature."""

    body: BodyForm
    key: KeyForm
    because: tuple[Hypothesis, ...]
    """Every hypothesis that it takes, none where all is right."""


@dataclass(slots=True)
class Search:
    """One search. ``tried`` counts combinations; ``complete`` is False where ``seconds`` ran out first."""

    seconds: float
    tick: Callable[[int], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    tried: int = 0
    complete: bool = True
    _started: float = field(init=False, default=0)

    def find(
        self, body: bytes, keys: Sequence[KeyForm], signatures: Sequence[SignatureForm], folded: str | None
    ) -> Match | None:
        """The simplest combination that reproduces a signature; None where there is none within the bound.

        Args:
            body: the body that arrived.
            keys: from `key_forms`; those without hypotheses are the expected keys.
            signatures: the digests that the header may stand for.
            folded: the header's value in lower case, where it may have lost its letters' case.
        """
        self._started = self.clock()
        target = _Target(signatures, folded)
        if not target.lengths and folded is None:
            return None
        plain = [key for key in keys if not key.because]
        others = [key for key in keys if key.because]
        algorithms = [algorithm for algorithm in OTHERS if target.takes(algorithm.size)]
        here = BodyForm(body)
        stages = (
            partial(self._try, [here], plain, [RIGHT], target),
            partial(self._try, [here], others, [RIGHT], target),
            partial(self._try, [here], plain, algorithms, target),
            partial(self._try_forms, partial(single_forms, body), plain, [RIGHT], target),
            partial(self._try_cuts, body, plain, target),
            partial(self._try, [here], others, algorithms, target),
            partial(self._try_forms, partial(single_forms, body), others, [RIGHT], target),
            partial(self._try_forms, partial(single_forms, body), plain, algorithms, target),
            partial(self._try_forms, partial(double_forms, body), plain, [RIGHT], target),
        )
        try:
            for stage in stages:
                if found := stage():
                    return found
        except TimeoutError:
            self.complete = False
        return None

    def _try_forms(
        self,
        forms: Callable[[], BodyForms],
        keys: Sequence[KeyForm],
        algorithms: Sequence[Algorithm],
        target: _Target,
    ) -> Match | None:
        return self._try(forms(), keys, algorithms, target)

    def _try(
        self,
        forms: Iterator[BodyForm] | Sequence[BodyForm],
        keys: Sequence[KeyForm],
        algorithms: Sequence[Algorithm],
        target: _Target,
    ) -> Match | None:
        for form in forms:
            for algorithm in algorithms:
                for key in keys if algorithm.keyed else keys[:1]:
                    self._count()
                    digest = algorithm.compute(key.secret, form.body)
                    if (about := target.hit(digest)) is not None:
                        key_part = key.because if algorithm.keyed else ()
                        return Match(form, key, (*about, *algorithm.because, *key_part, *form.because))
        return None

    def _try_cuts(self, body: bytes, keys: Sequence[KeyForm], target: _Target) -> Match | None:
        """The body without so many of its last or first bytes."""
        remedy = "Compare what was sent with what arrived: something writes behind or before the body."
        if len(body) <= _MOST_PREFIXED:
            for key in keys:
                running = hmac.new(key.secret, digestmod="sha256")
                for length in range(len(body)):
                    self._count()
                    if (about := target.hit(running.copy().digest())) is not None:
                        said = f"The last {len(body) - length} bytes of the body were added after signing."
                        form = body_form(body[:length], "body_extended", said, remedy)
                        return Match(form, key, (*about, *key.because, *form.because))
                    running.update(body[length : length + 1])
        for length in range(1, min(_MOST_IN_FRONT, len(body))):
            said = f"The first {length} bytes of the body were added after signing."
            form = body_form(body[length:], "body_extended_in_front", said, remedy)
            if found := self._try([form], keys, [RIGHT], target):
                return found
        return None

    def _count(self) -> None:
        self.tried += 1
        if self.tried % 64 == 0:
            self.tick(self.tried)
        if self.clock() - self._started > self.seconds:
            raise TimeoutError


class _Target:
    """The digests that are looked for."""

    def __init__(self, signatures: Sequence[SignatureForm], folded: str | None) -> None:
        self._by_length: dict[int, dict[bytes, tuple[Hypothesis, ...]]] = {}
        for form in signatures:
            if len(form.digest) >= SHORTEST:
                self._by_length.setdefault(len(form.digest), {}).setdefault(form.digest, form.because)
        self.lengths: Final = sorted(self._by_length, reverse=True)
        self._folded: Final = folded

    def takes(self, size: int) -> bool:
        """Whether a digest of this size may be one of them, or a longer one that was cut to 32 bytes."""
        return size in self._by_length or (size > 32 and 32 in self._by_length)

    def hit(self, digest: bytes) -> tuple[Hypothesis, ...] | None:
        """What it takes to read the signature as this digest; None where it is another one."""
        for length in self.lengths:
            if length <= len(digest):
                about = self._by_length[length].get(digest[:length])
                if about is not None:
                    cut = length < len(digest) and TRUNCATED not in about
                    return (*about, TRUNCATED) if cut else about
        if self._folded and len(digest) == hashlib.sha256().digest_size:
            return (LETTER_CASE,) if b64encode(digest).decode("ascii").lower() == self._folded else None
        return None


def single_forms(body: bytes) -> BodyForms:
    """Every form of the body that is one step away."""
    return _each_once(body, (*INNER, *MIDDLE, *OUTER, other))


def double_forms(body: bytes) -> BodyForms:
    """Forms that are two steps away: off and another way, off and off, another way and into something."""
    for step in _each_once(body, INNER):
        for form in _each_once(step.body, (*INNER, *MIDDLE, *OUTER)):
            yield step.then(form)
    for step in _each_once(body, MIDDLE):
        for form in _each_once(step.body, (edges, line_ends, *OUTER)):
            yield step.then(form)


def _each_once(body: bytes, steps: Sequence[Callable[[bytes], BodyForms]]) -> BodyForms:
    seen = {hash(body)}
    for step in steps:
        for form in step(body):
            if hash(form.body) not in seen:
                seen.add(hash(form.body))
                yield form
