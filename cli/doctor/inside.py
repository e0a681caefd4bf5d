"""What only the cloud's own credentials show. Each cloud has a module beside this one; what they share is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from cli.doctor.model import Check, Part, Result, some
from cli.target import Names, Target
from core.bound import HardBound, HardTimeoutError
from core.ports import PortError
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX
from core.redrive import EXPIRY_WARNING_SECONDS
from core.signature import parse_keys

KEY: Final = Check("key", Part.KEY, "The secret store has the key")
QUEUE: Final = Check("queue", Part.QUEUE, "The queue is there")
SUBSCRIPTION: Final = Check("subscription", Part.QUEUE, "A subscription keeps what arrives")
DEAD_LETTERS: Final = Check("dead-letters", Part.QUEUE, "What a consumer fails on is set aside")
QUEUE_ACCESS: Final = Check("queue-access", Part.QUEUE, "The queue is encrypted and not public")
STORE: Final = Check("store", Part.STORE, "The store is there")
RETENTION: Final = Check("retention", Part.STORE, "Retentions are in order")
STORE_ACCESS: Final = Check("store-access", Part.STORE, "The store is closed to the public")
STORE_ENCRYPTION: Final = Check("store-encryption", Part.STORE, "The store is encrypted")
ALARMS: Final = Check("alarms", Part.ALARMS, "Every alarm exists and is on")
ALARMS_NOW: Final = Check("alarms-now", Part.ALARMS, "No alarm has gone off")
RECIPIENTS: Final = Check("alarm-recipients", Part.ALARMS, "Alarms reach somebody")

CLAIMS_PREFIX: Final = "claims/"
KEPT_DAYS: Final = EXPIRY_WARNING_SECONDS / 86_400 + 7
"""For how many days spool and quarantine must keep an event: the alarm `expiring` counts on it."""
AGAIN: Final = "Deploy the template again; it sets all of this."
_SECONDS: Final = 20.0


@runtime_checkable
class Inspected(Protocol):
    """A cloud that can be looked into."""

    def inside(self, names: Names, deployment: str | None) -> Iterator[Result]:
        """The rows of a deployment's queue, store and alarms.

        Args:
            names: its parts; those that are None are left out with a word.
            deployment: the name by which it was found, None where the parts were named themselves.
        """


@dataclass(frozen=True, slots=True)
class Absent:
    """What an error of a service stands for. ``missing``: the thing is not there; else it cannot be looked at."""

    missing: bool
    code: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Looking:
    """Runs checks, each within a time, and turns a service's errors into rows. ``explain`` reads them."""

    explain: Callable[[Exception], Absent]

    def at(self, check: Check, look: Callable[[], Result]) -> Result:
        """The row that ``look`` makes."""
        try:
            return HardBound("inside", 1).run(look, _SECONDS)
        except HardTimeoutError:
            return check.warned(f"no answer within {_SECONDS:.0f} s", "Try again.")
        except Exception as error:  # noqa: BLE001 - whatever an SDK raises becomes a row
            found = self.explain(error)
        if found.missing:
            return check.failed(f"there is none ({found.code})", found.advice or AGAIN)
        return check.warned(f"it cannot be looked at: {found.code}", found.advice or "Look with another identity.")


@dataclass(frozen=True, slots=True)
class Retentions:
    """Days; None for what nothing ever deletes."""

    queue: float | None
    dead_letters: float | None
    claims: float | None
    spool: float | None
    quarantine: float | None

    def judge(self, *, endless_dead_letters: bool = False) -> Result:
        """The row. ``endless_dead_letters``: this platform keeps them for ever, and that is as it should be."""
        faults: list[str] = []
        if self.queue is None:
            faults.append("the queue keeps messages for ever")
        elif self.dead_letters is not None and self.dead_letters <= self.queue:
            faults.append(f"dead letters are kept {_days(self.dead_letters)}, the queue {_days(self.queue)}")
        if self.dead_letters is None and not endless_dead_letters:
            faults.append("dead letters are kept for ever")
        for name, days in ((SPOOL_PREFIX, self.spool), (QUARANTINE_PREFIX, self.quarantine)):
            if days is None:
                faults.append(f"{name} has no expiry: personal data stays for ever")
            elif days != KEPT_DAYS:
                faults.append(f"{name} is kept {_days(days)}, and the alarm `expiring` counts on {_days(KEPT_DAYS)}")
        waits = (self.spool or 0) + (self.queue or 0) + (self.dead_letters or 0)
        if self.claims is None:
            faults.append(f"{CLAIMS_PREFIX} has no expiry: personal data stays for ever")
        elif self.claims < waits:
            faults.append(f"{CLAIMS_PREFIX} is kept {_days(self.claims)}, and a pointer to it may wait {_days(waits)}")
        if faults:
            return RETENTION.failed(some(faults, 1), AGAIN, faults)
        dead = "for ever" if self.dead_letters is None else _days(self.dead_letters)
        return RETENTION.passed(
            f"queue {_days(self.queue or 0)}, dead letters {dead}, claims {_days(self.claims or 0)}, "
            f"spool and quarantine {_days(KEPT_DAYS)}"
        )


def _days(days: float) -> str:
    return f"{days:.3g} d"


def judge_alarms(expected: Sequence[str], found: Mapping[str, str | None]) -> Result:
    """The row of the alarms. ``found``: each by its name here, with what is wrong with it or None."""
    missing = [name for name in expected if name not in found]
    wrong = [f"{name}: {fault}" for name, fault in sorted(found.items()) if fault and name in expected]
    faults = [*(f"{name}: there is none" for name in missing), *wrong]
    if faults:
        return ALARMS.failed(some(faults, 2), AGAIN, faults)
    return ALARMS.passed(f"{len(expected)} of {len(expected)}")


def judge_states(count: int, ringing: Sequence[str]) -> Result:
    """The row of what the alarms say at the moment. ``ringing``: the names of those that have gone off."""
    if ringing:
        return ALARMS_NOW.warned(
            f"in ALARM now: {some(ringing)}",
            "docs/operations.md says what to do about each. One that went off before somebody confirmed the mail sends "
            "none until it has ended. What this run itself set off ends soon.",
            ringing,
        )
    return ALARMS_NOW.passed(f"none of {count}")


def judge_recipients(reached: Iterable[str], unconfirmed: Iterable[str], what_to_set: str) -> Result:
    """The row of who is told; never an address in it, only how many."""
    some_reached, waiting = list(reached), list(unconfirmed)
    if waiting:
        return RECIPIENTS.failed(
            f"{len(waiting)} subscription{'s have' if len(waiting) > 1 else ' has'} not been confirmed: nobody is told",
            "Click the link in the mail that the cloud sent to that address. If it is gone, subscribe anew.",
        )
    if not some_reached:
        return RECIPIENTS.failed("no alarm tells anybody", what_to_set)
    return RECIPIENTS.passed(f"{len(some_reached)} recipient{'s' if len(some_reached) > 1 else ''}")


def check_inside(target: Target, deployment: str | None, fingerprint: str | None) -> Iterator[Result]:
    """The rows of a deployment.

    Args:
        target: where it is.
        deployment: the name by which it was found.
        fingerprint: of the key that signed the events, None where none was sent.
    """
    yield Looking(_explain_port).at(KEY, lambda: _key(target, fingerprint))
    if target.is_local:
        # Emulated parts have neither lifecycle nor alarms: what the templates set is not there to be looked at.
        yield Looking(_explain_port).at(STORE, lambda: _local_store(target))
        return
    if isinstance(target.cloud, Inspected):
        yield from target.cloud.inside(target.names, deployment)


def _key(target: Target, fingerprint: str | None) -> Result:
    setting = "dastra-webhooks key set puts one there."
    if target.names.secret is None:
        return KEY.skipped("the secret is not named", "Set DASTRA_SIGNATURE_KEYS_SECRET too.")
    text = target.secret.read()
    if not text or not text.strip():
        return KEY.failed("it is empty", setting)
    try:
        keys = parse_keys(text)
    except ValueError as error:
        return KEY.failed(str(error), setting)
    found = ", ".join(key.fingerprint for key in keys)
    if fingerprint is not None and fingerprint not in {key.fingerprint for key in keys}:
        return KEY.failed(
            f"it has {found}, and the events were signed with {fingerprint}",
            "Give the doctor the webhook's key, or the deployment: dastra-webhooks key set --add.",
        )
    return KEY.passed(found if fingerprint is None else f"{found}; the events were signed with {fingerprint}")


def _local_store(target: Target) -> Result:
    count = len(target.redrive().records(QUARANTINE_PREFIX))
    return STORE.passed(f"{count} in quarantine; a local run has no lifecycle and no alarms to look at")


def _explain_port(error: Exception) -> Absent:
    return Absent(False, error.code if isinstance(error, PortError) else type(error).__name__)
