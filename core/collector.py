"""The garbage collector during a cold start. Importing this module stops it; :func:`resume` starts it again.

Imports and clients allocate a lot and free next to nothing, so collecting meanwhile costs a fifth of the start and
finds nothing. Only the entry points import it, as ``import core.collector``, which stands before every other import of
theirs; so a consumer of these packages is left as it was.
"""

import gc

gc.disable()


def resume() -> None:
    """Collect again, and never look at what the start has left: it lives as long as the instance."""
    gc.freeze()
    gc.enable()
