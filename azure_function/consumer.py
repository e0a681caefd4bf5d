"""For consumers on Azure: follow a claim check, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from azure.core import MatchConditions

from core.event import EventError, Fetch
from core.message import CLAIMS_PREFIX

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

MAX_BYTES: Final = 16 * 1024 * 1024


def blob_fetch(container: ContainerClient, *, max_bytes: int = MAX_BYTES) -> Fetch:
    """A ``fetch`` for :meth:`core.event.Event.from_service_bus`, pinned to one container's ``claims/``.

    Whoever can write to the queue chooses the ``dataref``, so a consumer must not read wherever it points. What the
    client raises, such as ``ResourceNotFoundError`` for a claim that has expired, passes through.

    Args:
        container: the SDK's client of the receiver's container.
        max_bytes: larger blobs are not read.
    """
    prefix = f"{container.url.partition('?')[0].rstrip('/')}/{CLAIMS_PREFIX}"

    def fetch(dataref: str) -> bytes:
        name = dataref.removeprefix(prefix)
        if name == dataref or not (name.isascii() and name.isalnum()):
            raise EventError(f"the claim check does not point below {prefix}")
        blob = container.get_blob_client(CLAIMS_PREFIX + name)
        found = blob.get_blob_properties()
        if found.size > max_bytes:
            raise EventError(f"the claim check's blob is larger than {max_bytes} bytes")
        return blob.download_blob(etag=found.etag, match_condition=MatchConditions.IfNotModified).readall()

    return fetch
