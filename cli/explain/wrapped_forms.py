"""Bodies that were put into something, or taken out of it, between signing and arrival."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote_to_bytes

from cli.explain.hypothesis import BodyForms, body_form
from cli.explain.json_pieces import MOST_BYTES, members

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_\r\n-]{8,}={0,2}\s*")
_MOST_MEMBERS: Final = 50
_KNOWN_NAMES: Final = frozenset(
    ("body", "rawBody", "data", "payload", "message", "Message", "content", "$content", "event", "request", "value")
)
"""Members that may be named: any other name could itself be personal."""
_CLOSERS: Final = {"{": "}", "[": "]"}

_PLATFORM: Final = (
    "Undo the platform's own wrapping before the check, and nothing else: on AWS, base64-decode the event's body where "
    "isBase64Encoded is true."
)
_SIGNER_TEXT: Final = "Sign the bytes that are sent, not another form of them."


def unwrapped(body: bytes) -> BodyForms:
    """What the body holds, where it is a wrapping of something: base64, a JSON string, a member, a form, HTML."""
    if len(body) > 2 * MOST_BYTES:
        return
    if inner := _from_base64(body):
        said = "The body arrived in base64; it was signed before."
        yield body_form(inner, "body_in_base64", said, _PLATFORM)
    stripped = body.strip()
    if stripped[:1] == b'"' and (text := _json_string(stripped)) is not None:
        said = "The body arrived as a JSON string that holds the JSON; it was signed before."
        remedy = "It was serialised twice: send the text itself, not JSON of the text."
        yield body_form(text, "body_in_json_string", said, remedy)
    yield from _in_members(body)
    yield from _in_form(body)
    if b"&" in body and (plain := html.unescape(text_of(body)).encode("utf-8", "surrogatepass")) != body:
        said = "The body arrived with HTML entities; it was signed before."
        yield body_form(
            plain, "body_html_escaped", said, "Something escapes input, such as a filter: not for this path."
        )
    if b"\\" in body:
        plain = re.sub(rb"\\(.)", rb"\1", body, flags=re.DOTALL)
        said = "A backslash was put before each quotation mark after signing."
        yield body_form(plain, "body_backslashes", said, "Something quotes its input, such as a shell or a filter.")


def wrapped(body: bytes) -> BodyForms:
    """The body in wrappings that a signer may have signed in its place, or that fell off on the way."""
    said = "What was signed is the body in base64."
    yield body_form(base64.b64encode(body), "signed_in_base64", said, _SIGNER_TEXT)
    yield body_form(base64.urlsafe_b64encode(body), "signed_in_base64", said, _SIGNER_TEXT)
    yield body_form(base64.encodebytes(body), "signed_in_base64", said, _SIGNER_TEXT)
    yield body_form(body.hex().encode(), "signed_in_hex", "What was signed is the body in hexadecimal.", _SIGNER_TEXT)
    with suppress(UnicodeError):
        text = body.decode()
        said = "What was signed is a JSON string that holds the body: it was serialised twice."
        for ascii_ in (True, False):
            written = json.dumps(text, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
            yield body_form(written, "signed_in_json_string", said, _SIGNER_TEXT)
    said = "What was signed is the body in the encoding of a form or a URL."
    for encoded in (quote_plus(body), quote(body, safe=""), quote(body), quote(body, safe="-_.!~*'()")):
        yield body_form(encoded.encode(), "signed_form_encoded", said, _SIGNER_TEXT)
    yield body_form(b"[" + body + b"]", "signed_in_list", "It was signed inside a JSON list.", _SIGNER_TEXT)
    yield from _only_a_member(body)


def other(body: bytes) -> BodyForms:
    """Bodies that are signed when a program has lost the real one, and the ends of one that was cut."""
    lost = (
        "The signing or the checking program reads the body where there is none any more: a stream is read once. "
        "Read it once, keep the bytes, and use them for the signature as well as for parsing."
    )
    for text in (b"", b"{}", b"null", b'""', b"undefined", b"None", b"[object Object]"):
        said = "What was signed is nothing, or a placeholder for it, not this body."
        yield body_form(text, "signed_nothing", said, lost)
    remedy = "Send on the bytes that came: something between signer and check adds to the JSON."
    for shorter in _without_each_member(body):
        yield body_form(shorter, "member_added", "One member of the JSON was added after signing.", remedy)
    if body and (tail := _closing(body)):
        said = f"The last {len(tail)} bytes of the body are missing."
        yield body_form(body + tail, "body_cut", said, CUT)


CUT: Final = (
    "Look for a limit between sender and check: a proxy's buffer, the length of a log line or a column, a "
    "Content-Length that counts characters where it should count bytes."
)


def text_of(body: bytes) -> str:
    """The body as text, whatever it is."""
    return body.decode("utf-8", "surrogateescape").encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _from_base64(body: bytes) -> bytes | None:
    if len(body) < 8 or not _BASE64.fullmatch(body):
        return None
    bare = re.sub(rb"\s", b"", body).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    with suppress(ValueError):
        return binascii.a2b_base64(bare + b"=" * (-len(bare) % 4))
    return None


def _json_string(body: bytes) -> bytes | None:
    try:
        text = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else None


def _in_members(body: bytes) -> BodyForms:
    """Texts and objects that stand in the body as members: the event of a platform that holds the real body."""
    remedy = "Take the body out of what wraps it before the check, and use it as it is."
    found = list(islice(members(body), _MOST_MEMBERS))
    is_envelope = any(name.lower() in ("eventtype", "webhookid") for name, _ in found)
    for name, written in found:
        said = f"What was signed stands in {_named(name)} of what arrived."
        if not is_envelope:
            yield body_form(written.encode("utf-8", "surrogatepass"), "body_in_member", said, remedy)
        if written[:1] == '"' and (text := _json_string(written.encode("utf-8", "surrogatepass"))):
            yield body_form(text, "body_in_member", said, remedy)
            if inner := _from_base64(text):
                yield body_form(inner, "body_in_member", f"{said[:-1]}, in base64.", remedy)


def _in_form(body: bytes) -> BodyForms:
    remedy = "Send the JSON itself with --data-binary or as a raw body, not as a form."
    if b"%" in body or b"+" in body:
        said = "The body arrived in the encoding of a form or a URL; it was signed before."
        for plain in (unquote_to_bytes(body.replace(b"+", b" ")), unquote_to_bytes(body)):
            yield body_form(plain, "body_form_encoded", said, remedy)
            if plain.endswith(b"="):
                yield body_form(plain[:-1], "body_form_encoded", said, remedy)
    with suppress(ValueError):
        text = body.decode("ascii")
        if "=" in text:
            for name, value in parse_qsl(text, max_num_fields=_MOST_MEMBERS):
                said = f"What was signed stands in {_named(name)} of the form that arrived."
                yield body_form(value.encode("utf-8", "surrogateescape"), "body_in_form_field", said, remedy)


def _only_a_member(body: bytes) -> BodyForms:
    for name, written in islice(members(body), _MOST_MEMBERS):
        said = f"What was signed is only {_named(name)} of the body."
        remedy = "Sign the whole body: Dastra signs everything that it posts."
        yield body_form(written.encode("utf-8", "surrogatepass"), "signed_only_member", said, remedy)


def _without_each_member(body: bytes) -> Iterator[bytes]:
    """The body's object without one of its members, the last one first, all else untouched."""
    found = list(islice(members(body), _MOST_MEMBERS))
    text = text_of(body)
    if len(found) < 2 or text.encode("utf-8", "surrogatepass") != body:
        return
    start = len(text)
    for place in range(len(found) - 1, -1, -1):
        value = found[place][1]
        end = text.rfind(value, 0, start) + len(value)
        start = text.rfind(json.dumps(found[place][0], ensure_ascii=False), 0, end - len(value))
        if start < 0:
            return
        before, behind = text[:start].rstrip(), text[end:].lstrip()
        shorter = before.removesuffix(",") + behind if place else before + behind.removeprefix(",").lstrip()
        yield shorter.encode()


def _named(name: str) -> str:
    return f"the member `{name}`" if name in _KNOWN_NAMES else "one member"


def _closing(body: bytes) -> bytes | None:
    """The shortest end that makes whole JSON of what was cut; None where it is whole, or no JSON object."""
    if body[:1] not in (b"{", b"[") or len(body) > MOST_BYTES:
        return None
    open_, in_string, escaped = list[str](), False, False
    for char in text_of(body):
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in _CLOSERS:
            open_.append(char)
        elif char in "}]" and open_:
            open_.pop()
    if not open_:
        return None
    return (('"' if in_string else "") + "".join(_CLOSERS[char] for char in reversed(open_))).encode()
