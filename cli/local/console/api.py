"""What the page asks below `/_local/console/`."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cli.exits import CliError
from cli.local.console import page
from cli.local.console.attacks import KINDS, SPECIALS, Choices, from_address
from cli.local.console.curl import as_curl
from cli.local.console.live import stream
from cli.local.console.places import Places
from cli.local.console.post import Raw, replay_of, send
from cli.local.console.recorder import Entry, Recorder
from cli.local.console.view import detail, note, summary
from cli.local.faults import LOOPBACK, Fault
from cli.local.front import Threads
from cli.samples import families
from cli.version import program, version
from core.ports import PortError
from core.records import QUARANTINE_PREFIX, SPOOL_PREFIX, RecordError
from core.signature import SignatureKey

T = TypeVar("T")

_FRESH_SECONDS: Final = 0.3
_MOST_BYTES: Final = 64 * 1024


class Console:
    """The page's part of a local run.

    Args:
        recorder: what it shows.
        places: queue and store.
        keys: the run's keys at its start, newest first; the first one signs, until others are in the secret store.
        cloud: which cloud's receiver it is.
        title: what runs, in words.
        url: where the receiver answers.
    """

    def __init__(
        self, recorder: Recorder, places: Places, keys: tuple[SignatureKey, ...], cloud: str, title: str, url: str
    ) -> None:
        self._recorder: Final = recorder
        self._places: Final = places
        self._keys = keys
        self._choices: Final = Choices()
        self._url: Final = url
        self._port: Final = int(url.rstrip("/").rpartition(":")[2])
        self._run: Final = uuid.uuid4().hex[:12]
        # Apart from the look-ups: a request that a fault holds must not hold up the page.
        self._looking: Final = Threads(4, "console")
        self._sending: Final = Threads(16, "console-send")
        self._one: Final = asyncio.Lock()
        self._state: dict[str, Any] = {}
        self._state_at = float("-inf")
        self._about: Final = {
            "run": self._run,
            "cloud": cloud,
            "title": title,
            "url": url,
            "version": version(),
            "commands": {"send": f"{program()} send", "unlisted": f"{program()} send --from 127.0.0.2"},
            "most": recorder.most,
            "faults": [fault.value for fault in Fault],
            "families": families(),
            "kinds": KINDS,
            "specials": {name: special.title for name, special in SPECIALS.items()},
        }

    def routes(self) -> list[Route]:
        """Everything, to be mounted at the root."""
        base = "/_local/console"
        post = partial(Route, methods=["POST"])
        return [
            Route(f"{base}/about", self._get_about),
            Route(f"{base}/events", self._get_events),
            Route(f"{base}/requests", self._get_requests),
            Route(f"{base}/requests/{{number:int}}", self._get_request),
            Route(f"{base}/requests/{{number:int}}/body", self._get_body),
            Route(f"{base}/requests/{{number:int}}/curl", self._get_curl),
            Route(f"{base}/queue", self._get_queue),
            Route(f"{base}/store", self._get_store),
            post(f"{base}/requests/{{number:int}}/replay", self._replay),
            post(f"{base}/requests/{{number:int}}/explain", self._explain),
            post(f"{base}/clear", self._clear),
            post(f"{base}/send", self._send),
            post(f"{base}/release", self._release),
            post(f"{base}/drop", self._drop),
            post(f"{base}/accept", self._accept),
            Route(f"{base}/{{name}}", _get_file),
        ]

    async def _get_about(self, _: Request) -> Response:
        keys = [key.fingerprint for key in await self._keys_now()]
        return answer({**self._about, "keys": keys})

    async def _get_events(self, request: Request) -> Response:
        async def messages() -> AsyncIterator[bytes]:
            async for message in stream(self._recorder, self._run, self._now, request.headers.get("last-event-id")):
                yield message

        headers = {**page.HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(messages(), media_type="text/event-stream", headers=headers)

    async def _get_requests(self, _: Request) -> Response:
        news = self._recorder.since(0)
        requests = [summary(entry) for entry in reversed(news.entries)]
        return answer({"requests": requests, "notes": [note(found) for found in news.notes]})

    async def _get_request(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry is None:
            return _gone()
        where = await self._looking.run(lambda: self._places.of(entry))
        return answer({**detail(entry), "where": where})

    async def _get_body(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry is None or not entry.whole:
            return _gone()
        headers = {**page.HEADERS, "Content-Disposition": f'attachment; filename="request-{entry.number}.bin"'}
        return Response(entry.body, headers=headers, media_type="application/octet-stream")

    async def _get_curl(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry is None or not entry.whole:
            return _gone()
        download = f"{self._url}_local/console/requests/{entry.number}/body"
        return answer({"curl": as_curl(entry.request, entry.body, self._url, download)})

    async def _get_queue(self, _: Request) -> Response:
        return answer(await self._looking.run(self._places.queue))

    async def _get_store(self, _: Request) -> Response:
        return answer(await self._looking.run(self._places.store))

    async def _replay(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry is None or not entry.whole:
            return _gone()
        return self._start(replay_of(entry.request, entry.body), f"replay of {entry.number}")

    async def _explain(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry is None or not entry.whole:
            return _gone()
        from cli.local.console.explaining import explained  # many ways to sign wrongly, and most runs need none

        keys = await self._keys_now()
        return answer(await self._looking.run(lambda: explained(entry, keys)))

    async def _clear(self, _: Request) -> Response:
        self._recorder.clear()
        return answer({})

    async def _send(self, request: Request) -> Response:
        wanted = await _asked(request)
        source = str(wanted.get("from") or LOOPBACK)
        key, *_ = await self._keys_now()
        try:
            match wanted:
                case {"event": str(name)}:
                    raw, origin = self._choices.sample(name, key), f"sample {name}"
                case {"special": str(name)}:
                    raw, origin = self._choices.special(name, key), SPECIALS[name].title
                case {"attack": str(group)}:
                    attack = self._choices.next_of(group)
                    raw, origin = self._choices.attack(attack.name, key), f"attack {attack.name}: {attack.stands_for}"
                case _:
                    return error(400, "say what to send: event, special or attack")
        except CliError as found:
            return error(400, found.message)
        except (KeyError, ValueError):
            return error(400, "there is nothing of that name to send")
        return self._start(from_address(raw, source), origin)

    async def _release(self, request: Request) -> Response:
        return await self._on_stored(request, self._places.release)

    async def _drop(self, request: Request) -> Response:
        return await self._on_stored(request, self._places.drop)

    async def _accept(self, request: Request) -> Response:
        address = str((await _asked(request)).get("address") or "")
        return await self._done(lambda: self._places.accept(address))

    async def _on_stored(self, request: Request, action: Callable[[str], None]) -> Response:
        key = str((await _asked(request)).get("key") or "")
        if not key.startswith((SPOOL_PREFIX, QUARANTINE_PREFIX)):
            return error(400, "say the key of an event in spool or quarantine")
        return await self._done(lambda: action(key))

    async def _done(self, action: Callable[[], Any]) -> Response:
        try:
            done = await self._looking.run(action)
        except CliError as found:
            return error(409, f"{found.message} {found.hint}".strip())
        except PortError as found:
            return error(503, f"it was not done: {found.code}")
        except RecordError:
            return error(409, "the object is no event that could be sent")
        finally:
            self._state_at = float("-inf")
        return answer(done or {})

    async def _keys_now(self) -> tuple[SignatureKey, ...]:
        """The run's keys, which a person may have changed since; those of before while the secret store is broken."""
        found = await self._looking.run(self._places.keys)
        if found:
            self._keys = found
        return self._keys

    async def _now(self) -> dict[str, Any]:
        """The state, looked at once for all pages."""
        async with self._one:
            if time.monotonic() - self._state_at > _FRESH_SECONDS:
                self._state = await self._looking.run(self._places.state)
                self._state_at = time.monotonic()
            return self._state

    def _start(self, raw: Raw, origin: str) -> Response:
        """Send without waiting: the request shows itself when it comes."""
        task = asyncio.ensure_future(self._sending.run(lambda: send(raw, self._port, self._recorder, origin)))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return answer({"sent": origin}, 202)

    def _entry(self, request: Request) -> Entry | None:
        return self._recorder.get(request.path_params["number"])


def answer(value: Mapping[str, Any], status: int = 200) -> Response:
    """JSON in ASCII: half a surrogate pair in an event's label must not break it."""
    return Response(json.dumps(value, default=dict), status, dict(page.HEADERS), "application/json")


def error(status: int, text: str) -> Response:
    """What went wrong, for a person."""
    return answer({"error": text}, status)


async def _get_file(request: Request) -> Response:
    return page.file(request.path_params["name"]) or error(404, "there is no such file")


async def _asked(request: Request) -> Mapping[str, Any]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _gone() -> Response:
    return error(404, "it is not remembered any more")
