"""Blob Storage, Key Vault and the identity endpoint on loopback: as much of each as the official SDKs ask of them here.

In memory, in this process, and without Node or a container. Azurite is the better blob service where there is one, and
the tests hold this one to the same calls. Sources: the REST references of Blob Storage (version 2026-04-06) and of Key
Vault (2025-07-01), and "REST endpoint reference" of App Service's managed identities.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote
from xml.sax.saxutils import escape

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

ACCOUNT: Final = "devstoreaccount1"
IDENTITY_PATH: Final = "/msi/token"
IDENTITY_HEADER: Final = "local"
_CHALLENGE: Final = (
    'Bearer authorization="https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000", '
    'resource="https://vault.azure.net"'
)
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_MOST_LISTED: Final = 5000


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob; ``metadata`` by lower-case names."""

    name: str
    body: bytes = field(repr=False)
    metadata: Mapping[str, str]
    modified: datetime
    etag: str


class Services:
    """The ASGI application of all three. Safe to look into from any thread."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._containers: Final[dict[str, dict[str, Blob]]] = {}
        self._secrets: Final[dict[str, str]] = {}
        self._number: Final = itertools.count(1)
        self.tokens: Final[list[str]] = []
        """The resource of every token that was asked for."""
        self.clients: Final[list[str]] = []
        """The identity for which it was asked, by its client id; empty for the app's own."""

    # -- from the outside ----------------------------------------------------------------------------------------------

    def create_container(self, name: str) -> None:
        """Make a container, or empty one that is there."""
        with self._lock:
            self._containers[name] = {}

    def blobs(self, container: str, prefix: str = "") -> list[Blob]:
        """The blobs below a prefix, in the order of their names."""
        with self._lock:
            found = self._containers.get(container, {})
            return [found[name] for name in sorted(found) if name.startswith(prefix)]

    def put_blob(self, container: str, name: str, body: bytes, metadata: Mapping[str, str]) -> Blob:
        """Write a blob."""
        blob = Blob(name, body, dict(metadata), datetime.now(UTC), f'"0x{next(self._number):016X}"')
        with self._lock:
            self._containers.setdefault(container, {})[name] = blob
        return blob

    def delete_blob(self, container: str, name: str) -> bool:
        """Remove a blob; False when there is none."""
        with self._lock:
            return self._containers.get(container, {}).pop(name, None) is not None

    def set_secret(self, name: str, value: str | None) -> None:
        """Give a secret a value, or none."""
        with self._lock:
            if value is None:
                self._secrets.pop(name, None)
            else:
                self._secrets[name] = value

    def secret(self, name: str) -> str | None:
        """A secret's value."""
        return self._secrets.get(name)

    # -- over HTTP -----------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:  # the function was killed, or its time was over
            return
        path = unquote(scope["raw_path"].decode("ascii"))
        if path.startswith("/secrets/"):
            answer = self._vault(request, path, body)
        elif path == IDENTITY_PATH:
            answer = self._identity(request)
        else:
            answer = self._storage(request, path, body)
        answer.headers["x-ms-request-id"] = str(uuid.uuid4())
        answer.headers["x-ms-version"] = request.headers.get("x-ms-version", "2026-04-06")
        await answer(scope, receive, send)

    def _identity(self, request: Request) -> Response:
        if request.headers.get("x-identity-header") != IDENTITY_HEADER:
            return JSONResponse({"error": "invalid_request", "error_description": "no identity header"}, 400)
        resource = request.query_params.get("resource", "")
        self.tokens.append(resource)
        self.clients.append(request.query_params.get("client_id", ""))
        expires = int(time.time()) + 24 * 3600
        claims = json.dumps({"aud": resource, "exp": expires}).encode()
        token = f"local.{base64.urlsafe_b64encode(claims).decode()}.token"
        return JSONResponse(
            {"access_token": token, "expires_on": str(expires), "resource": resource, "token_type": "Bearer"}
        )

    def _vault(self, request: Request, path: str, body: bytes) -> Response:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            text = {"error": {"code": "Unauthorized", "message": "AKV10000: Request is missing a Bearer token."}}
            return JSONResponse(text, 401, {"WWW-Authenticate": _CHALLENGE})
        name = path.split("/")[2]
        if request.method == "PUT":
            try:
                self.set_secret(name, str(json.loads(body)["value"]))
            except (ValueError, KeyError, TypeError):
                return JSONResponse({"error": {"code": "BadParameter", "message": "no value"}}, 400)
        value = self.secret(name)
        if value is None:
            message = f"A secret with (name/id) {name} was not found in this key vault."
            return JSONResponse({"error": {"code": "SecretNotFound", "message": message}}, 404)
        at = int(time.time())
        attributes = {"enabled": True, "created": at, "updated": at}
        return JSONResponse(
            {"value": value, "id": f"https://local/secrets/{name}/{'0' * 32}", "attributes": attributes}
        )

    def _storage(self, request: Request, path: str, body: bytes) -> Response:
        if not request.headers.get("authorization", "").startswith((f"SharedKey {ACCOUNT}:", "Bearer ")):
            return _failure(403, "AuthenticationFailed", "Server failed to authenticate the request.")
        container, _, name = path.removeprefix(f"/{ACCOUNT}/").partition("/")
        if not name:
            return self._container(request, container)
        with self._lock:
            known, blob = container in self._containers, self._containers.get(container, {}).get(name)
        if not known:
            return _failure(404, "ContainerNotFound", "The specified container does not exist.")
        if request.method == "PUT":
            if blob is not None and request.headers.get("if-none-match") == "*":
                return _failure(409, "BlobAlreadyExists", "The specified blob already exists.")
            metadata = {
                key.removeprefix("x-ms-meta-"): value
                for key, value in request.headers.items()
                if key.startswith("x-ms-meta-")
            }
            made = self.put_blob(container, name, body, metadata)
            return Response(status_code=201, headers=_about(made))
        if blob is None:
            return _failure(404, "BlobNotFound", "The specified blob does not exist.", head=request.method == "HEAD")
        if request.headers.get("if-match", blob.etag) != blob.etag:
            return _failure(412, "ConditionNotMet", "The condition is not met.", head=request.method == "HEAD")
        if request.method == "DELETE":
            self.delete_blob(container, name)
            return Response(status_code=202)
        return _content(request, blob)

    def _container(self, request: Request, container: str) -> Response:
        query = request.query_params
        if request.method == "PUT":
            with self._lock:
                if container in self._containers:
                    return _failure(409, "ContainerAlreadyExists", "The specified container already exists.")
                self._containers[container] = {}
            return Response(status_code=201)
        with self._lock:
            known = container in self._containers
        if not known:
            return _failure(404, "ContainerNotFound", "The specified container does not exist.")
        if query.get("comp") != "list":
            return Response(status_code=200)
        most = min(int(query.get("maxresults", _MOST_LISTED)), _MOST_LISTED)
        names = [
            blob for blob in self.blobs(container, query.get("prefix", "")) if blob.name >= query.get("marker", "")
        ]
        following = escape(names[most].name) if len(names) > most else ""
        lines = "".join(map(_line, names[:most]))
        text = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{escape(container)}">'
            f"<Blobs>{lines}</Blobs><NextMarker>{following}</NextMarker></EnumerationResults>"
        )
        return Response(text, 200, {"Content-Type": "application/xml"})


def _about(blob: Blob) -> dict[str, str]:
    return {"ETag": blob.etag, "Last-Modified": format_datetime(blob.modified, usegmt=True)}


def _content(request: Request, blob: Blob) -> Response:
    headers = {
        **_about(blob),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-blob-content-md5": base64.b64encode(hashlib.md5(blob.body, usedforsecurity=False).digest()).decode(),
        **{f"x-ms-meta-{name}": value for name, value in blob.metadata.items()},
    }
    if request.method == "HEAD":
        return Response(status_code=200, headers={**headers, "Content-Length": str(len(blob.body))})
    match = _RANGE.fullmatch(request.headers.get("x-ms-range", request.headers.get("range", "")))
    if match is None:
        return Response(blob.body, 200, headers)
    start = int(match[1])
    if start >= len(blob.body):
        return _failure(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    part = blob.body[start : int(match[2]) + 1 if match[2] else None]
    headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(blob.body)}"
    return Response(part, 206, headers)


def _line(blob: Blob) -> str:
    return (
        f"<Blob><Name>{escape(blob.name)}</Name><Properties>"
        f"<Last-Modified>{format_datetime(blob.modified, usegmt=True)}</Last-Modified><Etag>{escape(blob.etag)}</Etag>"
        f"<Content-Length>{len(blob.body)}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
    )


def _failure(status: int, code: str, message: str, *, head: bool = False) -> Response:
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    headers = {"x-ms-error-code": code, "Content-Type": "application/xml"}
    return Response("" if head else text, status, headers)
