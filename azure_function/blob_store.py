"""Blob Storage as the store. Its library is imported when it is first needed: most instances never need it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from azure_function.places import StorePlace
from azure_function.sdk import Lazy, options, port_error
from core.ports import NotFoundError, StoredEntry, StoredObject

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.storage.blob import ContainerClient

_PAGE: Final = 5000
"""The most that one answer lists."""


def container_client(
    place: StorePlace, credential: Callable[[], TokenCredential], seconds: float, connections: int
) -> ContainerClient:
    """The SDK's client of one container.

    Args:
        place: the container.
        credential: who asks; not used for an emulator.
        seconds: what one call may take in all; the client's time-outs and retries follow from it.
        connections: how many calls run at once.
    """
    from azure.storage.blob import ContainerClient

    who: Any
    if place.local:
        from azure_function.local import store_credential

        who = store_credential()
    else:
        who = credential()
    return ContainerClient.from_container_url(
        place.url, credential=who, **options(seconds, connections, local=place.local)
    )


class BlobStore:
    """A blob container; arguments as for :func:`container_client`."""

    def __init__(
        self, place: StorePlace, credential: Callable[[], TokenCredential], seconds: float, connections: int
    ) -> None:
        self._url: Final = place.url
        self._client: Final = Lazy(lambda: container_client(place, credential, seconds, connections))

    def put(
        self,
        key: str,
        body: bytes,
        metadata: Mapping[str, str],
        timeout: float,  # noqa: ARG002 - set when the client was made
        *,
        only_if_absent: bool = False,
    ) -> bool:
        """Write a blob; False when it exists and ``only_if_absent`` was asked for.

        Raises:
            PortError: it was not written, or nobody knows.
        """
        try:
            self._client.get().upload_blob(key, body, metadata=dict(metadata), overwrite=not only_if_absent)
        except ResourceExistsError as error:
            if only_if_absent:
                return False
            raise port_error(error) from error
        except Exception as error:
            raise port_error(error) from error
        return True

    def get(self, key: str, timeout: float) -> StoredObject:  # noqa: ARG002 - set when the client was made
        """Read a blob.

        Raises:
            NotFoundError: there is none.
            PortError: Blob Storage did not answer.
        """
        try:
            found = self._client.get().download_blob(key)
            return StoredObject(key, found.readall(), dict(found.properties.metadata or {}))
        except ResourceNotFoundError as error:
            raise NotFoundError from error
        except Exception as error:
            raise port_error(error) from error

    def list(self, prefix: str, limit: int, timeout: float) -> Sequence[StoredEntry]:  # noqa: ARG002
        """The first ``limit`` blobs below ``prefix``, in the order of their names.

        Raises:
            PortError: Blob Storage did not answer.
        """
        try:
            found = self._client.get().list_blobs(name_starts_with=prefix, results_per_page=min(limit, _PAGE))
            return [
                StoredEntry(str(blob.name), int(blob.size or 0), blob.last_modified)
                for blob in itertools.islice(found, limit)
            ]
        except Exception as error:
            raise port_error(error) from error

    def delete(self, key: str, timeout: float) -> None:  # noqa: ARG002 - set when the client was made
        """Remove a blob; no error when there is none.

        Raises:
            PortError: Blob Storage did not answer.
        """
        try:
            self._client.get().delete_blob(key)
        except ResourceNotFoundError:
            return
        except Exception as error:
            raise port_error(error) from error

    def url(self, key: str) -> str:
        """The blob's URL."""
        return f"{self._url}/{key}"

    def warm(self) -> None:
        """Import the library and make the client, so that the first event that must be kept does not pay for it."""
        with contextlib.suppress(Exception):  # that event will find out
            self._client.get()

    def discard(self) -> None:
        """Throw the client away."""
        self._client.discard()
