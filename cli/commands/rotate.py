"""`dastra-webhooks rotate`: a new webhook with a new key in the place of an old one, while events flow."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cli.commands.register import DryRunOption, NoProbeOption, WaitOption, webhook_json, workspace_id
from cli.dastra.access import ApiKeyFile, ApiUrl, open_api
from cli.dastra.models import WebHook
from cli.dastra.registration import Registration
from cli.dastra.replacing import Replacing
from cli.dastra.rotation import Journal, Rotation, choose_old
from cli.dastra.steps import Steps
from cli.dastra.urls import short_url
from cli.exits import CliError, Exit
from cli.options import YesOption
from cli.output import Output
from cli.target import Where

LATEST: Final = 130
"""Seconds after which Dastra has delivered or given up: 120 of delay and 10 of patience (its webhook page)."""
SettleOption = Annotated[
    float,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        min=0,
        help="How long both webhooks send, and then how long the old key is still taken.",
    ),
]


def rotate(
    where: Where,
    out: Output,
    webhook: Annotated[
        str | None,
        typer.Argument(
            metavar="WEBHOOK", help="The webhook to replace, by its id; the only one by default.", show_default=False
        ),
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", metavar="ID", help="Look among this workspace's webhooks.", show_default=False),
    ] = None,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Leave the old key in the secret store.")] = False,
    settle: SettleOption = 150,
    no_probe: NoProbeOption = False,
    wait: WaitOption = 60,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    api_key_file: ApiKeyFile = None,
    api_url: ApiUrl = None,
) -> None:
    """Replace a webhook in Dastra by a new one with a new key. Also the way to replace one that Dastra has blocked.

    A new webhook is made without events; its key goes before the old one into the deployment's secret store; a signed
    sample is posted until the receiver takes it; the new webhook gets the events of the old one. Then both send for a
    while, the old webhook is deleted, and after the same while again its key is removed.

    Dastra delivers up to 120 seconds late, and is not known to deliver for a webhook that is gone, nor known not to. So
    both send for longer than that (--settle): events of that time come twice, none is lost, and none is refused. The
    old key stays for as long after the deletion. With --keep-old the command ends before that; run it again without,
    and it removes the key.

    Run it again after an interruption: what is done is noted in the deployment's store, and it goes on from there.

    Inferred, since Dastra does not document it: that two webhooks may have the same URL, and that a deleted webhook
    needs no longer than a delivery's delay to fall silent.

    Examples:
      dastra-webhooks rotate 17
      dastra-webhooks rotate 17 --dry-run
      dastra-webhooks rotate 17 --keep-old --yes
    """
    target = where.find(out)
    steps = Steps(out, dry_run)
    with open_api(api_key_file, api_url, out) as api:
        with out.status("Reading the webhooks"):
            hooks = api.webhooks(workspace_id(workspace) if workspace else None)
            begun = Journal(target).find(webhook)
        old = choose_old(str(begun.old) if begun else webhook, hooks)
        if old is None and begun is None:
            raise CliError(
                f"there is no webhook {webhook}, and no rotation of it is under way.",
                "This lists them: dastra-webhooks status",
                Exit.NOT_FOUND,
            )
        if not dry_run:
            out.confirm(_question(old, begun, settle), yes=yes)
        replacing = Replacing(
            Registration(api, target, steps), target, settle, wait, probe=not no_probe, keep_old=keep_old
        )
        try:
            new = replacing.run(old, begun, hooks)
        except KeyboardInterrupt:
            out.note("\nRun the same command again, and it goes on from here.")
            raise
    if out.as_json:
        out.data({"webhook": webhook_json(new), "steps": steps.told})
    elif dry_run:
        out.note("Nothing was changed (--dry-run).")


def _question(old: WebHook | None, begun: Rotation | None, settle: float) -> str:
    hasty = f" {settle:g} s is less than the {LATEST} s that Dastra may be late: events may be lost." * (
        settle < LATEST
    )
    if begun is not None:
        return f"Go on with the rotation of webhook {begun.old}, which deletes it and its key in the end?{hasty}"
    if old is None:
        return "Go on?"
    return f"Replace webhook {old.id} ({short_url(old.url)}), and delete it and its key in the end?{hasty}"
