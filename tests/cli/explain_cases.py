"""What can go wrong with a signature, each with what `explain` must find. Data only; ``test_explain_table.py`` runs it.

Digests are made with the standard library and never with the code under test.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import html
import json
import unicodedata
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import quote, quote_plus

from tests import planted
from tests.planted import KEY, NEWER_KEY, OTHER_KEY

BOM: Final = b"\xef\xbb\xbf"
Change = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """A body that arrived, its header's values, the keys that are expected, and the codes that must be found."""

    name: str
    codes: tuple[str, ...]
    body: bytes
    values: tuple[str, ...]
    keys: tuple[str, ...] = (KEY,)
    besides: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=())


def right(body: bytes, key: str | bytes = KEY) -> str:
    """The header's right value."""
    return planted.signature(body, key)


def digest(body: bytes, key: str | bytes = KEY, name: str = "sha256") -> bytes:
    """An HMAC."""
    return hmac.new(key.encode() if isinstance(key, str) else key, body, name).digest()


def b64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def event(**fields: Any) -> bytes:
    """An event with accents, an emoji, an apostrophe, a slash, numbers of several kinds, and nested emptiness."""
    data = {
        "id": 7, "score": 17.5, "ratio": 1.0, "big": 1e16, "label": "L'été <b>à</b> l'œuvre & 1+1=2 😀",
        "url": "https://example.org/a/b", "none": None, "empty": {}, "list": [], "tags": ["z", "a"],
        "nonce": planted.nonce(),
    }  # fmt: skip
    return json.dumps(planted.envelope(data=data, **fields), ensure_ascii=False, separators=(",", ":")).encode()


def latin_event() -> bytes:
    """An event whose characters Latin-1 has too."""
    return planted.body()


def pretty() -> bytes:
    """An event in several lines."""
    return json.dumps(planted.envelope(), indent=2, ensure_ascii=False).encode()


def dumps(body: bytes, **options: Any) -> bytes:
    """The body's JSON written by Python."""
    return json.dumps(json.loads(body), **options).encode()


def as_is(body: bytes) -> bytes:
    """Nothing changed."""
    return body


def dotnet(body: bytes) -> bytes:
    """As System.Text.Json writes by default: ASCII, capitals in escapes, and HTML's special characters escaped."""
    text = "".join(_unit(char) if char > "~" or char in "<>&'+`" else char for char in _compact(body))
    return text.replace('\\"', "\\u0022").replace("1e\\u002B16", "1e+16").encode()


def dotnet_relaxed(body: bytes) -> bytes:
    """As its relaxed encoder writes: only what is beyond the basic plane is escaped."""
    return "".join(_unit(char) if char > "\uffff" else char for char in _compact(body)).encode()


def php(body: bytes) -> bytes:
    """As json_encode writes."""
    return json.dumps(json.loads(body), separators=(",", ":")).replace("/", "\\/").encode()


def php_unicode(body: bytes) -> bytes:
    """As json_encode writes with JSON_UNESCAPED_UNICODE."""
    return _compact(body).replace("/", "\\/").encode()


def upper_escapes(body: bytes) -> bytes:
    """ASCII with capitals in escapes."""
    return "".join(_unit(char) if char > "~" else char for char in _compact(body)).encode()


def escaped(characters: str) -> Change:
    """A few ASCII characters escaped, as Go and Gson do."""
    return lambda body: "".join(_unit(c).lower() if c in characters else c for c in _compact(body)).encode()


def javascript(body: bytes) -> bytes:
    """As JSON.stringify writes numbers."""
    return body.replace(b"1.0,", b"1,").replace(b"1e+16", b"10000000000000000")


def _compact(body: bytes) -> str:
    return json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"))


def _unit(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex().upper()}" for at in range(0, len(units), 2))


# -- bodies: what was signed, what arrived, and what is found ----------------------------------------------------------

Pair = tuple[Callable[[], bytes], Change, Change, str]


def _bodies() -> Iterator[tuple[str, Pair]]:
    yield "newline-lost", (event, lambda b: b + b"\n", as_is, "newline_lost")
    yield "newline-lost-crlf", (event, lambda b: b + b"\r\n", as_is, "newline_lost")
    yield "newline-added", (event, as_is, lambda b: b + b"\n", "newline_added")
    yield "newline-added-crlf", (event, as_is, lambda b: b + b"\r\n", "newline_added")
    yield "space-added", (event, as_is, lambda b: b + b" \t ", "space_added")
    yield "space-added-around", (event, as_is, lambda b: b"  " + b + b"\n\n", "space_added")
    yield "space-lost", (event, lambda b: b + b" ", as_is, "space_lost")
    yield "space-lost-before", (event, lambda b: b" " + b, as_is, "space_lost")
    yield "bom-added", (event, as_is, lambda b: BOM + b, "bom_added")
    yield "bom-lost", (event, lambda b: BOM + b, as_is, "bom_lost")
    yield "nul-added", (event, as_is, lambda b: b + b"\0", "nul_added")
    yield "nul-lost", (event, lambda b: b + b"\0", as_is, "nul_lost")
    yield "line-ends-lf", (pretty, as_is, lambda b: b.replace(b"\n", b"\r\n"), "line_ends_lf")
    yield "line-ends-crlf", (pretty, lambda b: b.replace(b"\n", b"\r\n"), as_is, "line_ends_crlf")
    yield "line-ends-cr", (pretty, lambda b: b.replace(b"\n", b"\r"), as_is, "line_ends_cr")
    yield "line-ends-of-a-file", (pretty, lambda b: b.replace(b"\n", b"\r\n") + b"\r\n", as_is, "line_ends_crlf")
    yield "line-ends-removed", (pretty, lambda b: b.replace(b"\n", b""), as_is, "line_ends_removed")
    yield "line-ends-spaces", (pretty, lambda b: b.replace(b"\n", b" "), as_is, "line_ends_spaces")
    yield "text-added-behind", (event, as_is, lambda b: b + b"\r\n--boundary--", "body_extended")
    yield "text-added-before", (event, as_is, lambda b: b"data: " + b, "body_extended_in_front")
    yield "cut", (event, as_is, lambda b: b[:-2], "body_cut")
    yield "cut-in-a-list", (lambda: event()[:-1] + b',"x":[[{"y":"z"}]]}', as_is, lambda b: b[:-5], "body_cut")

    for name, encoding in (("latin_1", "latin-1"), ("cp1252", "cp1252"), ("cp850", "cp850")):
        yield f"arrived-{name}", (latin_event, as_is, _to(encoding), _known(f"arrived_in_{name}"))
        yield f"signed-{name}", (latin_event, _to(encoding), as_is, _known(f"signed_in_{name}"))
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        yield f"arrived-{encoding}", (event, as_is, _to(encoding), "arrived_in_utf_16")
        yield f"signed-{encoding}", (event, _to(encoding), as_is, "signed_in_utf_16")
    yield "signed-ascii", (event, lambda b: b.decode().encode("ascii", "replace"), as_is, "signed_in_ascii")
    yield "signed-ascii-units", (event, _ascii_units, as_is, "signed_in_ascii")
    yield "encoded-twice", (event, as_is, lambda b: b.decode("latin-1").encode(), "encoded_twice")
    yield "signed-encoded-twice", (event, lambda b: b.decode("latin-1").encode(), as_is, "signed_encoded_twice")
    yield "composed", (event, as_is, _normal("NFD"), "unicode_nfc")
    yield "decomposed", (event, _normal("NFD"), as_is, "unicode_nfd")

    yield "gzip-arrived", (event, as_is, gzip.compress, "body_compressed_gzip")
    yield "deflate-arrived", (event, as_is, zlib.compress, "body_compressed_deflate")
    yield "raw-deflate-arrived", (event, as_is, _raw_deflate, "body_compressed_raw_deflate")
    yield "gzip-signed", (event, lambda b: gzip.compress(b, mtime=0), as_is, "body_decompressed_gzip")
    yield "gzip-signed-unix", (event, lambda b: gzip.compress(b, 6, mtime=0)[:9] + b"\x03" + gzip.compress(b, 6)[10:], as_is, "body_decompressed_gzip")  # fmt: skip  # noqa: E501
    yield "deflate-signed", (event, zlib.compress, as_is, "body_decompressed_deflate")

    yield "base64-arrived", (event, as_is, base64.b64encode, "body_in_base64")
    yield "base64-lines-arrived", (event, as_is, base64.encodebytes, "body_in_base64")
    yield "base64-signed", (event, base64.b64encode, as_is, "signed_in_base64")
    yield "base64-lines-signed", (event, base64.encodebytes, as_is, "signed_in_base64")
    yield "hex-signed", (event, lambda b: b.hex().encode(), as_is, "signed_in_hex")
    yield "string-arrived", (event, as_is, lambda b: json.dumps(b.decode()).encode(), "body_in_json_string")
    yield "string-signed", (event, lambda b: json.dumps(b.decode()).encode(), as_is, "signed_in_json_string")
    yield "string-raw-signed", (event, lambda b: json.dumps(b.decode(), ensure_ascii=False).encode(), as_is, "signed_in_json_string")  # fmt: skip  # noqa: E501
    yield "list-signed", (event, lambda b: b"[" + b + b"]", as_is, "signed_in_list")
    yield "member-text", (event, as_is, lambda b: json.dumps({"x": 1, "body": b.decode()}).encode(), "body_in_member")
    yield "member-object", (event, as_is, lambda b: b'{"payload":' + b + b"}", "body_in_member")
    yield "member-base64", (event, as_is, lambda b: json.dumps({"body": b64(b), "isBase64Encoded": True}).encode(), "body_in_member")  # fmt: skip  # noqa: E501
    yield "only-data-signed", (event, lambda b: b[b.index(b'"data":') + 7 : -1], as_is, "signed_only_member")
    yield "form-arrived", (event, as_is, lambda b: quote_plus(b).encode(), "body_form_encoded")
    yield "url-arrived", (event, as_is, lambda b: quote(b, safe="").encode() + b"=", "body_form_encoded")
    yield "form-signed", (event, lambda b: quote_plus(b).encode(), as_is, "signed_form_encoded")
    yield "url-signed", (event, lambda b: quote(b, safe="").encode(), as_is, "signed_form_encoded")
    yield "form-field", (event, as_is, lambda b: b"a=1&payload=" + quote_plus(b).encode(), "body_in_form_field")
    yield "html-arrived", (event, as_is, lambda b: html.escape(b.decode()).encode(), "body_html_escaped")
    yield "backslashes", (latin_event, as_is, lambda b: b.replace(b'"', b'\\"'), "body_backslashes")
    yield "member-added", (event, as_is, lambda b: b[:-1] + b',"receivedAt":17}', "member_added")
    yield "member-added-first", (event, as_is, lambda b: b'{"source":"proxy",' + b[1:], "member_added")
    yield (
        "member-added-between",
        (event, as_is, lambda b: b.replace(b'"userId"', b'"via":[1],"userId"'), "member_added"),
    )
    for text in (b"", b"{}", b"null", b"[object Object]"):
        yield f"signed-{text.decode() or 'nothing'}", (event, partial(_constant, text), as_is, "signed_nothing")

    yield "json-compact", (event, as_is, lambda b: dumps(b, ensure_ascii=False), "json_compact")
    yield "json-spaced", (event, lambda b: dumps(b, ensure_ascii=False), as_is, "json_spaced")
    yield "json-colon", (event, lambda b: dumps(b, ensure_ascii=False, separators=(",", ": ")), as_is, "json_spaced_colon")  # fmt: skip  # noqa: E501
    for indent, code in ((2, "2"), (4, "4"), ("\t", "tab")):
        yield f"json-indent-{code}", (event, _indented(indent), as_is, f"json_indent_{code}")
        yield f"json-indent-{code}-crlf", (event, _crlf(_indented(indent)), as_is, f"json_indent_{code}_crlf")
        yield f"json-unindented-{code}", (event, as_is, _indented(indent), "json_compact")
    jackson = lambda b: dumps(b, ensure_ascii=False, indent=2, separators=(",", " : "))  # noqa: E731
    yield "json-jackson", (event, jackson, as_is, "json_indent_jackson")
    yield "json-jackson-crlf", (event, _crlf(jackson), as_is, "json_indent_jackson_crlf")
    yield "json-raw", (event, as_is, lambda b: dumps(b, separators=(",", ":")), "json_raw_utf8")
    yield "json-lower", (event, lambda b: dumps(b, separators=(",", ":")), as_is, "json_escapes_lower")
    yield "json-upper", (event, upper_escapes, as_is, "json_escapes_upper")
    yield "json-dotnet", (event, dotnet, as_is, "json_escapes_dotnet")
    yield "json-from-dotnet", (event, as_is, dotnet, "json_raw_utf8")
    yield "json-dotnet-relaxed", (event, dotnet_relaxed, as_is, "json_escapes_dotnet_relaxed")
    yield "json-php", (event, php, as_is, "json_escapes_php")
    yield "json-php-unicode", (event, php_unicode, as_is, "json_escapes_slash")
    yield "json-go", (event, escaped("<>&"), as_is, "json_escapes_go")
    yield "json-gson", (event, escaped("<>&='"), as_is, "json_escapes_gson")
    yield "json-sorted", (event, lambda b: dumps(b, sort_keys=True, ensure_ascii=False, separators=(",", ":")), as_is, "json_sorted")  # fmt: skip  # noqa: E501
    yield "json-javascript", (event, javascript, as_is, "json_numbers_javascript")
    yield "json-dotnet-numbers", (_large, lambda b: b.replace(b"1e+300", b"1E+300"), as_is, "json_numbers_dotnet")
    yield "json-python-numbers", (_large, as_is, lambda b: b.replace(b"1e+300", b"1E300"), "json_numbers_python")
    yield "json-one-decimal", (event, as_is, lambda b: b.replace(b"1.0,", b"1,"), "json_number_decimal")
    yield "json-all-decimal", (_whole, lambda b: b.replace(b"1,", b"1.0,").replace(b"2}", b"2.0}"), as_is, "json_numbers_decimal")  # fmt: skip  # noqa: E501


def _constant(text: bytes, _: bytes) -> bytes:
    return text


def _known(code: str) -> str:
    """Windows-1252 and Latin-1 are the same for what this text holds, and the first of them is named."""
    return code.replace("cp1252", "latin_1")


def _to(encoding: str) -> Change:
    return lambda body: body.decode().encode(encoding)


def _normal(form: Any) -> Change:
    return lambda body: unicodedata.normalize(form, body.decode()).encode()


def _ascii_units(body: bytes) -> bytes:
    """As .NET's ASCII encoder: a question mark for each UTF-16 unit."""
    return "".join("??" if char > "\uffff" else char for char in body.decode()).encode("ascii", "replace")


def _raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


def _indented(indent: int | str) -> Change:
    return lambda body: dumps(body, ensure_ascii=False, indent=indent)


def _crlf(change: Change) -> Change:
    return lambda body: change(body).replace(b"\n", b"\r\n")


def _large() -> bytes:
    return f'{{"eventType":"TaskEdit","eventName":"{planted.MARKER} {planted.nonce()}","data":1e+300}}'.encode()


def _whole() -> bytes:
    return f'{{"a":"{planted.MARKER} {planted.nonce()}","b":1,"c":2}}'.encode()


# -- signatures --------------------------------------------------------------------------------------------------------


def _header_changes() -> Iterator[tuple[str, Callable[[bytes], str], tuple[str, ...]]]:
    """From the digest's bytes to the header's value."""
    yield "hex", lambda d: d.hex(), ("signature_hex",)
    yield "hex-upper", lambda d: d.hex().upper(), ("signature_hex",)
    yield "prefixed", lambda d: f"sha256={b64(d)}", ("signature_prefixed",)
    yield "prefixed-hex", lambda d: f"sha256={d.hex()}", ("signature_prefixed", "signature_hex")
    yield "prefixed-v1", lambda d: f"v1,{b64(d)}".replace(",", "="), ("signature_prefixed",)
    yield "url-safe", lambda d: base64.urlsafe_b64encode(d).decode(), ("signature_url_safe",)
    yield "unpadded", lambda d: b64(d).rstrip("="), ("signature_padding",)
    yield "overpadded", lambda d: f"{b64(d)}=", ("signature_padding",)
    yield (
        "jwt-like",
        lambda d: base64.urlsafe_b64encode(d).decode().rstrip("="),
        ("signature_url_safe", "signature_padding"),
    )
    yield "quoted", lambda d: f'"{b64(d)}"', ("signature_quoted",)
    yield "newline", lambda d: f"{b64(d)}\n", ("signature_white_space",)
    yield "folded", lambda d: f"{b64(d)[:20]}\r\n {b64(d)[20:]}", ("signature_white_space",)
    yield "invisible", lambda d: f"\ufeff{b64(d)}", ("signature_white_space",)
    yield "percent", lambda d: quote(b64(d), safe=""), ("signature_percent_encoded",)
    yield "plus-as-space", lambda d: b64(d).replace("+", " "), ("signature_plus_as_space",)
    yield "of-hex", lambda d: b64(d.hex().encode()), ("signature_encoded_twice", "signature_hex")
    yield "twice", lambda d: b64(b64(d).encode()), ("signature_encoded_twice",)
    yield "raw", lambda d: d.decode("latin-1"), ("signature_raw_bytes",)
    yield "lower-case", lambda d: b64(d).lower(), ("signature_letter_case",)
    yield "trailing", lambda d: f"{b64(d)}; path=/", ("signature_trailing",)
    yield "truncated", lambda d: b64(d[:20]), ("signature_truncated",)
    yield "not-canonical", _not_canonical, ("signature_not_canonical",)


def _as_in_a_jwt(digest_: bytes) -> str:
    return base64.urlsafe_b64encode(digest_).decode().rstrip("=")


def _not_canonical(digest_: bytes) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = b64(digest_)
    return f"{text[:-2]}{alphabet[alphabet.index(text[-2]) + 1]}="


def with_both_specials() -> bytes:
    """An event whose signature has both characters in which the alphabets differ, and no other oddity."""
    while True:
        body = event()
        value = right(body)
        # The raw digest stands in a header too: there a comma separates, and white space is none of it.
        odd = b",\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0"
        if "+" in value and "/" in value and not any(byte in odd for byte in digest(body)):
            return body


def _signatures() -> Iterator[Case]:
    body = with_both_specials()
    for name, change, codes in _header_changes():
        yield Case(f"signature-{name}", codes, body, (change(digest(body)),))
    other = right(body, OTHER_KEY)
    yield Case("signature-conflict", ("signatures_conflict",), body, (right(body), other))
    yield Case("signature-conflict-joined", ("signatures_conflict",), body, (f"{other}, {right(body)}",))


# -- keys --------------------------------------------------------------------------------------------------------------


def _keys() -> Iterator[Case]:
    body = event()
    guid = uuid.UUID(KEY)
    signers: dict[str, tuple[str | bytes, str]] = {
        "guid-bytes": (guid.bytes, "key_guid_bytes"),
        "guid-bytes-dotnet": (guid.bytes_le, "key_guid_bytes_dotnet"),
        "upper": (KEY.upper(), "key_upper_case"),
        "no-hyphens": (guid.hex, "key_no_hyphens"),
        "braces": (f"{{{KEY}}}", "key_braces"),
        "quoted": (f'"{KEY}"', "key_quoted"),
        "newline": (f"{KEY}\n", "key_line_end"),
        "crlf": (f"{KEY}\r\n", "key_line_end"),
        "space": (f" {KEY}", "key_white_space"),
        "bom": (f"\ufeff{KEY}", "key_bom"),
        "utf-16": (KEY.encode("utf-16-le"), "key_utf_16"),
        "base64-of": (b64(KEY.encode()), "key_base64_of"),
        "hex-of": (KEY.encode().hex(), "key_hex_of"),
        "hashed": (hashlib.sha256(KEY.encode()).digest(), "key_hashed"),
        "hashed-hex": (hashlib.sha256(KEY.encode()).hexdigest(), "key_hashed"),
        "from-base64": (base64.b64decode(KEY.replace("-", "+") + "=" * (-len(KEY) % 4)), "key_from_base64"),
        "empty": (b"", "key_empty"),
        "placeholder": ("undefined", "key_placeholder"),
        "variable": ("$KEY", "key_placeholder"),
    }
    for name, (key, code) in signers.items():
        yield Case(f"signer-{name}", (code,), body, (right(body, key),))
    # The other way round: the signer is right, and the key that is configured is not as Dastra shows it.
    here: dict[str, tuple[str, str]] = {
        "upper": (KEY.upper(), "key_lower_case"),
        "no-hyphens": (guid.hex, "key_hyphens"),
        "braces": (f"{{{KEY}}}", "key_braces_here"),
        "quoted": (f'"{KEY}"', "key_quoted_here"),
        "curly-quotes": (f"\u201c{KEY}\u201d", "key_quoted_here"),
        "invisible": (f"{KEY[:9]}\u200b{KEY[9:]}", "key_invisible_here"),
        "dashes": (KEY.replace("-", "\u2013"), "key_dashes_here"),
        "assignment": (f"DASTRA_KEY={KEY}", "key_assignment_here"),
        "base64-of-text": (b64(KEY.encode()), "key_from_base64"),
        "hex-of-text": (KEY.encode().hex(), "key_from_hex"),
        "base64-of-guid": (b64(guid.bytes), "key_guid_of_base64"),
        "base64-of-guid-dotnet": (b64(guid.bytes_le), "key_guid_of_base64"),
    }
    for name, (text, code) in here.items():
        yield Case(f"configured-{name}", (code,), body, (right(body),), keys=(planted.key(text),))
    two = (NEWER_KEY, KEY)
    joined = f"{NEWER_KEY},{KEY}"
    yield Case("signer-joined", ("key_joined",), body, (right(body, joined),), keys=two)
    yield Case("signer-joined-line", ("key_joined", "key_line_end"), body, (right(body, f"{joined}\n"),), keys=two)
    yield Case("wrong-key", ("wrong_key",), body, (right(body, OTHER_KEY),), keys=two, besides=(OTHER_KEY,))
    windows = f"{{{KEY.upper()}}}"
    yield Case("signer-windows", ("key_upper_case", "key_braces"), body, (right(body, windows),))
    compact = guid.hex.upper()
    yield Case("signer-hex-upper", ("key_upper_case", "key_no_hyphens"), body, (right(body, compact),))


# -- algorithms --------------------------------------------------------------------------------------------------------


def _algorithms() -> Iterator[Case]:
    body = event()
    for name in ("md5", "sha1", "sha224", "sha384", "sha512", "sha3_256"):
        yield Case(f"algorithm-{name}", (f"hmac_{name}",), body, (b64(digest(body, name=name)),))
        hexed = ("signature_hex", f"hmac_{name}")
        yield Case(f"algorithm-{name}-hex", hexed, body, (digest(body, name=name).hex(),))
    cut = digest(body, name="sha512")[:32]
    yield Case("algorithm-sha512-cut", ("signature_truncated", "hmac_sha512"), body, (b64(cut),))
    key = KEY.encode()
    others = {
        "plain_hash": hashlib.sha256(body).digest(),
        "hash_of_key_and_body": hashlib.sha256(key + body).digest(),
        "hash_of_body_and_key": hashlib.sha256(body + key).digest(),
        "key_and_body_swapped": hmac.new(body, key, "sha256").digest(),
        "hmac_of_hash": digest(hashlib.sha256(body).digest()),
    }
    for code, found in others.items():
        yield Case(f"algorithm-{code}", (code,), body, (b64(found),))
    of_hex = b64(digest(hashlib.sha256(body).hexdigest().encode()))
    yield Case("algorithm-hmac-of-hex", ("hmac_of_hash",), body, (of_hex,))


# -- pairs and more ----------------------------------------------------------------------------------------------------


def _pairs() -> Iterator[Case]:
    body = event()
    python = dumps(body)
    guid = uuid.UUID(KEY).bytes_le

    def case(name: str, codes: Sequence[str], arrived: bytes, value: str) -> Case:
        return Case(f"pair-{name}", tuple(codes), arrived, (value,))

    yield case("key-and-body", ("key_upper_case", "newline_lost"), body, right(body + b"\n", KEY.upper()))
    yield case("key-and-json", ("key_guid_bytes_dotnet", "json_compact", "json_raw_utf8"), python, right(body, guid))
    yield case("key-and-hex", ("signature_hex", "key_line_end"), body, digest(body, f"{KEY}\n").hex())
    yield case("body-and-hex", ("signature_hex", "bom_added"), BOM + body, digest(body).hex())
    prefixed = f"sha256={digest(body, KEY.upper()).hex()}"
    three = ("signature_prefixed", "signature_hex", "key_upper_case", "newline_added")
    yield case("all-three", three, body + b"\n", prefixed)
    yield case("utf-16-both", ("key_utf_16", "signed_in_utf_16"), body, right(_to("utf-16-le")(body), KEY.encode("utf-16-le")))  # fmt: skip  # noqa: E501
    yield case("sha1-and-body", ("hmac_sha1", "newline_added"), body + b"\n", b64(digest(body, name="sha1")))
    yield case("sha1-and-key", ("hmac_sha1", "key_upper_case"), body, b64(digest(body, KEY.upper(), "sha1")))
    yield case("json-and-newline", ("json_compact", "json_raw_utf8", "newline_lost"), python, right(body + b"\n"))
    yield case("base64-of-gzip", ("body_in_base64", "body_compressed_gzip"), base64.b64encode(gzip.compress(body)), right(body))  # fmt: skip  # noqa: E501
    yield case("bom-and-newline", ("bom_added", "newline_added"), BOM + body + b"\n", right(body))
    yield case("crlf-and-bom", ("line_ends_crlf", "bom_lost"), (lines := pretty()), right(BOM + lines.replace(b"\n", b"\r\n")))  # fmt: skip  # noqa: E501
    yield case("string-of-python", ("body_in_json_string", "json_compact", "json_raw_utf8"), json.dumps(python.decode()).encode(), right(body))  # fmt: skip  # noqa: E501
    yield case("sorted-php", ("json_sorted", "json_escapes_php"), body, right(dumps(body, sort_keys=True, separators=(",", ":")).replace(b"/", b"\\/")))  # fmt: skip  # noqa: E501


def _of_bodies() -> Iterator[Case]:
    for name, (make, signed, arrived, code) in _bodies():
        body = make()
        yield Case(f"body-{name}", (code,), arrived(body), (right(signed(body)),))


CASES: Final = (*_of_bodies(), *_signatures(), *_keys(), *_algorithms(), *_pairs())
