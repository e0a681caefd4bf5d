"""The stub server, and an environment in which boto3 reaches nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.aws_lambda.stub import Stub, stub_server


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """A stub that every AWS client made from now on talks to, with invented credentials."""
    with stub_server() as stub:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SECRETS_MANAGER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", stub.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAINVENTED00000000")  # pragma: allowlist secret
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "invented")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
        yield stub
