"""Every setting by its environment name, read once at start, where a bad value fails with all that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from core.deadline import SENDER_PATIENCE
from core.delivery import Limits
from core.keys import REFRESH_SECONDS
from core.screening import Policy, SourceIpMode
from core.signature import SignatureKey, parse_keys
from core.source_ip import EMPTY, PRESET, AddressError, AllowList

T = TypeVar("T")
D = TypeVar("D")

PREFIX: Final = "DASTRA_"
NAMES: Final = (
    "SIGNATURE_KEYS",
    "SIGNATURE_KEYS_SECRET",
    "SOURCE_IP_MODE",
    "SOURCE_IP_ALLOWLIST",
    "TRUSTED_PROXY_HOPS",
    "MAX_BODY_BYTES",
    "MAX_EVENT_AGE_SECONDS",
    "TIME_BUDGET_SECONDS",
    "QUEUE_BUDGET_SECONDS",
    "QUEUE",
    "STORE",
)
"""What the receiver reads, without its prefix."""
WATCH_NAMES: Final = ("API_KEY_SECRET", "API_URL", "WEBHOOK_IDS", "WORKSPACE_ID")
"""What the scheduled check of the webhooks reads. Both may stand in one environment, which is shared on Azure."""
KNOWN: Final = NAMES + WATCH_NAMES
"""Every name; another one with the prefix is an error."""

NOBODY: Final = "none"
"""The address list that has nobody on it but those whom an operator accepts."""

_MOST_BODY_BYTES: Final = 4 * 1024 * 1024


class SettingsError(ValueError):
    """The environment is not usable. A line for each fault: the name, the value unless secret, what is valid."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("invalid settings:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator set. Times in seconds, sizes in bytes; ``queue`` and ``store`` in the cloud's own notation."""

    queue: str
    store: str
    signature_keys: tuple[SignatureKey, ...] = ()
    signature_keys_secret: str | None = None
    source_ip_mode: SourceIpMode = SourceIpMode.QUARANTINE
    source_ip_allowlist: AllowList = EMPTY
    trusted_proxy_hops: int = 1
    max_body_bytes: int = _MOST_BODY_BYTES
    max_event_age_seconds: float = 0.0
    time_budget_seconds: float = 6.0
    queue_budget_seconds: float = 2.5

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the ``DASTRA_`` names of ``env``. A name that is set to nothing counts as not set.

        Raises:
            SettingsError: a value is invalid, a required one is missing, or a ``DASTRA_`` name is not known.
        """
        reader = Reader(env)
        settings = cls(
            queue=reader.required("QUEUE", "the queue's URL or path"),
            store=reader.required("STORE", "the bucket or container"),
            signature_keys=reader.secret("SIGNATURE_KEYS", parse_keys),
            signature_keys_secret=reader.text("SIGNATURE_KEYS_SECRET"),
            source_ip_mode=reader.read("SOURCE_IP_MODE", _mode, SourceIpMode.QUARANTINE),
            source_ip_allowlist=reader.read("SOURCE_IP_ALLOWLIST", _allow_list, AllowList.of([PRESET])),
            trusted_proxy_hops=reader.read("TRUSTED_PROXY_HOPS", whole(1, 10), 1),
            max_body_bytes=reader.read("MAX_BODY_BYTES", whole(1, _MOST_BODY_BYTES), _MOST_BODY_BYTES),
            max_event_age_seconds=reader.read("MAX_EVENT_AGE_SECONDS", _seconds(0, 31_536_000), 0.0),
            time_budget_seconds=reader.read("TIME_BUDGET_SECONDS", _seconds(0.5, SENDER_PATIENCE - 1), 6.0),
            queue_budget_seconds=reader.read("QUEUE_BUDGET_SECONDS", _seconds(0.1, SENDER_PATIENCE - 1), 2.5),
        )
        reader.require_one("SIGNATURE_KEYS", "SIGNATURE_KEYS_SECRET")
        if settings.queue_budget_seconds * 4 > settings.time_budget_seconds * 3 + 1e-9:
            reader.fault(
                "QUEUE_BUDGET_SECONDS",
                f"is {settings.queue_budget_seconds:g}, more than three quarters of DASTRA_TIME_BUDGET_SECONDS "
                f"({settings.time_budget_seconds:g}): the store needs the rest when the queue fails",
            )
        reader.finish()
        return settings

    def policy(self) -> Policy:
        """The part that screening needs."""
        return Policy(self.source_ip_mode, self.source_ip_allowlist, self.max_body_bytes, self.max_event_age_seconds)

    @property
    def refresh_seconds(self) -> float:
        """What a request may spend on reading keys again: at most a sixth of the budget."""
        return min(REFRESH_SECONDS, self.time_budget_seconds / 6)

    def limits(self, workers: int) -> Limits:
        """The part that delivery needs; the store has what the queue and a key refresh leave of the budget.

        A send never takes more than half of what is left, however large its share was set: so much is the store's.
        """
        left = self.time_budget_seconds - self.refresh_seconds
        return Limits(self.queue_budget_seconds, left - min(self.queue_budget_seconds, left / 2), workers)


def watches(env: Mapping[str, str]) -> bool:
    """Whether there is to be a check of the webhooks: whether it has a key to ask with."""
    return bool(env.get(f"{PREFIX}API_KEY_SECRET", "").strip())


class Reader:
    """The ``DASTRA_`` names of an environment, and every fault that was found in them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._values: Final = {name: value.strip() for name, value in env.items() if name.startswith(PREFIX)}
        self._faults: Final[list[str]] = [
            _unknown(name) for name in sorted(self._values) if name.removeprefix(PREFIX) not in KNOWN
        ]

    def text(self, name: str) -> str | None:
        """A value; None where it is not set, or set to nothing."""
        return self._values.get(PREFIX + name) or None

    def required(self, name: str, what: str) -> str:
        """A value that must be there; ``what`` says what it is."""
        value = self.text(name)
        if value is None:
            self.fault(name, f"is required: {what}")
        return value or ""

    def require_one(self, first: str, second: str) -> None:
        """Hold that exactly one of two is set."""
        given = [name for name in (first, second) if self.text(name)]
        if len(given) != 1:
            state = "are both set" if given else "are both missing"
            self._faults.append(f"{PREFIX}{first} and {PREFIX}{second} {state}: set exactly one of them")

    def read(self, name: str, convert: Callable[[str], T], default: D) -> T | D:
        """A value, converted; a ValueError of ``convert`` says what is valid."""
        value = self.text(name)
        if value is None:
            return default
        try:
            return convert(value)
        except AddressError as error:
            self.fault(name, str(error))
        except ValueError as error:
            self.fault(name, f"is {shown(value)}: {error}")
        return default

    def secret(self, name: str, convert: Callable[[str], tuple[T, ...]]) -> tuple[T, ...]:
        """The same for a value that no error may show."""
        try:
            value = self.text(name)
            return convert(value) if value is not None else ()
        except ValueError as error:  # the value itself stays out of the message
            self.fault(name, str(error))
            return ()

    def fault(self, name: str, text: str) -> None:
        """Note a fault."""
        self._faults.append(f"{PREFIX}{name} {text}")

    def finish(self) -> None:
        """Raise SettingsError where there was any fault."""
        if self._faults:
            raise SettingsError(self._faults)


def shown(value: str) -> str:
    """A value for an error: without what stands behind ``?`` or ``;``, or before ``@``, which may be a secret."""
    start = re.split(r"[?;]", value, maxsplit=1)[0]
    hidden = re.sub(r"//[^/@]*@", "//…@", start)
    return repr(hidden if hidden == value else f"{hidden}…")


def _unknown(name: str) -> str:
    import difflib  # only a start that fails pays for it

    close = difflib.get_close_matches(name.removeprefix(PREFIX), KNOWN, 1)
    hint = f"did you mean {PREFIX}{close[0]}? " if close else ""
    return f"{name} is not known; {hint}known: {', '.join(PREFIX + known for known in KNOWN)}"


def _mode(text: str) -> SourceIpMode:
    try:
        return SourceIpMode(text.lower())
    except ValueError:
        raise ValueError(f"valid: {', '.join(SourceIpMode)}") from None


def _allow_list(text: str) -> AllowList:
    # A word, since a setting that is empty counts as not set, and then the preset is the list.
    return EMPTY if text.lower() == NOBODY else AllowList.parse(text)


def whole(least: int, most: int) -> Callable[[str], int]:
    """Converts a whole number within bounds."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
            raise ValueError(f"valid: a whole number from {least} to {most}")
        return int(text)

    return convert


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            raise ValueError(f"valid: a number of seconds from {least:g} to {most:g}")
        return number

    return convert
