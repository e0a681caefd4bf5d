"""The steps from a URL to a webhook that sends: each looks first, so that all of them can be run again at any time.

A webhook begins without events, so none comes before its key is in the secret store and the receiver has taken it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cli.dastra.client import DastraApi
from cli.dastra.errors import DastraError, UnsureError
from cli.dastra.models import Id, WebHook, same_id
from cli.dastra.probe import put_away, wait_until_taken
from cli.dastra.steps import Steps
from cli.dastra.urls import same_url, short_url
from cli.exits import CliError, Exit
from cli.output import plural
from cli.stored_keys import present_keys, write_keys
from cli.target import Target
from core.signature import SignatureKey

_FEW: Final = 6


@dataclass(frozen=True, slots=True)
class Registration:
    """An account, a deployment (None: whoever is there keeps the key), and where the steps are told."""

    api: DastraApi
    target: Target | None
    steps: Steps

    def create(self, url: str, workspace: Id | None, hooks: Sequence[WebHook]) -> WebHook:
        """A webhook without events.

        Args:
            url: the receiver's URL.
            workspace: the workspace, None for all.
            hooks: those that were there before.

        Raises:
            CliError: Dastra refused, or it is not known whether it was made.
        """
        out = self.steps.out
        try:
            with out.status("Creating the webhook"):
                made = self.api.create_webhook(url, workspace)
        except UnsureError:
            # Never blindly again: a second webhook would send every event twice.
            with out.status("Looking whether the webhook was created"):
                known = [hook.id for hook in hooks]
                found = [
                    hook for hook in matching(self.api.webhooks(workspace), url, workspace) if hook.id not in known
                ]
            if not found:
                raise
            made = found[-1]
        self.steps.done("create", f"Webhook {made.id} is created, without events.")
        return made if made.signature_key else self.api.webhook(made.id)

    def store_key(self, hook: WebHook) -> SignatureKey:
        """Put a webhook's key first in the secret store; those that are there stay behind it.

        Raises:
            CliError: Dastra does not show the key, or the secret store does not take it.
        """
        key = key_of(hook)
        if self.target is None:
            return key
        out = self.steps.out
        present = present_keys(self.target, out)
        if key in present:
            self.steps.already("key", f"Its key {key.fingerprint} is in the secret store ({self.target.title}).")
            return key
        if self.steps.dry_run:
            self.steps.would("key", _would_store(self.target, len(present)))
            return key
        write_keys(self.target, (key, *present), out)
        beside = f", before {plural(len(present), 'earlier one')}" if present else ""
        self.steps.done("key", f"Its key {key.fingerprint} is put into the secret store ({self.target.title}){beside}.")
        return key

    def prove(self, hook: WebHook, key: SignatureKey, seconds: float) -> None:
        """Wait until the receiver takes the key.

        Raises:
            CliError: it does not within ``seconds``.
        """
        if self.steps.dry_run:
            self.steps.would("probe", f"Post a signed sample to {short_url(hook.url)} until it is taken.")
            return
        probed = wait_until_taken(hook.url, key, self.steps.out, seconds)
        if self.target is not None:
            put_away(probed, self.target, self.steps.out)
        self.steps.done("probe", f"The receiver takes it: a signed sample was {probed.verdict}.")

    def subscribe(self, hook: WebHook, events: Iterable[str]) -> WebHook:
        """Add events to those that a webhook has. What it has stays.

        Raises:
            CliError: Dastra refused, or shows afterwards that it did not do it.
        """
        wanted = tuple(dict.fromkeys((*hook.events, *events)))
        missing = [name for name in wanted if name not in hook.events]
        if not missing:
            self.steps.already("events", f"It is subscribed to {named(wanted)}.")
            return hook
        if self.steps.dry_run:
            self.steps.would("events", f"Subscribe it to {named(missing)}.")
            return hook
        with self.steps.out.status("Subscribing"):
            self.api.subscribe(hook, wanted)
            after = self.api.webhook(hook.id)
        lacking = [name for name in missing if name not in after.events]
        if lacking:
            raise DastraError(
                f"Dastra did not take {named(lacking)}.",
                "Is that an event type it still has? Its page of webhooks shows which can be chosen.",
            )
        self.steps.done("events", f"It is subscribed to {named(missing)}.")
        return after

    def would_do_all(self, url: str, events: Sequence[str]) -> None:
        """Tell the steps of a webhook that is not there yet."""
        self.steps.would("create", "Create a webhook, without events.")
        if self.target is None:
            self.steps.would("key", "Show its key, once.")
        else:
            self.steps.would("key", _would_store(self.target, len(present_keys(self.target, self.steps.out))))
        self.steps.would("probe", f"Post a signed sample to {short_url(url)} until it is taken.")
        self.steps.would("events", f"Subscribe it to {named(events)}.")


def matching(hooks: Iterable[WebHook], url: str, workspace: Id | None) -> list[WebHook]:
    """The webhooks of a URL and a workspace, in Dastra's order. One that names no workspace at all is not left out."""
    return [
        hook
        for hook in hooks
        if same_url(hook.url, url)
        and (same_id(hook.workspace_id, workspace) or not hook.model_fields_set & {"own_workspace_id", "workspace"})
    ]


def key_of(hook: WebHook) -> SignatureKey:
    """A webhook's key.

    Raises:
        CliError: Dastra does not show it.
    """
    if hook.signature_key is None:
        raise CliError(
            f"Dastra does not show the key of webhook {hook.id}.",
            f"This makes a new webhook, whose key is shown, in its place: dastra-webhooks rotate {hook.id}\n"
            "Or copy the key from Dastra's page of webhooks: dastra-webhooks key set --add",
            Exit.FAILED,
        )
    return SignatureKey(hook.signature_key.get_secret_value())


def named(events: Sequence[str]) -> str:
    """Event types for a sentence: a few by name, many by their number."""
    if len(events) > _FEW:
        return plural(len(events), "event type")
    return ", ".join(events) or "no events"


def _would_store(target: Target, present: int) -> str:
    beside = f", before {plural(present, 'earlier one')}" if present else ""
    return f"Put its key into the secret store ({target.title}){beside}."
