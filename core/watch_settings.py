"""What the scheduled check of the webhooks is set to: apart, since no receiver's start should pay for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from core.message import plain_token
from core.settings import Reader, whole

API_URL: Final = "https://api.dastra.eu"
"""Where Dastra's API is (its API description, ``servers``)."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What an operator set for the check of the webhooks; ``api_key_secret`` in the cloud's own notation.

    ``api_url`` is without a slash at its end. Without ``webhook_ids`` every webhook counts that the API key sees.
    """

    api_key_secret: str
    api_url: str = API_URL
    webhook_ids: tuple[str, ...] = ()
    workspace_id: int | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the check's names of ``env``. A name that is set to nothing counts as not set.

        Raises:
            SettingsError: a value is invalid, a required one is missing, or a ``DASTRA_`` name is not known.
        """
        reader = Reader(env)
        settings = cls(
            api_key_secret=reader.required("API_KEY_SECRET", "the secret that holds the key of Dastra's API"),
            api_url=reader.read("API_URL", _api_url, API_URL),
            webhook_ids=reader.read("WEBHOOK_IDS", _ids, ()),
            workspace_id=reader.read("WORKSPACE_ID", whole(1, 2**31 - 1), None),
        )
        reader.finish()
        return settings


def _ids(text: str) -> tuple[str, ...]:
    ids = text.replace(",", " ").split()
    if not ids or not all(map(plain_token, ids)):
        raise ValueError("valid: the numbers of webhooks, separated by commas or white space")
    return tuple(dict.fromkeys(ids))


def _api_url(text: str) -> str:
    """A key is sent there, so it is https; clear text only to a stand-in on this machine."""
    valid = f"valid: an address with https and without a query, such as {API_URL}"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(valid) from None
    local = url.hostname in ("127.0.0.1", "localhost") and port is not None
    encrypted = url.scheme == "https" or (local and url.scheme == "http")
    if not encrypted or not url.hostname or url.username or url.query or url.fragment or not text.isascii():
        raise ValueError(valid)
    return text.rstrip("/")
