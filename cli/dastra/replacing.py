"""The steps of a rotation, each of which looks first whether it is done; ``cli.dastra.rotation`` says why these."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cli.dastra.errors import GoneError
from cli.dastra.models import WebHook, same_id
from cli.dastra.registration import Registration, key_of, matching
from cli.dastra.rotation import Journal, Rotation, both_send, deleted, left
from cli.exits import CliError, Exit
from cli.output import advance
from cli.stored_keys import present_keys, write_keys
from cli.target import Target


@dataclass(frozen=True, slots=True)
class Replacing:
    """A rotation as a person asked for it. Times in seconds."""

    registration: Registration
    target: Target
    settle: float
    """How long both webhooks send, and then how long the old key stays."""
    wait: float
    """How long the receiver may take to learn the new key."""
    probe: bool = True
    keep_old: bool = False
    sleep: Callable[[float], None] = time.sleep

    def run(self, old: WebHook | None, rotation: Rotation | None, hooks: Sequence[WebHook]) -> WebHook | None:
        """From wherever it is to its end.

        Args:
            old: the webhook to replace, None where it is gone already.
            rotation: what an earlier run noted.
            hooks: the account's webhooks.

        Returns:
            The new webhook; None where a dry run makes none.

        Raises:
            CliError: a step failed; running it again goes on there.
        """
        steps, journal = self.registration.steps, Journal(self.target)
        new = self._new(old, rotation, hooks)
        if new is None or (steps.dry_run and old is not None):
            self._would(old, new)
            return new
        if old is not None and (rotation is None or not same_id(rotation.new, new.id)):
            fingerprint = key_of(old).fingerprint if old.signature_key else None
            rotation = journal.keep(Rotation(old.id, new.id, fingerprint))
        assert rotation is not None  # noqa: S101 - without the old webhook there is one, or `_new` has raised
        if old is not None:
            new, rotation = self._hand_over(old, new, rotation, journal)
        else:
            steps.already("delete", f"The old webhook {rotation.old} is deleted.")
        if steps.dry_run:
            self._would_remove()
            return new
        rotation = journal.keep(deleted(rotation))
        if self.keep_old:
            steps.already("remove", "Its key stays (--keep-old); run it again without that option, and it is removed.")
            return new
        if rotation.deleted_at is not None:
            self._pause("The old key stays for what is on its way", left(rotation.deleted_at, self.settle))
        self._remove_key(rotation)
        journal.end(rotation)
        return new

    def _new(self, old: WebHook | None, rotation: Rotation | None, hooks: Sequence[WebHook]) -> WebHook | None:
        """The new webhook.

        Without a note the one that an interrupted run made is known by its URL and workspace, and by having no events.
        """
        steps = self.registration.steps
        found = next((hook for hook in hooks if rotation and same_id(hook.id, rotation.new)), None)
        if found is None and old is None:
            raise CliError(
                f"the webhook {rotation.new if rotation else ''} that took the old one's place is gone too.",
                "This makes one: dastra-webhooks register",
                Exit.NOT_FOUND,
            )
        if found is None and old is not None:
            alike = matching(hooks, old.url, old.workspace_id)
            found = next((hook for hook in reversed(alike) if not hook.events and not same_id(hook.id, old.id)), None)
        if found is not None:
            steps.already("create", f"Webhook {found.id} is there to take the place of the old one.")
            return found if found.signature_key else self.registration.api.webhook(found.id)
        if steps.dry_run or old is None:
            return None
        return self.registration.create(old.url, old.workspace_id, hooks)

    def _hand_over(self, old: WebHook, new: WebHook, rotation: Rotation, journal: Journal) -> tuple[WebHook, Rotation]:
        """From the new webhook's key to the end of the old webhook."""
        registration, api = self.registration, self.registration.api
        key = registration.store_key(new)
        if self.probe:
            registration.prove(new, key, self.wait)
        new = registration.subscribe(new, old.events)
        rotation = journal.keep(both_send(rotation))
        # A blocked webhook sends nothing that could be late.
        if rotation.both_since and old.events and not old.blocked:
            self._pause(f"Webhooks {old.id} and {new.id} both send", left(rotation.both_since, self.settle))
        with suppress(GoneError):
            # Somebody may have subscribed the old one to more meanwhile.
            while not set((old := api.webhook(old.id)).events) <= set(new.events):
                new = registration.subscribe(new, old.events)
                self._pause(f"Webhooks {old.id} and {new.id} both send", self.settle)
        with registration.steps.out.status("Deleting the old webhook"):
            api.delete_webhook(old.id)
        registration.steps.done("delete", f"The old webhook {old.id} is deleted.")
        return new, rotation

    def _remove_key(self, rotation: Rotation) -> None:
        steps = self.registration.steps
        if rotation.old_key is None:
            steps.out.warn("Dastra did not show the old key, so which one it is is not known; all keys stay.")
            return
        present = present_keys(self.target, steps.out)
        kept = [key for key in present if key.fingerprint != rotation.old_key]
        if len(kept) == len(present):
            steps.already("remove", f"The old key {rotation.old_key} is not in the secret store.")
            return
        in_use = {key_of(hook).fingerprint for hook in self.registration.api.webhooks() if hook.signature_key}
        if not kept or rotation.old_key in in_use:
            steps.out.warn(f"the key {rotation.old_key} stays: it is the only one, or another webhook's.")
            return
        write_keys(self.target, kept, steps.out)
        left = "receivers forget it within 15 minutes, older versions of the secret keep it"
        steps.done("remove", f"The old key {rotation.old_key} is taken out of the secret: {left}.")

    def _pause(self, why: str, seconds: float) -> None:
        if seconds <= 0:
            return
        out, whole = self.registration.steps.out, max(1, round(seconds))
        if not out.stderr.is_terminal:
            out.note(f"{why}: waiting {seconds:.0f} s.")
        with out.bar(why, whole) as bar:
            for _ in range(whole):
                self.sleep(seconds / whole)
                advance(bar)

    def _would(self, old: WebHook | None, new: WebHook | None) -> None:
        if old is None:
            return
        steps = self.registration.steps
        if new is None:
            self.registration.would_do_all(old.url, old.events)
        else:
            key = self.registration.store_key(new)
            self.registration.prove(new, key, self.wait)
            self.registration.subscribe(new, old.events)
        steps.would("delete", f"Let both send for {self.settle:g} s, then delete webhook {old.id}.")
        self._would_remove()

    def _would_remove(self) -> None:
        if not self.keep_old:
            self.registration.steps.would("remove", f"After {self.settle:g} s more remove the old key from there.")
