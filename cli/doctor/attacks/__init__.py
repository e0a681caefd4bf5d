"""Every request that must be refused, and with what. The doctor sends them; the contract tests' table contains them."""

from __future__ import annotations

from typing import Final

from cli.doctor.attacks.base import Attack, Fault, Group, Sender, Sent
from cli.doctor.attacks.bodies import body_attacks
from cli.doctor.attacks.headers import header_attacks
from cli.doctor.attacks.keys import KEY_HALF, key_attacks
from cli.doctor.attacks.ways import way_round_attacks

ATTACKS: Final[tuple[Attack, ...]] = (*header_attacks(), *key_attacks(), *body_attacks(), *way_round_attacks())

__all__ = ["ATTACKS", "KEY_HALF", "Attack", "Fault", "Group", "Sender", "Sent"]
