"""What the page is told of a request, as JSON values. Made when somebody asks, and kept until the request changes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from cli.hints import as_typed
from cli.local.console.recorder import Entry, Note
from cli.local.console.story import Kind, kind_of, story_of
from cli.local.verdict import told
from core.envelope import Envelope, EnvelopeError

SHOWN_BYTES: Final = 256 * 1024
"""Of a body; the whole is there to be downloaded."""
_PARSED_BYTES: Final = 2 * 1024 * 1024
_MOST_CHARACTERS: Final = 300
_STEPS: Final = {"keys": "keys_ms", "queue": "queue_ms", "store": "store_ms"}


def summary(entry: Entry) -> dict[str, Any]:
    """A line of the list."""
    if entry.cache is not None and entry.cache[0] == entry.changed:
        return entry.cache[1]
    made = _summary(entry)
    entry.cache = (entry.changed, made)
    return made


def note(found: Note) -> dict[str, Any]:
    """A line between the requests."""
    return {"n": found.number, "at": _moment(found.at), "note": found.kind, "text": found.text}


def detail(entry: Entry) -> dict[str, Any]:
    """All that is known, but for where the event is now."""
    request, handled = entry.request, entry.handled
    found: dict[str, Any] = {
        **summary(entry),
        "query": request.query.decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers],
        "body": base64.b64encode(entry.body[:SHOWN_BYTES]).decode(),
        "shown": min(len(entry.body), SHOWN_BYTES),
        "whole": entry.whole,
    }
    if handled is not None:
        final = _final(handled.lines)
        story = story_of(told(handled), final)
        found |= {
            "why": story.why,
            "next": as_typed(story.next),
            "steps": list(steps(handled.milliseconds, handled.lines)),
            "lines": [dict(line) for line in handled.lines],
            "answer": {
                "status": handled.answer.status,
                "headers": [list(header) for header in handled.answer.headers],
                "body": handled.answer.body[:SHOWN_BYTES].decode("utf-8", "backslashreplace"),
            },
        }
    return found


def steps(total: float, lines: tuple[Mapping[str, Any], ...]) -> Iterator[dict[str, Any]]:
    """How the milliseconds divide, as the receiver's last log line says; the rest is the entry point's.

    A refused request without a well-formed signature has no line, or one without them: then all of it is one step.
    """
    final = _final(lines)
    if "duration_ms" not in final:
        yield {"name": "whole", "ms": _positive(total)}
        return
    known = {name: float(final[field]) for name, field in _STEPS.items() if field in final}
    screening = final.get("screen_ms")
    if screening is None:
        screening = float(final["duration_ms"]) - sum(known.get(name, 0.0) for name in ("queue", "store"))
    yield {"name": "screen", "ms": _positive(float(screening) - known.get("keys", 0.0))}
    for name in _STEPS:
        if name in known:
            yield {"name": name, "ms": _positive(known[name])}
    yield {"name": "around", "ms": _positive(total - float(final["duration_ms"]))}


def _summary(entry: Entry) -> dict[str, Any]:
    request, handled = entry.request, entry.handled
    event_type, label = _event(entry)
    found: dict[str, Any] = {
        "n": entry.number,
        "at": _moment(request.received_at),
        "method": request.method,
        "path": _clipped(request.path.decode("ascii", "backslashreplace")),
        "source": request.client,
        "size": entry.size,
        "origin": entry.origin,
        "type": event_type,
        "label": label,
        "kind": Kind.PENDING.value,
        "kept": entry.whole,
    }
    if handled is None:
        return found | ({"kind": Kind.FAILED.value, "verdict": "no answer"} if entry.ended else {})
    said = told(handled)
    final = _final(handled.lines)
    return found | {
        "kind": kind_of(str(said["verdict"]), int(said["status"])).value,
        "verdict": said["verdict"],
        "status": said["status"],
        "reason": said["reason"],
        "listed": final.get("listed"),
        "key": said["key"],
        "ms": said["milliseconds"],
        "id": entry.event_id,
        "duplicate": entry.duplicate_of,
        "place": entry.place,
        "claim": bool(final.get("claim_check")),
    }


def _final(lines: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
    """The receiver's last word on the request; empty where it logged none."""
    return next((line for line in reversed(lines) if "duration_ms" in line), {})


def _event(entry: Entry) -> tuple[str | None, str | None]:
    """Type and label as the body says them, whoever wrote it."""
    if not entry.whole or not entry.body or len(entry.body) > _PARSED_BYTES:
        return None, None
    try:
        envelope = Envelope.parse(entry.body)
    except EnvelopeError:
        return None, None
    return _clipped(envelope.event_type), _clipped(envelope.event_name)


def _clipped(text: str | None) -> str | None:
    return text if text is None or len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…"


def _positive(milliseconds: float) -> float:
    # Each figure is rounded by itself, so a difference may fall just below zero.
    return round(max(0.0, milliseconds), 1)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")
