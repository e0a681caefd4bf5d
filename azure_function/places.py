"""Where queue, store and keys are, read from the three settings; and which of them are emulators on this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from core.settings import PREFIX, Settings, SettingsError, shown

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost"})
_QUEUE: Final = re.compile(r"(?:sb://)?([A-Za-z0-9.-]+)(?::(\d{1,5}))?/([A-Za-z0-9][A-Za-z0-9._~/-]{0,259})")
_CONTAINER: Final = re.compile(r"(?:/devstoreaccount1)?/([a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9])/?")
_SECRET: Final = re.compile(r"/secrets/([A-Za-z0-9-]{1,127})(?:/([0-9a-f]{32}))?/?")


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """A Service Bus queue. ``address`` has a port only where it is an emulator."""

    address: str
    queue: str
    local: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``<namespace>.servicebus.windows.net/<queue>``.

        Raises:
            ValueError: it is none.
        """
        match = _QUEUE.fullmatch(text)
        if match is None or (match[2] and match[1] not in _LOOPBACK) or (not match[2] and "." not in match[1]):
            raise ValueError("valid: <namespace>.servicebus.windows.net/<queue>")
        local = match[1] in _LOOPBACK
        return cls(f"{match[1]}:{match[2]}" if match[2] else match[1], match[3], local)


@dataclass(frozen=True, slots=True)
class StorePlace:
    """A blob container by its URL, without a slash at its end."""

    url: str
    local: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``https://<account>.blob.core.windows.net/<container>``.

        Raises:
            ValueError: it is none.
        """
        local, path = _read_url(text)
        if local is None or not _CONTAINER.fullmatch(path):
            raise ValueError("valid: https://<account>.blob.core.windows.net/<container>")
        return cls(text.rstrip("/"), local)


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """A secret of a Key Vault; without a version it is the current one."""

    vault: str
    name: str
    version: str | None
    local: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``https://<vault>.vault.azure.net/secrets/<name>``.

        Raises:
            ValueError: it is none.
        """
        local, path = _read_url(text)
        match = _SECRET.fullmatch(path)
        if local is None or match is None:
            raise ValueError("valid: https://<vault>.vault.azure.net/secrets/<name>")
        url = urlsplit(text)
        return cls(f"{url.scheme}://{url.netloc}", match[1], match[2], local)


@dataclass(frozen=True, slots=True)
class Places:
    """All three; ``secret`` is None where the keys stand in the settings."""

    queue: QueuePlace
    store: StorePlace
    secret: SecretPlace | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read them.

        Raises:
            SettingsError: one is not usable; the text names each.
        """
        faults: list[str] = []
        queue = store = secret = None
        try:
            queue = QueuePlace.parse(settings.queue)
        except ValueError as error:
            faults.append(f"{PREFIX}QUEUE is {shown(settings.queue)}: {error}")
        try:
            store = StorePlace.parse(settings.store)
        except ValueError as error:
            faults.append(f"{PREFIX}STORE is {shown(settings.store)}: {error}")
        try:
            secret = SecretPlace.parse(settings.signature_keys_secret) if settings.signature_keys_secret else None
        except ValueError as error:
            # What stands there may be the key itself, so it is not shown.
            faults.append(f"{PREFIX}SIGNATURE_KEYS_SECRET is no secret's URL: {error}")
        if queue is None or store is None or faults:
            raise SettingsError(faults)
        return cls(queue, store, secret)


def _read_url(text: str) -> tuple[bool | None, str]:
    """Whether a URL is one of this machine, in clear text; None where it is not usable; and its path."""
    try:
        url = urlsplit(text)
        local = url.hostname in _LOOPBACK
        usable = url.port is not None if local else url.port is None and "." in (url.hostname or "")
    except ValueError:
        return None, ""
    if url.scheme != ("http" if local else "https") or not usable or url.query or url.fragment or url.username:
        return None, ""
    return local, url.path
