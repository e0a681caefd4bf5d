"""How much freed memory the C library's allocator keeps back.

Left to itself the GNU C library gives each thread a heap of its own, up to eight for each processor, and after the
first large block it takes large blocks from those heaps too, where small ones above them hold them fast. With a request
of megabytes on one thread after the other, an instance grew from 141 to 222 MB; with two heaps it needed 163, and with
large blocks outside them as well, 151 (``docs/reliability.md``). More heaps would help threads that allocate at the
same time, which Python's lock rules out.
"""

import ctypes
from contextlib import suppress
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Both of ``malloc.h``."""
HEAPS: Final = 2
LARGE: Final = 256 * 1024
"""Bytes from which a block is a mapping of its own, which goes back to the system at once when it is freed."""


def settle() -> None:
    """Limit this process's heaps, beside those that it has by now. Does nothing where another C library is in use.

    Variables such as ``MALLOC_ARENA_MAX`` as app settings would come too late: the platform starts the worker before
    it knows them.
    """
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, HEAPS)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE)
