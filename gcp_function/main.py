"""The two functions, as the functions framework finds them: ``receive`` (webhook) and ``redrive`` (schedule)."""

import os
from typing import Final

from gcp_function.wiring import Function, redrive_function, webhook_function

receive: Final[Function] = webhook_function(os.environ)
redrive: Final[Function] = redrive_function(os.environ)
