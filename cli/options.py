"""Options that many commands share, and the way to write a command that works on a deployment."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any, Final

import typer

from cli import completion
from cli.help import Command
from cli.output import Output
from cli.target import CLOUD, CLOUDS, REGION, STACK, Where

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to stdout and nothing else.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_PANEL: Final = "Deployment"
_SHARED: Final = {
    "stack": Annotated[
        str | None,
        typer.Option(
            "--stack",
            metavar="NAME",
            help=f"The deployment, by the name of its CloudFormation stack. Also {STACK}.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
    "cloud": Annotated[
        str | None,
        typer.Option(
            "--cloud",
            metavar="NAME",
            help=f"The cloud that it is in: {', '.join(CLOUDS)}. Also {CLOUD}.",
            show_default=False,
            autocompletion=completion.clouds,
            rich_help_panel=_PANEL,
            # With one cloud there is nothing to choose.
            hidden=len(CLOUDS) == 1,
        ),
    ],
    "region": Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="NAME",
            help=f"The stack's region. Also {REGION}, or what your AWS profile says.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
    "local": Annotated[
        bool,
        typer.Option(
            "--local",
            help="The run that `dastra-webhooks run` started here. Also without this option, while it is up and no "
            "deployment is named.",
            rich_help_panel=_PANEL,
        ),
    ],
    "as_json": JsonOption,
}
_DEFAULTS: Final[dict[str, object]] = {"stack": None, "cloud": None, "region": None, "local": False, "as_json": False}


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command that works on a deployment: a function of ``where``, ``out`` and options of its own.

    ``where`` finds the deployment when it is asked to, so that a command can look at its arguments first.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def run(**values: Any) -> None:
            out = Output(values.pop("as_json"))
            where = Where(*(values.pop(name) for name in ("stack", "cloud", "region", "local")))
            function(where=where, out=out, **values)

        signature = inspect.signature(function, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name not in ("where", "out")]
        shared = [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=_DEFAULTS[name], annotation=annotation)
            for name, annotation in _SHARED.items()
        ]
        run.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
        app.command(name, cls=Command)(run)
        return function

    return register
