"""When the instance began. Imported first by the entry file alone."""

import time
from typing import Final

BEGAN_AT: Final = time.time()
"""Seconds since the epoch. The request for which an instance was started has been waiting at least since then."""
