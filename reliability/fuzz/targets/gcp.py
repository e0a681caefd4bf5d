"""The HTTP function of Google Cloud, from what the server hands to the framework on."""

from __future__ import annotations

import io
import sys
from typing import Any, Final

import flask

from reliability.fuzz.inputs import Choices, split
from reliability.fuzz.oracle import check
from reliability.fuzz.sender import Case, case
from reliability.fuzz.targets import Target
from reliability.fuzz.world import MARKER, MOST, World, environment

_LENGTHS: Final = ("", "0", "5", "-1", "+5", "5, 5", "99999999999999999999", "é", "1e3")


def make() -> Target:
    """The function as it is wired, on ports in memory."""
    from gcp_function import wiring

    world = World()
    sys.stdout = world.output
    wiring.receiver = lambda settings, log, keys: world.receiver(settings, log)  # noqa: ARG005 - the form of the real one
    receive = wiring.webhook_function(environment("projects/invented/topics/invented"))
    app = flask.Flask("fuzz")

    def target(data: bytes) -> None:
        choices, body = split(data)
        sent = case(choices, body, world)
        environ, whole = _environ(sent, choices)
        with app.request_context(environ):
            response = receive(flask.Request(environ))
            answer = b"".join(response.iter_encoded())
        check(world, response.status_code, answer, body, genuine=sent.arrives(whole=whole))

    return target


def _environ(sent: Case, choices: Choices) -> tuple[dict[str, Any], bool]:
    """What gunicorn makes of it, and whether the body arrives as it was sent."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": sent.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": f"/{MARKER}",
        "QUERY_STRING": MARKER,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "169.254.1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(sent.body),
        "HTTP_X_FORWARDED_FOR": f"203.0.113.1, {sent.source}",
    }
    for name, value in sent.headers:
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    match choices.number(4):
        case 0 | 1:
            environ["CONTENT_LENGTH"] = str(len(sent.body))
        case 2:
            environ["HTTP_TRANSFER_ENCODING"] = "chunked"
            environ["wsgi.input_terminated"] = True
        case _:  # what no server lets through, or a sender that hangs up
            environ["CONTENT_LENGTH"] = choices.of(_LENGTHS)
            cut = choices.number(256)
            environ["wsgi.input"] = io.BytesIO(sent.body[:cut])
            return environ, False
    return environ, len(sent.body) <= MOST
