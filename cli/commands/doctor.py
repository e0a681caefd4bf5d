"""`dastra-webhooks doctor`: whether a deployed receiver does what it must, seen from outside and from inside."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.doctor.inside import check_inside
from cli.doctor.model import Status
from cli.doctor.outside import Outside, requests
from cli.doctor.report import Report
from cli.doctor.sender import DoctorSender
from cli.doctor.session import Limits, Plan
from cli.exits import CliError, Exit
from cli.keys import VARIABLE, KeyFile, read_keys
from cli.local.state import find_run
from cli.options import YesOption
from cli.output import Output, plural
from cli.sending import check_url, is_loopback
from cli.target import QUEUE, SECRET, STACK, START, STORE, Target, Where
from core.ports import PortError
from core.records import QUARANTINE_PREFIX
from core.signature import SignatureKey, parse_keys

_NAMES: Final = (STACK, QUEUE, STORE, SECRET)


def doctor(
    where: Where,
    out: Output,
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="The endpoint; by default that of the deployment that is named, or of the local run that is up.",
            show_default=False,
        ),
    ] = None,
    key_file: KeyFile = None,
    gentle: Annotated[
        bool, typer.Option("--gentle", help="Send nothing that alarms but genuine events: no wrong signature.")
    ] = False,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="Send no genuine event. Needs no key; says less.")
    ] = False,
    within: Annotated[
        int, typer.Option("--within", metavar="SECONDS", min=5, help="What has not begun by then is skipped.")
    ] = 180,
    yes: YesOption = False,
) -> None:
    """Examine a deployed receiver: is it reachable, safe, fast and right, and does somebody hear its alarms?

    From outside: name, IPv4 and IPv6, TLS and its expiry; a signed event gets exactly 200, in time, with and without a
    length, small and large; some 240 attacks are each refused with the right status; no answer leaks anything. From
    inside, where a deployment is named (--stack, or the three names in the environment) and you are logged in: the key,
    the queue, retentions, encryption, alarms and who hears them.

    Genuine events are samples: each has a nonce in its field `sample`, by which a consumer drops it. Those that
    quarantine holds are dropped afterwards, where the deployment is named. Wrong signatures set off alarms; it says
    which, and asks before.

    Exit code 1 says that a check failed; a warning is no failure.

    Examples:
      dastra-webhooks doctor
      dastra-webhooks doctor --stack dastra --yes --json
      dastra-webhooks doctor https://example.org/dastra --key-file key.txt
      dastra-webhooks doctor https://example.org/dastra --gentle --no-probe
    """
    target, named = _target(where, url and check_url(url), out), where.stack or os.environ.get(STACK)
    if url is None:
        if target is None:
            missing = "which endpoint is not said, and no local run is up."
            raise CliError(missing, f"Give its URL, or --stack NAME.\n{START}", Exit.USAGE)
        url = target.url
    sender = DoctorSender(str(uuid.uuid4()) if no_probe else _key(key_file, target, out).reveal())
    plan = Plan(url, sender, probe=not no_probe, gentle=gentle, limits=Limits(whole=float(within)))
    _ask(plan, out, yes=yes)
    report = Report(out)
    outside = Outside(plan, report.progress)
    report.follow(outside.run(), f"Calling {url}", requests(plan))
    if target is not None:
        report.follow(
            check_inside(target, named, None if no_probe else sender.fingerprint), f"Looking into {target.title}"
        )
        _clean(target, outside.probes, out)
    if out.as_json:
        out.data(report.as_json(url, gentle=gentle, probes=outside.probes))
    else:
        report.summary(outside.probes)
        if target is None:
            out.note(
                f"Only from outside. To look inside too, name the deployment: --stack NAME, or set {QUEUE} and so on."
            )
    if any(result.status is Status.FAIL for result in report.results):
        raise typer.Exit(Exit.FAILED)


def _is_named(where: Where) -> bool:
    """Whether options or the environment say which deployment to look into, and it is not this machine's."""
    return not where.local and bool(where.stack or any(os.environ.get(name) for name in _NAMES))


def _target(where: Where, url: str | None, out: Output) -> Target | None:
    """The deployment to look into: what is named, else the local run where no URL or its own is given; else none."""
    if where.local or _is_named(where):
        return where.find(out)
    run = find_run() if url is None or is_loopback(url) else None
    if run is not None and (url is None or url.rstrip("/") == run.url.rstrip("/")):
        return Where(local=True).find(out)
    return None


def _key(key_file: Path | None, target: Target | None, out: Output) -> SignatureKey:
    """What was given, else what the deployment's secret store has, else what is typed."""
    if key_file is None and not os.environ.get(VARIABLE, "").strip() and target is not None and target.names.secret:
        try:
            return parse_keys(target.secret.read() or "")[0]
        except (PortError, ValueError):
            out.note("The deployment's own key cannot be read.")
    return read_keys(key_file, out, ask="Validation key of the webhook")[0]


def _ask(plan: Plan, out: Output, *, yes: bool) -> None:
    alarms = plan.alarms()
    if not alarms:
        return
    lines = "\n".join(f"  {alarm}" for alarm in alarms)
    events = ", some of them genuine events that are marked as samples" if plan.probe else ""
    out.note(f"This sends about {requests(plan)} requests to {plan.url}{events}. It sets off these alarms:\n{lines}")
    out.confirm("Go on?", yes=yes)


def _clean(target: Target, probes: list[str], out: Output) -> None:
    """Drop what quarantine holds of this run: nobody has to look at it, and its alarm would go on."""
    if not probes:
        return
    try:
        redrive = target.redrive()
        held = [entry.key for entry in redrive.records(QUARANTINE_PREFIX) if entry.key.rpartition("-")[2] in probes]
        for key in held:
            redrive.drop(key)
    except (CliError, PortError):
        out.warn("the events of this run that quarantine holds could not be dropped: dastra-webhooks quarantine list")
        return
    if held:
        out.note(f"{plural(len(held), 'event')} of this run dropped from the quarantine.")
