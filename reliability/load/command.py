"""``python -m reliability load``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.commands.run import CLOUDS
from cli.exits import CliError, Exit
from cli.options import JsonOption
from cli.output import BAD, GOOD, Output, make_console, plural

if TYPE_CHECKING:
    from rich.progress import Progress

    from reliability.load.run import Report

_ENDLESS: Final = 10_000_000


def load(
    cloud: Annotated[str, typer.Option(metavar="NAME", help=f"Which receiver: {', '.join(CLOUDS)}.")] = next(
        iter(CLOUDS)
    ),
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What goes wrong: calm, queue (it fails and recovers), kill (kill -9), storm (both). May be repeated; "
            "without it the first three, one after the other.",
            show_default=False,
        ),
    ] = None,
    events: Annotated[int, typer.Option(min=1, help="Genuine events.")] = 10_000,
    attacks: Annotated[int, typer.Option(min=0, help="Requests that must be refused, mixed with them.")] = 10_000,
    connections: Annotated[int, typer.Option(min=1, max=256, help="Requests at a time.")] = 32,
    instances: Annotated[
        int, typer.Option(min=0, max=64, help="Instances of the receiver; 0: eight on AWS, one elsewhere.")
    ] = 0,
    minutes: Annotated[
        float, typer.Option(min=0, help="Soak: send for so long, half events and half attacks; 0: as many as said.")
    ] = 0,
    large: Annotated[
        int, typer.Option(min=0, help="One request in so many has megabytes; 0: none, to judge memory more closely.")
    ] = 500,
    seed: Annotated[int, typer.Option(help="The same seed sends the same requests in the same order.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Send genuine events and attacks at once to a receiver on this machine, and count what became of each.

    The receiver is the real one, in processes of its own; queue, store and secret store are those of `make run`. Every
    event that is answered 200 must then be in the queue, the spool or the quarantine, once, and nothing of an attack
    may be in any. Ends with 1 where that does not hold.

    Examples:
      python -m reliability load --cloud gcp
      python -m reliability load --scenario kill --events 1000 --attacks 1000 --seed 7
      python -m reliability load --scenario storm --minutes 30
    """
    from reliability.load.plan import Plan
    from reliability.load.run import Order, Scenario, run

    out = Output(as_json, make_console(file=sys.stdout))
    if cloud not in CLOUDS:
        raise CliError(f"{cloud!r} is no cloud.", f"There is: {', '.join(CLOUDS)}", Exit.USAGE)
    unknown = [name for name in scenario or () if name not in {*Scenario}]
    if unknown:
        raise CliError(f"{unknown[0]!r} is no scenario.", f"There is: {', '.join(Scenario)}", Exit.USAGE)
    chosen = [Scenario(name) for name in scenario or ("calm", "queue", "kill")]
    plan = Plan(seed, _ENDLESS // 2, _ENDLESS // 2, large) if minutes else Plan(seed, events, attacks, large)
    several = instances or (8 if cloud == "aws" else 1)
    reports = []
    for name in chosen:
        order = Order(cloud, name, plan, connections, several, minutes * 60)
        started = time.monotonic()
        with out.bar(f"{cloud}, {name}", round(minutes * 60) or len(plan)) as progress:

            def told(done: int, progress: Progress | None = progress, started: float = started) -> None:
                if progress is not None:
                    completed = time.monotonic() - started if minutes else done
                    progress.update(progress.task_ids[0], completed=completed)

            def phase(text: str, name: str = name, progress: Progress | None = progress) -> None:
                if progress is not None:
                    progress.update(progress.task_ids[0], description=f"{cloud}, {name}: {text}")
                else:
                    out.note(f"{cloud}, {name}: {text}")

            reports.append(run(order, told, phase))
    if as_json:
        out.data([report.as_json() for report in reports])
    else:
        for report in reports:
            _show(out, report)
    if any(report.faults for report in reports):
        raise typer.Exit(Exit.FAILED)


def _show(out: Output, report: Report) -> None:
    order = report.order
    rate = report.sent / report.seconds if report.seconds else 0
    out.say(
        (f"{order.cloud}, {order.scenario}", "bold"),
        f": {plural(report.sent, 'request')} in {report.seconds:g} s ({rate:.0f} a second, "
        f"{order.connections} connections, {plural(order.instances, 'instance')}, seed {order.plan.seed}, "
        f"Python {report.python})",
    )
    rows = [
        ("genuine events answered", _counts(report.genuine)),
        ("attacks answered", _counts(report.attacks)),
        ("slowest answer", f"{report.slowest_seconds:g} s"),
        ("kept", _counts(report.first.places)),
        ("kept after the redrive", _counts(report.last.places) if report.redriven else "no redrive was needed"),
        ("kept twice", str(report.last.duplicates)),
        ("no answer, yet kept", str(report.first.unanswered_kept)),
        ("no answer and not kept", str(report.first.unanswered_gone)),
        ("what went wrong", _counts(report.weather) or "nothing"),
        ("what the receiver said of it", _counts(report.errors) or "nothing"),
    ]
    if report.growth is not None:
        growth = report.growth
        stages = (growth.start, growth.quarter, growth.half, growth.end)
        rows += [
            ("memory: start, quarter, half, end", ", ".join(f"{size.megabytes:g} MB" for size in stages)),
            ("threads: start, quarter, half, end", ", ".join(str(size.threads) for size in stages)),
        ]
    out.table((("what", "keep"), ("count", "keep")), rows)
    for fault in report.faults:
        out.say(("WRONG  ", BAD), fault)
    if not report.faults:
        out.say(("right  ", GOOD), "nothing lost, nothing forged, every answer the right one")
    out.say("")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
