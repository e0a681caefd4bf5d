"""`dastra-webhooks explain`: is a captured request's signature right, and if not, why not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.status import Status
from rich.text import Text

from cli.exits import CliError, Exit
from cli.explain.capture import Capture, pick, read_bytes, read_captures
from cli.explain.key_forms import GivenKey
from cli.explain.local_requests import local_request
from cli.explain.verdict import DEFAULT_SECONDS, Outcome, Verdict, expected_signatures, explain_request
from cli.hints import as_typed
from cli.keys import VARIABLE, KeyFile, read_keys
from cli.local.state import RunState, find_run
from cli.output import BAD, GOOD, HELD, Output, assemble, grid, size
from cli.target import QUEUE, SECRET, STACK, START, STORE, Where
from core.message import event_id
from core.ports import PortError
from core.signature import HEADER, SignatureKey, parse_keys

_STDIN: Final = Path("-")
_MOST_SIGNATURE: Final = 64 * 1024
_NEXT: Final = """\
Most likely it was signed with another key, or the body was changed in a way that cannot be undone.
1. Compare fingerprints: dastra-webhooks key list; then copy the key from Dastra's webhook page once more.
2. Capture the request where it arrives, as bytes: curl --trace, a proxy, or ngrok's inspector.
3. docs/signature-troubleshooting.md has the whole list of what was tried, and of what cannot be."""


def explain(
    where: Where,
    out: Output,
    capture: Annotated[
        Path | None,
        typer.Argument(
            metavar="CAPTURE",
            help="A file with the whole request: raw HTTP, `curl --trace`, a HAR, ngrok's requests. - reads stdin.",
            show_default=False,
        ),
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option("--body", metavar="FILE", help="The exact body alone; - reads stdin.", show_default=False),
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option(
            "--signature",
            metavar="VALUE",
            help="The Dastra-Signature header's value; @FILE reads a file, - reads stdin.",
            show_default=False,
        ),
    ] = None,
    entry: Annotated[
        int | None,
        typer.Option("--entry", metavar="NUMBER", min=1, help="Which request of several.", show_default=False),
    ] = None,
    last: Annotated[
        bool,
        typer.Option(
            "--last", help="The last request that the local run refused; with --entry the one of this number there."
        ),
    ] = False,
    key_file: KeyFile = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="SECONDS", min=0, help="The most that the search may take.")
    ] = DEFAULT_SECONDS,
    show_signature: Annotated[
        bool,
        typer.Option("--show-signature", help="Also show the right signature; whoever has it can post this body."),
    ] = False,
) -> None:
    """Say whether a captured request's signature is right, and if it is not, why, and what to do.

    It tries what usually goes wrong, alone and in pairs: another key, or the key in another form; hexadecimal and
    other encodings of the signature; a body that was parsed and written anew, cut, compressed, wrapped, or encoded
    otherwise. An explanation that is given is proven: with it undone, the signature matches.

    Keys come from --key-file, else from the deployment that is named, else from DASTRA_SIGNATURE_KEYS, else from the
    local run that is up, else you are asked. Keys and bodies are never shown.

    Examples:
      dastra-webhooks explain request.http
      dastra-webhooks explain requests.har --entry 3
      dastra-webhooks explain --last
      dastra-webhooks explain --body body.json --signature 'u0n…='
      curl -s localhost:4040/api/requests/http | dastra-webhooks explain -
      dastra-webhooks explain request.http --key-file key.txt --json
    """
    request = _request(capture, body, signature, entry, key_file, last=last)
    keys = _keys(key_file, where, out)
    with _progress(out, seconds) as tick:
        verdict = explain_request(request, keys, seconds=seconds, tick=tick)
    right = expected_signatures(request, keys) if show_signature else {}
    if out.as_json:
        shown = {"expected_signatures": right} if show_signature else {}
        out.data({**verdict.as_json(), "size": len(request.body), "id": event_id(request.body), **shown})
    else:
        _show(request, verdict, right, out)
    if verdict.outcome is not Outcome.VALID:
        raise typer.Exit(Exit.FAILED)


def _request(
    capture: Path | None,
    body: Path | None,
    signature: str | None,
    entry: int | None,
    key_file: Path | None,
    *,
    last: bool,
) -> Capture:
    """The request that the arguments make up."""
    if [capture == _STDIN, body == _STDIN, signature == "-", key_file == _STDIN].count(True) > 1:
        raise CliError("stdin (-) can be only one of these.", "Put the others into files.", Exit.USAGE)
    stdin = sys.stdin.buffer.read(32 * 1024 * 1024 + 1) if _STDIN in (capture, body) else None
    if last:
        if capture is not None or body is not None:
            raise CliError("--last takes the request from the local run.", "Leave the file out.", Exit.USAGE)
        run = find_run()
        if run is None:
            raise CliError("no local run is up in this directory or above it.", START, Exit.NO_DEPLOYMENT)
        found = local_request(run, entry)
    elif capture is None and body is None:
        raise CliError(
            "what to explain is not said.",
            "Give a captured request, or its two parts:\n  dastra-webhooks explain request.http\n"
            "  dastra-webhooks explain --body FILE --signature VALUE\n"
            "or --last, for what the local run refused.",
            Exit.USAGE,
        )
    elif capture is not None:
        found = pick(read_captures(read_bytes(capture, stdin), str(capture)), entry, str(capture))
    elif signature is None:
        raise CliError(
            "a body alone has no signature to check.",
            "Add the header's value: --signature VALUE. Or give the whole request as one file.",
            Exit.USAGE,
        )
    else:
        found = Capture(None, "", (), b"")
    if body is not None:
        found = Capture(found.method, found.target, found.headers, read_bytes(body, stdin), None, ())
    if signature is not None:
        others = tuple(pair for pair in found.headers if pair[0].lower() != HEADER)
        pairs = (*others, (HEADER, _signature(signature)))
        found = Capture(found.method, found.target, pairs, found.body, found.declared, found.notes)
    return found


def _signature(text: str) -> str:
    """The value itself. A file's or stdin's last line end is not part of it."""
    if text == "-":
        data = sys.stdin.buffer.read(_MOST_SIGNATURE)
    elif text.startswith("@"):
        data = read_bytes(Path(text[1:]))[:_MOST_SIGNATURE]
    else:
        return text
    value = data.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    name, colon, rest = value.partition(":")
    return rest.strip(" \t") if colon and name.strip().lower() == HEADER else value


def _keys(key_file: Path | None, where: Where, out: Output) -> list[GivenKey]:
    """The keys to expect, and those of other places, which may be the one that signed."""
    named = bool(where.stack or where.local or where.region or where.cloud)
    in_env = bool(os.environ.get(VARIABLE, "").strip())
    run = find_run()
    of_run = False
    if key_file is not None:
        expected, origin = read_keys(key_file, out, ask=""), str(key_file)
    elif named or (not in_env and (run or any(os.environ.get(name) for name in (STACK, SECRET, QUEUE, STORE)))):
        expected, origin, of_run = _of_deployment(where, out)
    else:
        expected = read_keys(None, out, ask="Validation key from Dastra's webhook page")
        origin = VARIABLE if in_env else "the prompt"
    given = [GivenKey(key, origin) for key in expected]
    given += [
        GivenKey(key, place, expected=False)
        for key, place in _besides(None if of_run else run, out)
        if key not in expected
    ]
    return given


def _of_deployment(where: Where, out: Output) -> tuple[tuple[SignatureKey, ...], str, bool]:
    """Its keys, what it is called, and whether it is the local run."""
    target = where.find(out)
    try:
        with out.status("Reading the keys"):
            text = target.secret.read()
    except PortError as error:
        raise target.failure("the keys cannot be read", error) from error
    try:
        return parse_keys(text or ""), target.title, target.is_local
    except ValueError as error:
        raise CliError(
            f"{target.title} has no key: {error}.", "Give it one: dastra-webhooks key set", Exit.NO_DEPLOYMENT
        ) from None


def _besides(run: RunState | None, out: Output) -> Iterator[tuple[SignatureKey, str]]:
    """Keys of the environment and of the local run; what cannot be read is left out."""
    with suppress(ValueError):
        yield from ((key, VARIABLE) for key in parse_keys(os.environ.get(VARIABLE, "")))
    if run is None:
        return
    try:
        text = Where(local=True).find(out).secret.read()
        yield from ((key, f"the local run at {run.url}") for key in parse_keys(text or ""))
    except (PortError, CliError, ValueError):
        return


@contextmanager
def _progress(out: Output, seconds: float) -> Iterator[Callable[[int], None]]:
    """Tells how far the search is, where somebody watches."""
    if not out.stderr.is_terminal:
        yield lambda _: None
        return
    text = f"Trying explanations (at most {seconds:.0f} s)"
    with Status(text, console=out.stderr) as status:
        yield lambda tried: status.update(f"{text}: {tried:,}") if tried % 4096 == 0 else None


def _show(request: Capture, verdict: Verdict, right: dict[str, str], out: Output) -> None:
    key = f"{verdict.key.key.fingerprint} ({verdict.key.origin})" if verdict.key else ""
    match verdict.outcome:
        case Outcome.VALID:
            out.say(("✓ ", GOOD), f"The signature is right: it was made with the key {key}.")
        case Outcome.EXPLAINED:
            out.say(("✗ ", BAD), "The signature does not match. The reason:")
            _show_reasons([(item.found, item.remedy) for item in verdict.because], out)
        case Outcome.SUSPECTED:
            out.say(("✗ ", BAD), "The signature does not match. The reason may be:")
            _show_reasons([(item.found, item.remedy) for item in verdict.observed if item.suspect], out)
        case Outcome.UNEXPLAINED:
            out.say(("✗ ", BAD), "The signature does not match, and nothing that usually goes wrong explains it.")
    out.say("")
    rows: list[tuple[str, str | Text]] = []
    if request.method is not None:
        rows.append(("request", f"{request.method} {request.place}  {request.at}".rstrip()))
    rows.append(("body", f"{size(len(request.body))}, id {event_id(request.body)[:12]}"))
    if verdict.outcome is Outcome.EXPLAINED:
        proof = "with this undone, the signature is right" + (f" for the key {key}" if key else "")
        rows.append(("proof", assemble((proof, GOOD))))
    if found := verdict.difference:
        rows.append(
            ("differs", f"{found.arrived} bytes arrived, {found.signed} were signed; they part at byte {found.first}")
        )
    if verdict.outcome in (Outcome.SUSPECTED, Outcome.UNEXPLAINED):
        tried = f"{verdict.tried:,} combinations" + ("" if verdict.complete else "; the time ran out, see --seconds")
        rows.append(("tried", tried))
        names = [f"{given.key.fingerprint} ({given.origin})" for given in verdict.keys]
        rows.append(("keys", "\n".join(names)))
    certain = verdict.outcome in (Outcome.VALID, Outcome.EXPLAINED)
    rows += [("note", Text(item.found, HELD)) for item in verdict.observed if certain or not item.suspect]
    rows += [("should be", f"{value}  (key {fingerprint})") for fingerprint, value in right.items()]
    out.show(grid(rows))
    if verdict.outcome is Outcome.UNEXPLAINED:
        out.say("")
        out.say(as_typed(_NEXT))


def _show_reasons(reasons: Sequence[tuple[str, str]], out: Output) -> None:
    """What was found, numbered where it is several things; advice that is the same stands once, at the last of them."""
    for number, (found, remedy) in enumerate(reasons, 1):
        out.say("")
        out.say(f"  {number}. " if len(reasons) > 1 else "  ", (found, "bold"))
        if remedy and remedy not in [later for _, later in reasons[number:]]:
            out.show(grid([("", Text(as_typed(remedy)))], indent=3 if len(reasons) > 1 else 0))
