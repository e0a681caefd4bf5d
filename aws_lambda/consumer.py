"""For consumers on AWS: follow a claim check, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_lambda.s3_store import SCHEME
from core.event import EventError, Fetch
from core.message import CLAIMS_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_BYTES: Final = 16 * 1024 * 1024


def s3_fetch(client: S3Client, bucket: str, *, max_bytes: int = MAX_BYTES) -> Fetch:
    """A ``fetch`` for :meth:`core.event.Event.from_sqs`, pinned to one bucket's ``claims/``.

    Whoever can write to the queue chooses the ``dataref``, so a consumer must not read wherever it points.

    Args:
        client: boto3's S3 client.
        bucket: the receiver's bucket.
        max_bytes: larger objects are not read.
    """
    prefix = f"{SCHEME}{bucket}/{CLAIMS_PREFIX}"

    def fetch(dataref: str) -> bytes:
        name = dataref.removeprefix(prefix)
        if name == dataref or not name.isalnum():
            raise EventError(f"the claim check does not point below {prefix}")
        found = client.get_object(Bucket=bucket, Key=CLAIMS_PREFIX + name)
        if found["ContentLength"] > max_bytes:
            raise EventError(f"the claim check's object is larger than {max_bytes} bytes")
        return found["Body"].read(max_bytes)

    return fetch
