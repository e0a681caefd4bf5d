"""Lambda entry point of the webhook: ``aws_lambda.receive.handler``."""

import os
from typing import Final

import core.collector
from aws_lambda.wiring import Handler, webhook_handler

handler: Final[Handler] = webhook_handler(os.environ)
core.collector.resume()
