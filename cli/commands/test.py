"""`dastra-webhooks test`: Dastra posts its own sample, and the command follows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from cli.commands.register import workspace_id
from cli.dastra.access import ApiKeyFile, ApiUrl, open_api
from cli.dastra.client import DastraApi
from cli.dastra.errors import GoneError
from cli.dastra.following import QUEUE, Seen, Trail
from cli.dastra.models import WebHook, same_id
from cli.dastra.urls import short_url
from cli.exits import CliError, Exit
from cli.output import GOOD, HELD, Output, grid
from cli.samples import event_types, sample, suggestion
from cli.target import Target, Where

_EVERY: Final = 0.5
"""Seconds between looks; each asks Dastra once, whose limit is 500 a minute."""
_BLIND: Final = (
    "What is on the queue cannot be seen from here without taking it from your consumers: look at what they got, or at "
    "the receiver's log (the line `accepted` with this event type)."
)


@dataclass(frozen=True, slots=True)
class _Outcome:
    state: str
    """``queue``, ``spool``, ``quarantine``, ``refused``, or ``unseen``."""
    seen: Seen | None = None
    said: str | None = None


def ask_for_sample(
    where: Where,
    out: Output,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event type whose sample Dastra is to post.")],
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook", metavar="ID", help="Which webhook is to send; the only one by default.", show_default=False
        ),
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", metavar="ID", help="Look among this workspace's webhooks.", show_default=False),
    ] = None,
    wait: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", min=0, help="How long to look for it; Dastra may take 120 seconds."),
    ] = 150,
    api_key_file: ApiKeyFile = None,
    api_url: ApiUrl = None,
) -> None:
    """Have Dastra post its sample of an event type to a webhook, and see where it arrives.

    On the local run it is followed to the queue. Of a deployment the store can be seen, so a sample that is held or
    spooled is told; its queue cannot be read without taking messages from your consumers, so that it arrived there is
    concluded: Dastra counted no error and nothing was stored. Without a deployment only Dastra's count is looked at.

    Dastra's API has had several endpoints for this; the one with the webhook's id is tried first, then those of other
    years. Inferred, since Dastra does not document it: the sample is signed with the webhook's key, and an answer other
    than 200 counts as one of the five errors. Ids in the sample may not exist.

    Examples:
      dastra-webhooks test TaskCreation
      dastra-webhooks test DataSubjectCreation --webhook 17 --stack dastra
    """
    if event not in event_types():
        out.warn(f"{event} is none of the event types that Dastra documents. {suggestion(event)}")
    target = _target(where, out)
    with open_api(api_key_file, api_url, out) as api:
        with out.status("Reading the webhooks"):
            hook = _choose(webhook, api.webhooks(workspace_id(workspace) if workspace else None))
        if hook.blocked:
            out.warn(f"webhook {hook.id} is blocked by Dastra: it may send nothing. dastra-webhooks rotate {hook.id}")
        trail = Trail(target) if target else None
        with out.status("Asking Dastra for its sample"):
            _ask(api, hook, event)
        if not out.as_json:
            out.say(("✓ ", GOOD), f"Dastra posts its sample of {event} to {short_url(hook.url)} (webhook {hook.id}).")
        with out.status(f"Following it for up to {wait:g} s; Ctrl-C ends that"):
            outcome = _follow(api, hook, event, trail, wait)
    _tell(outcome, hook, event, trail, target, out)


def _target(where: Where, out: Output) -> Target | None:
    try:
        return where.find(out)
    except CliError as error:
        if error.code != Exit.NO_DEPLOYMENT or where.stack or where.local:
            raise
        return None


def _choose(id_: str | None, hooks: Sequence[WebHook]) -> WebHook:
    if id_ is None and len(hooks) == 1:
        return hooks[0]
    found = next((hook for hook in hooks if id_ is not None and same_id(hook.id, id_)), None)
    if found is not None:
        return found
    lines = "\n".join(f"  {hook.id}  {short_url(hook.url)}" for hook in hooks[:20])
    raise CliError(
        f"there is no webhook {id_}." if id_ else f"which webhook is not said; there are {len(hooks)}.",
        f"There is:\n{lines}\nName one with --webhook ID." if hooks else "This makes one: dastra-webhooks register",
        Exit.USAGE if hooks and not id_ else Exit.NOT_FOUND,
    )


def _ask(api: DastraApi, hook: WebHook, event: str) -> None:
    """Ask at the first endpoint that is there."""
    ways: tuple[Callable[[], object], ...] = (
        lambda: api.test_webhook(hook.id, event),
        lambda: api.test_payload(_payload(hook, event)),
        lambda: api.test_event(event),
    )
    for way in ways:
        try:
            way()
        except GoneError:
            continue
        return
    raise CliError(
        "Dastra's API has none of the known endpoints for a test any more, or this key may not use them.",
        "Use the button on Dastra's page of webhooks: Send a test webhook.",
        Exit.NOT_FOUND,
    )


def _payload(hook: WebHook, event: str) -> dict[str, Any]:
    """What ``POST /v1/WebHookUrls/test`` takes (``WebhookPayload``), with invented data."""
    return {
        "webhookId": hook.id,
        "signatureUrl": hook.url,
        "date": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventType": event,
        "data": {"sample": sample(event).nonce},
    }


def _follow(api: DastraApi, hook: WebHook, event: str, trail: Trail | None, wait: float) -> _Outcome:
    ends_at = time.monotonic() + wait
    while True:
        if trail and (seen := trail.find(hook.id, event)):
            return _Outcome(seen.place, seen)
        after = api.webhook(hook.id)
        if after.errors > hook.errors or (after.last_error or "") != (hook.last_error or ""):
            return _Outcome("refused", said=" ".join((after.error_message or "").split()) or None)
        if time.monotonic() >= ends_at:
            return _Outcome("unseen")
        time.sleep(min(_EVERY, max(0.0, ends_at - time.monotonic())))


def _tell(
    outcome: _Outcome, hook: WebHook, event: str, trail: Trail | None, target: Target | None, out: Output
) -> None:
    seen = outcome.seen
    if out.as_json:
        shown = {"event_type": event, "webhook": hook.id, "outcome": outcome.state, "said": outcome.said}
        out.data({**shown, "attributes": dict(seen.attributes) if seen else None})
    elif seen is not None and seen.place == QUEUE:
        out.say(("✓ ", GOOD), "It is on the queue:")
        out.show(grid(seen.attributes.items()))
    elif seen is not None:
        why = f" ({seen.reason}{f', from {seen.address}' if seen.address else ''})" if seen.reason else ""
        out.say(("! ", HELD), f"It is authentic, and in {seen.place}{why}.")
        out.note(_NEXT.get(seen.reason or "", f"Next: dastra-webhooks {seen.place} list"))
    if outcome.state == "refused":
        raise CliError(
            f"Dastra counted an error for webhook {hook.id}" + (f": {outcome.said}." if outcome.said else "."),
            "The receiver's log says why. A wrong key: dastra-webhooks key list, dastra-webhooks register",
        )
    if outcome.state == "unseen":
        if trail is not None and trail.sees_queue:
            raise CliError(
                "it has not come to the local run in that time, and Dastra counted no error.",
                f"Does {short_url(hook.url)} lead to the local run? Dastra may also be late: --wait 300.",
            )
        if not out.as_json:
            where = "and nothing is held or spooled" if target else "which is all that can be seen without a deployment"
            out.say(("✓ ", GOOD), f"Dastra counted no error, {where}.")
            if target:
                out.note(_BLIND)


_NEXT: Final = {
    "unlisted_address": "Next, if the address is Dastra's: dastra-webhooks addresses",
}
