"""Secrets Manager as the key source, through Powertools' parameters utility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from aws_lambda.sdk import Lazy, config, port_error
from core.keys import usable_keys
from core.ports import PortError
from core.signature import SignatureKey

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class SecretKeys:
    """The keys in a secret's current value, in any form that ``core.signature.parse_keys`` reads.

    Args:
        secret_id: the secret's name or ARN.
        seconds: what one fetch may take in all.
    """

    def __init__(self, secret_id: str, seconds: float) -> None:
        self._secret_id: Final = secret_id
        self._client: Final[Lazy[SecretsManagerClient]] = Lazy(
            lambda session: session.client("secretsmanager", config=config(seconds, 2))
        )

    def fetch(self, timeout: float) -> tuple[SignatureKey, ...]:
        """Read the secret itself, never a cached value.

        Raises:
            PortError: it has no value yet, the value holds no key, or Secrets Manager did not answer.
        """
        return usable_keys(self.text(timeout))

    def text(self, timeout: float) -> str:  # noqa: ARG002 - set when the client was made
        """The secret's current value as it stands there.

        Raises:
            PortError: it has none yet, or Secrets Manager did not answer.
        """
        provider = SecretsProvider(boto3_client=self._client.get())
        try:
            value = provider.get(self._secret_id, force_fetch=True)
        except GetParameterError as error:
            cause = error.__context__
            if isinstance(cause, KeyError):  # an answer with neither text nor bytes in it
                raise PortError("no_value") from error
            found = port_error(cause if isinstance(cause, Exception) else error)
            if found.timed_out:
                self._client.discard()
            raise found from error
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
