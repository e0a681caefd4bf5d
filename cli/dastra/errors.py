"""How a call to Dastra's API can fail, in words for a person. No text here ever holds a key or a body.

CliError
 └─ DastraError      the API refused, did not answer, or answered something else
     ├─ GoneError    404 or 405: there is no such thing, or no longer such an endpoint
     └─ UnsureError  a change that may have been made, or not: look before you try again
"""

from __future__ import annotations

from typing import Final

from cli.exits import CliError, Exit


class DastraError(CliError):
    """A call that failed. ``status`` is the HTTP status, None where there was no answer."""

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.UNREACHABLE, status: int | None = None) -> None:
        super().__init__(message, hint, code)
        self.status: Final = status


class GoneError(DastraError):
    """There is nothing at this address."""


class UnsureError(DastraError):
    """No answer came to a change, so it may have been made. Nothing was tried again."""
