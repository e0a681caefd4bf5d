"""The Lambda handler: events of every front, in every form that AWS gives them, and JSON that is no event at all."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any, Final

from reliability.fuzz.inputs import Choices, split
from reliability.fuzz.oracle import check
from reliability.fuzz.sender import Case, case
from reliability.fuzz.targets import Target
from reliability.fuzz.world import MARKER, World, environment

_FRONTS: Final = ("function url", "http api", "rest api", "load balancer", "load balancer, multi-value", "raw")
_PATH: Final = f"/dastra/{MARKER}"


def make() -> Target:
    """The handler as it is wired, on ports in memory."""
    from aws_lambda import wiring

    world = World()
    sys.stdout = world.output
    wiring.receiver = world.receiver
    handler = wiring.webhook_handler(environment("https://sqs.eu-west-1.amazonaws.com/000000000000/queue"))

    def target(data: bytes) -> None:
        choices, body = split(data)
        front = choices.of(_FRONTS)
        if front == "raw":
            world.clear()
            answer = handler(_raw(body), None)
            check(world, answer["statusCode"], answer["body"].encode(), body, genuine=False)
            return
        sent = case(choices, body, world)
        answer = handler(_event(front, sent, choices), None)
        check(world, answer["statusCode"], answer["body"].encode(), body, genuine=sent.genuine)

    return target


def _raw(body: bytes) -> Any:
    """Whatever JSON it is, as an event."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return {"requestContext": {"http": {"method": "POST"}}, "body": body.decode("latin-1")}


def _event(front: str, sent: Case, choices: Choices) -> dict[str, Any]:
    many: dict[str, list[str]] = {}
    for name, value in sent.headers:
        many.setdefault(name, []).append(value)
    # In front of a header that was sent twice, all but the multi-value forms join the values.
    joined = {name: ",".join(values) for name, values in many.items()}
    text, encoded = _body(sent.body, choices)
    milliseconds = choices.of((1_772_442_964_000, 0, -1, 10**30, "soon", None, True, 1.5))
    common = {"body": text, "isBase64Encoded": encoded}
    identity = {"sourceIp": sent.source or None, "userAgent": MARKER}
    match front:
        case "function url" | "http api":
            http = {**identity, "method": sent.method, "path": _PATH, "protocol": "HTTP/1.1"}
            context = {"http": http, "timeEpoch": milliseconds}
            lower = {name.lower(): value for name, value in joined.items()}
            return {"version": "2.0", "rawPath": _PATH, "headers": lower, "requestContext": context, **common}
        case "rest api":
            context = {"identity": identity, "requestTimeEpoch": milliseconds}
            more = {"httpMethod": sent.method, "path": _PATH, "multiValueHeaders": many}
            return {"headers": joined, "requestContext": context, **more, **common}
        case _:
            context = {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:0:targetgroup/x"}}
            forwarded = {"X-Forwarded-For": f"203.0.113.1, {sent.source}"}
            more = {"httpMethod": sent.method, "path": _PATH, "requestContext": context}
            if front == "load balancer":
                return {"headers": {**joined, **forwarded}, **more, **common}
            return {
                "multiValueHeaders": {**many, **{name: [text] for name, text in forwarded.items()}},
                **more,
                **common,
            }


def _body(body: bytes, choices: Choices) -> tuple[str | None, bool]:
    """As text where the bytes allow it, else as base64; an empty one may be missing."""
    if not body and choices.flag():
        return None, False
    if not choices.flag():
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
