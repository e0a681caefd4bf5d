"""Whether everything that must be refused is refused, with the right status."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cli.doctor.attacks import KEY_HALF, Attack, Group, Sent
from cli.doctor.attacks.base import JSON, forged, unsigned
from cli.doctor.model import Check, Part, Result, some
from cli.doctor.pool import each
from cli.doctor.session import Plan, Session
from cli.doctor.wire import NoAnswerError, Reply, Trouble
from core.http import METHOD_NOT_ALLOWED

TITLES: Final[Mapping[Group, str]] = {
    Group.HEADER: "No signature, two of them, one elsewhere",
    Group.ENCODING: "The signature in another form",
    Group.PARTIAL: "A signature that is right in part",
    Group.KEY: "Signed with another key",
    Group.ALGORITHM: "Signed with another algorithm",
    Group.BODY: "The body changed after it was signed",
    Group.PARSER: "Bodies that break a parser",
    Group.METHOD: "Other methods than POST",
    Group.WAY_ROUND: "Ways round: queries, paths, headers",
}
LENGTH: Final = Check("attack-length", Part.ATTACKS, "Chunked forgeries, and lengths that lie")
SIZE: Final = Check("attack-size", Part.ATTACKS, "A body above 4 MiB")
LIMIT: Final = 4 * 1024 * 1024
_ANNOUNCED: Final = 1 << 40
_GIVE_UP_AFTER: Final = 3
_DRAWS: Final = 64
_SHORT: Final = 2.0
_OPEN: Final = "An attack is let through. Do not give Dastra this URL before it is mended; if it is live, take it down."
_MEND: Final = "Whoever sends these is not Dastra, and must get the status that stands there and nothing else."


def checks() -> tuple[Check, ...]:
    """The rows that there will be, in their order."""
    return (*(_check(group) for group in Group), LENGTH, SIZE)


def chosen(plan: Plan) -> tuple[Attack, ...]:
    """The attacks that this run may send.

    Left out: what is genuine to a platform that hands on the last of several headers; what would tell something of a
    real key to whoever reads requests; and, in a gentle run, what carries a well-formed signature, since that alarms.
    """
    attacks = (attack for attack in plan.attacks if not attack.last_wins and attack.name != KEY_HALF)
    return tuple(attack for attack in attacks if not (plan.gentle and attack.alarms(plan.sender)))


@dataclass(slots=True)
class _Patience:
    """Ends the attacks when nobody answers any more, or the platform throttles."""

    session: Session
    in_a_row: int = 0
    reason: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, found: Reply | NoAnswerError) -> None:
        with self.lock:
            timed_out = isinstance(found, NoAnswerError) and found.trouble is Trouble.TIMEOUT
            self.in_a_row = self.in_a_row + 1 if timed_out else 0
            if self.in_a_row >= _GIVE_UP_AFTER:
                self.reason = "it stopped answering in time"
            elif isinstance(found, Reply) and found.status == 429:
                self.reason = "the platform throttles (429), which would alarm"

    def over(self) -> bool:
        if not self.reason and self.session.over:
            self.reason = "the time for all of it is over"
        return bool(self.reason)


def check_attacks(session: Session, progress: Callable[[], None] = lambda: None) -> Iterator[Result]:
    """The rows of the attacks, group by group."""
    patience = _Patience(session)
    attacks = chosen(session.plan)
    for group in Group:
        mine = [attack for attack in attacks if attack.group is group]
        yield _group(session, _check(group), mine, patience, progress)
    yield _group(session, LENGTH, _of_lengths(session), patience, progress)
    yield _size(session, patience)


def _check(group: Group) -> Check:
    return Check(f"attack-{group}", Part.ATTACKS, TITLES[group])


def _of_lengths(session: Session) -> list[Attack]:
    both = (("Transfer-Encoding", "chunked"), ("Content-Length", "5"))
    twice = (("Content-Length", "5"), ("Content-Length", "6"))
    attacks = [
        Attack("chunked-unsigned", Group.HEADER, "no length", unsigned),
        Attack("chunked-forged", Group.HEADER, "no length", lambda s: forged(s, s.other_key)),
        Attack("length-and-chunked", Group.HEADER, "two servers disagree", lambda _: Sent(b"0\r\n\r\n", (JSON, *both))),
        Attack("two-lengths", Group.HEADER, "two servers disagree", lambda _: Sent(b"x" * 6, (JSON, *twice))),
    ]
    return [attack for attack in attacks if not (session.plan.gentle and attack.alarms(session.plan.sender))]


def _group(
    session: Session, check: Check, attacks: Sequence[Attack], patience: _Patience, progress: Callable[[], None]
) -> Result:
    if not attacks:
        return check.skipped("each would alarm (--gentle)")
    complaints: dict[str, str] = {}
    answers: Counter[int | Trouble] = Counter()
    number = 0
    work = partial(_send, session, patience)
    for attack, (sent, found) in each(attacks, work, session.plan.limits.parallel, patience.over):
        number += 1
        progress()
        answers[found.trouble if isinstance(found, NoAnswerError) else found.status] += 1
        if complaint := _complaint(attack, sent, found):
            complaints[attack.name] = complaint
    if complaints:
        opened = [name for name, text in complaints.items() if text.startswith("2")]
        found_ = f"{len(complaints)} of {number} got something else"
        details = [f"{name}: {text}" for name, text in sorted(complaints.items())]
        if opened:
            return check.failed(f"let through: {some(sorted(opened))}", _OPEN, details)
        return check.failed(found_, _MEND, details)
    if number < len(attacks):
        return check.skipped(f"{patience.reason}; {number} of {len(attacks)} were sent, each refused")
    statuses = ", ".join(f"{status} ({times})" for status, times in sorted(answers.items(), key=lambda pair: -pair[1]))
    return check.passed(f"{number} refused: {statuses}")


def _send(session: Session, patience: _Patience, attack: Attack) -> tuple[Sent, Reply | NoAnswerError]:
    sent = _draw(session, attack)
    found = session.send(attack.name, sent, chunked=attack.name.startswith("chunked-"))
    patience.note(found)
    return sent, found


def _draw(session: Session, attack: Attack) -> Sent:
    """A request of this attack. By chance one may look like a signature, a lower-cased one for instance."""
    sent = attack.make(session.plan.sender)
    for _ in range(_DRAWS):
        if not session.plan.gentle or not sent.claims or attack.status == METHOD_NOT_ALLOWED.status:
            break
        sent = attack.make(session.plan.sender)
    return sent


def _complaint(attack: Attack, sent: Sent, found: Reply | NoAnswerError) -> str | None:
    """What is wrong about an answer, or None."""
    # What no client of a normal kind sends may be refused by the platform, in its own way.
    unusual = sent.unusual or attack.name in ("length-and-chunked", "two-lengths")
    if isinstance(found, NoAnswerError):
        return None if unusual and found.trouble is not Trouble.TIMEOUT else f"{found.trouble}, not {attack.status}"
    if found.status == attack.status:
        if found.status == 405 and "POST" not in (found.header("allow") or "") and not unusual:
            return "405 without Allow: POST"
        return None
    if unusual and (400 <= found.status < 500 or found.status in (501, 505)):
        return None
    if found.status == 429:
        return None  # said once, by the rows that are skipped
    return f"{found.status}, not {attack.status}"


def _size(session: Session, patience: _Patience) -> Result:
    if patience.over():
        return SIZE.skipped(patience.reason)
    large = session.plan.sender.body(data="x" * LIMIT)
    found = session.send("too-large-unsigned", unsigned(session.plan.sender, large), ask_first=True)
    if isinstance(found, NoAnswerError):
        return _size_unanswered(found)
    if found.status != 413:
        return SIZE.failed(f"{found.status}, not 413", _MEND, ("too-large-unsigned",))
    how = "by its length, before it was sent" if found.early else "after it was sent"
    if not session.plan.gentle:
        claimed = session.send(
            "too-large-forged", forged(session.plan.sender, session.plan.sender.other_key, large), ask_first=True
        )
        if isinstance(claimed, NoAnswerError):
            return _size_unanswered(claimed)
        if claimed.status != 413:
            return SIZE.failed(f"{claimed.status}, not 413", _MEND, ("too-large-forged",))
    huge = Sent(b"", (JSON, ("Content-Length", str(_ANNOUNCED))))
    announced = session.send("announced-1-TiB", huge, ask_first=True, seconds=min(_SHORT, session.plan.limits.patience))
    if isinstance(announced, Reply) and not 400 <= announced.status < 500:
        return SIZE.failed(f"{announced.status} to a body of 1 TiB that never came", _MEND, ("announced-1-TiB",))
    return SIZE.passed(f"413, {how}")


def _size_unanswered(error: NoAnswerError) -> Result:
    if error.trouble is Trouble.TIMEOUT:
        return SIZE.failed(f"{error.trouble}, not 413", _MEND)
    return SIZE.warned(
        "it hung up while the body was sent, and no answer came through",
        "A sender sees an error and no reason. Let what stands in front read such a body, or answer 413 itself.",
    )
