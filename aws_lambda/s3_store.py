"""S3 as the store. Its client is made when it is first needed: most instances never need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from aws_lambda.sdk import Lazy, config, port_error
from core.ports import NotFoundError, StoredEntry, StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SCHEME: Final = "s3://"
_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_EXISTS: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class S3Store:
    """A bucket.

    Args:
        bucket: its name.
        seconds: what one call may take in all; the client's time-outs and retries follow from it.
        connections: how many calls run at once.
    """

    def __init__(self, bucket: str, seconds: float, connections: int) -> None:
        self._bucket: Final = bucket
        self._client: Final[Lazy[S3Client]] = Lazy(
            lambda session: session.client("s3", config=config(seconds, connections))
        )

    def put(
        self,
        key: str,
        body: bytes,
        metadata: Mapping[str, str],
        timeout: float,  # noqa: ARG002 - set when the client was made
        *,
        only_if_absent: bool = False,
    ) -> bool:
        """Write an object; False when it exists and ``only_if_absent`` was asked for.

        Raises:
            PortError: it was not written, or nobody knows.
        """
        try:
            if only_if_absent:
                self._client.get().put_object(
                    Bucket=self._bucket, Key=key, Body=body, Metadata=dict(metadata), IfNoneMatch="*"
                )
            else:
                self._client.get().put_object(Bucket=self._bucket, Key=key, Body=body, Metadata=dict(metadata))
        except ClientError as error:
            if only_if_absent and error.response.get("Error", {}).get("Code") in _EXISTS:
                return False
            raise port_error(error) from error
        except Exception as error:
            raise port_error(error) from error
        return True

    def get(self, key: str, timeout: float) -> StoredObject:  # noqa: ARG002 - set when the client was made
        """Read an object.

        Raises:
            NotFoundError: there is none.
            PortError: S3 did not answer.
        """
        try:
            found = self._client.get().get_object(Bucket=self._bucket, Key=key)
            return StoredObject(key, found["Body"].read(), found["Metadata"])
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _ABSENT:
                raise NotFoundError from error
            raise port_error(error) from error
        except Exception as error:
            raise port_error(error) from error

    def list(self, prefix: str, limit: int, timeout: float) -> Sequence[StoredEntry]:  # noqa: ARG002
        """The first ``limit`` objects below ``prefix``, in the order of their keys.

        Raises:
            PortError: S3 did not answer.
        """
        try:
            pages = (
                self._client.get()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self._bucket, Prefix=prefix, PaginationConfig={"MaxItems": limit})
            )
            return [
                StoredEntry(found["Key"], found["Size"], found["LastModified"])
                for page in pages
                for found in page.get("Contents", ())
            ]
        except Exception as error:
            raise port_error(error) from error

    def delete(self, key: str, timeout: float) -> None:  # noqa: ARG002 - set when the client was made
        """Remove an object; no error when there is none.

        Raises:
            PortError: S3 did not answer.
        """
        try:
            self._client.get().delete_object(Bucket=self._bucket, Key=key)
        except Exception as error:
            raise port_error(error) from error

    def url(self, key: str) -> str:
        """``s3://bucket/key``."""
        return f"{SCHEME}{self._bucket}/{key}"

    def discard(self) -> None:
        """Throw the client away."""
        self._client.discard()
