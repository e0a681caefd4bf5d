"""Dastra, as far as this project meets it: a server on 127.0.0.1 that keeps webhooks, and posts signed events to them.

It follows Dastra's public API description and webhook page. What those leave open it decides in the way that is
hardest on us, or as its `Manner` says. `python -m tests.dastra` runs it by hand. All its data is invented.

More of the API plugs in with `StandIn.route`, and hears of what happens in the account through `StandIn.on_event`:
see ``tests/dastra/logs.py``.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

import httpx

from cli.samples import event_types
from tests import planted
from tests.dastra.troubles import Kind, Trouble
from tests.dastra.wire import Reply, Request, Route, Wire, refusal

API_KEY: Final = planted.key("dprv-5f1b0c9e7a3d48c2b6e4-invented")
LIMIT: Final = 5
"""Errors at which a webhook is blocked."""
_PATIENCE: Final = 10.0
_WORKERS: Final = 32
_HOOKS: Final = r"/v1/WebHookUrls"


@dataclass(frozen=True)
class Manner:
    """What is not known about Dastra, or has changed over the years."""

    delay: float = 0.0
    """Seconds between an event and its delivery; up to 120 in reality."""
    shows_keys: bool = True
    """Whether a webhook's key is in every answer, or only in the one to its creation."""
    pages: int | None = None
    """Lists come as ``{items, total, size, page}`` with so many items; None: as a bare array."""
    tests_by_webhook: bool = True
    """Whether ``/test/{webhookId}/{evt}`` is there."""
    tests_by_payload: bool = True
    """Whether ``POST /test`` is there."""
    tests_by_event: bool = False
    """Whether there is ``/test/{evt}``, as in 2021."""
    drops_on_delete: bool = True
    """Whether events that wait for their delivery go with their webhook."""
    strict: bool = True
    """Whether an event type that the description lacks is refused."""
    zones: bool = False
    """Whether dates have a zone, as the description says; the one documented sample has none."""

    def date(self, moment: datetime) -> str:
        """A date as .NET writes it, with seven digits."""
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%f0") + "Z" * self.zones


@dataclass(frozen=True)
class Happening:
    """Something that happened in the account."""

    id: str
    event_type: str
    workspace: int | None
    date: datetime
    data: dict[str, Any]


@dataclass
class Hook:
    """A webhook."""

    id: int
    url: str
    workspace: int | None
    events: list[str]
    key: str = field(default_factory=lambda: planted.key(str(uuid.uuid4())))
    errors: int = 0
    blocked: bool = False
    message: str | None = None
    last_error: datetime | None = None

    def failed(self, why: str) -> None:
        """Count an error."""
        self.errors += 1
        self.message, self.last_error = why, datetime.now(UTC)
        self.blocked = self.errors >= LIMIT

    def as_json(self, manner: Manner, *, new: bool = False) -> dict[str, Any]:
        """``WebHookUrlDto``."""
        shown: dict[str, Any] = {
            "id": self.id,
            "url": self.url,
            "workSpaceId": self.workspace,
            "subscribedEvents": list(self.events),
            "nbErrors": self.errors,
            "inError": self.blocked,
            "errorMessage": self.message,
            "dateLastError": self.last_error and manner.date(self.last_error),
        }
        if self.workspace is not None:
            shown["workSpace"] = {"id": self.workspace, "label": f"Invented workspace {self.workspace}"}
        return shown | ({"signatureKey": self.key} if new or manner.shows_keys else {})


@dataclass(frozen=True)
class Delivery:
    """One POST to a webhook: what was sent, and the answer's status, None where none came."""

    hook: int
    happening: str
    body: bytes
    status: int | None


@dataclass(frozen=True)
class Right:
    """What an API key may do: verbs on webhooks, and where."""

    verbs: frozenset[str] = frozenset({"GET", "POST", "PUT", "DELETE"})
    workspace: int | None = None


class StandIn:
    """An account at Dastra, while the `with` block runs."""

    def __init__(self, manner: Manner | None = None, *, port: int = 0, source: str | None = None) -> None:
        """``source`` is the address of this machine that events come from, where it has several."""
        self.manner = manner or Manner()
        self.wire: Final = Wire(port, self._admit)
        self.rights: Final = {API_KEY: Right()}
        self.hooks: Final[dict[int, Hook]] = {}
        self.deliveries: Final[list[Delivery]] = []
        self.happened: Final[list[Happening]] = []
        self.on_event: Final[list[Callable[[Happening], None]]] = []
        self._lock: Final = threading.RLock()
        self._pool: Final = ThreadPoolExecutor(_WORKERS, "dastra-delivery")
        self._ended: Final = threading.Event()
        # Without certificates, whose reading takes its time: it posts to this machine only.
        transport = httpx.HTTPTransport(verify=False, local_address=source)
        self._client: Final = httpx.Client(timeout=_PATIENCE, trust_env=False, transport=transport)
        self._next = 100
        self.route("GET", _HOOKS, self._list)
        self.route("POST", _HOOKS, self._create)
        self.route("GET", rf"{_HOOKS}/(\d+)", self._read)
        self.route("PUT", rf"{_HOOKS}/(\d+)", self._update)
        self.route("DELETE", rf"{_HOOKS}/(\d+)", self._delete)
        self.route("GET", rf"{_HOOKS}/test/(\d+)/(\w+)", self._test_by_webhook)
        self.route("GET", rf"{_HOOKS}/test/(\w+)", self._test_by_event)
        self.route("POST", rf"{_HOOKS}/test", self._test_by_payload)

    @property
    def url(self) -> str:
        """The API's address."""
        return self.wire.url

    @property
    def environment(self) -> dict[str, str]:
        """What leads the commands here."""
        return {"DASTRA_API_URL": self.url, "DASTRA_API_KEY": API_KEY}

    @property
    def requests(self) -> list[Request]:
        """Every request so far."""
        return self.wire.requests

    def __enter__(self) -> Self:
        self.wire.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.wire.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def route(self, method: str, path: str, route: Route) -> None:
        """Answer one more kind of request."""
        self.wire.route(method, path, route)

    def trouble(self, kind: Kind, method: str = ".*", path: str = ".*", **more: Any) -> Trouble:
        """Let something befall requests; see `Trouble`."""
        return self.wire.troubles.add(Trouble(kind, method, path, **more))

    def calls(self, method: str = ".*", path: str = ".*") -> list[str]:
        """The requests so far of a method and a path, as ``METHOD path``."""
        return [
            f"{request.method} {request.path}"
            for request in list(self.requests)
            if re.fullmatch(method, request.method) and re.fullmatch(path, request.path)
        ]

    def add(self, url: str, workspace: int | None = 1, events: tuple[str, ...] = (), **fields: Any) -> Hook:
        """A webhook that somebody made by hand."""
        with self._lock:
            self._next += 1
            hook = Hook(self._next, url, workspace, list(events), **fields)
            self.hooks[hook.id] = hook
            return hook

    def happen(self, event_type: str, workspace: int = 1, **data: Any) -> Happening:
        """Something happens: it is delivered to every webhook that has subscribed to it."""
        id_ = str(uuid.uuid4())
        happening = Happening(
            id_, event_type, workspace, datetime.now(UTC), {"id": planted.nonce(), "about": planted.MARKER, **data}
        )
        with self._lock:
            self.happened.append(happening)
            for tell in self.on_event:
                tell(happening)
            wanted = [
                hook
                for hook in self.hooks.values()
                if event_type in hook.events and not hook.blocked and hook.workspace in (None, workspace)
            ]
        for hook in wanted:
            self._pool.submit(self._deliver, hook, happening, time.monotonic() + self.manner.delay)
        return happening

    def settle(self, seconds: float = 10) -> None:
        """Return when nothing waits for its delivery."""
        # Every worker takes one of these after all that is ahead of it.
        gate = threading.Barrier(_WORKERS + 1, timeout=seconds)
        for _ in range(_WORKERS):
            self._pool.submit(gate.wait)
        gate.wait()

    def refused(self) -> list[Delivery]:
        """Deliveries that were not answered 200."""
        return [delivery for delivery in list(self.deliveries) if delivery.status != 200]

    def _admit(self, request: Request) -> Reply | None:
        right = self.rights.get(request.headers.get("x-api-key", ""))
        if right is None:
            return Reply(None, 401)
        if request.path.startswith("/v1/WebHookUrls") and request.method not in right.verbs:
            return Reply(None, 403)
        return None

    def _visible(self, request: Request) -> list[Hook]:
        right = self.rights[request.headers["x-api-key"]]
        return [hook for hook in self.hooks.values() if right.workspace in (None, hook.workspace)]

    def _list(self, request: Request) -> Reply:
        workspace = request.one("workspaceId")
        with self._lock:
            shown = [
                hook.as_json(self.manner)
                for hook in self._visible(request)
                if workspace is None or str(hook.workspace) == workspace
            ]
        if self.manner.pages is None:
            return Reply(shown)
        number, size = int(request.one("page") or 1), self.manner.pages
        items = shown[(number - 1) * size : number * size]
        return Reply({"items": items, "total": len(shown), "size": size, "page": number})

    def _create(self, request: Request) -> Reply:
        body = request.body
        if not isinstance(body, dict) or not body.get("url"):
            return refusal(400, "One or more validation errors occurred.", url=["The url field is required."])
        right = self.rights[request.headers["x-api-key"]]
        if right.workspace is not None and body.get("workSpaceId") != right.workspace:
            return Reply(None, 403)
        if wrong := self._unknown(body):
            return wrong
        hook = self.add(body["url"], body.get("workSpaceId"), tuple(body.get("subscribedEvents") or ()))
        return Reply(hook.as_json(self.manner, new=True))

    def _find(self, request: Request) -> Hook | None:
        hook = self.hooks.get(int(request.found[0]))
        return hook if hook in self._visible(request) else None

    def _read(self, request: Request) -> Reply:
        hook = self._find(request)
        return Reply(hook.as_json(self.manner)) if hook else Reply(None, 404)

    def _update(self, request: Request) -> Reply:
        with self._lock:
            hook = self._find(request)
            if hook is None:
                return Reply(None, 404)
            if wrong := self._unknown(request.body):
                return wrong
            hook.url, hook.workspace = request.body["url"], request.body.get("workSpaceId")
            hook.events = list(request.body.get("subscribedEvents") or ())
        return Reply()

    def _delete(self, request: Request) -> Reply:
        with self._lock:
            hook = self._find(request)
            if hook is None:
                return Reply(None, 404)
            del self.hooks[hook.id]
            return Reply()

    def _test_by_webhook(self, request: Request) -> Reply:
        hook = self._find(request)
        if hook is None or not self.manner.tests_by_webhook:
            return Reply(None, 404)
        return self._test([hook], request.found[1])

    def _test_by_payload(self, request: Request) -> Reply:
        hook = self.hooks.get(int(request.body.get("webhookId") or 0))
        if hook is None or not self.manner.tests_by_payload:
            return Reply(None, 404)
        return self._test([hook], request.body["eventType"])

    def _test_by_event(self, request: Request) -> Reply:
        if not self.manner.tests_by_event:
            return Reply(None, 404)
        return self._test(self._visible(request), request.found[0])

    def _test(self, hooks: list[Hook], event_type: str) -> Reply:
        sample = Happening(
            "test", event_type, None, datetime.now(UTC), {"id": planted.nonce(), "about": planted.MARKER}
        )
        for hook in hooks:
            self._pool.submit(self._deliver, hook, sample, time.monotonic() + self.manner.delay)
        return Reply()

    def _deliver(self, hook: Hook, happening: Happening, due: float) -> None:
        if self._ended.wait(max(0.0, due - time.monotonic())) or (
            self.manner.drops_on_delete and hook.id not in self.hooks
        ):
            return
        body = json.dumps(
            planted.envelope(
                webhookId=hook.id,
                signatureUrl=hook.url,
                date=self.manner.date(happening.date),
                eventType=happening.event_type,
                data=happening.data,
            ),
            ensure_ascii=False,
        ).encode()
        headers = {"Content-Type": "application/json", "Dastra-Signature": planted.signature(body, hook.key)}
        try:
            status: int | None = self._client.post(hook.url, content=body, headers=headers).status_code
        except httpx.HTTPError:
            status = None
        with self._lock:
            self.deliveries.append(Delivery(hook.id, happening.id, body, status))
            if status != 200:
                hook.failed("The operation has timed out." if status is None else f"Response status code {status}")

    def _unknown(self, body: dict[str, Any]) -> Reply | None:
        """The refusal of an event type that Dastra does not have."""
        unknown = [name for name in body.get("subscribedEvents") or () if name not in event_types()]
        if unknown and self.manner.strict:
            return refusal(400, "One or more validation errors occurred.", subscribedEvents=["not a valid value"])
        return None
