"""``python -m reliability mutants``."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli.exits import CliError, Exit
from cli.options import JsonOption
from cli.output import BAD, GOOD, Output, assemble, make_console
from reliability.mutants.run import MODULES, Outcome, run
from reliability.mutants.table import TABLE, Mutant, compare, read
from reliability.tools import MUTANTS, make
from scripts.tool_env import ROOT


def mutants(
    module: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help=f"Which of {', '.join(MODULES)}; without it all.", show_default=False),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=8, help="Modules at a time.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Put small faults into the signature, address and screening modules and see that the tests notice each.

    A fault that none notices must stand in the table of survivors with the reason why no test can. Ends with 1 where
    one does not, or where an entry of the table is no survivor any more.

    Needs some minutes, and cosmic-ray in an environment of its own that the first run makes.

    Examples:
      python -m reliability mutants
      python -m reliability mutants --module core/signature.py
    """
    out = Output(as_json, make_console(file=sys.stdout))
    chosen = module or list(MODULES)
    if unknown := [name for name in chosen if name not in MODULES]:
        raise CliError(f"{unknown[0]!r} is none of the modules.", f"There is: {', '.join(MODULES)}", Exit.USAGE)
    with out.status("Making the environment of the mutation tool (once)"):
        make(MUTANTS)
    done: dict[str, tuple[int, int]] = {}
    with out.bar("Trying mutants", 1000) as progress, ThreadPoolExecutor(jobs) as pool:

        def attempt(name: str) -> Outcome:
            def told(tried: int, made: int) -> None:
                done[name] = (tried, made)
                if progress is not None:
                    tried, made = (sum(counts) for counts in zip(*done.values(), strict=True))
                    progress.update(progress.task_ids[0], completed=tried, total=made)

            return run(name, told)

        outcomes = list(pool.map(attempt, chosen))
    explained = read()
    found = compare({mutant for outcome in outcomes for mutant in outcome.survived}, explained, set(chosen))
    if as_json:
        out.data([_as_json(outcome, explained) for outcome in outcomes])
    else:
        columns = ("module", "keep"), ("mutants", "right"), ("noticed", "right"), ("survived", "right"), ("s", "right")
        out.table(
            columns,
            [
                [
                    outcome.module,
                    str(outcome.made),
                    str(outcome.noticed),
                    str(outcome.unnoticed),
                    f"{outcome.seconds:g}",
                ]
                for outcome in outcomes
            ],
        )
    for mutant in found.unexplained:
        _show(out, "no test notices it, and the table does not say why", mutant)
    for mutant in found.outdated:
        _show(out, "stands in the table, and is no survivor any more", mutant)
    if found.unexplained or found.outdated:
        out.note(f"Add a test, or correct {TABLE.relative_to(ROOT)}.")
        raise typer.Exit(Exit.FAILED)
    if not as_json:
        out.say(("right  ", GOOD), "every mutant is noticed, or the table says why none can")


def _as_json(outcome: Outcome, explained: dict[Mutant, str]) -> dict[str, Any]:
    return {
        "module": outcome.module,
        "mutants": outcome.made,
        "noticed": outcome.noticed,
        "seconds": outcome.seconds,
        "survived": [asdict(mutant) | {"why": explained.get(mutant)} for mutant in sorted(outcome.survived)],
    }


def _show(out: Output, what: str, mutant: Mutant) -> None:
    out.stderr.print(assemble((f"{mutant.module}, {mutant.place or 'module'}", BAD), f": {what}"), soft_wrap=True)
    out.stderr.print(assemble(f"  - {mutant.before}\n  + {mutant.after}"), soft_wrap=True)
