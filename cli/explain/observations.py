"""What can be seen of a request without any key, and may be why its signature does not match."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cli.explain.capture import Capture
from cli.explain.compressed import is_packed, missing_codec
from cli.explain.signature_forms import signature_forms
from cli.explain.wrapped_forms import CUT
from core.envelope import Envelope, EnvelopeError
from core.screening import Policy
from core.signature import SignatureFault, read_signature

_ALIKE: Final = re.compile(r"dastra|signature|hmac", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was seen. ``suspect`` where it may be the reason for a signature that does not match."""

    code: str
    found: str
    remedy: str = ""
    suspect: bool = False


def observations(capture: Capture) -> tuple[Observation, ...]:
    """Everything worth a word about a request, suspects first."""
    seen = [*_of_header(capture), *_of_body(capture)]
    seen += _of_answer(capture, damaged=any(item.suspect for item in seen))
    seen += [Observation("capture", note) for note in capture.notes]
    return tuple(sorted(seen, key=lambda observation: not observation.suspect))


def _of_header(capture: Capture) -> Iterator[Observation]:
    found = read_signature(capture.signatures)
    if found is SignatureFault.MISSING:
        alike = [name for name, _ in capture.headers if _ALIKE.search(name) and name.lower() != "dastra-signature"]
        if alike:
            yield Observation(
                "header_named_otherwise",
                f"There is no Dastra-Signature header, but {_listed(alike)}.",
                "The header's name is Dastra-Signature, with a hyphen. Proxies drop names with an underscore.",
                suspect=True,
            )
        else:
            yield Observation(
                "signature_missing",
                "The request carries no Dastra-Signature header.",
                "It is not Dastra's, or something on the way drops headers that it does not know: let this one pass.",
                suspect=True,
            )
    elif found is SignatureFault.MALFORMED and not signature_forms(capture.signatures):
        yield Observation(
            "signature_unreadable",
            f"The signature of {len(capture.signatures[0])} characters is no encoding of a digest in any known way.",
            "Dastra's has 44 characters of base64. Was it cut, or is it another header's value?",
            suspect=True,
        )


def _of_body(capture: Capture) -> Iterator[Observation]:
    body, declared = capture.body, capture.declared
    if not body:
        yield Observation(
            "body_empty",
            "The body is empty.",
            "Something read it before, or the capture does not hold it. Some functions get a chunked request empty.",
            suspect=True,
        )
    elif declared is not None and declared > len(body):
        yield Observation(
            "body_truncated",
            f"The body has {len(body)} bytes, and its Content-Length says {declared}: "
            f"{declared - len(body)} are missing.",
            CUT,
            suspect=True,
        )
    elif declared is not None and declared < len(body):
        yield Observation(
            "body_longer",
            f"The body has {len(body)} bytes, and its Content-Length says {declared}: "
            f"{len(body) - declared} were added, or it was encoded anew.",
            "Keep the body as bytes from socket to check.",
            suspect=True,
        )
    elif _looks_cut(body):
        yield Observation("body_cut", "The body begins like JSON and ends in the middle.", CUT, suspect=True)
    if b"\xef\xbf\xbd" in body:
        yield Observation(
            "replacement_characters",
            "The body holds U+FFFD: something could not read a character, and what it was is lost.",
            "Keep the body as bytes from socket to check. Then capture again; from this one it cannot be undone.",
            suspect=True,
        )
    encoding = ", ".join(capture.values("content-encoding")).strip().lower()
    if encoding and encoding != "identity":
        yield from _of_encoding(body, encoding)


def _of_encoding(body: bytes, encoding: str) -> Iterator[Observation]:
    if package := missing_codec(encoding):
        yield Observation(
            "codec_missing",
            f"The body is compressed with {encoding[:20]}, which cannot be undone here.",
            f"Install the package {package} beside this program and try again.",
            suspect=True,
        )
    elif encoding in ("gzip", "deflate") and is_packed(body) is None:
        yield Observation(
            "already_decompressed",
            f"Content-Encoding says {encoding}, but the body is not compressed: something has decompressed it.",
            "If it was signed in its compressed form, capture it before that happens.",
            suspect=True,
        )


def _of_answer(capture: Capture, *, damaged: bool) -> Iterator[Observation]:
    """What the receiver would say to it, apart from the signature."""
    limit = Policy().max_body_bytes
    if capture.method not in (None, "POST"):
        yield Observation("not_post", f"It is a {capture.method}: the receiver answers 405 to anything but POST.")
    if len(capture.body) > limit:
        yield Observation("too_large", f"It is larger than the {limit} bytes that the receiver takes: it answers 413.")
    if damaged:
        return
    try:
        Envelope.parse(capture.body)
    except EnvelopeError:
        yield Observation(
            "not_a_json_object", "The body is no JSON object in UTF-8: the receiver holds such an event in quarantine."
        )


def _looks_cut(body: bytes) -> bool:
    text = body.decode("utf-8", "replace").strip()
    if text[:1] not in ("{", "["):
        return False
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        return error.pos >= len(text) - 1 or "Unterminated string" in error.msg
    except (ValueError, RecursionError):
        return False
    return False


def _listed(names: list[str]) -> str:
    return ", ".join(name[:40] for name in dict.fromkeys(names[:5]))
