"""Lambda entry point of the webhook: ``aws_lambda.receive.handler``."""

import os
from typing import Final

from aws_lambda import collector
from aws_lambda.wiring import Handler, webhook_handler

handler: Final[Handler] = webhook_handler(os.environ)
collector.resume()
