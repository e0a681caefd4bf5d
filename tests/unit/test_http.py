"""The request and the fixed answers."""

from __future__ import annotations

import dataclasses
import json

import pytest

from core import http
from core.http import Headers, Request, Response

PLANTED = "planted-signature"


@pytest.mark.parametrize("written", ["Dastra-Signature", "dastra-signature", "DASTRA-SIGNATURE", "dAsTrA-sIgNaTuRe"])
@pytest.mark.parametrize("asked", ["Dastra-Signature", "dastra-signature", "DASTRA-SIGNATURE"])
def test_a_header_is_found_whatever_its_case(written: str, asked: str) -> None:
    """Neither the case it was sent in nor the case it is asked for in matters."""
    headers = Headers([("Host", "example.org"), (written, "value")])
    assert headers.get(asked) == "value"
    assert headers.get_all(asked) == ("value",)


def test_values_of_one_name_stay_in_the_order_of_arrival() -> None:
    """Names that differ in case only are one header, and every value of it is kept, repeats included."""
    headers = Headers([("A", "1"), ("b", "other"), ("a", "2"), ("A", "1"), ("a", "0")])
    assert headers.get_all("a") == ("1", "2", "1", "0")
    assert headers.get("A") == "1"
    assert headers.get_all("B") == ("other",)


@pytest.mark.parametrize("value", ["", " ", " padded\t", "a, b", "é", "\u2028", "\ud800"])
def test_values_are_kept_as_they_came(value: str) -> None:
    """Nothing is trimmed, split or decoded; an empty value is a value."""
    assert Headers([("name", value)]).get("name") == value


@pytest.mark.parametrize("headers", [Headers(), Headers([]), Headers([("names", "value"), ("nam", "value")])])
def test_an_absent_header_is_none_and_empty(headers: Headers) -> None:
    """A name that is not there, or only in part, has no value."""
    assert headers.get("name") is None
    assert headers.get_all("name") == ()


def test_headers_can_be_built_from_any_iterable() -> None:
    """A generator will do: entry points translate on the way."""
    assert Headers((name, name) for name in ("a", "b")).get("b") == "b"


def test_a_repr_shows_names_and_sizes_but_no_value_and_no_body() -> None:
    """What could be a signature or personal data stays out of what a log or a traceback may print."""
    headers = Headers([("Dastra-Signature", PLANTED), ("Accept", "secret")])
    assert repr(headers) == "Headers(['accept', 'dastra-signature'])"
    request = Request("POST", headers, b"planted-body", "192.0.2.1", 1.0, 12)
    assert repr(request) == "Request(method='POST', body=<12 bytes>, source='192.0.2.1')"


def test_a_request_needs_neither_time_nor_length() -> None:
    """Where the platform does not say, both are None."""
    request = Request("GET", Headers(), b"", None)
    assert request.received_at is None
    assert request.length is None


@pytest.mark.parametrize("value", [Request("GET", Headers(), b"", None), Response(200, b"")], ids=["request", "answer"])
def test_request_and_answer_are_frozen(value: Request | Response) -> None:
    """Neither can be changed on its way through."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.body = b"other"  # type: ignore[misc]


def test_an_answer_is_json_and_never_cached_unless_it_says_otherwise() -> None:
    """A bare answer carries the two headers that every answer has."""
    assert Response(200, b"").headers == (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (http.ACCEPTED, 200, {"status": "accepted"}),
        (http.SPOOLED, 200, {"status": "spooled"}),
        (http.QUARANTINED, 200, {"status": "quarantined"}),
        (http.BAD_REQUEST, 400, {"error": "bad request"}),
        (http.UNAUTHORIZED, 401, {"error": "unauthorized"}),
        (http.FORBIDDEN, 403, {"error": "forbidden"}),
        (http.METHOD_NOT_ALLOWED, 405, {"error": "method not allowed"}),
        (http.TOO_LARGE, 413, {"error": "too large"}),
        (http.UNAVAILABLE, 503, {"error": "unavailable"}),
    ],
)
def test_each_answer_has_one_fixed_body(answer: Response, status: int, body: dict[str, str]) -> None:
    """Status and body are those of the contract, and only 405 has a header of its own."""
    assert answer.status == status
    assert json.loads(answer.body) == body
    common = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    assert answer.headers == (*common, ("Allow", "POST")) if status == 405 else answer.headers == common


def test_there_is_one_refusal_for_each_status_that_is_not_200() -> None:
    """The table holds what screening may refuse with, each under its own status; no success is in it."""
    assert {status: answer.status for status, answer in http.REFUSALS.items()} == {
        status: status for status in (401, 403, 405, 413, 503)
    }
