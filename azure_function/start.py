"""The cold start. Importing this module notes when it began and stops the garbage collector; :func:`ended` ends it.

Imports and clients allocate a lot and free next to nothing, so collecting meanwhile costs time and finds nothing.
Imported first by the entry file alone, so that a consumer who imports this package is left as it was.
"""

import gc
import time
from typing import Final

BEGAN_AT: Final = time.time()
"""Seconds since the epoch. The request for which an instance was started has been waiting at least since then."""

gc.disable()


def ended() -> None:
    """Collect again, and never look at what the start has left: it lives as long as the instance."""
    gc.freeze()
    gc.enable()
