"""Lambda's handler as an instance."""

from __future__ import annotations

import base64
import threading
import uuid
from dataclasses import dataclass

from aws_lambda.receive import handler
from cli.local.aws import MOST_BYTES, function_url_event
from cli.local.front import HttpAnswer, HttpRequest
from reliability.load.entry_point import EntryPoint


@dataclass(frozen=True, slots=True)
class _Context:
    aws_request_id: str
    function_name: str = "dastra-webhooks"
    function_version: str = "$LATEST"
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:000000000000:function:dastra-webhooks"
    memory_limit_in_mb: int = 256


def entry_point() -> EntryPoint:
    """The handler, one request at a time, as an execution environment of Lambda has it."""
    one_at_a_time = threading.Lock()

    def receive(request: HttpRequest) -> HttpAnswer:
        request_id = str(uuid.uuid4())
        with one_at_a_time:
            answer = handler(function_url_event(request, request_id), _Context(request_id))
        body: str = answer["body"]
        decoded = base64.b64decode(body) if answer["isBase64Encoded"] else body.encode()
        return HttpAnswer(answer["statusCode"], list(answer["headers"].items()), decoded)

    return EntryPoint(receive, MOST_BYTES, HttpAnswer(413, [], b'{"Message":"Request Entity Too Large"}'))
