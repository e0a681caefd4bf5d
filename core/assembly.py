"""The receiver of an instance, from its settings and the parts that a cloud brings."""

from __future__ import annotations

from typing import Final

from core.addresses import AcceptedAddresses
from core.delivery import Delivery
from core.keys import Keys
from core.receiver import Receiver
from core.screening import Screen, SourceIpMode, screen
from core.settings import Settings

_OBSERVE_ABSENT_SECONDS: Final = 60
"""While events from unlisted addresses pass anyway, the store need not be asked about each of them."""


def assemble(settings: Settings, delivery: Delivery, keys: Keys, screen: Screen = screen) -> Receiver:
    """Build the receiver and ask for its keys once; where none come, it asks again with the next request.

    ``screen`` is Dastra's unless another sender brings its own (``docs/forking.md``).
    """
    observing = settings.source_ip_mode is SourceIpMode.OBSERVE
    receiver = Receiver(
        policy=settings.policy(),
        keys=keys,
        delivery=delivery,
        accepted_addresses=AcceptedAddresses(delivery, absent_for=_OBSERVE_ABSENT_SECONDS if observing else 0),
        log=delivery.log,
        budget_seconds=settings.time_budget_seconds,
        refresh_seconds=settings.refresh_seconds,
        screen=screen,
    )
    keys.refresh(settings.refresh_seconds, listed=True)
    return receiver
