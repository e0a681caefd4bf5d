"""Each hypothesis of `explain`, found where it holds: in both directions, alone and with others."""

from __future__ import annotations

import ast
import gzip
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

import cli.explain
from cli.explain.capture import Capture
from cli.explain.compressed import MOST_BYTES, unpacked
from cli.explain.key_forms import GivenKey
from cli.explain.verdict import Outcome, Verdict, explain_request
from core.signature import SignatureKey
from tests import planted
from tests.cli.explain_cases import CASES, Case, event, right

PACKAGE: Final = Path(cli.explain.__file__).parent


def verdict_of(case: Case) -> Verdict:
    """What is said about a case."""
    given = [GivenKey(SignatureKey(text), "here") for text in case.keys]
    given += [GivenKey(SignatureKey(text), "elsewhere", expected=False) for text in case.besides]
    headers = tuple(("dastra-signature", value) for value in case.values)
    return explain_request(Capture("POST", "/", (*headers, *case.headers), case.body), given, seconds=60)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_explained(case: Case) -> None:
    """The reason is found, it is exactly what was done, and each part comes with something to do."""
    verdict = verdict_of(case)
    assert verdict.outcome is Outcome.EXPLAINED
    assert sorted(item.code for item in verdict.because) == sorted(case.codes)
    assert all(item.found.endswith(".") and item.remedy for item in verdict.because)


def test_every_hypothesis_has_a_case() -> None:
    """No hypothesis stands in the package that the table does not try."""
    tried = {code for case in CASES for code in case.codes}
    assert set(_codes()) - tried == set()


def _codes() -> Iterator[str]:
    """The codes that the package's source spells out."""
    for path in PACKAGE.glob("*_forms.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            place, prefix = {"_about": (0, ""), "body_form": (1, ""), "_Style": (0, "json_")}.get(
                node.func.id, (None, "")
            )
            if place is not None and len(node.args) > place:
                argument = node.args[place]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield prefix + argument.value


def test_a_right_signature_is_valid() -> None:
    """What the receiver would accept is valid, with the key's fingerprint, whichever of the keys it is."""
    body = event()
    for key in (planted.NEWER_KEY, planted.KEY):
        verdict = verdict_of(Case("", (), body, (right(body, key),), (planted.NEWER_KEY, planted.KEY)))
        assert verdict.outcome is Outcome.VALID
        assert verdict.key is not None
        assert verdict.key.key == SignatureKey(key)
        assert verdict.because == ()


@pytest.mark.parametrize("values", [2, 3])
def test_repeated_and_padded_headers_are_valid(values: int) -> None:
    """What the receiver reads as one signature is one here too: repeated, joined by commas, with blanks around."""
    body = event()
    for form in (" {}\t", "{0},{0}"):
        assert verdict_of(Case("", (), body, (form.format(right(body)),) * values)).outcome is Outcome.VALID


def test_what_is_valid_is_not_suspected() -> None:
    """A right signature over a body that looks cut, or is not JSON, is right; how it looks is then no suspicion."""
    body = event()[:-30]
    verdict = verdict_of(Case("", (), body, (right(body),), headers=(("content-length", "99999"),)))
    assert verdict.outcome is Outcome.VALID
    assert [item.code for item in verdict.observed if item.suspect] == []


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ((), b"{}", "signature_missing"),
        ((("X-Dastra-Signature", "x"),), b"{}", "header_named_otherwise"),
        ((("Dastra_Signature", "x"),), b"{}", "header_named_otherwise"),
        ((("Dastra-Signature", "not a digest"),), b"{}", "signature_unreadable"),
        ((("Dastra-Signature", "A" * 100_000),), b"{}", "signature_unreadable"),
        ((("Dastra-Signature", "A" * 43 + "="),), b"", "body_empty"),
        ((("Dastra-Signature", "A" * 43 + "="),), b'{"a":"b', "body_cut"),
        ((("Dastra-Signature", "A" * 43 + "="),), b'{"a":"\xef\xbf\xbd"}', "replacement_characters"),
        ((("Dastra-Signature", "A" * 43 + "="), ("Content-Encoding", "gzip")), b"{}", "already_decompressed"),
    ],
)
def test_what_can_be_seen_without_a_key(headers: tuple[tuple[str, str], ...], body: bytes, code: str) -> None:
    """What cannot be undone is suspected, with what to do; a body that is whole raises no suspicion of its own."""
    verdict = explain_request(Capture("POST", "/", headers, body), [GivenKey(SignatureKey(planted.KEY), "here")])
    assert verdict.outcome is Outcome.SUSPECTED
    [suspect] = [item for item in verdict.observed if item.suspect]
    assert suspect.code == code
    assert suspect.remedy


@pytest.mark.parametrize(("declared", "code"), [(5, "body_truncated"), (1, "body_longer")])
def test_lengths_that_differ(declared: int, code: str) -> None:
    """A body that is shorter or longer than it announced is suspected."""
    capture = Capture("POST", "/", (("Dastra-Signature", "A" * 43 + "="),), b"{}", declared)
    verdict = explain_request(capture, [GivenKey(SignatureKey(planted.KEY), "here")])
    assert [item.code for item in verdict.observed if item.suspect] == [code]


@pytest.mark.parametrize(("encoding", "package"), [("br", "brotli"), ("zstd", "zstandard")])
def test_a_codec_that_is_not_at_hand(monkeypatch: pytest.MonkeyPatch, encoding: str, package: str) -> None:
    """A compression that cannot be undone here is named, with the package that would."""
    monkeypatch.setattr("cli.explain.compressed.import_module", _absent)
    headers = (("Dastra-Signature", "A" * 43 + "="), ("Content-Encoding", encoding))
    verdict = explain_request(Capture("POST", "/", headers, b"\x0b\x02"), [GivenKey(SignatureKey(planted.KEY), "here")])
    [suspect] = [item for item in verdict.observed if item.suspect]
    assert (suspect.code, package in suspect.remedy) == ("codec_missing", True)


def test_a_codec_that_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a package for it is installed, br is undone; its errors, and what grows too large, are no match."""
    body = event()
    codec = SimpleNamespace(decompress=lambda data: {b"packed": body, b"bomb": b"x" * (MOST_BYTES + 1)}[data])
    monkeypatch.setattr("cli.explain.compressed.import_module", lambda _: codec)
    verdict = verdict_of(Case("", (), b"packed", (right(body),)))
    assert [item.code for item in verdict.because] == ["body_compressed_br"]
    for other in (b"bomb", b"another"):
        assert verdict_of(Case("", (), other, (right(body),))).because == ()


def _absent(name: str) -> None:
    raise ImportError(name)


def test_a_compressed_body_cannot_grow_without_bound() -> None:
    """A body that unpacks to more than any receiver takes is not followed."""
    bomb = gzip.compress(b"x" * (MOST_BYTES + 1))
    assert list(unpacked(bomb)) == []


def test_another_key_than_all_that_are_known() -> None:
    """A signature by an unknown key is not explained, and every combination was tried."""
    verdict = verdict_of(Case("", (), event(), (right(event(), planted.OTHER_KEY),)))
    assert verdict.outcome is Outcome.UNEXPLAINED
    assert verdict.complete
    assert verdict.tried > 10_000


def test_the_difference_is_located() -> None:
    """Sizes of both bodies and the offset where they part, which help to see what changed."""
    body = b'{"a": 1}'
    verdict = verdict_of(Case("", (), body, (right(b'{"a":1}'),)))
    assert verdict.difference is not None
    assert (verdict.difference.arrived, verdict.difference.signed, verdict.difference.first) == (8, 7, 5)
