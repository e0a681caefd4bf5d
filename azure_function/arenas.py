"""How much freed memory the allocator keeps back.

The GNU C library gives threads heaps of their own, up to eight for each processor, and each keeps the most that it
ever held. With a request of megabytes on one thread after the other, an instance grew to 222 MB where two heaps need
163 (``docs/reliability.md``). More would help threads that allocate at the same time, which Python's lock rules out.
"""

import ctypes
from contextlib import suppress
from typing import Final

_M_ARENA_MAX: Final = -8
"""``M_ARENA_MAX`` of ``malloc.h``."""
MOST: Final = 2


def keep_few() -> None:
    """Let this process have two heaps, beside those that it has by now. Does nothing where another C library is in use.

    ``MALLOC_ARENA_MAX`` as an app setting would come too late: the platform starts the worker before it knows them.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MOST)
