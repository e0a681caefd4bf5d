"""The functions, as the framework finds them: ``receive`` (webhook), ``redrive`` and ``watch`` (schedules)."""

import os
from typing import Final

import core.collector
from gcp_function.watch import watch_function
from gcp_function.wiring import Function, redrive_function, webhook_function

receive: Final[Function] = webhook_function(os.environ)
redrive: Final[Function] = redrive_function(os.environ)
watch: Final[Function] = watch_function(os.environ)
core.collector.resume()
