"""The signature keys in a deployment's secret store, newest first."""

from __future__ import annotations

from collections.abc import Iterable

from cli.output import Output
from cli.target import Target
from core.ports import PortError
from core.signature import SignatureKey, parse_keys


def present_keys(target: Target, out: Output) -> tuple[SignatureKey, ...]:
    """The keys that are there; none where the secret has no value, or one that is no key.

    Raises:
        CliError: the secret store does not answer.
    """
    secret = target.secret
    try:
        with out.status("Reading the secret"):
            text = secret.read()
    except PortError as error:
        raise target.failure("the keys cannot be read", error) from error
    try:
        return parse_keys(text) if text else ()
    except ValueError as error:
        out.warn(f"the secret's present value is no key: {error}.")
        return ()


def write_keys(target: Target, keys: Iterable[SignatureKey], out: Output) -> None:
    """Let these be the keys.

    Raises:
        CliError: the secret store did not take them.
    """
    secret = target.secret
    try:
        with out.status("Writing the secret"):
            secret.write(",".join(key.reveal() for key in keys))
    except PortError as error:
        raise target.failure("the key was not stored", error) from error
