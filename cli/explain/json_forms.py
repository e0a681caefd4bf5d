"""The same JSON written by other serialisers: what a body may have been before something parsed and wrote it anew."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from cli.explain.hypothesis import BodyForm, BodyForms, Hypothesis, Part
from cli.explain.json_pieces import in_sorted_order, is_space, pieces_of

_MOST_NUMBERS: Final = 300
_REMEMBERED: Final = 10_000
"""Strings and numbers that are not written twice."""

_REMEDY: Final = (
    "Something between the signer and the check parses the body and writes it anew. Check the signature over the bytes "
    "as they came: request.get_data() in Flask, await request.body() in FastAPI, express.raw() in Express, "
    "a raw body in Spring or ASP.NET. And sign the very bytes that are sent."
)


@dataclass(frozen=True, slots=True)
class _Style:
    """One way to write one thing; ``said`` completes "What was signed is the same JSON ..."."""

    code: str
    said: str
    write: Callable[[Sequence[str]], list[str]]

    @property
    def hypothesis(self) -> Hypothesis:
        return Hypothesis(Part.BODY, f"json_{self.code}", f"What was signed is the same JSON {self.said}.", _REMEDY)


def json_forms(body: bytes) -> BodyForms:
    """The body's JSON in other spellings, those that differ in one thing first. Nothing where it is no JSON."""
    pieces = pieces_of(body)
    if pieces is None:
        return
    bare = [piece for piece in pieces if not is_space(piece)]
    orders = _variants(bare, (_Style("sorted", "with each object's members sorted by name", in_sorted_order),))
    found: list[tuple[tuple[Hypothesis, ...], list[str], bool]] = []
    for order, in_order in orders:
        for number, with_numbers in _variants(in_order, _NUMBERS):
            for string, with_strings in _variants(with_numbers, _STRINGS):
                because = tuple(style.hypothesis for style in (order, number, string) if style is not None)
                found.append((because, with_strings, order is None))
    found.sort(key=lambda entry: len(entry[0]))
    mark = body[:3] if body.startswith(b"\xef\xbb\xbf") else b""
    seen = {hash(body)}
    # Breadth first over the number of things that differ.
    waiting: list[tuple[int, Callable[[], list[str]], tuple[Hypothesis, ...]]] = []
    whole = "".join(pieces)
    own = next((style for style in _SPACES if "".join(style.write(bare)) == whole), None)
    for because, written, same_order in found:
        if same_order:
            waiting.append((len(because), partial(_with_space, pieces, written), because))
        for style in _SPACES:
            more = () if style is own else (style.hypothesis,)
            waiting.append((len(because) + len(more), partial(style.write, written), (*more, *because)))
    waiting.extend((1, partial(_one_decimal, pieces, place), (_ONE_DECIMAL,)) for place in _integers(pieces))
    for _, write, because in sorted(waiting, key=lambda entry: entry[0]):
        text = mark + "".join(write()).encode("utf-8", "surrogatepass")
        if hash(text) not in seen:
            seen.add(hash(text))
            yield BodyForm(text, because)


def _variants(pieces: list[str], styles: Sequence[_Style]) -> Iterator[tuple[_Style | None, list[str]]]:
    """The pieces as they are, and in each style that changes them; of two that come to the same, the first."""
    seen = [pieces]
    yield None, pieces
    for style in styles:
        written = style.write(pieces)
        if written not in seen:
            seen.append(written)
            yield style, written


# -- numbers -----------------------------------------------------------------------------------------------------------


def _each_number(change: Callable[[str], str]) -> Callable[[Sequence[str]], list[str]]:
    changed = lru_cache(_REMEMBERED)(change)

    def write(pieces: Sequence[str]) -> list[str]:
        return [changed(piece) if piece[0] in "-0123456789" and piece != "-Infinity" else piece for piece in pieces]

    return write


def _python_number(piece: str) -> str:
    try:
        return piece if _is_integer(piece) or not math.isfinite(float(piece)) else repr(float(piece))
    except ValueError:
        return piece


def _javascript_number(piece: str) -> str:
    try:
        value = float(piece)
    except ValueError:
        return piece
    if not math.isfinite(value):
        return piece
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    mantissa, exponent, power = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(power):+d}" if exponent else mantissa


def _dotnet_number(piece: str) -> str:
    mantissa, exponent, power = _javascript_number(piece).partition("e")
    return f"{mantissa}E{int(power):+03d}" if exponent else mantissa


def _with_decimal(piece: str) -> str:
    return f"{piece}.0" if _is_integer(piece) else piece


def _is_integer(piece: str) -> bool:
    return not set(piece) & set(".eE")


_NUMBERS: Final = (
    _Style("numbers_python", "with its numbers as Python writes them", _each_number(_python_number)),
    _Style(
        "numbers_javascript", "with its numbers as JavaScript writes them (1 for 1.0)", _each_number(_javascript_number)
    ),
    _Style("numbers_dotnet", "with its numbers as .NET writes them (1E+16)", _each_number(_dotnet_number)),
    _Style("numbers_decimal", "with .0 behind every whole number", _each_number(_with_decimal)),
)
_ONE_DECIMAL: Final = _Style("number_decimal", "with .0 behind one whole number that has lost it", list).hypothesis


def _integers(pieces: Sequence[str]) -> list[int]:
    places = [place for place, piece in enumerate(pieces) if re.fullmatch(r"-?\d+", piece)]
    return places if len(places) <= _MOST_NUMBERS else []


def _one_decimal(pieces: list[str], place: int) -> list[str]:
    return [*pieces[:place], f"{pieces[place]}.0", *pieces[place + 1 :]]


# -- strings -----------------------------------------------------------------------------------------------------------

_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaping(
    wanted: str, form: str, *, quote: str = '\\"', slash: bool = False
) -> Callable[[Sequence[str]], list[str]]:
    """A writer of strings that spells out control characters and those that ``wanted`` matches."""
    pattern = re.compile(rf"[\x00-\x1f\"\\]|{wanted}" + ("|/" if slash else ""))

    def unit(match: re.Match[str]) -> str:
        char = match[0]
        if char == '"':
            return quote
        if char == "/":
            return "\\/"
        if char in _SHORT:
            return _SHORT[char]
        units = char.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{int.from_bytes(units[at : at + 2]):{form}}" for at in range(0, len(units), 2))

    @lru_cache(_REMEMBERED)
    def piece_of(piece: str) -> str:
        return f'"{pattern.sub(unit, json.loads(piece))}"'

    def write(pieces: Sequence[str]) -> list[str]:
        return [piece_of(piece) if piece[0] == '"' else piece for piece in pieces]

    return write


_LOWER, _UPPER = "04x", "04X"
_BEYOND: Final = "[\x7f-\U0010ffff]"
_STRINGS: Final = (
    _Style("raw_utf8", "with its characters as they are, not escaped", _escaping("(?!)", _LOWER)),
    _Style("escapes_lower", r"with \u00e9 escapes, as Python writes it", _escaping("[\x80-\U0010ffff]", _LOWER)),
    _Style(
        "escapes_dotnet",
        r"as .NET's System.Text.Json writes it (\u00E9, and \u0027 for an apostrophe)",
        _escaping(f"{_BEYOND}|[<>&'+`]", _UPPER, quote="\\u0022"),
    ),
    _Style(
        "escapes_dotnet_relaxed",
        "as .NET's relaxed encoder writes it (only emoji and the like are escaped)",
        _escaping("[\x7f-\x9f\u2028\u2029\U00010000-\U0010ffff]", _UPPER),
    ),
    _Style("escapes_upper", r"with \u00E9 escapes in capitals", _escaping(_BEYOND, _UPPER)),
    _Style("escapes_php", r"as PHP's json_encode writes it (\u00e9 and \/)", _escaping(_BEYOND, _LOWER, slash=True)),
    _Style("escapes_slash", r"with \/ for each slash, as PHP writes it", _escaping("(?!)", _LOWER, slash=True)),
    _Style("escapes_go", r"as Go writes it (\u003c for <)", _escaping("[<>&\u2028\u2029]", _LOWER)),
    _Style("escapes_gson", r"as Gson writes it (\u003c, \u003d, \u0027)", _escaping("[<>&='\u2028\u2029]", _LOWER)),
)

# -- white space -------------------------------------------------------------------------------------------------------


def _with_space(before: Sequence[str], written: Sequence[str]) -> list[str]:
    """The changed pieces in the white space of the old ones."""
    changed = iter(written)
    return [piece if is_space(piece) else next(changed) for piece in before]


def _spaced(comma: str, colon: str) -> Callable[[Sequence[str]], list[str]]:
    return lambda pieces: [{",": comma, ":": colon}.get(piece, piece) for piece in pieces]


def _indented(unit: str, end: str = "\n", colon: str = ": ") -> Callable[[Sequence[str]], list[str]]:
    def write(pieces: Sequence[str]) -> list[str]:
        depth, written = 0, list[str]()
        for place, piece in enumerate(pieces):
            match piece:
                case "{" | "[":
                    depth += 1
                    empty = pieces[place + 1] in ("}", "]")
                    written.append(piece if empty else piece + end + unit * depth)
                case "}" | "]":
                    depth -= 1
                    empty = pieces[place - 1] in ("{", "[")
                    written.append(piece if empty else end + unit * depth + piece)
                case ",":
                    written.append(piece + end + unit * depth)
                case ":":
                    written.append(colon)
                case _:
                    written.append(piece)
        return written

    return write


_SPACES: Final = (
    _Style("compact", "without white space", list),
    _Style("spaced", "with a space behind each comma and colon, Python's default", _spaced(", ", ": ")),
    _Style("spaced_colon", "with a space behind each colon", _spaced(",", ": ")),
    *(
        _Style(f"indent_{code}{ending}", f"indented by {said}{lines}", _indented(unit, end, colon))
        for end, ending, lines in (("\n", "", ""), ("\r\n", "_crlf", ", with CRLF line ends"))
        for code, said, unit, colon in (
            ("2", "two spaces", "  ", ": "),
            ("4", "four spaces", "    ", ": "),
            ("tab", "tabs", "\t", ": "),
            ("jackson", "two spaces, with a space before each colon (Jackson)", "  ", " : "),
        )
    ),
)
