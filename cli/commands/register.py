"""`dastra-webhooks register`: a webhook in Dastra, its key in the deployment, and only then its events."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Final

import typer

from cli.dastra.access import ApiKeyFile, ApiUrl, open_api
from cli.dastra.models import Id, WebHook
from cli.dastra.probe import takes
from cli.dastra.registration import Registration, key_of, matching
from cli.dastra.steps import Steps
from cli.exits import CliError, Exit
from cli.output import NAME, Output
from cli.samples import event_types, suggestion
from cli.sending import check_url, is_loopback
from cli.target import Target, Where

_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)
WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long the receiver may take to learn the key.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]
NoProbeOption = Annotated[
    bool,
    typer.Option(
        "--no-probe", help="Do not try the key on the receiver first: where it refuses this machine's address."
    ),
]


def register(
    where: Where,
    out: Output,
    workspace: Annotated[
        str, typer.Option("--workspace", metavar="ID", help="The workspace whose events are wanted, by its id.")
    ],
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="Where Dastra is to post, perhaps a domain of yours; by default the deployment's own endpoint.",
            show_default=False,
        ),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--events", metavar="TYPE,…", help="The events to subscribe, with commas or repeated.", show_default=False
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Subscribe every event type that Dastra documents.")] = False,
    show_key: Annotated[
        bool,
        typer.Option("--show-key", help="Print the key once, for a store of your own, in place of storing it."),
    ] = False,
    no_probe: NoProbeOption = False,
    wait: WaitOption = 60,
    dry_run: DryRunOption = False,
    api_key_file: ApiKeyFile = None,
    api_url: ApiUrl = None,
) -> None:
    """Register the deployed receiver in Dastra.

    The webhook is created without events; its key goes from Dastra's answer into the deployment's secret store, before
    the keys that are there; a signed sample is posted until the receiver takes it; and only then the events are
    subscribed. So no event comes that the receiver would refuse. Run it again at any time, also after an interruption:
    it finds the webhook of this URL and workspace, and does what is missing. It never takes an event away.

    The sample reaches your queue; its field `sample` tells a consumer to drop it. Where this machine's address is not
    on the receiver's list, the sample is held instead, its alarm is raised, and it is removed again.

    Inferred, since Dastra does not document it: that it shows a webhook's key also later than at its creation. Where it
    does not, and a run was interrupted in between, `dastra-webhooks rotate` makes a new one. Event types are those of
    Dastra's API description of August 2022 (dastra-webhooks send --events); others are let through with a warning.

    Examples:
      dastra-webhooks register --stack dastra --workspace 7 --all --dry-run
      dastra-webhooks register https://example.org/dastra --workspace 7 --events DataSubjectCreation,TaskCreation
      # a store of your own: the key is printed, and the command waits until the receiver takes it
      dastra-webhooks register https://example.org/dastra --workspace 7 --all --show-key
    """
    given = url and check_url(url)
    wanted = _wanted(events or [], every=every, out=out)
    url, target = _places(given, where, out, show_key=show_key)
    if url.startswith("http:") and not is_loopback(url):
        out.warn("http:// would send the events in clear; give Dastra an https:// URL.")
    if target and target.is_local and not is_loopback(url):
        out.warn(f"the key goes to {target.title}; does the URL lead there? --stack NAME names a deployment.")
    steps = Steps(out, dry_run)
    with open_api(api_key_file, api_url, out) as api:
        registration = Registration(api, target, steps)
        with out.status("Reading the webhooks"):
            hooks = api.webhooks(workspace_id(workspace))
        found = _found(matching(hooks, url, workspace_id(workspace)), out)
        if found is None and dry_run:
            registration.would_do_all(url, wanted)
            _result(out, steps, None)
            return
        if found is None:
            hook = registration.create(url, workspace_id(workspace), hooks)
        else:
            hook = found if found.signature_key else api.webhook(found.id)
            steps.already("create", f"Webhook {hook.id} is there for this URL and workspace.")
        proven = show_key and _handed_over(hook, steps, new=found is None, no_probe=no_probe)
        key = registration.store_key(hook)
        if not no_probe and not proven:
            registration.prove(hook, key, wait)
        hook = registration.subscribe(hook, wanted)
    _result(out, steps, hook)


def workspace_id(text: str) -> Id:
    """A workspace's id as Dastra writes it: a number where it is one."""
    return int(text) if text.isascii() and text.isdigit() else text


def webhook_json(hook: WebHook | None) -> dict[str, Any] | None:
    """A webhook as ``--json`` shows it; without its key."""
    if hook is None:
        return None
    return {"id": hook.id, "url": hook.url, "workspace": hook.workspace_id, "events": list(hook.events)}


def _wanted(given: list[str], *, every: bool, out: Output) -> tuple[str, ...]:
    names = [name.strip() for part in given for name in part.split(",") if name.strip()]
    if bool(names) == every:
        raise CliError(
            "which events is not said." if not every else "--all and --events exclude each other.",
            "Give --events TYPE,… or --all. This lists them: dastra-webhooks send --events",
            Exit.USAGE,
        )
    known = event_types()
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise CliError(f"{name!r} is no event type.", suggestion(name), Exit.USAGE)
        if name not in known:
            out.warn(f"{name} is none of the event types that Dastra documents. {suggestion(name)}")
    return tuple(dict.fromkeys(names)) if names else known


def _places(url: str | None, where: Where, out: Output, *, show_key: bool) -> tuple[str, Target | None]:
    """Where Dastra is to post, and the deployment that gets the key; none where the key is shown instead."""
    if url and show_key:
        return url, None
    target = where.find(out)
    return url or target.url, None if show_key else target


def _found(found: list[WebHook], out: Output) -> WebHook | None:
    """The one to go on with: one that has events already, else the newest."""
    if not found:
        return None
    chosen = next((hook for hook in found if hook.events), found[-1])
    if len(found) > 1:
        others = ", ".join(str(hook.id) for hook in found if hook is not chosen)
        out.warn(f"there are {len(found)} webhooks for this URL and workspace; {others} may send events twice.")
    if chosen.blocked:
        out.warn(
            f"webhook {chosen.id} is blocked by Dastra, and stays so as far as is known. "
            f"This replaces it: dastra-webhooks rotate {chosen.id}"
        )
    return chosen


def _handed_over(hook: WebHook, steps: Steps, *, new: bool, no_probe: bool) -> bool:
    """Show the key, unless the receiver has it, which is answered with True."""
    out, key = steps.out, key_of(hook)
    if steps.dry_run:
        steps.would("key", "Show its key, unless the receiver takes it already.")
        return False
    if not new and (no_probe or takes(hook.url, key)):
        steps.already("key", f"The receiver has its key {key.fingerprint}.")
        return True
    if out.as_json:
        out.data({"webhook": webhook_json(hook), "steps": steps.told, "signature_key": key.reveal()})
    else:
        out.say("The key, shown this once: ", (key.reveal(), NAME))
    if not sys.stdin.isatty() or out.as_json:
        raise CliError(
            "the key is shown, and no event is subscribed yet.",
            "Put it into the receiver's secret store, then run the same command again.",
        )
    out.stderr.print("Put it into the receiver's secret store, then press Enter. ", end="")
    input()
    return False


def _result(out: Output, steps: Steps, hook: WebHook | None) -> None:
    if out.as_json:
        out.data({"webhook": webhook_json(hook), "steps": steps.told})
    elif steps.dry_run:
        out.note("Nothing was changed (--dry-run).")
    elif hook is not None:
        out.note(f"Next: dastra-webhooks test {hook.events[0] if hook.events else 'EVENT'} --webhook {hook.id}")
