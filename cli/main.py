"""The program `dastra-webhooks`: its commands, each from a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands import (
    addresses,
    doctor,
    explain,
    key,
    quarantine,
    reconcile,
    register,
    rotate,
    run,
    send,
    spool,
    status,
    test,
)
from cli.exits import MEANINGS
from cli.help import Command, Program
from cli.options import command
from cli.output import set_streams_up
from cli.version import version

app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode="rich",
    # A traceback with the values of variables would show keys and events.
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="[bold]Exit codes[/bold]\n" + "\n".join(f"{code.value:>3}  {text}" for code, text in MEANINGS.items()),
)
app.command(cls=Command)(run.run)
app.command(cls=Command)(send.send)
command(app, "explain")(explain.explain)
command(app, "doctor")(doctor.doctor)
command(app, "register")(register.register)
app.command(cls=status.StatusCommand)(status.status)
command(app, "test")(test.ask_for_sample)
command(app, "rotate")(rotate.rotate)
command(app, "reconcile")(reconcile.reconcile)
app.add_typer(addresses.app, name="addresses")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(spool.app, name="spool")
app.add_typer(key.app, name="key")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dastra-webhooks {version()}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Receive Dastra's webhooks in your own cloud: try it on this machine, look after a deployment."""


def main() -> None:
    """The entry point of the console script."""
    set_streams_up()
    app()
