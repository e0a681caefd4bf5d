"""The account and the address that a command works with: the API key from a file, the environment or a prompt."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import httpx
import typer

from cli.exits import CliError, Exit
from cli.keys import given_secret
from cli.output import Output, span
from cli.sending import check_url, is_loopback

if TYPE_CHECKING:
    from cli.dastra.client import DastraApi

KEY_VARIABLE: Final = "DASTRA_API_KEY"
URL_VARIABLE: Final = "DASTRA_API_URL"
_USABLE: Final = re.compile(r"[!-~]{1,4096}")
_PANEL: Final = "Dastra's API"

ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        metavar="FILE",
        help=f"Read the private API key from a file, or from stdin with -. Else {KEY_VARIABLE}, else you are asked.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        help=f"The API's address, else {URL_VARIABLE}, else https://api.dastra.eu.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


class ApiKey:
    """A private API key. Only `reveal` shows it.

    Raises:
        ValueError: it cannot stand in a header. The message never holds it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not _USABLE.fullmatch(text.strip()):
            raise ValueError("an API key is one word of plain characters")
        self._text: Final = text.strip()

    def reveal(self) -> str:
        """The key, for the header."""
        return self._text

    def __repr__(self) -> str:
        return "ApiKey(…)"


def read_api_key(file: Path | None, out: Output) -> ApiKey:
    """The key that a person gave.

    Raises:
        CliError: there is none, or it cannot be read.
    """
    given = given_secret(file, KEY_VARIABLE, out, ask="Private key of Dastra's API")
    if given is None:
        raise CliError(
            "no API key is given, and nobody is there to ask.",
            f"Set {KEY_VARIABLE}, or pass --api-key-file FILE (- reads stdin). An owner of the account makes keys.",
            Exit.USAGE,
        )
    text, origin = given
    try:
        return ApiKey(text)
    except ValueError as error:
        raise CliError(
            f"{origin}: {error}.", "Copy the private key from Dastra's page of API keys.", Exit.USAGE
        ) from None


def check_api_url(url: str) -> str:
    """The API's address without a slash at its end.

    Raises:
        CliError: it is no URL, or the key would go over the network in clear.
    """
    url = check_url(url).rstrip("/")
    try:
        httpx.URL(url)
    except httpx.InvalidURL:
        raise CliError(f"{url!r} is no URL.", "Valid: https://api.dastra.eu", Exit.USAGE) from None
    if not url.startswith("https:") and not is_loopback(url):
        raise CliError(
            f"{url} would send the API key in clear.",
            "Give an https:// address; http:// is for this machine.",
            Exit.USAGE,
        )
    return url


def open_api(file: Path | None, url: str | None, out: Output) -> DastraApi:
    """The account's API, as options and environment name it.

    Raises:
        CliError: there is no key, or the address cannot be used.
    """
    from cli.dastra.client import API_URL, DastraApi

    address = check_api_url(url or os.environ.get(URL_VARIABLE, "").strip() or API_URL)
    return DastraApi(
        address, read_api_key(file, out), on_wait=lambda seconds, why: out.note(f"{why}; waiting {span(seconds)}.")
    )
