"""Which digests a signature's text may stand for, when it is read more leniently than the receiver reads it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from cli.explain.hypothesis import Hypothesis, Part
from core.signature import SignatureFault, read_signature

MOST_CHARACTERS: Final = 4096
"""No form of a signature comes near it."""
_MOST_STEPS: Final = 3
SHORTEST: Final = 16
"""Bytes of a digest below which a match could be chance."""
_SIZES: Final = frozenset({16, 20, 28, 32, 48, 64})
_PREFIX: Final = re.compile(
    r"(?:(?:hmac[-_ ]?)?(?:sha[-_]?(?:1|224|256|384|512)|md5)|v\d|t=\d+,v\d|signature|basic|bearer)\s*[=: ]\s*",
    re.IGNORECASE,
)
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+", re.IGNORECASE)
_REMEDY: Final = "Send the standard base64 of the 32 bytes: 44 characters that end in one =, and nothing else."


@dataclass(frozen=True, slots=True)
class SignatureForm:
    """A digest that the text may stand for. ``digest`` may be cut short; then ``because`` says so."""

    digest: bytes
    because: tuple[Hypothesis, ...] = ()


def _about(code: str, found: str, remedy: str = _REMEDY) -> Hypothesis:
    return Hypothesis(Part.SIGNATURE, code, found, remedy)


CONFLICTING: Final = _about(
    "signatures_conflict",
    "The request carries several different signatures, and the receiver accepts none then.",
    "Send one. Dastra sends one: something on the way adds another.",
)
TRUNCATED: Final = _about("signature_truncated", "The signature is cut short; its first bytes are right.")
_HEXADECIMAL: Final = _about(
    "signature_hex",
    "The signature is in hexadecimal, not base64.",
    "Encode the digest's bytes in base64. With OpenSSL: openssl dgst -sha256 -hmac KEY -binary FILE | base64",
)
_RAW: Final = _about("signature_raw_bytes", "The signature is the digest's bytes as they are, not base64.")
LETTER_CASE: Final = _about(
    "signature_letter_case",
    "The signature's letters have all been turned into one case, in which base64 loses its meaning.",
    "Find what changes the case of header values, and let it leave this one alone.",
)


def signature_forms(values: Sequence[str]) -> tuple[SignatureForm, ...]:
    """Every digest that the header's values may stand for; what the receiver itself reads comes first.

    Hostile text gives fewer forms and never an error.
    """
    found: dict[bytes, SignatureForm] = {}
    digest = read_signature(values)
    if isinstance(digest, bytes):
        return (SignatureForm(digest),)
    conflict = (CONFLICTING,) if digest is SignatureFault.CONFLICTING else ()
    texts = dict.fromkeys(text for value in values for text in ((value,) if not conflict else value.split(",")))
    for text in list(texts)[:8]:
        bare = text.strip(" \t") if conflict else text
        for form in _forms_of(bare[: MOST_CHARACTERS + 1]):
            because = conflict + form.because
            if form.digest not in found or len(because) < len(found[form.digest].because):
                found[form.digest] = SignatureForm(form.digest, because)
    return tuple(sorted(found.values(), key=lambda form: len(form.because)))


def one_case(values: Sequence[str]) -> str | None:
    """The value in lower case, where it is one that may have lost the case of its letters; else None."""
    if len(values) != 1 or len(text := values[0].strip()) != base64_length(32) or not text.endswith("="):
        return None
    return text.lower() if text in (text.lower(), text.upper()) else None


def base64_length(size: int) -> int:
    """Characters of the base64 of so many bytes."""
    return (size + 2) // 3 * 4


def _forms_of(text: str) -> Iterator[SignatureForm]:
    """The digests of one value, the fewest steps first."""
    if len(text) > MOST_CHARACTERS:
        return
    wave: list[tuple[str, tuple[Hypothesis, ...]]] = [(text, ())]
    seen = {text}
    for _ in range(_MOST_STEPS + 1):
        following = []
        for present, because in wave:
            yield from _decoded(present, because)
            for hypothesis, step in _STEPS:
                changed = step(present)
                if changed is not None and changed not in seen:
                    seen.add(changed)
                    following.append((changed, (*because, hypothesis)))
        wave = following


def _decoded(text: str, because: tuple[Hypothesis, ...]) -> Iterator[SignatureForm]:
    if _HEX.fullmatch(text):
        yield from _sized(bytes.fromhex(text), (*because, _HEXADECIMAL))
    with suppress(ValueError):  # binascii.Error, and what a str outside ASCII raises
        decoded = binascii.a2b_base64(text, strict_mode=True)
        if base64.b64encode(decoded).decode("ascii") == text:
            yield from _sized(decoded, because)
    if not text.isascii():
        with suppress(UnicodeEncodeError):
            yield from _sized(text.encode("latin-1"), (*because, _RAW))


def _sized(digest: bytes, because: tuple[Hypothesis, ...]) -> Iterator[SignatureForm]:
    if len(digest) in _SIZES:
        yield SignatureForm(digest, because)
    elif SHORTEST <= len(digest) < 32:
        yield SignatureForm(digest, (*because, TRUNCATED))


def _if_changed(change: Callable[[str], str]) -> Callable[[str], str | None]:
    def step(text: str) -> str | None:
        changed = change(text)
        return changed if changed != text else None

    return step


def _unquoted(text: str) -> str | None:
    marks = {'"': '"', "'": "'", ":": ":", "<": ">", "`": "`"}
    return text[1:-1] if len(text) > 2 and marks.get(text[0]) == text[-1] else None


def _unprefixed(text: str) -> str | None:
    match = _PREFIX.match(text)
    return text[match.end() :] if match else None


def _padded(text: str) -> str | None:
    """With the padding that its length asks for; None where it has that already."""
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    return padded if padded != text and re.fullmatch(r"[A-Za-z0-9+/]+", bare) else None


def _standard(text: str) -> str | None:
    return text.replace("-", "+").replace("_", "/") if re.fullmatch(r"[A-Za-z0-9+/_=-]+", text) else None


def _unwrapped(text: str) -> str | None:
    """What stands in base64 of text: of hexadecimal, or of base64 once more."""
    try:
        inner = base64.b64decode(text, validate=True).decode("ascii")
    except ValueError:
        return None
    return inner if re.fullmatch(r"[\w+/=\r\n-]{32,}", inner, re.ASCII) else None


def _canonical(text: str) -> str | None:
    """The canonical base64 of what a lenient decoder reads; None where the text is canonical or no base64."""
    if not re.fullmatch(r"[A-Za-z0-9+/]{43}=", text):
        return None
    canonical = base64.b64encode(binascii.a2b_base64(text)).decode("ascii")
    return canonical if canonical != text else None


def _without_tail(text: str) -> str | None:
    match = re.match(r"[A-Za-z0-9+/]{43}=(?=.)", text)
    return match[0] if match else None


def _joined(text: str) -> str | None:
    """Without the white space inside, but for single spaces, which may be plus signs of old."""
    joined = re.sub(r"[\s\u200b\ufeff]+", "", text)
    return joined if joined != text else None


_STEPS: Final[tuple[tuple[Hypothesis, Callable[[str], str | None]], ...]] = (
    (
        _about(
            "signature_white_space",
            "White space or an invisible character stands in or around the signature.",
            "Leave it out. `base64` folds long lines and adds a line end: use `base64 -w0`, or `openssl base64 -A`.",
        ),
        _joined,
    ),
    (_about("signature_quoted", "The signature stands in quotation marks or the like."), _unquoted),
    (
        _about(
            "signature_prefixed",
            "A prefix such as `sha256=` stands before the signature; that is the form of other services.",
        ),
        _unprefixed,
    ),
    (
        _about(
            "signature_percent_encoded",
            "The signature is percent-encoded, as if it stood in a URL.",
            "Put it into the header as it is. Something treats the header like a part of a URL.",
        ),
        _if_changed(unquote),
    ),
    (
        _about(
            "signature_plus_as_space",
            "Each + of the signature has become a space.",
            "Something decoded the header like a form: let it leave this header alone.",
        ),
        _if_changed(lambda text: text.replace(" ", "+")),
    ),
    (
        _about(
            "signature_url_safe",
            "The signature is in the URL-safe alphabet, with - and _ in place of + and /.",
            "Use the standard alphabet: in Python base64.b64encode, not urlsafe_b64encode.",
        ),
        lambda text: _standard(text) if _standard(text) != text else None,
    ),
    (
        _about("signature_padding", "The signature's padding is not as it should be: it ends in exactly one =."),
        _padded,
    ),
    (
        _about(
            "signature_encoded_twice",
            "The signature was encoded twice: base64 of its text, not of its bytes.",
            "Encode the digest's bytes: in PHP hash_hmac(..., true), in Node digest() without 'hex', "
            "in OpenSSL -binary.",
        ),
        _unwrapped,
    ),
    (
        _about(
            "signature_not_canonical",
            "The signature's last character has bits set that mean nothing; a right encoder leaves them at zero.",
        ),
        _canonical,
    ),
    (_about("signature_trailing", "Something stands behind the signature in its header."), _without_tail),
)
