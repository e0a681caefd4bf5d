"""Requests out of Lambda events, and answers back, for every front. The events are in tests/events/aws."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest

from aws_lambda.events import NotHttpError, read_request, write_response
from core import http
from core.http import Response

TESTS: Final = Path(__file__).parents[2]
EVENTS: Final = TESTS / "events" / "aws"
BODY: Final = (TESTS / "vectors" / "bodies" / "accents-utf8.bin").read_bytes()
SIGNATURE: Final = "ZQiLDmkmVVk3SCqUA6Mkf8fRDosrvO8zZUzaGa9VhVY="
NAMES: Final = sorted(path.stem for path in EVENTS.glob("*.json"))
RECEIVED_AT: Final = 1772442964.118
"""2026-03-02T09:16:04.118Z, where the front says so."""

names = pytest.mark.parametrize("name", NAMES)


def load(name: str) -> Any:
    """One of the stored events, fresh."""
    return json.loads((EVENTS / f"{name}.json").read_bytes())


# Reading


@names
def test_every_front_gives_the_same_request(name: str) -> None:
    """The method, the exact bytes, the signature, the true address, and the time where the front knows it."""
    request = read_request(load(name), 1)
    assert request.method == "POST"
    assert request.body == BODY
    assert request.headers.get_all("Dastra-Signature") == (SIGNATURE,)
    assert request.source == "192.0.2.44"
    assert request.received_at == (None if name.startswith("alb") else RECEIVED_AT)
    assert request.length is None


@names
@pytest.mark.parametrize("hops", [1, 2, 3, 10])
def test_only_behind_a_load_balancer_does_the_number_of_proxies_matter(name: str, hops: int) -> None:
    """Elsewhere the context has the address; here a chain that is too short means that it is unknown."""
    known = read_request(load(name), hops).source == "192.0.2.44"
    assert known is (hops == 1 or not name.startswith("alb"))


def test_behind_a_load_balancer_the_chain_is_counted_from_the_right() -> None:
    """The load balancer wrote the last element, a proxy in front of it the one before."""
    sources = [read_request(load("alb_multi_value"), hops).source for hops in (1, 2, 3, 4)]
    assert sources == ["192.0.2.44", "203.0.113.9", "198.51.100.7", None]


@names
@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP"]
)
def test_no_header_of_the_caller_changes_the_address(name: str, header: str) -> None:
    """Not in any case, and behind a load balancer not by an element further left."""
    event = load(name)
    for spelled in (header, header.lower(), header.upper()):
        for headers, value in (("headers", "203.0.113.250"), ("multiValueHeaders", ["203.0.113.250"])):
            found = event.get(headers)
            if isinstance(found, dict) and not (name.startswith("alb") and header == "X-Forwarded-For"):
                found[spelled] = value
    assert read_request(event, 1).source == "192.0.2.44"


@pytest.mark.parametrize("name", ["function_url", "http_api_v2", "rest_api_v1"])
@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("test-invoke-source-ip", None),
        ("", None),
        (None, None),
        (..., None),
    ],
)
def test_an_address_is_normalised_and_one_that_is_none_is_unknown(
    name: str, address: object, source: str | None
) -> None:
    """Also the console's test button and a context without one."""
    event = load(name)
    holder = event["requestContext"]["identity" if name == "rest_api_v1" else "http"]
    if address is ...:
        del holder["sourceIp"]
    else:
        holder["sourceIp"] = address
    assert read_request(event, 1).source == source


@names
@pytest.mark.parametrize("method", ["GET", "PUT", "post", ""])
def test_the_method_is_the_request_s(name: str, method: str) -> None:
    """As it was sent."""
    event = load(name)
    if "http" in event["requestContext"]:
        event["requestContext"]["http"]["method"] = method
    else:
        event["httpMethod"] = method
    assert read_request(event, 1).method == method


BYTES = [
    b"",
    b"x",
    b'{"a":1}\n',
    b"\xef\xbb\xbf{}",
    '{"a":"é\u2028😀"}'.encode(),
    bytes(range(256)),
    b"\x1f\x8b\x08\0gzip",
    b"\r\n \0",
]


@names
@pytest.mark.parametrize("body", BYTES, ids=lambda body: ascii(body[:8]))
def test_base64_is_undone_to_the_exact_bytes(name: str, body: bytes) -> None:
    """Whatever they are."""
    event = load(name) | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    assert read_request(event, 1).body == body


@names
@pytest.mark.parametrize("flag", [False, None, ...])
def test_text_is_its_utf8(name: str, flag: object) -> None:
    """Nothing is decoded, normalised or re-encoded on the way, also where the flag is missing."""
    event = load(name)
    for body in BYTES:
        try:
            event["body"] = body.decode()
        except UnicodeDecodeError:
            continue
        event["isBase64Encoded"] = flag
        if flag is ...:
            del event["isBase64Encoded"]
        assert read_request(event, 1).body == body


@names
def test_text_that_is_no_unicode_is_no_error(name: str) -> None:
    """It fails the signature later and nothing else."""
    event = load(name) | {"body": "a\ud800b", "isBase64Encoded": False}
    assert read_request(event, 1).body == b"a\xed\xa0\x80b"


@names
@pytest.mark.parametrize("encoded", [False, True])
def test_a_missing_body_is_empty(name: str, encoded: bool) -> None:
    """GET has none; null and absent are the same."""
    event = load(name) | {"body": None, "isBase64Encoded": encoded}
    assert read_request(event, 1).body == b""
    del event["body"]
    assert read_request(event, 1).body == b""


@names
@pytest.mark.parametrize("body", ["e30", "e30=\n=", "{}", "é", "e3 0=", 5, {}])
def test_what_is_no_base64_is_no_request(name: str, body: object) -> None:
    """A front never does that, so the event is not from one."""
    with pytest.raises(NotHttpError):
        read_request(load(name) | {"body": body, "isBase64Encoded": True}, 1)


# Headers


def test_the_form_that_keeps_duplicates_is_read_where_the_front_sends_both() -> None:
    """REST APIs send the last value and all of them; a duplicate must show."""
    event = load("rest_api_v1")
    event["headers"]["Dastra-Signature"] = "second"
    event["multiValueHeaders"]["Dastra-Signature"] = ["first", "second"]
    assert read_request(event, 1).headers.get_all("dastra-signature") == ("first", "second")


@pytest.mark.parametrize("many", [None, {}])
def test_single_headers_count_where_there_are_no_others(many: object) -> None:
    """Null and empty are none."""
    event = load("rest_api_v1") | {"multiValueHeaders": many}
    assert read_request(event, 1).headers.get("dastra-signature") == SIGNATURE


@pytest.mark.parametrize("single", [None, {}])
def test_a_request_may_have_no_headers(single: object) -> None:
    """Then it has no signature."""
    event = load("function_url") | {"headers": single}
    assert read_request(event, 1).headers.get_all("dastra-signature") == ()
    del event["headers"]
    assert read_request(event, 1).headers.get_all("dastra-signature") == ()


def test_odd_header_values_are_no_error() -> None:
    """Null is absent, a number is its text."""
    event = load("function_url")
    event["headers"] |= {"a": None, "b": 5}
    headers = read_request(event, 1).headers
    assert (headers.get("a"), headers.get("b")) == (None, "5")
    event = load("alb_multi_value")
    event["multiValueHeaders"] |= {"a": None, "b": [], "c": [5, "x"]}
    headers = read_request(event, 1).headers
    assert [headers.get_all(name) for name in "abc"] == [(), (), ("5", "x")]


def test_a_chain_in_several_headers_is_one_chain() -> None:
    """Behind a load balancer with multi-value headers."""
    event = load("alb_multi_value")
    event["multiValueHeaders"]["x-forwarded-for"] = ["198.51.100.7", "203.0.113.9, 192.0.2.44"]
    assert [read_request(event, hops).source for hops in (1, 2, 3, 4)] == [
        "192.0.2.44",
        "203.0.113.9",
        "198.51.100.7",
        None,
    ]


# Time


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        (1772442964118, RECEIVED_AT),
        (1772442964118.5, 1772442964.1185),
        (1, 0.001),
        (0, None),
        (-1, None),
        (None, None),
        ("1772442964118", None),
        (True, None),
        ([], None),
        (10**14 - 1000, 10**11 - 1),
        (10**14, None),
        (10**400, None),
        (float("nan"), None),
        (float("inf"), None),
        (..., None),
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize(("name", "field"), [("function_url", "timeEpoch"), ("rest_api_v1", "requestTimeEpoch")])
def test_a_time_is_taken_where_it_is_one(name: str, field: str, stamp: object, seconds: float | None) -> None:
    """In milliseconds since the epoch; anything else is unknown and no error."""
    event = load(name)
    event["requestContext"][field] = stamp
    if stamp is ...:
        del event["requestContext"][field]
    assert read_request(event, 1).received_at == seconds


# Not HTTP


def _without(name: str, *path: str) -> Any:
    event = load(name)
    holder = event
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return event


@pytest.mark.parametrize(
    "event",
    [
        None,
        "",
        "text",
        5,
        [],
        [1],
        {},
        {"body": "{}", "headers": {}},
        {"requestContext": None},
        {"requestContext": "http"},
        {"requestContext": []},
        {"requestContext": {}},
        {"requestContext": {"http": None}},
        {"requestContext": {"http": {}}},
        {"requestContext": {"identity": None}, "httpMethod": "POST"},
        {"requestContext": {"elb": {}}},
        {"requestContext": {"http": {"method": "POST", "sourceIp": 5}}},
        {"requestContext": {"http": {"method": "POST"}}, "headers": ["a"]},
        {"requestContext": {"http": {"method": "POST"}}, "multiValueHeaders": "a"},
        {"requestContext": {"http": {"method": "POST"}}, "multiValueHeaders": {"a": 5}},
        {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
        {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
        {"requestContext": {"routeKey": "$connect", "eventType": "CONNECT", "connectionId": "x"}},
        _without("function_url", "requestContext", "http", "method"),
        _without("rest_api_v1", "httpMethod"),
        _without("rest_api_v1", "requestContext", "identity"),
        _without("alb", "httpMethod"),
        _without("alb", "requestContext"),
    ],
    ids=lambda event: None,
)
def test_an_event_of_no_known_front_is_one_error(event: object) -> None:
    """It names the fronts that there are, and nothing else escapes."""
    with pytest.raises(NotHttpError, match=r"function URL, API Gateway \(payload 1\.0 or 2\.0\) or a load balancer"):
        read_request(event, 1)


# Answers


@pytest.mark.parametrize("answer", [http.ACCEPTED, *http.REFUSALS.values()], ids=lambda answer: str(answer.status))
@names
def test_an_answer_has_the_form_of_its_front(name: str, answer: Response) -> None:
    """Status, body as text, the headers in the form that counts there; JSON that Lambda can return."""
    written = write_response(answer, load(name))
    expected: dict[str, Any] = {
        "statusCode": answer.status,
        "body": answer.body.decode(),
        "isBase64Encoded": False,
    }
    if name.startswith("alb"):
        expected["statusDescription"] = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    if name.startswith("alb_multi_value"):
        expected["multiValueHeaders"] = {header: [value] for header, value in answer.headers}
    else:
        expected["headers"] = dict(answer.headers)
    assert written == expected
    assert json.loads(json.dumps(written)) == written


def test_an_answer_of_405_carries_allow_in_both_forms() -> None:
    """Which method is allowed."""
    assert write_response(http.METHOD_NOT_ALLOWED, load("function_url"))["headers"]["Allow"] == "POST"
    assert write_response(http.METHOD_NOT_ALLOWED, load("alb_multi_value"))["multiValueHeaders"]["Allow"] == ["POST"]


@pytest.mark.parametrize(
    "change", [lambda e: e, lambda e: {**e, "multiValueHeaders": {}}], ids=["as it is", "and empty"]
)
@pytest.mark.parametrize("name", ["function_url", "rest_api_v1"])
def test_multi_value_headers_are_written_behind_a_load_balancer_only(name: str, change: Callable[[Any], Any]) -> None:
    """API Gateway sends both forms and reads both; single ones do there."""
    assert "multiValueHeaders" not in write_response(http.ACCEPTED, change(load(name)))


@pytest.mark.parametrize("event", [None, [], "x", {}, {"requestContext": None}, {"requestContext": "elb"}])
def test_an_event_of_no_front_is_answered_in_the_plain_form(event: object) -> None:
    """Whoever invoked the function by hand sees the status."""
    assert write_response(http.BAD_REQUEST, event) == {
        "statusCode": 400,
        "body": '{"error":"bad request"}',
        "isBase64Encoded": False,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
    }
