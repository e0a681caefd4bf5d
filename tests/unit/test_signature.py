"""Keys, the header's form, and the comparison. Vectors made by other programs are in test_vectors.py."""

from __future__ import annotations

import base64
import hashlib
import hmac
import string

import pytest

from core.signature import (
    HEADER,
    SignatureFault,
    SignatureKey,
    claims_signature,
    matching_key,
    parse_keys,
    read_signature,
    sign,
)
from tests.unit.samples import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, signature

BODY = b'{"a":1}'
# printf '{"a":1}' | openssl dgst -sha256 -hmac planted-key -binary | openssl base64 -A
SIGNED = "a4XTWuGkqDGETpOa4tBe9D64DRYAbNr4IQx0MudCdHc="
DIGEST = base64.b64decode(SIGNED)
OTHER = signature(BODY, "another-key")
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


# Keys


@pytest.mark.parametrize(
    "text", ["planted-key", " planted-key", "planted-key\n", "\r\n\tplanted-key \n", "\u00a0planted-key\u2003"]
)
def test_white_space_around_a_key_is_not_part_of_it(text: str) -> None:
    """Consoles and editors add line ends; the HMAC key is the text without them."""
    assert SignatureKey(text) == SignatureKey("planted-key")
    assert SignatureKey(text).digest(BODY) == DIGEST


@pytest.mark.parametrize("text", [KEY_TEXT, "{0b5fae1c-7d2e-4c4b-9a68-3f1de2c47a90}", "clé-é", "a b", "ﬀ", "=" * 200])
def test_the_utf8_of_the_text_is_the_hmac_key_also_where_it_is_a_guid(text: str) -> None:
    """A key is never parsed: not as a GUID, not as hex, not normalised."""
    assert SignatureKey(text).digest(BODY) == hmac.new(text.encode(), BODY, hashlib.sha256).digest()


@pytest.mark.parametrize("text", ["", " ", "\n", "\u2003"])
def test_an_empty_key_is_an_error(text: str) -> None:
    """Nothing but white space would be a key that everybody knows."""
    with pytest.raises(ValueError, match=r"^a signature key must not be empty$"):
        SignatureKey(text)


def test_a_key_that_cannot_be_encoded_is_an_error_without_the_text() -> None:
    """An unpaired surrogate has no UTF-8, and neither message nor chained error shows the rest of the key."""
    with pytest.raises(ValueError, match=r"^a signature key must be valid UTF-8 text$") as raised:
        SignatureKey("planted\ud800")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_the_fingerprint_is_twelve_hex_digits_of_a_hash_made_for_it() -> None:
    """It is stable from release to release, and is no prefix of the key's own SHA-256, which others may publish."""
    # printf 'dastra-webhooks key fingerprint\nplanted-key' | sha256sum | cut -c1-12
    assert SignatureKey("planted-key").fingerprint == "97cde68b4bc8"
    assert not hashlib.sha256(b"planted-key").hexdigest().startswith("97cde68b4bc8")
    assert KEY.fingerprint != OTHER_KEY.fingerprint


def test_a_repr_shows_the_fingerprint_only() -> None:
    """A key in a traceback or a log says which one it is and not what it is."""
    assert repr(SignatureKey("planted-key")) == "SignatureKey(97cde68b4bc8)"
    assert f"{SignatureKey('planted-key')}" == "SignatureKey(97cde68b4bc8)"


def test_a_key_reveals_its_text_when_asked() -> None:
    """What a secret store is given is the trimmed text."""
    assert SignatureKey(" clé ").reveal() == "clé"


def test_keys_are_equal_by_their_text() -> None:
    """Equal keys are one key in a set; another text, or the text itself, is not equal."""
    assert {SignatureKey("a"), SignatureKey(" a "), SignatureKey("b")} == {SignatureKey("a"), SignatureKey("b")}
    assert SignatureKey("a") != SignatureKey("A")
    assert SignatureKey("a") != "a"
    assert SignatureKey("a") != b"a"


# Several keys


A, B, C = ("invented-key-aaaa", "invented-key-bbbb", "invented-key-cccc")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        pytest.param("invented-key-new", ["invented-key-new"], id="one"),
        pytest.param("invented-key-new,invented-key-old", ["invented-key-new", "invented-key-old"], id="comma"),
        pytest.param("invented-key-new;invented-key-old", ["invented-key-new", "invented-key-old"], id="semicolon"),
        pytest.param("invented-key-new invented-key-old", ["invented-key-new", "invented-key-old"], id="space"),
        pytest.param(
            "invented-key-new\ninvented-key-old\r\ninvented-key-older\t",
            ["invented-key-new", "invented-key-old", "invented-key-older"],
            id="lines",
        ),
        pytest.param(
            " ,; invented-key-new ,\n; invented-key-old, ",
            ["invented-key-new", "invented-key-old"],
            id="separators around and doubled",
        ),
        pytest.param(f"{B},{A},{B},{C},{A}", [B, A, C], id="repeated keys count once, at their first place"),
        pytest.param(
            "\ufeffinvented-key-new,invented-key-old", ["invented-key-new", "invented-key-old"], id="byte-order mark"
        ),
        pytest.param(
            "\ufeff invented-key-new,invented-key-old",
            ["invented-key-new", "invented-key-old"],
            id="byte-order mark, then space",
        ),
        pytest.param(
            '["invented-key-new", "invented-key-old"]', ["invented-key-new", "invented-key-old"], id="JSON list"
        ),
        pytest.param(' \n["invented-key-new"]\n', ["invented-key-new"], id="JSON list in white space"),
        pytest.param(
            '\ufeff["invented-key-new", "invented-key-old"]',
            ["invented-key-new", "invented-key-old"],
            id="JSON list after a byte-order mark",
        ),
        pytest.param(
            '\ufeff\n["invented-key-new", "invented-key-old"]',
            ["invented-key-new", "invented-key-old"],
            id="JSON list after a byte-order mark and a line",
        ),
        pytest.param(
            f'["{A} b", "{A},d", "{A};f"]', [f"{A} b", f"{A},d", f"{A};f"], id="a string of a JSON list is one key"
        ),
        pytest.param(
            '["invented-key-new", " invented-key-new ", "", " ", 5, null, true, ["x"], {"y": "z"}]',
            ["invented-key-new"],
            id="odd JSON list",
        ),
        pytest.param(
            '{"b": "invented-key-new", "a": "invented-key-old"}',
            ["invented-key-new", "invented-key-old"],
            id="JSON object, in its order",
        ),
        pytest.param(
            '{"key": "invented-key-new", "version": 3, "former": null}',
            ["invented-key-new"],
            id="JSON object with other values",
        ),
        pytest.param('["cl\\u00e9-inventee-ici"]', ["clé-inventee-ici"], id="JSON escapes"),
        pytest.param(f"# Dastra's webhook key\n{A}", [A], id="words around it"),
        pytest.param(f'{{"webhook": "tasks", "env": "prod", "key": "{A}"}}', [A], id="JSON object with a label"),
        pytest.param(f"{'k' * 16} {'j' * 15}", ["k" * 16], id="as short as a key may be, and one less"),
    ],
)
def test_keys_are_read_in_every_form_that_a_secret_store_holds(text: str, keys: list[str]) -> None:
    """Separated text, a JSON list or a JSON object: the same keys, newest first."""
    assert [key.reveal() for key in parse_keys(text)] == keys


NO_KEY = (
    "no key found: expected one or several validation keys of 16 characters or more, separated by commas or white space"
)
NOT_JSON = "the keys look like JSON but are not valid JSON"
NOT_TEXT = "a signature key must be valid UTF-8 text"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", NO_KEY),
        (" \n", NO_KEY),
        (",;, ", NO_KEY),
        ("\ufeff", NO_KEY),
        ("[]", NO_KEY),
        ("{}", NO_KEY),
        ('["", " "]', NO_KEY),
        ("[1, null]", NO_KEY),
        ('{"planted": {"key": "planted"}}', NO_KEY),
        ('["planted', NOT_JSON),
        ("{planted}", NOT_JSON),
        ("['planted']", NOT_JSON),
        ('["planted"] planted', NOT_JSON),
        ("[" * 100_000, NOT_JSON),
        ("[" + "9" * 5000 + "]", NOT_JSON),
        ('["planted-invented-\\ud800"]', NOT_TEXT),
        ("planted-invented-\ud800", NOT_TEXT),
        ("planted, as five short words", NO_KEY),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_text_without_a_usable_key_is_an_error_that_does_not_show_it(text: str, error: str) -> None:
    """Half a JSON document is never taken for a key, and the message holds nothing of the text."""
    with pytest.raises(ValueError, match=f"^{error}$") as raised:
        parse_keys(text)
    assert "planted" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


# The header's form


def test_the_header_is_the_documented_one() -> None:
    """Its name, in the lower case that look-ups use."""
    assert HEADER == "dastra-signature"


def test_faults_have_the_names_that_stand_in_logs() -> None:
    """Whoever searches the log for one finds it."""
    assert [fault.value for fault in SignatureFault] == [
        "missing_signature",
        "conflicting_signatures",
        "malformed_signature",
        "wrong_signature",
    ]


def test_a_signature_is_base64_of_the_hmac() -> None:
    """`sign` gives what openssl gives: 44 characters, no line end."""
    assert sign(BODY, SignatureKey("planted-key")) == SIGNED
    assert len(SIGNED) == 44


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([SIGNED], id="as it is"),
        pytest.param([f" {SIGNED}"], id="space before"),
        pytest.param([f"{SIGNED}\t "], id="tab and space behind"),
        pytest.param([SIGNED, SIGNED], id="twice"),
        pytest.param([SIGNED, f" {SIGNED} "], id="twice, one padded"),
        pytest.param([f"{SIGNED},{SIGNED}"], id="joined by a platform"),
        pytest.param([f"{SIGNED}, {SIGNED}\t,{SIGNED}", SIGNED], id="joined with space, and again"),
    ],
)
def test_one_signature_is_read_however_often_it_is_repeated(values: list[str]) -> None:
    """Equal values are one signature; white space around a field's value is not part of it."""
    assert read_signature(values) == DIGEST
    assert claims_signature(values)


def test_every_digest_has_its_signature() -> None:
    """No character of base64 is taken for white space or a separator, at either end."""
    for byte in range(256):
        digest = bytes([byte]) * 32
        value = base64.b64encode(digest).decode()
        assert read_signature([value]) == digest
        assert claims_signature([value])
        for letter in ALPHABET:
            assert not claims_signature([letter + value])
            assert read_signature([value + letter]) is SignatureFault.MALFORMED


def test_a_digest_of_zeros_is_a_signature_like_any_other() -> None:
    """No digest is taken for an absent one."""
    assert read_signature(["A" * 43 + "="]) == bytes(32)
    assert claims_signature(["A" * 43 + "="])


@pytest.mark.parametrize("values", [[], [""], [" \t "], ["", ""], [","], [" , ", "\t"]], ids=repr)
def test_no_value_is_a_missing_signature(values: list[str]) -> None:
    """Absent, empty, or nothing but white space and commas."""
    assert read_signature(values) is SignatureFault.MISSING
    assert not claims_signature(values)


@pytest.mark.parametrize(
    ("values", "claims"),
    [
        ([SIGNED, OTHER], True),
        ([OTHER, SIGNED], True),
        ([f"{SIGNED},{OTHER}"], True),
        ([f"{SIGNED}, {SIGNED}, {OTHER}"], True),
        ([SIGNED, ""], True),
        ([f"{SIGNED},"], True),
        (["", SIGNED], True),
        (["junk", f"junk, {SIGNED} "], True),
        ([SIGNED, SIGNED.swapcase()], True),
        (["one", "two"], False),
        (["one,two"], False),
        (["one", ""], False),
    ],
)
def test_two_values_that_differ_conflict(values: list[str], claims: bool) -> None:
    """Which of two would be right is not guessed, also where one is empty; whether one has the form is still told."""
    assert read_signature(values) is SignatureFault.CONFLICTING
    assert claims_signature(values) is claims


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x", id="one character"),
        pytest.param("=", id="padding only"),
        pytest.param("=" * 44, id="44 of padding"),
        pytest.param(SIGNED[:-1], id="unpadded"),
        pytest.param(SIGNED + "=", id="padded twice"),
        pytest.param(SIGNED[:-2] + "==", id="31 bytes with the right length"),
        pytest.param("A" * 44, id="33 bytes with the right length"),
        pytest.param("A" * 42 + "=A", id="padding inside"),
        pytest.param("=" + "A" * 43, id="padding first"),
        pytest.param(SIGNED[1:], id="truncated left"),
        pytest.param("A" + SIGNED, id="one too many"),
        pytest.param(base64.b64encode(DIGEST[:31]).decode(), id="31 bytes"),
        pytest.param(base64.b64encode(DIGEST + b"x").decode(), id="33 bytes"),
        pytest.param(base64.b64encode(DIGEST * 2).decode(), id="64 bytes"),
        pytest.param(base64.urlsafe_b64encode(b"\xfb" * 32).decode(), id="url-safe minus"),
        pytest.param(base64.urlsafe_b64encode(b"\xff" * 32).decode(), id="url-safe underscore"),
        pytest.param(DIGEST.hex(), id="hex"),
        pytest.param(DIGEST.hex()[:44], id="hex of the right length"),
        pytest.param(f"sha256={SIGNED}", id="prefixed"),
        pytest.param(f"v1={SIGNED[3:]}", id="prefixed to the right length"),
        pytest.param(f'"{SIGNED}"', id="quoted"),
        pytest.param(SIGNED[:20] + " " + SIGNED[20:], id="space inside"),
        pytest.param(SIGNED[:20] + " " + SIGNED[21:], id="space in place of a character"),
        pytest.param(SIGNED[:20] + "\n" + SIGNED[21:], id="line end in place of a character"),
        pytest.param(SIGNED[:20] + "\0" + SIGNED[21:], id="NUL in place of a character"),
        pytest.param(SIGNED + "\n", id="line end behind"),
        pytest.param("\v" + SIGNED, id="vertical tab before"),
        pytest.param("\u00a0" + SIGNED, id="no-break space before"),
        pytest.param("é" + SIGNED[1:], id="Latin letter outside ASCII"),
        pytest.param("\uff21" + SIGNED[1:], id="full-width A"),
        pytest.param("\ud800" + SIGNED[1:], id="unpaired surrogate"),
        pytest.param(SIGNED[:-2] + "\uff21=", id="full-width letter last"),
    ],
)
def test_what_is_not_canonical_base64_of_32_bytes_is_malformed(value: str) -> None:
    """Never an exception and never a digest, and such a value does not count as a claim."""
    assert read_signature([value]) is SignatureFault.MALFORMED
    assert not claims_signature([value])


def test_one_digest_has_one_spelling() -> None:
    """Of the 64 characters that may end a signature, those that leave the two unused bits zero are accepted."""
    accepted = {last for last in ALPHABET if isinstance(read_signature([SIGNED[:42] + last + "="]), bytes)}
    assert accepted == {last for index, last in enumerate(ALPHABET) if index % 4 == 0}


# The comparison


def test_the_key_that_signed_is_found_among_several() -> None:
    """Each of two keys is named for its own signature, whatever their order."""
    keys = (KEY, OTHER_KEY)
    for text, expected in ((KEY_TEXT, KEY), (OTHER_KEY_TEXT, OTHER_KEY)):
        digest = base64.b64decode(signature(BODY, text))
        assert matching_key(BODY, digest, keys) is expected
        assert matching_key(BODY, digest, reversed(keys)) is expected


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        pytest.param(BODY + b"\n", DIGEST, id="one byte more"),
        pytest.param(BODY[:-1], DIGEST, id="one byte less"),
        pytest.param(b"", DIGEST, id="empty body"),
        pytest.param(BODY, bytes([DIGEST[0] ^ 1]) + DIGEST[1:], id="first bit"),
        pytest.param(BODY, DIGEST[:-1] + bytes([DIGEST[-1] ^ 1]), id="last bit"),
        pytest.param(BODY, DIGEST[:-1], id="short digest"),
        pytest.param(BODY, DIGEST + b"\0", id="long digest"),
        pytest.param(BODY, b"", id="empty digest"),
    ],
)
def test_anything_else_matches_no_key(body: bytes, digest: bytes) -> None:
    """One bit of body or digest is enough, and a digest of another length is no exception."""
    assert matching_key(body, digest, [SignatureKey("planted-key")]) is None


def test_without_keys_nothing_matches() -> None:
    """No key, no match: there is no default."""
    assert matching_key(BODY, DIGEST, []) is None
