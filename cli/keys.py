"""Where a command gets signature keys from: a file, the environment or a prompt, never an argument."""

from __future__ import annotations

import getpass
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.exits import CliError, Exit
from cli.output import Output
from core.signature import SignatureKey, parse_keys

VARIABLE: Final = "DASTRA_SIGNATURE_KEYS"
_GUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_MOST_BYTES: Final = 65_536

KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help=f"Read the key from a file, or from stdin with -. Else {VARIABLE} counts, else you are asked.",
        show_default=False,
    ),
]


def read_keys(key_file: Path | None, out: Output, *, ask: str) -> tuple[SignatureKey, ...]:
    """The keys that a person gave, newest first.

    Args:
        key_file: a file's path, ``-`` for stdin, or None.
        out: where to speak.
        ask: what the prompt asks for, where nothing else has a key.

    Raises:
        CliError: there is no key, or it cannot be read.
    """
    given = given_secret(key_file, VARIABLE, out, ask=ask)
    if given is None:
        raise CliError(
            "no signature key is given, and nobody is there to ask.",
            f"Set {VARIABLE}, or pass --key-file FILE (- reads stdin).",
            Exit.USAGE,
        )
    text, origin = given
    try:
        return parse_keys(text)
    except ValueError as error:
        raise CliError(
            f"{origin}: {error}.", "Copy the validation key from Dastra's webhook page.", Exit.USAGE
        ) from None


def looks_wrong(key: SignatureKey) -> str | None:
    """What is odd about a key, or None. Dastra's keys are GUIDs in lower case; others work all the same."""
    text = key.reveal()
    if _GUID.fullmatch(text):
        return None
    if _GUID.fullmatch(text.lower()):
        return "has capital letters; Dastra shows its keys in lower case, and the case counts"
    return (
        f"has {len(text)} characters and is no GUID of 36, as Dastra's keys are; was it cut, or is it another secret?"
    )


def given_secret(file: Path | None, variable: str, out: Output, *, ask: str) -> tuple[str, str] | None:
    """A secret from a file, else from the environment, else from a prompt, and where it came from.

    None where it is nowhere, and nobody is there to ask.

    Raises:
        CliError: the file cannot be read.
    """
    if file is not None:
        return read_secret_file(file, out), str(file)
    if text := os.environ.get(variable, "").strip():
        return text, variable
    return (getpass.getpass(f"{ask} (nothing is shown): "), "the prompt") if sys.stdin.isatty() else None


def read_secret_file(path: Path, out: Output) -> str:
    """A file of keys, or stdin for ``-``; warns where others on this machine may read it.

    Raises:
        CliError: it cannot be read, is no text, or is too large for keys.
    """
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
            if os.name == "posix" and path.is_file() and path.stat().st_mode & 0o077:
                out.warn(f"{path} can be read by other users of this machine; chmod 600 keeps it yours.")
        if len(data) > _MOST_BYTES:
            raise CliError(f"{path} is too large for a file of keys.", code=Exit.USAGE)
        return data.decode()
    except UnicodeDecodeError:
        raise CliError(f"{path} is not a text file in UTF-8.", code=Exit.USAGE) from None
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.", code=Exit.USAGE) from None
