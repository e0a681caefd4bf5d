"""Requests in JSON captures: a HAR, ngrok's inspector, a Lambda event, the local run's messages."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

from cli.explain.capture import Capture, CaptureError, declared_length
from core.signature import HEADER

_MOST: Final = 10_000
_LOST: Final = "The capture has replaced bytes that it could not read (U+FFFD), so the body is not as it was."


def json_captures(data: bytes) -> list[Capture]:
    """Every request in a JSON capture, in its order.

    Raises:
        CaptureError: it is no JSON, or JSON of another kind.
    """
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise CaptureError("it begins like JSON but is none (a HAR that was cut?)") from None
    entries = _entries(found)
    if entries is None:
        raise CaptureError("it is JSON, but of no kind that is known here")
    return [_capture(entry) for entry in entries[:_MOST]]


def _entries(found: object) -> list[Mapping[str, Any]] | None:
    """The requests, whatever is around them."""
    match found:
        case {"log": {"entries": list(entries)}}:
            pass
        case {"requests": list(entries)} | {"Records": list(entries)} | list(entries):
            pass
        case dict():
            entries = [found]
        case _:
            return None
    mappings: list[Mapping[str, Any]] = [entry for entry in entries if isinstance(entry, dict)]
    return mappings if mappings and all(_is_known(entry) for entry in mappings) else None


def _is_known(entry: Mapping[str, Any]) -> bool:
    request = entry.get("request")
    return (
        (isinstance(request, dict) and ("headers" in request or "raw" in request))
        or ("headers" in entry and "body" in entry)
        or ("multiValueHeaders" in entry and "body" in entry)
        or (isinstance(entry.get("attributes"), dict) and ("body" in entry or "body_base64" in entry))
    )


def _capture(entry: Mapping[str, Any]) -> Capture:
    request = entry.get("request")
    if isinstance(request, dict):
        return _ngrok(entry, request) if isinstance(request.get("raw"), str) else _har(entry, request)
    if isinstance(entry.get("attributes"), dict):
        return _message(entry)
    return _event(entry)


def _har(entry: Mapping[str, Any], request: Mapping[str, Any]) -> Capture:
    post = request.get("postData")
    body, notes = b"", list[str]()
    if isinstance(post, dict):
        text = post.get("text")
        encoding = post.get("encoding") or post.get("_encoding") or request.get("_bodyEncoding")
        if isinstance(text, str):
            body = _decoded(text) if encoding == "base64" else text.encode("utf-8", "surrogatepass")
            if encoding != "base64" and "\ufffd" in text:
                notes.append(_LOST)
        elif post.get("params"):
            notes.append("The HAR keeps the body as a form's fields only, not as it was sent.")
    else:
        notes.append("The HAR has no body for this request (postData); export it with content.")
    headers = _headers(request.get("headers"))
    size = request.get("bodySize")
    declared = size if isinstance(size, int) and size > 0 else declared_length(headers)
    if any(name.lower() == "content-encoding" for name, _ in headers):
        declared = None  # of the compressed body, which the HAR does not keep
    return Capture(
        _text(request.get("method")), _text(request.get("url")) or "", headers, body, declared, tuple(notes),
        _text(entry.get("startedDateTime")) or "",
    )  # fmt: skip


def _ngrok(entry: Mapping[str, Any], request: Mapping[str, Any]) -> Capture:
    from cli.explain.http_captures import http_captures

    found = http_captures(_decoded(request["raw"]))
    if not found:
        raise CaptureError("a request of ngrok's inspector cannot be read")
    first = found[0]
    return Capture(
        first.method, first.target, first.headers, first.body, first.declared, first.notes,
        _text(entry.get("start")) or "",
    )  # fmt: skip


def _event(entry: Mapping[str, Any]) -> Capture:
    """A Lambda event of API Gateway, a function URL or a load balancer; also any object of headers and body."""
    context = entry.get("requestContext")
    http = context.get("http") if isinstance(context, dict) else None
    method = entry.get("httpMethod") or entry.get("method") or (http.get("method") if isinstance(http, dict) else None)
    path = entry.get("rawPath") or entry.get("path") or entry.get("url")
    headers = _headers(entry.get("multiValueHeaders") or entry.get("headers"))
    text = entry.get("body")
    if isinstance(text, str):
        body = _decoded(text) if entry.get("isBase64Encoded") is True else text.encode("utf-8", "surrogatepass")
    elif text is None:
        body = b""
    else:
        raise CaptureError("its body is JSON and not text, so the bytes that were sent are gone")
    notes = (_LOST,) if isinstance(text, str) and "\ufffd" in text else ()
    return Capture(_text(method), _text(path) or "", headers, body, declared_length(headers), notes)


def _message(entry: Mapping[str, Any]) -> Capture:
    """A message or a stored event as the local run shows it: the signature is one of its attributes."""
    text = entry.get("body")
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else _decoded(entry.get("body_base64"))
    attributes = entry["attributes"]
    headers = tuple(
        (HEADER, value)
        for name, value in attributes.items()
        if isinstance(value, str) and name.rpartition("-")[2].rpartition(":")[2] == "signature"
    )
    return Capture("POST", _text(entry.get("id")) or _text(entry.get("key")) or "", headers, body)


def _headers(found: object) -> tuple[tuple[str, str], ...]:
    """Pairs out of a HAR's list of names and values, or a mapping to a value or several."""
    pairs: list[tuple[str, str]] = []
    if isinstance(found, list):
        for item in found:
            if isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("value"), str):
                pairs.append((item["name"], item["value"]))
            elif isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(part, str) for part in item):
                pairs.append((item[0], item[1]))
    elif isinstance(found, dict):
        for name, value in found.items():
            values = value if isinstance(value, list) else [value]
            pairs.extend((name, each) for each in values if isinstance(each, str))
    return tuple(pairs)


def _decoded(text: object) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=False) if isinstance(text, str) else b""
    except ValueError:
        raise CaptureError("a body that should be base64 is none") from None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
