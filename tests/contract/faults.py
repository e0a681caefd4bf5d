"""What can fail beneath the receiver, and what each failure must cost. Data only; ``test_faults.py`` runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tests.contract.answers import ACCEPTED, QUARANTINED, SPOOLED, UNAUTHORIZED, UNAVAILABLE
from tests.contract.vendor_faults import VendorFault
from tests.drivers import Answer, Mode, Port

BUDGET: Final = 2.4
"""Seconds for an answer in most rows: the defaults, scaled down."""
QUICK: Final = {"TIME_BUDGET_SECONDS": str(BUDGET), "QUEUE_BUDGET_SECONDS": "1.0"}
DEFAULT_BUDGET: Final = 6.0
SLACK: Final = 1.5
"""What a busy machine may add to a bound before it counts as broken."""
WITHIN: Final = 0.15
"""Seconds by which a slow port is late and still in time."""
BEYOND: Final = 3.0
"""Seconds by which a slow port is late for every share of the quick budget."""


class Kind(StrEnum):
    """What is posted."""

    PLAIN = "plain"
    LARGE = "large"
    """Above the queue's limit: needs the store as well."""
    UNREADABLE = "unreadable"
    """Authentic and no JSON object: needs the store alone."""


class Keys(StrEnum):
    """What the instance knows when the fault begins."""

    KNOWN = "known"
    NONE = "none"
    """It was started under the fault."""
    ROTATED = "rotated"
    """The event is signed with a key that was put there under the fault."""


class Held(StrEnum):
    """Where the event is when the answer is out and the fault still on."""

    QUEUE = "queue"
    SPOOL = "spool"
    QUARANTINE = "quarantine"
    NOWHERE = "nowhere"


class After(StrEnum):
    """What is on the queue once the fault is over and the redrive has run."""

    ONCE = "once"
    AGAIN = "at least once"
    """The queue may have it from a send that was given up: a copy more is possible, a loss is not."""
    ABSENT = "absent"
    PERHAPS = "perhaps"
    """The answer said no, and an attempt that was given up may have gone through later."""


@dataclass(frozen=True, slots=True)
class Row:
    """One failure: the ports with their modes, what is posted, and what must come of it."""

    faults: Mapping[Port, Mode]
    kind: Kind
    keys: Keys
    answers: tuple[Answer, ...]
    held: Held
    after: After
    late: float = WITHIN
    times: int | None = None
    budget: float = BUDGET
    stands_for: str = VendorFault.NOT_AWAITED
    name: str = field(default="", compare=False)

    @property
    def unheard(self) -> bool:
        """Whether a port may do what it is asked and fail to say so."""
        return self.times is not None or bool({Mode.SLOW, Mode.CUT} & set(self.faults.values()))

    @property
    def title(self) -> str:
        """The row's name in reports."""
        modes = set(self.faults.values())
        mode = "-".join(sorted(modes))
        late = "-beyond" if Mode.SLOW in modes and self.late == BEYOND else ""
        often = f"-{self.times}-times" if self.times else ""
        default = "-default-budget" if self.budget != BUDGET else ""
        return f"{'+'.join(self.faults)}-{mode}{late}{often}-{self.kind}-{self.keys}{default}"


QUICK_TO_FAIL: Final = (Mode.REFUSED, Mode.RESET, Mode.ERROR_500, Mode.ERROR_503, Mode.THROTTLED)
NEVER_ANSWERS: Final = (Mode.SILENT, Mode.HANGING, Mode.DRIPPING)
FAILS: Final = (*QUICK_TO_FAIL, *NEVER_ANSWERS)

Q, S, K = (Port.QUEUE,), (Port.STORE,), (Port.KEYS,)


def _row(
    ports: tuple[Port, ...],
    mode: Mode,
    answers: Answer | tuple[Answer, ...],
    held: Held,
    after: After,
    *,
    kind: Kind = Kind.PLAIN,
    keys: Keys = Keys.KNOWN,
    late: float = WITHIN,
    times: int | None = None,
    budget: float = BUDGET,
) -> Row:
    answers = answers if isinstance(answers, tuple) else (answers,)
    if mode is Mode.SLOW and late == WITHIN:
        budget = DEFAULT_BUDGET  # costs nothing here, and leaves a busy machine room to be in time
    stands_for = VendorFault.SIZE_LIMIT if kind is Kind.LARGE else VendorFault.NOT_AWAITED
    return Row(dict.fromkeys(ports, mode), kind, keys, answers, held, after, late, times, budget, stands_for)


def _queue_rows() -> Iterator[Row]:
    for mode in FAILS:
        yield _row(Q, mode, SPOOLED, Held.SPOOL, After.AGAIN)
        yield _row(Q, mode, SPOOLED, Held.SPOOL, After.AGAIN, kind=Kind.LARGE)
    for kind in (Kind.PLAIN, Kind.LARGE):
        yield _row(Q, Mode.SLOW, ACCEPTED, Held.QUEUE, After.ONCE, kind=kind)
        yield _row(Q, Mode.SLOW, SPOOLED, Held.SPOOL, After.AGAIN, kind=kind, late=BEYOND)
        yield _row(Q, Mode.CUT, SPOOLED, Held.SPOOL, After.AGAIN, kind=kind)
        # The client's own second attempt may be through in time, or not.
        yield _row(Q, Mode.CUT, (ACCEPTED, SPOOLED), Held.QUEUE, After.AGAIN, kind=kind, times=1)
    yield _row(Q, Mode.ERROR_503, (ACCEPTED, SPOOLED), Held.QUEUE, After.AGAIN, times=1)
    for mode in Mode:
        yield _row(Q, mode, QUARANTINED, Held.QUARANTINE, After.ABSENT, kind=Kind.UNREADABLE)
    for mode in NEVER_ANSWERS:
        yield _row(Q, mode, SPOOLED, Held.SPOOL, After.AGAIN, budget=DEFAULT_BUDGET)


def _store_rows() -> Iterator[Row]:
    for mode in Mode:
        yield _row(S, mode, ACCEPTED, Held.QUEUE, After.ONCE)
    for kind, well, held, after in (
        (Kind.LARGE, ACCEPTED, Held.QUEUE, After.ONCE),
        (Kind.UNREADABLE, QUARANTINED, Held.QUARANTINE, After.ABSENT),
    ):
        for mode in FAILS:
            yield _row(S, mode, UNAVAILABLE, Held.NOWHERE, After.ABSENT, kind=kind)
        yield _row(S, Mode.SLOW, well, held, after, kind=kind)
        for mode in (Mode.SLOW, Mode.CUT):
            yield _row(S, mode, UNAVAILABLE, Held.NOWHERE, After.PERHAPS, kind=kind, late=BEYOND)


def _both_rows() -> Iterator[Row]:
    both = Q + S
    for mode in FAILS:
        yield _row(both, mode, UNAVAILABLE, Held.NOWHERE, After.PERHAPS)
    yield _row(both, Mode.SLOW, ACCEPTED, Held.QUEUE, After.ONCE)
    for mode in (Mode.SLOW, Mode.CUT):
        yield _row(both, mode, UNAVAILABLE, Held.NOWHERE, After.PERHAPS, late=BEYOND)
    for mode in (Mode.REFUSED, Mode.HANGING):
        for kind in (Kind.LARGE, Kind.UNREADABLE):
            yield _row(both, mode, UNAVAILABLE, Held.NOWHERE, After.ABSENT, kind=kind)
    yield _row(both, Mode.HANGING, UNAVAILABLE, Held.NOWHERE, After.PERHAPS, budget=DEFAULT_BUDGET)
    yield Row(
        {Port.QUEUE: Mode.HANGING, Port.STORE: Mode.SLOW},
        Kind.PLAIN,
        Keys.KNOWN,
        (SPOOLED,),
        Held.SPOOL,
        After.AGAIN,
        budget=DEFAULT_BUDGET,
    )
    yield Row(
        {Port.QUEUE: Mode.DRIPPING, Port.STORE: Mode.REFUSED},
        Kind.PLAIN,
        Keys.KNOWN,
        (UNAVAILABLE,),
        Held.NOWHERE,
        After.PERHAPS,
    )


def _key_rows() -> Iterator[Row]:
    everything = Q + S + K
    for mode in Mode:
        yield _row(K, mode, ACCEPTED, Held.QUEUE, After.ONCE)
    for mode in (*FAILS, Mode.CUT):
        yield _row(K, mode, UNAVAILABLE, Held.NOWHERE, After.ABSENT, keys=Keys.NONE)
        yield _row(K, mode, UNAUTHORIZED, Held.NOWHERE, After.ABSENT, keys=Keys.ROTATED)
    for keys in (Keys.NONE, Keys.ROTATED):
        yield _row(K, Mode.SLOW, ACCEPTED, Held.QUEUE, After.ONCE, keys=keys)
    yield _row(K, Mode.SLOW, UNAVAILABLE, Held.NOWHERE, After.ABSENT, keys=Keys.NONE, late=BEYOND)
    yield _row(K, Mode.SLOW, UNAUTHORIZED, Held.NOWHERE, After.ABSENT, keys=Keys.ROTATED, late=BEYOND)
    for mode in FAILS:
        yield _row(Q + K, mode, SPOOLED, Held.SPOOL, After.AGAIN)
        yield _row(everything, mode, UNAVAILABLE, Held.NOWHERE, After.PERHAPS)
    yield _row(Q + K, Mode.SLOW, ACCEPTED, Held.QUEUE, After.ONCE)
    yield _row(Q + K, Mode.CUT, SPOOLED, Held.SPOOL, After.AGAIN)
    yield _row(everything, Mode.SLOW, ACCEPTED, Held.QUEUE, After.ONCE)
    yield _row(everything, Mode.CUT, UNAVAILABLE, Held.NOWHERE, After.PERHAPS)
    for mode in (Mode.REFUSED, Mode.HANGING):
        yield _row(Q + K, mode, UNAVAILABLE, Held.NOWHERE, After.ABSENT, keys=Keys.NONE)
        yield _row(everything, mode, UNAVAILABLE, Held.NOWHERE, After.ABSENT, keys=Keys.NONE)
    yield _row(everything, Mode.DRIPPING, UNAVAILABLE, Held.NOWHERE, After.PERHAPS, budget=DEFAULT_BUDGET)


ROWS: Final = (*_queue_rows(), *_store_rows(), *_both_rows(), *_key_rows())
