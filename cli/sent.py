"""How events that were sent, and their answers, are shown: to a person and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from cli.breaking import Break
from cli.hints import as_typed
from cli.output import BAD, FAINT, GOOD, HELD, Output, assemble, grid, plural, size
from cli.sending import Answer
from cli.volley import Summary
from core.deadline import SENDER_PATIENCE
from core.message import event_id
from core.signature import SignatureKey

_BAR: Final = 20
_STYLES: Final = {"accepted": GOOD, "spooled": HELD, "quarantined": HELD}
_AFTER: Final = {
    "accepted": "It is on the queue.",
    "spooled": "It is not on the queue yet; it is stored and goes on by itself: dastra-webhooks spool list",
    "quarantined": "It is held for a person: dastra-webhooks quarantine list",
}
WHY: Final = {
    401: "The endpoint does not know this key, or something between here and there changed the body.\n"
    "Compare fingerprints with: dastra-webhooks key list",
    403: "The receiver refuses this address (mode reject), or something before it does.",
    404: "Nothing is at this path; is the URL complete?",
    405: "The URL takes no POST; is it the receiver's?",
    413: "The body is larger than the endpoint takes: 4 MiB, or DASTRA_MAX_BODY_BYTES.",
    429: "The platform throttles; Dastra would count this as an error.",
    503: "It knows no key yet (dastra-webhooks key set), or neither its queue nor its store takes anything.",
}
"""What to do about an answer that is not 200."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is sent. ``event_type`` is None where the body names none."""

    what: str
    body: bytes
    event_type: str | None


def complaint(answer: Answer) -> str:
    """What Dastra would make of an answer that is not good."""
    if answer.status is None:
        return "no answer within 10 s: Dastra would have hung up and counted an error."
    return f"the answer is {answer.status}, not 200: Dastra would count an error, and blocks a webhook after five."


# -- one event ---------------------------------------------------------------------------------------------------------


def show_one(url: str, event: Event, key: SignatureKey, answer: Answer, out: Output) -> None:
    """A genuine event and its answer."""
    style = _STYLES.get(answer.verdict or "", GOOD) if answer.good else BAD
    signed = f"{size(len(event.body))}, id {event_id(event.body)[:12]}, signed with key {key.fingerprint}"
    out.show(grid([("to", url), ("event", event.what), ("body", signed), *_answer_rows(answer, style)], indent=0))
    if answer.good and answer.verdict in _AFTER:
        out.say(("✓ " if answer.verdict == "accepted" else "! ", style), as_typed(_AFTER[answer.verdict]))


def one_as_json(url: str, event: Event, key: SignatureKey, answer: Answer) -> dict[str, object]:
    """The same for a program."""
    return {
        "url": url,
        "event_type": event.event_type,
        "id": event_id(event.body),
        "size": len(event.body),
        "key": key.fingerprint,
        **_answer_as_json(answer),
        "good": answer.good,
    }


def _answer_rows(answer: Answer, style: str) -> list[tuple[str, str | Text]]:
    status = "none" if answer.status is None else str(answer.status)
    rows: list[tuple[str, str | Text]] = [
        ("answer", assemble((status, style), " ", answer.body or "")),
        ("time", _time_bar(answer)),
    ]
    if answer.location:
        rows.append(("location", f"{answer.location} (Dastra is not known to follow redirects)"))
    return rows


def _answer_as_json(answer: Answer) -> dict[str, object]:
    return {
        "status": answer.status,
        "answer": answer.body,
        "verdict": answer.verdict,
        "milliseconds": round(answer.milliseconds, 1),
    }


def _time_bar(answer: Answer) -> Text:
    share = min(1.0, answer.milliseconds / (SENDER_PATIENCE * 1000))
    filled = max(1, round(share * _BAR))
    style = GOOD if share < 0.6 else HELD if share < 1 else BAD
    return Text.assemble(
        ("━" * filled, style),
        ("╌" * (_BAR - filled), FAINT),
        f" {_span(answer.milliseconds)} of the 10 s that Dastra waits",
    )


def _span(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


# -- broken ones -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken event that was sent, and its answer."""

    kind: Break
    size: int
    answer: Answer

    @property
    def met(self) -> bool:
        """Whether the answer is as it must be."""
        return self.kind.met_by(self.answer)

    def as_json(self) -> dict[str, object]:
        """The form of ``--json``."""
        return {
            "break": self.kind.name,
            "what": self.kind.what,
            "size": self.size,
            "expected": self.kind.status,
            "as_expected": self.met,
            **_answer_as_json(self.answer),
        }


def show_broken(url: str, event: Event, broken: Broken, out: Output) -> None:
    """One broken event and its answer."""
    rows: list[tuple[str, str | Text]] = [("to", url), ("event", event.what)]
    rows += [("broken", f"{broken.kind.name}: {broken.kind.what}"), ("body", size(broken.size))]
    rows += _answer_rows(broken.answer, GOOD if broken.met else BAD)
    out.show(grid(rows, indent=0))
    if broken.met:
        out.say(("✓ ", GOOD), f"As it must be: {broken.kind.expected()}.")


def show_all_broken(results: Sequence[Broken], out: Output) -> None:
    """A table of them."""
    out.table(
        [("BREAK", "keep"), ("WHAT", "cut"), ("EXPECTED", "keep"), ("ANSWER", "keep"), ("TIME", "right")],
        [
            (
                broken.kind.name,
                broken.kind.what,
                broken.kind.expected(),
                Text(_answer_in_short(broken.answer), GOOD if broken.met else BAD),
                _span(broken.answer.milliseconds),
            )
            for broken in results
        ],
    )


def _answer_in_short(answer: Answer) -> str:
    if answer.status is None:
        return "none in 10 s"
    return f"{answer.status} {answer.verdict}" if answer.verdict else str(answer.status)


# -- many --------------------------------------------------------------------------------------------------------------


def show_summary(url: str, summary: Summary, rate: float | None, out: Output) -> None:
    """What became of many."""
    reached = summary.sent / summary.seconds if summary.seconds else 0.0
    pace = f"{plural(summary.sent, 'event')} in {summary.seconds:.1f} s, {reached:.3g} a second"
    if rate and reached < 0.9 * rate and summary.sent == summary.wanted > 1:
        pace += f" (not {rate:g}: the answers take too long for the requests under way at a time)"
    statuses = [
        (f"{status} x {count:,}  ", GOOD if status == "200" else BAD) for status, count in summary.statuses.items()
    ]
    rows: list[tuple[str, str | Text]] = [("to", url), ("sent", pace), ("answers", assemble(*statuses))]
    if summary.verdicts:
        rows.append(("became", ", ".join(f"{count:,} {verdict}" for verdict, count in summary.verdicts.items())))
    if summary.milliseconds:
        slowest = summary.milliseconds["max"] / 1000
        times = "  ".join(f"{name} {_span(value)}" for name, value in summary.milliseconds.items())
        near = f"; the slowest took {slowest:.1f} of the 10 s that Dastra waits" if slowest >= 3 else ""
        rows.append(("time", assemble(times, (near, HELD))))
    out.show(grid(rows, indent=0))
    if summary.interrupted:
        out.note(f"Interrupted; {summary.wanted - summary.sent} were not sent or not waited for.")
