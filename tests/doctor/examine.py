"""Running the doctor's outside checks in this process."""

from __future__ import annotations

from collections.abc import Sequence

from cli.doctor.attacks import ATTACKS, Attack
from cli.doctor.model import Result, Status
from cli.doctor.outside import Outside
from cli.doctor.sender import DoctorSender
from cli.doctor.session import Limits, Plan
from tests.planted import KEY

FEW = tuple(attack for place, attack in enumerate(ATTACKS) if place % 10 == 0)
CALM = Limits(patience=20.0, budget=15.0, slow=12.0)
"""So generous that a busy machine changes nothing."""
TIGHT = Limits(patience=8.0, budget=2.0, slow=1.9)
SLOW_SECONDS = 2.5
"""Over the tight budget, far below the patience."""


def examine(
    url: str, attacks: Sequence[Attack] = FEW, limits: Limits = CALM, *, probe: bool = True, gentle: bool = False
) -> dict[str, Result]:
    """The rows of a run by their ids."""
    plan = Plan(url, DoctorSender(KEY), probe, gentle, limits, attacks)
    rows = list(Outside(plan).run())
    found = {row.id: row for row in rows}
    assert len(found) == len(rows)
    return found


def ids(rows: dict[str, Result], status: Status) -> set[str]:
    """The ids of the rows that ended so."""
    return {row.id for row in rows.values() if row.status is status}


def troubled(rows: dict[str, Result]) -> set[str]:
    """The ids of what failed or warned."""
    return ids(rows, Status.FAIL) | ids(rows, Status.WARN)
