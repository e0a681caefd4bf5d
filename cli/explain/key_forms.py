"""Which bytes a signer may have used as the HMAC key, where the receiver uses the UTF-8 of the key's text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cli.explain.hypothesis import Hypothesis, Part
from core.signature import SignatureKey

_GUID: Final = re.compile(r"[{(]?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}[)}]?", re.IGNORECASE)
_DASHES: Final = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff\u00a0\x00-\x1f]")

_AS_SHOWN: Final = (
    "The HMAC key is the UTF-8 of the key's text exactly as Dastra shows it: lower case, with hyphens, 36 characters. "
    "Correct whichever side differs: this key's setting, or the program that signs."
)
_SIGNER: Final = (
    "Let the signing program use the key's text as it is, in UTF-8: it is not decoded, though it looks like a GUID."
)


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key that a person has, and where from. ``expected`` is False for one that is only tried besides."""

    key: SignatureKey
    origin: str
    expected: bool = True


@dataclass(frozen=True, slots=True)
class KeyForm:
    """HMAC key bytes. ``given`` is the key they were made from; None where none was used."""

    secret: bytes
    given: GivenKey | None
    because: tuple[Hypothesis, ...] = ()


def _about(code: str, found: str, remedy: str = _SIGNER) -> Hypothesis:
    return Hypothesis(Part.KEY, code, found, remedy)


def key_forms(keys: Sequence[GivenKey]) -> tuple[KeyForm, ...]:
    """The keys as they are, the expected ones first; then their other readings; then what no key at all gives."""
    found: dict[bytes, KeyForm] = {}
    for form in (*_plain(keys), *_readings(keys), *_no_key(keys)):
        found.setdefault(form.secret, form)
    return tuple(sorted(found.values(), key=lambda form: len(form.because)))


def _plain(keys: Sequence[GivenKey]) -> Iterator[KeyForm]:
    expected = [given for given in keys if given.expected]
    for given in expected:
        yield KeyForm(given.key.reveal().encode(), given)
    said = ", ".join(given.key.fingerprint for given in expected)
    for given in keys:
        if not given.expected:
            wrong = _about(
                "wrong_key",
                f"It was signed with another key: {given.key.fingerprint} ({given.origin}), not {said}.",
                f"If that webhook is meant to post here, add its key: dastra-webhooks key set --add. "
                f"Else give the signer the key {said}.",
            )
            yield KeyForm(given.key.reveal().encode(), given, (wrong,))


def _readings(keys: Sequence[GivenKey]) -> Iterator[KeyForm]:
    for plain in _plain(keys):
        if plain.given is None:
            continue
        for secret, *hypotheses in _forms(plain.given.key.reveal()):
            if secret != plain.secret:
                yield KeyForm(secret, plain.given, (*plain.because, *hypotheses))


def _forms(text: str) -> Iterator[tuple[bytes, *tuple[Hypothesis, ...]]]:
    """Other readings of a key's text, each with what leads to it; one step each, but for a GUID's spelling."""
    for spelt, hypothesis in _spellings(text):
        yield spelt.encode("utf-8", "surrogatepass"), hypothesis
    for secret, hypothesis in _bytes(text):
        yield secret, hypothesis
    # A GUID as another system writes it may differ in two things at once, and a text in its encoding besides.
    if _GUID.fullmatch(text):
        bare = text.strip("{}()").replace("-", "")
        guid = uuid.UUID(bare)
        for cased, case in ((str(guid), _LOWER), (str(guid).upper(), _UPPER)):
            yield cased.replace("-", "").encode(), case, _NO_HYPHENS
            yield f"{{{cased}}}".encode(), case, _BRACES
            yield cased.encode("utf-16-le"), case, _UTF_16
    for stripped, hypothesis in _spellings(text):
        if hypothesis in (_QUOTES_OFF, _INVISIBLE_OFF, _DASHES_OFF, _ASSIGNMENT_OFF):
            for secret, second in _bytes(stripped):
                yield secret, hypothesis, second
            for spelt, second in _spellings(stripped):
                yield spelt.encode("utf-8", "surrogatepass"), hypothesis, second


_UPPER: Final = _about("key_upper_case", "The key was used in upper case.", _AS_SHOWN)
_LOWER: Final = _about("key_lower_case", "The key was used in lower case.", _AS_SHOWN)
_NO_HYPHENS: Final = _about("key_no_hyphens", "The key was used without its hyphens.", _AS_SHOWN)
_HYPHENS: Final = _about("key_hyphens", "The key was used with a GUID's hyphens; here it has none.", _AS_SHOWN)
_BRACES: Final = _about("key_braces", "The key was used in braces, as Windows writes a GUID.", _AS_SHOWN)
_BRACES_OFF: Final = _about("key_braces_here", "The key stands in braces here, and was used without them.", _AS_SHOWN)
_QUOTES: Final = _about("key_quoted", "Quotation marks were taken for part of the key.", _SIGNER)
_QUOTES_OFF: Final = _about(
    "key_quoted_here", "Quotation marks are part of the key here.", "Take them out of the setting, file or secret."
)
_LINE_END: Final = _about(
    "key_line_end",
    "A line end was taken for part of the key.",
    "Write the key without one (printf %s, not echo), or let the signing program strip what it reads from a file.",
)
_SPACE: Final = _about("key_white_space", "White space was taken for part of the key.", "Strip it where it is read.")
_BOM: Final = _about(
    "key_bom",
    "A byte-order mark was taken for part of the key.",
    "Save the key's file as UTF-8 without BOM, or let the signing program read it as utf-8-sig.",
)
_INVISIBLE_OFF: Final = _about(
    "key_invisible_here",
    "Invisible characters are part of the key here.",
    "Type the key anew, or copy it with Dastra's own copy button: a word processor or a chat put something in.",
)
_DASHES_OFF: Final = _about(
    "key_dashes_here",
    "The key's hyphens are dashes here, as a word processor makes them.",
    "Copy the key from Dastra's webhook page once more, not from a document.",
)
_ASSIGNMENT_OFF: Final = _about(
    "key_assignment_here",
    "A name and = stand before the key here.",
    "Keep only the key: in the secret or file, the part behind the =.",
)
_UTF_16: Final = _about(
    "key_utf_16", "The key's text was encoded in UTF-16.", "In .NET, Encoding.UTF8.GetBytes(key), not Encoding.Unicode."
)


def _spellings(text: str) -> Iterator[tuple[str, Hypothesis]]:
    yield text.upper(), _UPPER
    yield text.lower(), _LOWER
    yield text.replace("-", ""), _NO_HYPHENS
    yield f"{{{text}}}", _BRACES
    yield text.strip("{}()"), _BRACES_OFF
    if _GUID.fullmatch(text):
        yield str(uuid.UUID(text.strip("{}()"))), _HYPHENS
    for mark in "\"'":
        yield f"{mark}{text}{mark}", _QUOTES
    yield text.strip("\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb"), _QUOTES_OFF
    for end in ("\n", "\r\n", "\r"):
        yield text + end, _LINE_END
    for before, after in ((" ", ""), ("", " "), (" ", " "), ("", "\t"), ("", "\u00a0"), ("\n", "")):
        yield before + text + after, _SPACE
    yield "\ufeff" + text, _BOM
    yield "\ufeff" + text + "\n", _BOM
    yield _INVISIBLE.sub("", text), _INVISIBLE_OFF
    yield _DASHES.sub("-", text), _DASHES_OFF
    yield re.sub(r"^[A-Za-z_][\w.-]*\s*[=:]\s*", "", text), _ASSIGNMENT_OFF


def _bytes(text: str) -> Iterator[tuple[bytes, Hypothesis]]:
    """Readings of the text as something encoded, and encodings of the text."""
    if _GUID.fullmatch(text):
        guid = uuid.UUID(text.strip("{}()"))
        yield (
            guid.bytes,
            _about("key_guid_bytes", "The key was decoded to the GUID's 16 bytes, in the order they are written."),
        )
        yield (
            guid.bytes_le,
            _about("key_guid_bytes_dotnet", "The key was decoded to the GUID's 16 bytes, in .NET's order."),
        )
    yield from _as_encoded(text)
    encoded = text.encode("utf-8", "surrogatepass")
    yield text.encode("utf-16-le", "surrogatepass"), _UTF_16
    yield text.encode("utf-16-be", "surrogatepass"), _UTF_16
    yield b"\xff\xfe" + text.encode("utf-16-le", "surrogatepass"), _UTF_16
    yield encoded.hex().encode(), _about("key_hex_of", "The key's text was turned into hexadecimal first.")
    yield base64.b64encode(encoded), _about("key_base64_of", "The key's text was turned into base64 first.")
    hashed = _about("key_hashed", "The SHA-256 of the key was used, not the key.")
    yield hashlib.sha256(encoded).digest(), hashed
    yield hashlib.sha256(encoded).hexdigest().encode(), hashed


def _as_encoded(text: str) -> Iterator[tuple[bytes, Hypothesis]]:
    for bare in dict.fromkeys((text, text.replace("-", ""))):
        if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", bare):
            yield bytes.fromhex(bare), _about("key_from_hex", "The key was decoded from hexadecimal.")
    for plain, alphabet in ((text, "standard"), (text.replace("-", "+").replace("_", "/"), "URL-safe")):
        for candidate in dict.fromkeys((plain, plain + "=" * (-len(plain) % 4))):
            try:
                decoded = binascii.a2b_base64(candidate)
            except ValueError:
                continue
            if not decoded:
                continue
            yield decoded, _about("key_from_base64", f"The key was decoded from base64 ({alphabet} alphabet).")
            if len(decoded) == 16:
                for guid in (uuid.UUID(bytes=decoded), uuid.UUID(bytes_le=decoded)):
                    yield (
                        str(guid).encode(),
                        _about(
                            "key_guid_of_base64",
                            "The key here is base64 of a GUID's bytes; it was used as the GUID's text.",
                            _AS_SHOWN,
                        ),
                    )


_UNSET: Final = _about(
    "key_empty",
    "It was signed with an empty key.",
    'The signing program\'s variable or setting is not set; in a shell, check: test -n "$KEY"',
)
_PLACEHOLDER: Final = _about(
    "key_placeholder",
    "It was signed with a placeholder or a variable's name in place of a key.",
    "Look at how the signing program gets its key: a shell does not expand a variable in single quotes.",
)
_JOINED: Final = _about(
    "key_joined",
    "It was signed with the whole list of keys as if it were one key.",
    "The signer uses one key, the first of the list.",
)
_PLACEHOLDERS: Final = (
    *("None", "null", "undefined", "nil", "[]", "{}", "[object Object]", "secret", "key", "KEY", "your-key", "<key>"),
    *("YOUR_KEY", "change-me", "changeme", "$KEY", "${KEY}", "$SIGNATURE_KEY", "DASTRA_SIGNATURE_KEYS"),
    *("$DASTRA_SIGNATURE_KEYS", "${DASTRA_SIGNATURE_KEYS}"),
)


def _no_key(keys: Iterable[GivenKey]) -> Iterator[KeyForm]:
    yield KeyForm(b"", None, (_UNSET,))
    for word in _PLACEHOLDERS:
        yield KeyForm(word.encode(), None, (_PLACEHOLDER,))
    texts = [given.key.reveal() for given in keys if given.expected]
    if len(texts) > 1:
        for between in (",", ", ", "\n", " ", ";"):
            yield KeyForm(between.join(texts).encode(), None, (_JOINED,))
            yield KeyForm((between.join(texts) + "\n").encode(), None, (_JOINED, _LINE_END))
