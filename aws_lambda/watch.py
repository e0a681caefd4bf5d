"""Lambda entry point of the webhooks' check: ``aws_lambda.watch.handler``."""

import os
from typing import Final

import core.collector
from aws_lambda.wiring import Handler, watch_handler

handler: Final[Handler] = watch_handler(os.environ)
core.collector.resume()
