"""Cloud Storage as the store. Its library is imported when it is first needed: most instances never need it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from core.ports import NotFoundError, PortError, StoredEntry, StoredObject
from gcp_function.sdk import LEAST_SECONDS, SOFT, Lazy, port_error

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Bucket, Client

SCHEME: Final = "gs://"
_CONTENT_TYPE: Final = "application/octet-stream"
_NO_PROJECT: Final = "none"
"""What is done with objects names a bucket and no project; without a name the library would go and look for one."""
_NO_SIDE_CALLS: Final = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""Without it the library's 3.17 asks for the bucket's metadata beside each client's first call, for traces that nobody
collects, from a thread of its own: outside every bound, and with a right that the receiver does not have."""


def storage_client(connections: int) -> Client:
    """Google's client with a pool for so many connections.

    ``STORAGE_EMULATOR_HOST`` leads it, as everywhere, to an emulator.
    """
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.storage import Client
    from requests.adapters import HTTPAdapter

    os.environ.setdefault(_NO_SIDE_CALLS, "true")
    credentials = (
        AnonymousCredentials()  # type: ignore[no-untyped-call]
        if os.environ.get("STORAGE_EMULATOR_HOST")
        else google.auth.default(scopes=Client.SCOPE)[0]
    )
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    return Client(project=_NO_PROJECT, credentials=credentials, _http=session)


class GcsStore:
    """A bucket.

    Args:
        bucket: its name.
        connections: how many calls run at once.
    """

    def __init__(self, bucket: str, connections: int) -> None:
        self._name: Final = bucket
        self._client: Final = Lazy(lambda: storage_client(connections))

    def put(
        self, key: str, body: bytes, metadata: Mapping[str, str], timeout: float, *, only_if_absent: bool = False
    ) -> bool:
        """Write an object; False when it exists and ``only_if_absent`` was asked for.

        Raises:
            PortError: it was not written, or nobody knows.
        """
        ends_at = time.monotonic() + timeout
        try:
            return self._write(key, body, metadata, timeout, only_if_absent=only_if_absent)
        except Exception as error:
            failure = _failure(error)
            if only_if_absent or not _passes(error) or ends_at - time.monotonic() < LEAST_SECONDS:
                raise failure from error
            if failure.timed_out:
                self._client.discard()
        try:
            # What exists by now is what the first attempt wrote without our hearing of it. To write it again would
            # take the right to overwrite, which the receiver has below claims/ alone.
            self._write(key, body, metadata, timeout, only_if_absent=True)
        except Exception as error:
            raise _failure(error) from error
        return True

    def get(self, key: str, timeout: float) -> StoredObject:
        """Read an object.

        Raises:
            NotFoundError: there is none.
            PortError: Cloud Storage did not answer.
        """
        from google.api_core.exceptions import NotFound

        try:
            blob = self._bucket(timeout).blob(key)
            blob.reload(timeout=_waits(timeout), retry=_retry(timeout))
            body = blob.download_as_bytes(
                if_generation_match=blob.generation, timeout=_waits(timeout), retry=_retry(timeout)
            )
            return StoredObject(key, body, blob.metadata or {})
        except NotFound as error:
            raise NotFoundError from error
        except Exception as error:
            raise _failure(error) from error

    def list(self, prefix: str, limit: int, timeout: float) -> Sequence[StoredEntry]:
        """The first ``limit`` objects below ``prefix``, in the order of their keys.

        Raises:
            PortError: Cloud Storage did not answer.
        """
        try:
            blobs = self._bucket(timeout).list_blobs(
                prefix=prefix,
                max_results=limit,
                fields="items(name,size,updated),nextPageToken",
                timeout=_waits(timeout),
                retry=_retry(timeout),
            )
            return [StoredEntry(blob.name, blob.size, blob.updated or datetime.now(UTC)) for blob in blobs]
        except Exception as error:
            raise _failure(error) from error

    def delete(self, key: str, timeout: float) -> None:
        """Remove an object; no error when there is none.

        Raises:
            PortError: Cloud Storage did not answer.
        """
        from google.api_core.exceptions import NotFound

        try:
            self._bucket(timeout).blob(key).delete(timeout=_waits(timeout), retry=_retry(timeout))
        except NotFound:
            return
        except Exception as error:
            raise _failure(error) from error

    def url(self, key: str) -> str:
        """``gs://bucket/key``."""
        return f"{SCHEME}{self._name}/{key}"

    def discard(self) -> None:
        """Throw the client away."""
        self._client.discard()

    def _write(
        self, key: str, body: bytes, metadata: Mapping[str, str], timeout: float, *, only_if_absent: bool
    ) -> bool:
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket(timeout).blob(key)
        blob.metadata = dict(metadata)
        try:
            blob.upload_from_string(
                body,
                content_type=_CONTENT_TYPE,
                if_generation_match=0 if only_if_absent else None,
                timeout=_waits(timeout),
                retry=None,
            )
        except PreconditionFailed:
            if not only_if_absent:
                raise
            return False
        return True

    def _bucket(self, timeout: float) -> Bucket:
        return self._client.get(timeout * SOFT).bucket(self._name)


def _waits(seconds: float) -> tuple[float, float]:
    """How long one attempt may wait to connect and for each read, so that two attempts fit."""
    return seconds / 5, seconds * 0.35


def _retry(seconds: float) -> Retry:
    """The library's own choice of what may be asked again; none begins when there is no time for its answer."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry: Any = DEFAULT_RETRY
    return retry.with_timeout(seconds / 2).with_delay(initial=0.1, maximum=0.4, multiplier=2.0)  # type: ignore[no-any-return]


def _passes(error: Exception) -> bool:
    """Whether a second attempt may succeed."""
    from google.api_core.exceptions import ServerError, TooManyRequests
    from requests import exceptions

    gone = (exceptions.ConnectionError, exceptions.ChunkedEncodingError, exceptions.Timeout)
    return isinstance(error, (ServerError, TooManyRequests, *gone))


def _failure(error: Exception) -> PortError:
    """As ``port_error``, for what the HTTP library raises too."""
    from google.api_core.exceptions import RetryError
    from requests.exceptions import Timeout

    cause = error.cause if isinstance(error, RetryError) and isinstance(error.cause, Exception) else error
    if isinstance(cause, Timeout):
        return PortError(type(cause).__name__, timed_out=True)
    return port_error(cause)
