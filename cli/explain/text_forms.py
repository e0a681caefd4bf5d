"""Bodies whose line ends, byte-order mark, white space or encoding changed between signing and arrival."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from cli.explain.hypothesis import BodyForm, BodyForms, body_form
from cli.explain.json_pieces import MOST_BYTES

BOM: Final = b"\xef\xbb\xbf"
_RAW_BYTES: Final = (
    "Keep the body as bytes from socket to check, and sign the very bytes that are sent: no text mode, no decoding and "
    "encoding, no template."
)
_ENCODING: Final = (
    "Keep the body as bytes from socket to check. Where it must become text, name the encoding: UTF-8 on both sides "
    "(.NET: Encoding.UTF8, Java: StandardCharsets.UTF_8, Python: .encode())."
)


def edges(body: bytes) -> BodyForms:
    """What stands before or behind the body: line ends, white space, a byte-order mark, a NUL."""
    added = "Sign and send the same bytes: printf %s, not echo; --data-binary @FILE; an editor adds a line end too."
    for end, name in ((b"\n", "LF"), (b"\r\n", "CRLF")):
        said = f"It was signed with a line end ({name}) behind it, which did not arrive."
        yield body_form(body + end, "newline_lost", said, added)
        if body.endswith(end):
            said = f"The line end ({name}) behind it was added after signing."
            yield body_form(body.removesuffix(end), "newline_added", said, added)
    trimmed = body.rstrip(b" \t\r\n")
    said = "White space behind it was added after signing."
    yield body_form(trimmed, "space_added", said, added)
    yield body_form(body.strip(b" \t\r\n"), "space_added", "White space around it was added after signing.", added)
    for around in (b" ", b"\t"):
        yield body_form(body + around, "space_lost", "It was signed with white space behind it.", added)
        yield body_form(around + body, "space_lost", "It was signed with white space before it.", added)
    mark = "Leave the byte-order mark out on both sides (.NET: new UTF8Encoding(false); Python: utf-8, not utf-8-sig)."
    if body.startswith(BOM):
        yield body_form(body.removeprefix(BOM), "bom_added", "A byte-order mark was added after signing.", mark)
    else:
        yield body_form(BOM + body, "bom_lost", "It was signed with a byte-order mark, which did not arrive.", mark)
    nul = "A C string's end was taken for part of the body: give the length of the text, without its end."
    if body.endswith(b"\0"):
        yield body_form(body.rstrip(b"\0"), "nul_added", "NUL bytes were added after signing.", nul)
    yield body_form(body + b"\0", "nul_lost", "It was signed with a NUL byte behind it.", nul)


def line_ends(body: bytes) -> BodyForms:
    """Line ends inside the body, turned into others or lost."""
    unix = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\n" not in unix:
        return
    git = f"{_RAW_BYTES} For a file that git keeps: `*.json -text` in .gitattributes."
    curl = "Send with --data-binary: curl's -d leaves out the line ends of a file."
    for changed, code, said, remedy in (
        (unix, "line_ends_lf", "It was signed with LF line ends; they arrived as others.", git),
        (unix.replace(b"\n", b"\r\n"), "line_ends_crlf", "It was signed with CRLF line ends; they arrived as LF.", git),
        (unix.replace(b"\n", b"\r"), "line_ends_cr", "It was signed with CR line ends.", git),
        (unix.replace(b"\n", b""), "line_ends_removed", "It was signed without the line ends it has now.", curl),
        (
            unix.replace(b"\n", b" "),
            "line_ends_spaces",
            "It was signed with spaces for its line ends.",
            curl,
        ),
    ):
        yield body_form(changed, code, said, remedy)
    # As a file is written: the last line ended as well.
    if not unix.endswith(b"\n"):
        whole = unix.replace(b"\n", b"\r\n") + b"\r\n"
        said = "It was signed with CRLF line ends and one at its end; they arrived as LF, the last one not at all."
        yield body_form(whole, "line_ends_crlf", said, git)


def decoded(body: bytes) -> BodyForms:
    """The body's text in UTF-8, where it arrived in another encoding or was encoded twice."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield from _as_utf8(body, "utf-16", "utf_16", "UTF-16")
    elif b"\0" in body[:4]:
        yield from _as_utf8(body, "utf-16-le" if body[1:2] == b"\0" else "utf-16-be", "utf_16", "UTF-16")
    if body.isascii() or len(body) > MOST_BYTES:
        return
    try:
        text = body.decode()
    except UnicodeError:
        for name, said in (("latin-1", "Latin-1"), ("cp1252", "Windows-1252"), ("cp850", "a DOS code page (850)")):
            yield from _as_utf8(body, name, name.replace("-", "_"), said)
        return
    said = "Its UTF-8 was taken for another encoding and encoded to UTF-8 once more (Ã© in place of é)."
    for name in ("latin-1", "cp1252", "mac_roman", "cp850"):
        with suppress(UnicodeError):
            once = text.encode(name)
            once.decode()
            yield body_form(once, "encoded_twice", said, _ENCODING)


def _as_utf8(body: bytes, encoding: str, code: str, said: str) -> Iterator[BodyForm]:
    with suppress(UnicodeError):
        whole = f"It was signed in UTF-8 and arrived in {said}."
        yield body_form(body.decode(encoding).encode(), f"arrived_in_{code}", whole, _ENCODING)


def encoded(body: bytes) -> BodyForms:
    """The body's text in encodings other than UTF-8, and in other normal forms of Unicode."""
    if len(body) > MOST_BYTES:
        return
    try:
        text = body.decode()
    except UnicodeError:
        return
    for encoding, mark in (
        ("utf-16-le", b""),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b""),
        ("utf-16-be", b"\xfe\xff"),
    ):
        said = "What was signed is the body's text in UTF-16."
        remedy = "In .NET, Encoding.UTF8.GetBytes(body), not Encoding.Unicode."
        yield body_form(mark + text.encode(encoding, "surrogatepass"), "signed_in_utf_16", said, remedy)
    if text.isascii():
        return
    for encoding, said in (("latin-1", "Latin-1"), ("cp1252", "Windows-1252"), ("cp850", "a DOS code page (850)")):
        with suppress(UnicodeError):
            whole = f"What was signed is the body's text in {said}, and it arrived in UTF-8."
            yield body_form(text.encode(encoding), f"signed_in_{encoding.replace('-', '_')}", whole, _ENCODING)
    marks = "What was signed has question marks in place of every character outside ASCII."
    ascii_ = f"The signer encodes to ASCII. {_ENCODING}"
    yield body_form(text.encode("ascii", "replace"), "signed_in_ascii", marks, ascii_)
    by_units = "".join("??" if char > "\uffff" else char for char in text)
    yield body_form(by_units.encode("ascii", "replace"), "signed_in_ascii", marks, ascii_)
    yield body_form(body.decode("latin-1").encode(), "signed_encoded_twice", "It was signed encoded twice.", _ENCODING)
    with suppress(UnicodeError):
        yield body_form(
            body.decode("cp1252").encode(), "signed_encoded_twice", "It was signed encoded twice.", _ENCODING
        )
    for form in ("NFC", "NFD"):
        said = f"Its accents were composed differently when it was signed (Unicode {form})."
        remedy = "Something normalises the text, such as a file system or a database. Keep the body as bytes."
        yield body_form(unicodedata.normalize(form, text).encode(), f"unicode_{form.lower()}", said, remedy)
