"""`dastra-webhooks status`: the account's webhooks as Dastra sees them, and an exit code for cron."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from cli.commands.register import webhook_json, workspace_id
from cli.dastra.access import ApiKeyFile, ApiUrl, open_api
from cli.dastra.models import ERROR_LIMIT, WebHook
from cli.dastra.urls import short_url
from cli.exits import CliError, Exit
from cli.help import Command
from cli.options import JsonOption
from cli.output import BAD, FAINT, GOOD, HELD, Output, moment, span

_SHOWN_EVENTS: Final = 2


class State(StrEnum):
    """How a webhook is, in the words of the table and of ``--json``."""

    OK = "ok"
    ERRORS = "errors"
    BLOCKED = "blocked"


_CODES: Final = {State.OK: 0, State.ERRORS: 1, State.BLOCKED: 2}
_STYLES: Final = {State.OK: GOOD, State.ERRORS: HELD, State.BLOCKED: BAD}


class StatusCommand(Command):
    """Its 2 says that a webhook is blocked, so wrong usage, elsewhere 2, has another code here."""

    def make_context(self, *args: Any, **values: Any) -> Any:
        """Read the arguments."""
        try:
            return super().make_context(*args, **values)
        except Exception as error:
            if getattr(error, "exit_code", None) == Exit.USAGE:
                error.exit_code = Exit.STATUS_USAGE  # type: ignore[attr-defined]
            raise


def status(
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", metavar="ID", help="Only this workspace's webhooks.", show_default=False),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing while all is well: cron then sends no mail.")
    ] = False,
    api_key_file: ApiKeyFile = None,
    api_url: ApiUrl = None,
    as_json: JsonOption = False,
) -> None:
    """Show the account's webhooks: events, errors against the limit of five, blocked or not, and the last error.

    Dastra counts every answer but 200 within 10 seconds as an error, blocks a webhook after five, and sends nothing
    twice. So one error is worth a look, and a block means that events are being missed: dastra-webhooks rotate makes a
    webhook that sends, dastra-webhooks reconcile brings back what was missed.

    Exit codes: 0 all is well; 1 a webhook has errors; 2 one is blocked; above 2 it is not known: 4 Dastra does not
    answer, 8 it refuses the API key, 9 wrong usage, which includes that no key is given.

    Inferred, since Dastra does not document it: a webhook is taken for blocked where Dastra marks it (`inError`) or has
    counted five errors; whether the fifth blocks or the sixth, and what sets the count back, is not known. Times
    without a zone are taken for UTC.

    Examples:
      dastra-webhooks status
      # every 15 minutes, in a crontab
      */15 * * * * /path/to/.venv/bin/dastra-webhooks status --quiet --api-key-file /etc/dastra/api-key
    """
    out = Output(as_json)
    try:
        with open_api(api_key_file, api_url, out) as api, out.status("Reading the webhooks"):
            hooks = api.webhooks(workspace_id(workspace) if workspace else None)
    except CliError as error:
        if error.code > Exit.USAGE:
            raise
        raise CliError(error.message, error.hint, Exit.STATUS_USAGE) from error
    worst = max((state_of(hook) for hook in hooks), key=_CODES.__getitem__, default=State.OK)
    if as_json:
        out.data([_as_json(hook) for hook in hooks])
    elif not (quiet and worst is State.OK):
        _show(hooks, out)
    if code := _CODES[worst]:
        raise typer.Exit(code)


def state_of(hook: WebHook) -> State:
    """How a webhook is."""
    if hook.blocked:
        return State.BLOCKED
    return State.ERRORS if hook.errors else State.OK


def _show(hooks: Sequence[WebHook], out: Output) -> None:
    if not hooks:
        out.say("There is no webhook.")
        out.note("Next: dastra-webhooks register")
        return
    columns = [("ID", "keep"), ("WORKSPACE", "keep"), ("ERRORS", "right"), ("LAST ERROR", "keep"), ("STATE", "keep")]
    out.table([*columns, ("URL", "cut"), ("EVENTS", "cut")], [_row(hook) for hook in hooks])
    for hook in hooks:
        if hook.error_message or hook.last_error:
            time = hook.last_error_at
            when = moment(time) if time else hook.last_error or "time unknown"
            said = " ".join((hook.error_message or "Dastra gives no reason").split())
            out.say(
                (f"{hook.id}: {said} ({when})", _STYLES[state_of(hook)] if state_of(hook) is not State.OK else FAINT)
            )
    if blocked := next((hook for hook in hooks if hook.blocked), None):
        out.note(f"Next: dastra-webhooks rotate {blocked.id}, then dastra-webhooks reconcile")


def _row(hook: WebHook) -> list[str | Text]:
    state, time = state_of(hook), hook.last_error_at
    return [
        str(hook.id),
        "all" if hook.workspace_id is None else str(hook.workspace_id),
        Text(f"{hook.errors}/{ERROR_LIMIT}", _STYLES[state]),
        f"{span((datetime.now(UTC) - time).total_seconds())} ago" if time else hook.last_error or "",
        Text(state, _STYLES[state]),
        short_url(hook.url),
        _few(hook.events),
    ]


def _few(events: Sequence[str]) -> str:
    if not events:
        return "none"
    return f"{len(events)}: {', '.join(events[:_SHOWN_EVENTS])}{', …' if len(events) > _SHOWN_EVENTS else ''}"


def _as_json(hook: WebHook) -> dict[str, Any]:
    time = hook.last_error_at
    return {
        **(webhook_json(hook) or {}),
        "errors": hook.errors,
        "limit": ERROR_LIMIT,
        "state": state_of(hook).value,
        "blocked": hook.blocked,
        "last_error": hook.error_message,
        "last_error_at": time.isoformat() if time else hook.last_error,
    }
