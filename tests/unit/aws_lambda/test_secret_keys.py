"""Keys out of Secrets Manager, over the wire."""

from __future__ import annotations

import base64
import json

import pytest

from aws_lambda.secret_keys import SecretKeys
from core.ports import PortError
from tests.unit.aws_lambda.stub import Answer, Stub
from tests.unit.samples import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT


def secret(**value: object) -> Answer:
    """What Secrets Manager answers for a secret with this value."""
    return Answer(json.dumps({"ARN": "arn:invented", "Name": "keys", "VersionId": "1", **value}).encode())


def test_the_current_value_of_the_secret_is_read(aws: Stub) -> None:
    """By its name, with the one operation that the function's role allows."""
    aws.answer = secret(SecretString=KEY_TEXT)
    assert SecretKeys("keys", 5).fetch(1) == (KEY,)
    [(_, _, headers, body)] = aws.asked
    assert headers["x-amz-target"] == "secretsmanager.GetSecretValue"
    assert json.loads(body) == {"SecretId": "keys"}


@pytest.mark.parametrize(
    "value",
    [
        {"SecretString": f"{KEY_TEXT}\n{OTHER_KEY_TEXT}\n"},
        {"SecretString": json.dumps([KEY_TEXT, OTHER_KEY_TEXT])},
        {"SecretString": json.dumps({"new": KEY_TEXT, "old": OTHER_KEY_TEXT})},
        {"SecretBinary": base64.b64encode(f"{KEY_TEXT},{OTHER_KEY_TEXT}".encode()).decode()},
        {"SecretBinary": base64.b64encode(f"\ufeff{KEY_TEXT},{OTHER_KEY_TEXT}".encode()).decode()},
    ],
    ids=["lines", "list", "object", "binary", "binary with a byte-order mark"],
)
def test_every_form_of_a_secret_is_read(aws: Stub, value: dict[str, str]) -> None:
    """As text or bytes, as the console and the command line leave it, newest first."""
    aws.answer = secret(**value)
    assert SecretKeys("keys", 5).fetch(1) == (KEY, OTHER_KEY)


def test_a_value_is_never_cached(aws: Stub) -> None:
    """Each fetch asks, or a new key would be found too late."""
    keys = SecretKeys("keys", 5)
    for text, key in ((KEY_TEXT, KEY), (OTHER_KEY_TEXT, OTHER_KEY)):
        aws.answer = secret(SecretString=text)
        assert keys.fetch(1) == (key,)
    assert len(aws.asked) == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (secret(), "no_value"),
        (secret(SecretString=""), "no_usable_key"),
        (secret(SecretString=" ,\n"), "no_usable_key"),
        (secret(SecretString='{"key": "planted"'), "no_usable_key"),
        (secret(SecretString='{"planted": 5}'), "no_usable_key"),
        (Answer(b'{"__type":"ResourceNotFoundException","Message":"planted"}', 400), "ResourceNotFoundException"),
        (Answer(b'{"__type":"AccessDeniedException","Message":"planted"}', 400), "AccessDeniedException"),
        (Answer(b"planted", 400), "400"),
    ],
    ids=["no value", "empty", "separators", "half JSON", "no key in JSON", "no secret", "no right", "no JSON"],
)
def test_without_a_usable_key_there_is_one_error(aws: Stub, answer: Answer, code: str) -> None:
    """With a code that says why, and without anything of the value."""
    aws.answer = answer
    with pytest.raises(PortError) as raised:
        SecretKeys("keys", 5).fetch(1)
    assert raised.value.code == code
    assert not raised.value.timed_out
    assert "planted" not in str(raised.value)


def test_a_silent_secrets_manager_is_a_time_out_and_its_client_is_thrown_away(aws: Stub) -> None:
    """The next fetch begins on a new connection and finds it answering."""
    keys = SecretKeys("keys", 0.3)
    aws.answer = Answer(silent=True)
    with pytest.raises(PortError) as raised:
        keys.fetch(0.3)
    assert (raised.value.code, raised.value.timed_out) == ("ReadTimeoutError", True)
    aws.answer = secret(SecretString=KEY_TEXT)
    assert SecretKeys("keys", 5).fetch(1) == (KEY,)
    assert keys.fetch(0.3) == (KEY,)
