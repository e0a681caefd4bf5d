"""What the decision costs beside the cryptography and the parsing that it cannot do without."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from pydantic_core import from_json

from benchmarks.rows import KEY_TEXT, Row, alternate, compare
from benchmarks.samples import BODY, KEY, OTHER_KEY, SOURCE
from core.envelope import Envelope
from core.http import Headers, Request
from core.screening import Accepted, Policy, Refused, screen
from core.signature import sign
from core.source_ip import AllowList

_ROUNDS = 200
_REPEAT = 200


def rows() -> Iterator[Row]:
    """The genuine and the forged request."""
    policy = Policy(allow_list=AllowList.parse("dastra-2023-01-05"))
    secret = KEY_TEXT.encode()

    def signed(signature: str) -> Request:
        return Request(
            "POST", Headers([("dastra-signature", signature), ("content-type", "application/json")]), BODY, SOURCE
        )

    genuine, forged = signed(sign(BODY, KEY)), signed(sign(BODY, OTHER_KEY))
    outcomes = [type(screen(request, (KEY,), policy, 0)) for request in (genuine, forged)]
    if outcomes != [Accepted, Refused]:
        raise AssertionError(f"the benchmark does not measure what it says: {outcomes}")

    def digest() -> object:
        return hmac.digest(secret, BODY, "sha256")

    def digest_and_parse() -> object:
        hmac.digest(secret, BODY, "sha256")
        return Envelope.model_validate(from_json(BODY))

    ours, floor = alternate([lambda: screen(genuine, (KEY,), policy, 0), digest_and_parse], _ROUNDS, _REPEAT)
    yield compare(
        "screen(), genuine 2 KB", ours, floor, "us", 2.0, "floor: HMAC and one JSON parse into the same model"
    )
    ours, floor = alternate([lambda: screen(forged, (KEY,), policy, 0), digest], _ROUNDS, _REPEAT)
    yield compare("screen(), forged 2 KB", ours, floor, "us", 3.0, "floor: HMAC of the same body")
