"""What `send` does once it knows where to, what, and with which key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import typer

from cli.breaking import Break, Breaker, EventSender, alarm, kinds
from cli.exits import CliError, Exit
from cli.output import Output, advance
from cli.sending import Poster
from cli.sent import WHY, Broken, Event, complaint, one_as_json, show_all_broken, show_broken, show_one, show_summary
from cli.volley import MOST_UNDER_WAY, volley
from core.signature import SignatureKey

_OPEN: Final = (
    "The endpoint takes what it must refuse, or refuses what it must take. "
    "dastra-webhooks doctor URL sends it every attack and says what to do."
)


@dataclass(frozen=True, slots=True)
class Job:
    """Where to, what, and signed with which key. ``make`` gives another event each time, or the same file's."""

    url: str
    make: Callable[[], Event]
    key: SignatureKey
    source: str | None


def send_one(job: Job, out: Output) -> None:
    """One genuine event; anything but 200 is a CliError."""
    event = job.make()
    with out.status(f"Posting to {job.url}"):
        answer = Poster(job.url, job.source).post(event.body, job.key)
    if out.as_json:
        out.data(one_as_json(job.url, event, job.key, answer))
    else:
        show_one(job.url, event, job.key, answer, out)
    if not answer.good:
        raise CliError(complaint(answer), WHY.get(answer.status or 0, ""), Exit.FAILED)


def break_one(job: Job, kind: Break, out: Output) -> None:
    """One broken event; an answer that it must not get is a CliError."""
    event = job.make()
    with out.status(f"Posting to {job.url}"):
        sent, answer = Breaker(job.url).send(kind, EventSender(lambda: event.body, job.key))
    broken = Broken(kind, len(sent.body), answer)
    if out.as_json:
        out.data({"url": job.url, "event_type": event.event_type, "key": job.key.fingerprint, **broken.as_json()})
    else:
        show_broken(job.url, event, broken, out)
    if said := alarm(sent, job.url):
        out.note(said)
    if not broken.met:
        raise CliError(f"expected {kind.expected()}, and the answer is {answer.status or 'none'}.", _OPEN, Exit.FAILED)


def break_all(job: Job, out: Output) -> None:
    """Each kind of broken event once."""
    breaker = Breaker(job.url)
    sender = EventSender(lambda: job.make().body, job.key)
    results, alarms = [], 0
    for kind in out.each(kinds(), "Breaking"):
        sent, answer = breaker.send(kind, sender)
        results.append(Broken(kind, len(sent.body), answer))
        alarms += alarm(sent, job.url) is not None
    if out.as_json:
        out.data([broken.as_json() for broken in results])
    else:
        show_all_broken(results, out)
    if alarms:
        out.note(f"A deployment alarms at {alarms} of these (bad_signature): they carry a well-formed signature.")
    if wrong := [broken.kind.name for broken in results if not broken.met]:
        raise CliError(f"not as it must be: {', '.join(wrong)}.", _OPEN, Exit.FAILED)


def send_many(job: Job, kind: Break | None, count: int, rate: float | None, out: Output) -> None:
    """So many events, genuine or broken in one way, and a summary."""
    if kind is None:
        poster = Poster(job.url, job.source, workers=MOST_UNDER_WAY)
        shoot = lambda _: poster.post(job.make().body, job.key)  # noqa: E731
    else:
        breaker, sender = Breaker(job.url), EventSender(lambda: job.make().body, job.key)
        shoot = lambda _: breaker.send(kind, sender)[1]  # noqa: E731
    with out.bar("Sending", count) as bar:
        summary = volley(shoot, count, rate, lambda: advance(bar))
    if out.as_json:
        out.data({"url": job.url, "key": job.key.fingerprint, **summary.as_json()})
    else:
        show_summary(job.url, summary, rate, out)
    if summary.interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    wanted = str(kind.status) if kind else "200"
    if bad := summary.sent - summary.statuses.get(wanted, 0):
        worst = next((int(status) for status in summary.statuses if status.isdigit() and status != wanted), 0)
        raise CliError(f"{bad} of {summary.sent} were not answered with {wanted}.", WHY.get(worst, ""), Exit.FAILED)
