"""Lambda entry point of the redrive schedule: ``aws_lambda.redrive.handler``."""

import os
from typing import Final

import core.collector
from aws_lambda.wiring import Handler, redrive_handler

handler: Final[Handler] = redrive_handler(os.environ)
core.collector.resume()
