"""For consumers on Google Cloud: follow a claim check, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from core.event import EventError, Fetch
from core.message import CLAIMS_PREFIX
from gcp_function.gcs_store import SCHEME

if TYPE_CHECKING:
    from google.cloud.storage import Client

MAX_BYTES: Final = 16 * 1024 * 1024


def gcs_fetch(client: Client, bucket: str, *, max_bytes: int = MAX_BYTES) -> Fetch:
    """A ``fetch`` for :meth:`core.event.Event.from_pubsub`, pinned to one bucket's ``claims/``.

    Whoever can write to the topic chooses the ``dataref``, so a consumer must not read wherever it points. What the
    client raises, such as ``NotFound`` for a claim that has expired, passes through.

    Args:
        client: Google's Cloud Storage client.
        bucket: the receiver's bucket.
        max_bytes: larger objects are not read.
    """
    prefix = f"{SCHEME}{bucket}/{CLAIMS_PREFIX}"

    def fetch(dataref: str) -> bytes:
        name = dataref.removeprefix(prefix)
        if name == dataref or not (name.isascii() and name.isalnum()):
            raise EventError(f"the claim check does not point below {prefix}")
        blob = client.bucket(bucket).blob(CLAIMS_PREFIX + name)
        blob.reload()
        if blob.size > max_bytes:
            raise EventError(f"the claim check's object is larger than {max_bytes} bytes")
        return bytes(blob.download_as_bytes(if_generation_match=blob.generation))

    return fetch
