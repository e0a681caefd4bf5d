"""The answers, all of them: a status, a body and headers that say nothing else."""

from __future__ import annotations

from typing import Final

from tests.drivers import Answer


def _answer(status: int, body: str, **headers: str) -> Answer:
    return Answer(status, {"content-type": "application/json", "cache-control": "no-store", **headers}, body.encode())


ACCEPTED: Final = _answer(200, '{"status":"accepted"}')
SPOOLED: Final = _answer(200, '{"status":"spooled"}')
QUARANTINED: Final = _answer(200, '{"status":"quarantined"}')
UNAUTHORIZED: Final = _answer(401, '{"error":"unauthorized"}')
FORBIDDEN: Final = _answer(403, '{"error":"forbidden"}')
NOT_ALLOWED: Final = _answer(405, '{"error":"method not allowed"}', allow="POST")
TOO_LARGE: Final = _answer(413, '{"error":"too large"}')
UNAVAILABLE: Final = _answer(503, '{"error":"unavailable"}')
