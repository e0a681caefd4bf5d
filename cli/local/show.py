"""What a person sees of the local run: the start, the message that arrived, and a line per request."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.syntax import Syntax
from rich.text import Text

from cli.keys import VARIABLE
from cli.local.cloud import Handled
from cli.local.verdict import told
from cli.output import BAD, FAINT, GOOD, HELD, NAME, Output, grid, plural, pretty_body, printable, size
from cli.sending import Answer
from cli.version import program

_COLUMN: Final = 44
_FEWEST_LINES: Final = 12
_OTHER_LINES: Final = 33
"""Lines of the start beside the body: on a high terminal the start fits whole."""
_STYLES: Final = {"accepted": GOOD, "spooled": HELD, "quarantined": HELD}


class Screen:
    """Prints for a person, or JSON lines for a program. Called from several threads."""

    def __init__(self, out: Output) -> None:
        self._out: Final = out
        self._lock: Final = threading.Lock()
        self._counts: Final[Counter[str]] = Counter()
        self.watching = False
        """Whether requests are shown; not while the run greets itself."""

    def started(
        self, title: str, url: str, made_key: str | None, keys: Sequence[str], log: str, notes: Sequence[str]
    ) -> None:
        """The run is up. ``made_key`` is the key that was made for it; a key of the user's is not shown."""
        if self._out.as_json:
            self._out.line(
                {
                    "what": "started",
                    "url": url,
                    "console": f"{url}_local/",
                    "key": made_key,
                    "keys": list(keys),
                    "log": log,
                }
            )
            return
        shown = (
            Text.assemble(made_key, ("  made for this run", FAINT))
            if made_key
            else Text.assemble(f"fingerprint {', '.join(keys)}", (f"  from {VARIABLE}", FAINT))
        )
        self._out.say((title, "bold"))
        self._out.say("")
        self._out.show(
            grid(
                [
                    ("webhook", Text(url, style="bold")),
                    ("console", Text(f"{url}_local/", style="bold")),
                    ("key", shown),
                    ("queue", f"{url}_local/messages"),
                    ("stored", f"{url}_local/stored"),
                    ("log", log),
                ]
            )
        )
        for note in notes:
            self._out.note(note)

    def sample(self, answer: Answer, message: Mapping[str, Any] | None) -> None:
        """The run's greeting to itself: one signed event, and what arrived on the queue."""
        if self._out.as_json:
            self._out.line({"what": "sample", "status": answer.status, "verdict": answer.verdict, "message": message})
            return
        self._out.say("")
        if message is None:
            said = f"{answer.status} {answer.body}" if answer.status else "nothing within 10 s"
            self._out.say(("✗ ", BAD), f"The first signed sample event is not on the queue; the answer was: {said}")
            self._out.note("Your own DASTRA_ settings apply; /_local/stored shows what is held.")
            return
        self._out.say(
            ("✓ ", GOOD),
            f"A signed sample event went through ({answer.status}, {answer.milliseconds:.0f} ms). On the queue stands:",
        )
        self._out.say("")
        self._out.show(grid(message["attributes"].items(), indent=0))
        self._out.say("")
        lines = pretty_body(str(message.get("body", "")).encode()).split("\n")
        console = self._out.stdout
        room = max(_FEWEST_LINES, console.height - _OTHER_LINES) if console.is_terminal else len(lines)
        body = "\n".join(lines[:room])
        if console.color_system:
            shown = Syntax(body, "json", theme="ansi_dark", background_color="default", word_wrap=True)
            self._out.show(shown)
        else:
            self._out.show(Text(body))
        if len(lines) > room:
            self._out.say((f"… {plural(len(lines) - room, 'more line')}", FAINT))

    def how_to_send(self, url: str, made_key: str | None) -> None:
        """The lines to paste for another event."""
        if self._out.as_json:
            return
        key = f"'{made_key}'" if made_key else f'"${{{VARIABLE}%%,*}}"'
        by_hand = f"""\
KEY={key}
BODY='{{"eventType":"TaskCreation","data":{{"id":'"$RANDOM$RANDOM"'}}}}'
SIG=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$KEY" -binary | base64)
curl -i {url} -H 'Content-Type: application/json' \\
  -H "Dastra-Signature: $SIG" --data-binary "$BODY"
"""
        self._out.say("")
        self._out.say(("Send another", "bold"), ", from a second terminal:")
        self._out.say("")
        for arguments in ("send", "send --event ProcessingCreation"):
            self._out.say((f"  {program()} {arguments}", NAME))
        self._out.say("")
        self._out.say("or by hand:")
        self._out.say("")
        for line in by_hand.splitlines():
            self._out.say(("  " + line, NAME))
        self._out.say("")
        self._out.say(("Requests", "bold"), (" as they come; Ctrl-C ends everything.", ""))

    def handled(self, handled: Handled) -> None:
        """One line for a request."""
        fields = told(handled)
        with self._lock:
            if not self.watching:
                return
            self._counts[str(fields["verdict"])] += 1
            if self._out.as_json:
                self._out.line({"what": "request", **fields})
                return
            self._print(fields)

    def redriven(self, report: Mapping[str, Any]) -> None:
        """A redrive ended; it is worth a word when it moved something, or could not."""
        if not report.get("sent") and not report.get("failed"):
            return
        with self._lock:
            if self._out.as_json:
                self._out.line({"what": "redrive", **report})
                return
            sent, failed = report.get("sent", 0), report.get("failed", 0)
            text = f"{plural(sent, 'event')} from the spool to the queue"
            text += f", {failed} failed" if failed else ""
            self._event("redrive", text, HELD if failed else GOOD)

    def switched(self, modes: Mapping[str, str]) -> None:
        """A fault was switched."""
        with self._lock:
            if self._out.as_json:
                self._out.line({"what": "faults", **modes})
                return
            on = [f"{name} {mode}" for name, mode in modes.items() if mode != "none"]
            self._event("faults", ", ".join(on) or "none", HELD if on else GOOD)

    def trouble(self, text: str) -> None:
        """Something of the run itself did not work."""
        with self._lock:
            if self._out.as_json:
                self._out.line({"what": "trouble", "text": text})
            else:
                self._event("trouble", text, BAD)

    def ended(self) -> None:
        """The last words."""
        with self._lock:
            if self._out.as_json:
                self._out.line({"what": "ended", "requests": dict(self._counts)})
                return
            total = self._counts.total()
            counts = ", ".join(f"{count} {verdict}" for verdict, count in self._counts.most_common())
            if self._out.stdout.is_terminal:
                self._out.say("")  # past the ^C
            self._out.say(f"Ended after {plural(total, 'request')}" + (f": {counts}." if counts else "."))

    def _event(self, name: str, text: str, style: str) -> None:
        self._out.say((datetime.now().astimezone().strftime("%H:%M:%S"), FAINT), "  ", (f"{name:<17}  ", style), text)

    def _print(self, fields: Mapping[str, Any]) -> None:
        verdict, status = str(fields["verdict"]), int(fields["status"])
        style = _STYLES.get(verdict, BAD if status >= 500 else "red")
        event_type, reason = str(fields["event_type"] or ""), str(fields["reason"] or "")
        way = "" if fields["method"] == "POST" and fields["path"] == "/" else f"{fields['method']} {fields['path']}"
        match status:
            case 405:
                parts = [way]
            case 413:
                parts = [size(fields["size"]), way]
            case _ if verdict == "quarantined":
                parts = [reason, event_type, way]
            case _:
                parts = [event_type, reason, way]
        left = Text.assemble((fields["time"][11:19], FAINT), "  ", (f"{status} {verdict:<13}", style), "  ")
        right = Text.assemble("  ", (str(fields["source"]), FAINT), f"  {fields['milliseconds']:>5.0f} ms")
        middle = Text(printable("  ".join(filter(None, parts))))
        console = self._out.stdout
        if console.is_terminal:
            room = max(8, console.width - left.cell_len - right.cell_len)
            middle.truncate(room, overflow="ellipsis", pad=True)
        else:
            middle.pad_right(max(0, _COLUMN - middle.cell_len))
        console.print(Text.assemble(left, middle, right), soft_wrap=True)
