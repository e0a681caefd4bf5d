"""How `--help` looks: paragraphs flow to the terminal's width, examples stay as they are, a switch shows no type."""

from __future__ import annotations

import inspect
from typing import Any, Final

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup, TyperOption

from cli.exits import CliError, Exit
from cli.hints import as_typed
from cli.output import show_error
from core.ports import PortError

# The parser's own classes are private to typer, hence Any.
Parameters = list[Any]

_EXAMPLE: Final = "cyan"


class Command(TyperCommand):
    """A command."""

    def __init__(self, *args: Any, help: str | None = None, **kwargs: Any) -> None:  # noqa: A002 - typer's name
        super().__init__(*args, help=reflow(help), **kwargs)

    def get_params(self, ctx: Any) -> Parameters:
        """The parameters, each switch without a type."""
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands."""

    def __init__(self, *args: Any, help: str | None = None, **kwargs: Any) -> None:  # noqa: A002 - typer's name
        super().__init__(*args, help=reflow(help), **kwargs)

    def get_params(self, ctx: Any) -> Parameters:
        """The parameters, each switch without a type."""
        return _without_types(super().get_params(ctx))


class Program(Group):
    """All commands. An error of ours ends in its text on stderr and its exit code, whichever command raised it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except CliError as error:
            show_error(error)
            raise typer.Exit(error.code) from error
        except PortError as error:
            show_error(CliError(f"the deployment did not do what was asked: {error.code}."))
            raise typer.Exit(Exit.UNREACHABLE) from error
        except typer.Abort as error:
            show_error(CliError("nothing was done."))
            raise typer.Exit(Exit.NOT_CONFIRMED) from error


def group(text: str, note: str) -> typer.Typer:
    """A group of commands with its help text and a last line."""
    return typer.Typer(cls=Group, help=text, epilog=note, no_args_is_help=True)


def reflow(text: str | None) -> str | None:
    """Join the lines of each paragraph. Indented lines stay; they are commands to copy, or notes on them."""
    if text is None:
        return None
    lines: list[str] = []
    open_ = False
    for line in inspect.cleandoc(text).splitlines():
        if not line.strip():
            lines.append("")
            open_ = False
        elif line.startswith(" "):
            lines.append(f"[{'dim' if line.lstrip().startswith('#') else _EXAMPLE}]{escape(as_typed(line))}[/]")
            open_ = False
        elif open_:
            lines[-1] += " " + escape(line)
        else:
            lines.append(escape(line))
            open_ = True
    return "\n".join(lines)


def _without_types(parameters: Parameters) -> Parameters:
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_bool_flag and parameter.metavar is None:
            parameter.metavar = ""
    return parameters
