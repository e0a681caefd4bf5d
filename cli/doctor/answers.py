"""Whether answers say more than they must: about software, about the reason, or what was sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from cli.doctor.attacks.base import NAME
from cli.doctor.model import Check, Part, Result, some
from cli.doctor.sender import nonce_of
from cli.doctor.session import Seen, Session

HEADERS: Final = Check("header-leak", Part.ANSWERS, "Headers name no software version")
BODIES: Final = Check("body-leak", Part.ANSWERS, "Bodies hold no trace and no echo")
FIXED: Final = Check("fixed-answers", Part.ANSWERS, "Refusals of a kind are alike, without reasons")

_VERSION: Final = re.compile(r"\d+\.\d+|/\d")
_SOFTWARE: Final = frozenset({"server", "x-powered-by", "x-runtime", "x-generator", "x-aspnet-version"})
_THE_PLATFORMS: Final = frozenset({"awselb/2.0"})
"""What a platform writes and nobody can switch off."""
_TRACE: Final = re.compile(
    rb"Traceback \(most recent call last\)|File \"[^\"]{1,300}\", line \d|\bat [\w.$<>]{1,200}\([\w.]{1,100}:\d|"
    rb"/var/task/|/home/site/wwwroot|/workspace/|site-packages|\b[A-Z]\w{0,60}(?:Error|Exception)\b:|\.py\b"
)
"""Bounded everywhere, since what it reads is anybody's."""
_REASON: Final = re.compile(rb"signature|hmac|sha-?256|base64|digest|mismatch|expected|secret", re.IGNORECASE)
_SHORTEST: Final = 20
"""Bytes that nobody writes by chance."""
_BEGIN: Final = 64


def check_answers(session: Session) -> Iterator[Result]:
    """The rows of what all answers of this run gave away."""
    seen = session.seen
    if not seen:
        for check in (HEADERS, BODIES, FIXED):
            yield check.skipped("there was no answer")
        return
    yield _headers(seen)
    leaks = {each.name: what for each in seen if (what := _leak(each))}
    if leaks:
        yield BODIES.failed(
            f"{some(sorted(set(leaks.values())))} in {len(leaks)} of {len(seen)} answers",
            "Switch off the debug mode or error page that writes it, in the function or in what stands in front.",
            [f"{name}: {what}" for name, what in sorted(leaks.items())],
        )
    else:
        yield BODIES.passed(f"{len(seen)} answers looked at")
    # Where an answer echoes, those of its status differ for that reason, which has been said.
    echoed = {each.reply.status for each in seen if each.name in leaks}
    yield _fixed([each for each in seen if each.reply.status not in echoed])


def _headers(seen: Sequence[Seen]) -> Result:
    found = {
        f"{name}: {value}"
        for each in seen
        for name, value in each.reply.headers
        if name in _SOFTWARE and _VERSION.search(value) and value not in _THE_PLATFORMS
    }
    if found:
        return HEADERS.failed(
            some(sorted(found)), "Take it out, in the server or proxy that writes it: it tells which holes to try."
        )
    servers = sorted({each.reply.header("server") or "" for each in seen} - {""})
    return HEADERS.passed(f"server: {some(servers)}" if servers else "no Server header")


def _leak(seen: Seen) -> str:
    text = b"\n".join([seen.reply.body, *(value.encode() for _, value in seen.reply.headers)])
    if _TRACE.search(text):
        return "a stack trace or a path"
    values = [
        value for name, value in seen.sent.headers if name == NAME and len(value) >= _SHORTEST and value.isascii()
    ]
    if any(value.encode() in text for value in values):
        return "the signature that was sent"
    nonce = nonce_of(seen.sent.body)
    if (nonce and nonce.encode() in text) or (len(seen.sent.body) >= _SHORTEST and seen.sent.body[:_BEGIN] in text):
        return "the body that was sent"
    return ""


def _fixed(seen: Sequence[Seen]) -> Result:
    refused = [
        each for each in seen if each.reply.status >= 400 and not each.sent.unusual and each.sent.method != "HEAD"
    ]
    if not refused:
        return FIXED.skipped("no refusal is left to compare")
    by_status: dict[int, dict[bytes, str]] = {}
    for each in refused:
        by_status.setdefault(each.reply.status, {}).setdefault(each.reply.body, each.name)
    reasons = sorted({name for bodies in by_status.values() for body, name in bodies.items() if _REASON.search(body)})
    several = {status: names for status, names in by_status.items() if len(names) > 1}
    advice = "Answer every refusal of a status with the same bytes: a reason helps only who guesses."
    if several:
        found = some([f"{len(names)} different bodies with {status}" for status, names in several.items()])
        names = [f"{status}: {some(sorted(bodies.values()))}" for status, bodies in several.items()]
        return FIXED.failed(found, advice, names)
    if reasons:
        return FIXED.failed(f"a reason in the answer to {some(reasons)}", advice)
    return FIXED.passed(", ".join(f"one body with {status}" for status in sorted(by_status)))
