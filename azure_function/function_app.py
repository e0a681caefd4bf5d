"""Entry file of the function app, where the Python worker looks for one: the build puts it beside ``host.json``."""

import os
from typing import Final

from azure.functions import FunctionApp

import core.collector
from azure_function import start
from azure_function.wiring import function_app

app: Final[FunctionApp] = function_app(os.environ, started_at=start.BEGAN_AT)
core.collector.resume()
