"""Whether genuine events are taken, and how fast."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Final

from cli.doctor.attacks.base import signed, unsigned
from cli.doctor.model import Check, Part, Result
from cli.doctor.session import Session
from cli.doctor.wire import NoAnswerError, Reply, Trouble

HTTP: Final = Check("http-answer", Part.EVENTS, "Gives an HTTP answer")
REDIRECTS: Final = Check("redirects", Part.EVENTS, "Does not redirect")
FIRST: Final = Check("first-answer", Part.EVENTS, "First answer in time")
ACCEPTED: Final = Check("accepted", Part.EVENTS, "A signed event gets exactly 200")
TAKEN: Final = Check("taken", Part.EVENTS, "It is on the queue")
LATER: Final = Check("later-answers", Part.EVENTS, "Later answers in time")
CHUNKED: Final = Check("chunked", Part.EVENTS, "The same without a length (chunked)")
LARGE: Final = Check("large", Part.EVENTS, "One that no queue takes (1 MiB)")

_LATER: Final = 3
MORE: Final = (ACCEPTED, TAKEN, LATER, CHUNKED, LARGE)
"""What needs the first one to have been taken."""
_WHY: Final = {
    401: "Its key is another one: compare fingerprints with `dastra-webhooks key list`. Or something between here and "
    "there changes the body.",
    403: "It refuses this machine's address (mode reject). Run the doctor from a listed one, or accept this one: "
    "dastra-webhooks addresses accept ADDRESS.",
    404: "Nothing is at this path: is the URL complete? On Azure it ends in /api/receive.",
    405: "The URL takes no POST: is it the receiver's?",
    413: "It takes no body of this size: raise DASTRA_MAX_BODY_BYTES, or what stands in front of it.",
    429: "The platform throttles, which Dastra counts as an error: raise the concurrency.",
    502: "The function ends with an error: see its log.",
    503: "It knows no key yet (dastra-webhooks key set), or neither queue nor store takes anything: see the log.",
}
_NOT_200: Final = "Dastra counts everything but 200 as an error, and blocks a webhook after five."


def check_events(session: Session) -> Generator[Result, None, bool]:
    """The rows of genuine events; returns whether there is somebody to attack."""
    sender = session.plan.sender
    if session.plan.probe:
        first = session.send_genuine("probe", signed(sender))
    else:
        first = session.send("unsigned", unsigned(sender))
    if isinstance(first, NoAnswerError):
        yield from _no_answer(session, first)
        return False
    yield HTTP.passed(f"HTTP {first.status}")
    if 300 <= first.status < 400:
        yield REDIRECTS.failed(
            f"{first.status} to {first.header('location') or 'nowhere'}",
            "Give Dastra the URL where the redirect ends: it is not known to follow one.",
        )
        yield _first(session, first)
        for check in MORE:
            yield check.skipped("it redirects")
        return False
    yield REDIRECTS.passed("no redirect")
    yield _first(session, first)
    if not session.plan.probe:
        for check in MORE:
            yield check.skipped("no genuine event was sent, as you asked")
        return True
    if first.status != 200:
        yield ACCEPTED.failed(f"the answer is {first.status}", _WHY.get(first.status, _NOT_200))
        for check in MORE[1:]:
            yield check.skipped("the first event was not taken")
        return first.status != 403
    yield ACCEPTED.passed(f"200, signed with key {sender.fingerprint}")
    yield _taken(first)
    yield _later(session)
    yield _like_the_first(session, CHUNKED, sender.body(), chunked=True)
    yield _like_the_first(session, LARGE, sender.large())
    return True


def _no_answer(session: Session, error: NoAnswerError) -> Generator[Result, None, None]:
    if error.trouble is Trouble.TIMEOUT:
        yield HTTP.skipped("no whole answer came")
        yield REDIRECTS.skipped("no whole answer came")
        yield FIRST.failed(
            f"no whole answer within {session.plan.limits.patience:.0f} s: Dastra hangs up then, and counts an error",
            "See the function's log. A start that takes so long wants more memory, or an instance that is kept warm.",
        )
    else:
        yield HTTP.failed(f"{error.trouble}: {error}", "Is it the receiver's URL, and does its platform call it up?")
        yield REDIRECTS.skipped("there is no answer")
        yield FIRST.skipped("there is no answer")
    for check in MORE:
        yield check.skipped("there is no answer")


def _first(session: Session, reply: Reply) -> Result:
    found = f"{reply.seconds:.2f} s of the {session.plan.limits.patience:.0f} that Dastra waits"
    if reply.seconds > session.plan.limits.budget:
        return FIRST.warned(
            f"{found}; the receiver's own limit is {session.plan.limits.budget:.0f}",
            "If this was a cold start, give it more memory or an instance that is kept warm.",
        )
    return FIRST.passed(found)


def _taken(reply: Reply) -> Result:
    match _verdict(reply):
        case "accepted":
            return TAKEN.passed("accepted")
        case "spooled":
            return TAKEN.failed(
                "spooled: it is in the store, and not on the queue yet",
                "See queue_failed or store_failed in the log for the reason. What is stored goes back by itself: "
                "dastra-webhooks spool list.",
            )
        case "quarantined":
            return TAKEN.warned(
                "quarantined: this machine's address is not on the list, as Dastra's own may not be",
                "The events wait there: dastra-webhooks quarantine list. To see one go all the way, accept this "
                "address first: dastra-webhooks addresses accept ADDRESS.",
            )
        case _:
            return TAKEN.warned(
                "200, and the body is not this receiver's", "Is it this receiver's URL, or something in front of it?"
            )


def _verdict(reply: Reply) -> str | None:
    try:
        found = json.loads(reply.body)
    except ValueError:
        return None
    status = found.get("status") if isinstance(found, dict) else None
    return status if isinstance(status, str) else None


def _later(session: Session) -> Result:
    times: list[float] = []
    for number in range(1, _LATER + 1):
        reply = session.send_genuine(f"later-{number}", signed(session.plan.sender))
        if isinstance(reply, NoAnswerError):
            return LATER.failed(f"the answer to event {number + 1}: {reply.trouble}", _NOT_200)
        if reply.status != 200:
            return LATER.failed(f"event {number + 1} got {reply.status}", _WHY.get(reply.status, _NOT_200))
        times.append(reply.seconds)
    found = f"{min(times) * 1000:.0f} to {max(times) * 1000:.0f} ms, with {_LATER} events"
    if max(times) > session.plan.limits.budget:
        return LATER.failed(
            f"{found}; the receiver's own limit is {session.plan.limits.budget:.0f} s",
            "Something in front of the function waits, or DASTRA_TIME_BUDGET_SECONDS was raised.",
        )
    if max(times) > session.plan.limits.slow:
        return LATER.warned(
            found, "Half the budget is gone: look at queue_ms in the log. The alarm `slow` says so too."
        )
    return LATER.passed(found)


def _like_the_first(session: Session, check: Check, body: bytes, *, chunked: bool = False) -> Result:
    reply = session.send_genuine(check.id, signed(session.plan.sender, body), chunked=chunked)
    if isinstance(reply, NoAnswerError):
        return check.failed(f"{reply.trouble}: {reply}", _NOT_200)
    if reply.status == 200:
        return check.passed(f"200 in {reply.seconds * 1000:.0f} ms")
    if chunked and reply.status == 401:
        return check.failed(
            "401: the body got lost on its way to the function",
            "Dastra may send so. On Azure set HTTP_FORM to streaming (docs/deploy-azure.md); else look at the proxy.",
        )
    return check.failed(f"the answer is {reply.status}", _WHY.get(reply.status, _NOT_200))
