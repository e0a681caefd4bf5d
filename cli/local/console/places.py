"""Where events are now, and what a person does about those that are held. Every call blocks."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

from cli.accepting import entry_of, held_because_of, release_all
from cli.local.cloud import LocalCloud
from cli.local.console.notation import bare, message_of, notations
from cli.local.console.recorder import Entry, Recorder
from cli.local.faults import Fault
from cli.output import Output
from cli.target import SECONDS, Names, Target, load_cloud
from core.addresses import address_key
from core.keys import usable_keys
from core.ports import PortError
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX
from core.signature import SignatureKey

_MOST_LISTED: Final = 200


class Places:
    """The queue and the store of a local run."""

    def __init__(self, local: LocalCloud, cloud: str, recorder: Recorder) -> None:
        self._local: Final = local
        self._cloud: Final = cloud
        self._recorder: Final = recorder
        self._lock: Final = threading.Lock()
        self._target: Target | None = None
        self._counts: dict[str, int | None] = {"queue": None, "spool": None, "quarantine": None}

    def state(self) -> dict[str, Any]:
        """Counts and switches; the recorder gets to know what went on meanwhile. Never raises."""
        try:
            depths = self._local.depths()
        except Exception:  # noqa: BLE001 - whatever an emulator's client raises: the page keeps the last counts
            return self._state()
        self._counts = {
            "queue": depths.queue,
            "spool": len(depths.spool),
            "quarantine": len(depths.quarantine),
        }
        places = {_id(key): prefix.rstrip("/") for prefix, keys in
                  ((SPOOL_PREFIX, depths.spool), (QUARANTINE_PREFIX, depths.quarantine)) for key in keys}  # fmt: skip
        queued: set[str] | None = None

        def otherwise(event_id: str) -> str:
            # Looked up at most once, and only when something has left the store.
            nonlocal queued
            if queued is None:
                queued = {str(message["id"]) for message in self._local.messages()}
            return "queue" if event_id in queued else "gone"

        try:
            self._recorder.put_in_place(places, otherwise)
        except Exception:  # noqa: BLE001 - as above
            return self._state()
        return self._state()

    def of(self, entry: Entry) -> dict[str, Any]:
        """The event of a request as it stands on the queue and in the store; empty where it has none."""
        if entry.event_id is None:
            return {}
        copies = [message for message in self._local.messages() if message["id"] == entry.event_id]
        records = [
            {name: record.get(name) for name in ("key", "reason", "address")}
            for record in self._local.stored()
            if record["attributes"].get("id") == entry.event_id
        ]
        found: dict[str, Any] = {"copies": len(copies), "records": records}
        if copies:
            body = entry.body if entry.whole else _body(copies[-1])
            message = message_of(bare(copies[-1]["attributes"], self._cloud), body)
            found |= {"attributes": copies[-1]["attributes"], "notations": notations(message)}
        return found

    def queue(self) -> dict[str, Any]:
        """The latest messages on the queue, newest first, and how many there are."""
        messages = self._local.messages()
        return {"total": len(messages), "items": [_shown(message) for message in messages[: -_MOST_LISTED - 1 : -1]]}

    def store(self) -> dict[str, Any]:
        """The latest events in spool and quarantine, newest first, and how many there are."""
        records = sorted(self._local.stored(), key=lambda record: str(record["key"]).partition("/")[2], reverse=True)
        return {"total": len(records), "items": [_shown(record) for record in records[:_MOST_LISTED]]}

    def keys(self) -> tuple[SignatureKey, ...] | None:
        """The keys in the secret store now, newest first; None while it is broken or holds none."""
        if self._local.faults["keys"].mode is not Fault.NONE:
            return None
        try:
            return usable_keys(self._deployment().secret.read() or "")
        except PortError:
            return None

    def release(self, key: str) -> None:
        """Send a stored event to the queue.

        Raises:
            PortError: it did not go.
            RecordError: it is no record.
        """
        target = self._deployment()
        target.redrive(target.queue).release(key)
        self._recorder.note("release", f"1 event from {key.partition('/')[0]} to the queue")

    def drop(self, key: str) -> None:
        """Delete a stored event.

        Raises:
            PortError: it is still there.
        """
        self._deployment().redrive().drop(key)
        self._recorder.note("drop", f"1 event dropped from {key.partition('/')[0]}")

    def accept(self, address: str) -> dict[str, Any]:
        """Accept an address or a network, and release what was held because of it.

        Raises:
            CliError: it is no address, or the store does not answer.
        """
        entry, network = entry_of(address)
        target = self._deployment()
        try:
            is_new = target.store.put(address_key(entry), b"", {}, SECONDS, only_if_absent=True)
        except PortError as error:
            raise target.failure("the address was not accepted", error) from error
        out = _nobody()
        held = held_because_of(network, target, out)
        released, failures = release_all(held, target, out)
        self._recorder.note("accept", f"{entry} is accepted; {released} of {len(held)} held events released")
        return {"address": entry, "new": is_new, "held": len(held), "released": released, "failed": len(failures)}

    def _deployment(self) -> Target:
        """This run as the other commands see it, through the same proxies: a broken queue is broken for them too."""
        with self._lock:
            if self._target is None:
                names = Names(self._local.queue, self._local.store, self._local.secret)
                self._target = Target("this run", load_cloud(self._cloud), names, is_local=True)
            return self._target

    def _state(self) -> dict[str, Any]:
        faults = {name: proxy.mode.value for name, proxy in self._local.faults.items()}
        return {"counts": dict(self._counts), "faults": faults}


def _id(key: str) -> str:
    return key.rpartition("/")[2].partition("-")[2]


def _body(found: Mapping[str, Any]) -> bytes:
    if "body" in found:
        return str(found["body"]).encode()
    return base64.b64decode(found["body_base64"])


def _shown(found: Mapping[str, Any]) -> dict[str, Any]:
    attributes: Mapping[str, str] = found["attributes"]
    plain = {name.partition(":")[2] or name.removeprefix("ce-"): value for name, value in attributes.items()}
    named = {name: plain.get(name) for name in ("id", "type", "time", "sourceipcheck", "dataref")}
    rest = {name: found[name] for name in ("key", "reason", "address") if name in found}
    return {**named, **rest, "size": len(_body(found))}


def _nobody() -> Output:
    """A voice that nobody hears: the page says what was done."""
    return Output(True, Console(file=io.StringIO()), Console(file=io.StringIO()))
