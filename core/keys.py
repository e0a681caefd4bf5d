"""The keys an instance knows, and when it asks the secret store again.

A new key must be known before the first event signed with it is refused, since that event never comes again. So a
well-formed signature that matches no key makes the ring ask the secret store, and the answer counts only if the asking
began after that request came. Forged requests must not turn this into a bill or a blockade: asking is limited by a
small bucket of tokens, and addresses on the list have a bucket of their own, which nobody else can empty.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from core.bound import HardBound, HardTimeoutError, NoFreeWorkerError
from core.log import KEYS_FAILED, KEYS_LOADED, Log, error_code, record
from core.ports import KeySource, PortError
from core.signature import SignatureKey, parse_keys

REFRESH_SECONDS: Final = 1.0
"""The longest that one request waits for a refresh."""
MAX_AGE_SECONDS: Final = 900.0
"""A key taken out of the secret store is out of use after this long, on an instance that gets requests."""
_RETRY_SECONDS: Final = 60.0
MOST_WAITING: Final = 4
"""Requests that wait for a token at once. Forged ones from a listed address must not hold every thread of an instance:
the addresses are shared with others."""
_TOKEN_SHARE: Final = 0.5
"""Of a caller's time, the most that it waits for a token: the rest is for the fetch, which would otherwise find a
token at the very end and no time to use it."""


@dataclass(slots=True)
class _Bucket:
    """A token bucket; ``every`` is the seconds that one token takes to come back. Used under the ring's lock."""

    size: float
    every: float
    tokens: float
    filled_at: float

    def delay(self, now: float) -> float:
        """Seconds until a token is there; 0 when one is."""
        self.tokens = min(self.size, self.tokens + (now - self.filled_at) / self.every)
        self.filled_at = now
        return max(0.0, (1 - self.tokens) * self.every)

    def take(self, now: float) -> bool:
        # A millionth of slack, since a wait for exactly one token may fall short by a rounding.
        if self.delay(now) > 1e-6 * self.every:
            return False
        self.tokens = max(0.0, self.tokens - 1)
        return True


def usable_keys(text: str) -> tuple[SignatureKey, ...]:
    """The keys in a secret's text, in any form that :func:`core.signature.parse_keys` reads.

    Raises:
        PortError: it holds none; the text is not in the error.
    """
    try:
        return parse_keys(text)
    except ValueError:
        raise PortError("no_usable_key") from None


class Keys(Protocol):
    """What a receiver asks for keys: a ring in front of a secret store, or keys that stand in the settings."""

    def current(self) -> tuple[SignatureKey, ...]:
        """The known keys, newest first."""

    def due(self) -> bool:
        """Whether they should be read again."""

    def refresh(self, timeout: float, *, listed: bool = False) -> bool:
        """Read them again; True when that has happened since the call."""


class KeyRing:
    """The keys in use. Safe under concurrent calls; at most one fetch is under way at a time."""

    def __init__(self, source: KeySource, log: Log, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source: Final = source
        self._log: Final = log
        self._monotonic: Final = monotonic
        self._bound: Final = HardBound("keys", 2)
        self._changed: Final = threading.Condition()
        now = monotonic()
        self._listed: Final = _Bucket(10, REFRESH_SECONDS * _TOKEN_SHARE, 10, now)
        self._others: Final = _Bucket(5, 10.0, 5, now)
        self._keys: tuple[SignatureKey, ...] = ()
        self._waiting = 0
        self._begun = 0
        self._ended = 0
        self._renew_at = now

    def current(self) -> tuple[SignatureKey, ...]:
        """The known keys, newest first; empty while none is known. No I/O."""
        return self._keys

    def due(self) -> bool:
        """Whether the known keys are old enough to be read again."""
        return bool(self._keys) and self._monotonic() >= self._renew_at

    def refresh(self, timeout: float, *, listed: bool = False) -> bool:
        """Read the keys again; True when a fetch that began after this call has ended, however it ended.

        Args:
            timeout: seconds that the caller can wait.
            listed: whether the request came from a listed address. Then it may wait for a token as well, for half of
                its time, unless :data:`MOST_WAITING` do already.
        """
        came_at = self._monotonic()
        ends_at = came_at + timeout
        with self._changed:
            wanted = self._begun + 1
            while self._ended < wanted:
                now = self._monotonic()
                under_way = self._begun > self._ended
                if under_way:
                    until = ends_at
                elif (self._listed if listed else self._others).take(now):
                    break
                elif listed and self._waiting < MOST_WAITING:
                    until = min(now + self._listed.delay(now), came_at + timeout * _TOKEN_SHARE)
                else:
                    return False
                if now >= until:
                    return False
                self._wait(until - now, for_token=not under_way)
            else:
                return True
            self._begun += 1
        fetched: tuple[SignatureKey, ...] = ()
        try:
            fetched = self._fetch(max(0.05, ends_at - self._monotonic()))
        finally:  # whatever happened, the others must not wait for a fetch that is over
            with self._changed:
                now = self._monotonic()
                self._keys = fetched or self._keys
                self._renew_at = now + (MAX_AGE_SECONDS if fetched else _RETRY_SECONDS)
                self._ended = self._begun
                self._changed.notify_all()
        return True

    def _wait(self, seconds: float, *, for_token: bool) -> None:
        self._waiting += for_token
        try:
            self._changed.wait(max(seconds, 0.001))
        finally:
            self._waiting -= for_token

    def _fetch(self, timeout: float) -> tuple[SignatureKey, ...]:
        try:
            keys = self._bound.run(lambda: self._source.fetch(timeout), timeout)
        except PortError as error:
            code = error.code
        except HardTimeoutError:
            code = "hard_timeout"
        except NoFreeWorkerError:
            code = "no_free_worker"
        except Exception as error:  # noqa: BLE001 - whatever an SDK raises, known keys keep serving
            code = error_code(error)
        else:
            if keys != self._keys:
                record(self._log, KEYS_LOADED, count=len(keys), key=keys[0].fingerprint if keys else None)
            return keys
        record(self._log, KEYS_FAILED, error=code)
        return ()


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """Keys that stand in the settings: there is nowhere to read newer ones from, so nobody waits for any."""

    keys: tuple[SignatureKey, ...]

    def current(self) -> tuple[SignatureKey, ...]:
        """The keys."""
        return self.keys

    def due(self) -> bool:
        """Never."""
        return False

    def refresh(self, timeout: float, *, listed: bool = False) -> bool:  # noqa: ARG002 - the form of the ring's
        """Nothing to read."""
        return False
