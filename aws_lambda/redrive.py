"""Lambda entry point of the redrive schedule: ``aws_lambda.redrive.handler``."""

import os
from typing import Final

from aws_lambda import collector
from aws_lambda.wiring import Handler, redrive_handler

handler: Final[Handler] = redrive_handler(os.environ)
collector.resume()
