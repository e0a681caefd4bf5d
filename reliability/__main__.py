"""``python -m reliability``: the proofs that take long, one command each."""

from __future__ import annotations

from typing import Final

import typer

from cli.help import Command, Program
from cli.output import set_streams_up
from reliability.fuzz.command import fuzz
from reliability.load.command import load
from reliability.mutants.command import mutants

app: Final = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    help="Try the receiver's promises: the proofs that take long, one command each.",
)
app.command(cls=Command)(load)
app.command(cls=Command)(fuzz)
app.command(cls=Command)(mutants)


def main() -> None:
    """Run a command."""
    set_streams_up()
    app(prog_name="python -m reliability")


if __name__ == "__main__":
    main()
