"""Each fault of an endpoint is found by the check that is made for it, and by no other."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from cli.doctor.attacks import ATTACKS, Group
from cli.doctor.model import Status
from core.http import ACCEPTED, FORBIDDEN, QUARANTINED, REFUSALS, SPOOLED, Response
from core.signature import HEADER
from tests.doctor.examine import FEW, SLOW_SECONDS, TIGHT, examine, ids
from tests.doctor.servers import Answer, Came, good, refused, serving, with_body, with_header
from tests.planted import KEY


def test_a_good_endpoint_passes_everything() -> None:
    """The real screening passes every check, with every attack sent; what is skipped has no place on loopback."""
    with serving() as url:
        rows = examine(url, ATTACKS)
    assert ids(rows, Status.FAIL) == ids(rows, Status.WARN) == set()
    assert ids(rows, Status.SKIPPED) == {"ipv6", "https"}
    sent = sum(
        int(row.found.split()[0]) for row in rows.values() if row.id.startswith("attack-") and "refused" in row.found
    )
    assert sent == len([attack for attack in ATTACKS if not attack.last_wins]) - 1 + 4


def _status(status: int) -> Answer:
    def answer(came: Came) -> Response:
        found = good(came)
        return replace(found, status=status, body=b"") if found.status == 200 else found

    return answer


def _authentic_as(response: Response) -> Answer:
    return lambda came: response if good(came).status == 200 else good(came)


def _redirect(_: Came) -> Response:
    return Response(307, b"", (("Location", "https://example.org/elsewhere"),))


def _no_large(came: Came) -> Response:
    return REFUSALS[413] if len(came.request.body) > 500_000 else good(came)


def _loses_chunked(came: Came) -> Response:
    chunked = came.request.headers.get("transfer-encoding") == "chunked"
    return good(replace(came, request=replace(came.request, body=b""))) if chunked else good(came)


def _refusals_with(body: bytes) -> Answer:
    return lambda came: with_body(good(came), body) if refused(came) else good(came)


def _echo(came: Came) -> Response:
    return with_body(good(came), came.request.body) if refused(came) else good(came)


def _echo_signature(came: Came) -> Response:
    value = came.request.headers.get(HEADER) or ""
    return with_body(good(came), value.encode()) if refused(came) and value.isascii() else good(came)


def _reasons(came: Came) -> Response:
    found = good(came)
    missing = came.request.headers.get(HEADER) is None
    return with_body(found, b'{"error":"no header"}') if found.status == 401 and missing else found


def _says_version(came: Came) -> Response:
    return with_header(good(came), "Server", "Apache/2.4.1 (Unix)")


def _no_allow(came: Came) -> Response:
    found = good(came)
    return replace(found, headers=found.headers[:2])


TRACE = b'Traceback (most recent call last):\n  File "/var/task/main.py", line 3, in handler\nKeyError: 1'


@pytest.mark.parametrize(
    ("answer", "failed", "warned"),
    [
        (_status(201), {"accepted"}, set()),
        (_status(202), {"accepted"}, set()),
        (_status(204), {"accepted"}, set()),
        (_status(500), {"accepted"}, set()),
        (_authentic_as(REFUSALS[401]), {"accepted"}, set()),
        (_authentic_as(FORBIDDEN), {"accepted"}, set()),
        (_authentic_as(SPOOLED), {"taken"}, set()),
        (_authentic_as(QUARANTINED), set(), {"taken"}),
        (_authentic_as(with_body(ACCEPTED, b"ok")), set(), {"taken"}),
        (_redirect, {"redirects"}, set()),
        (_no_large, {"large"}, set()),
        (_loses_chunked, {"chunked"}, set()),
        (_refusals_with(TRACE), {"body-leak"}, set()),
        (_refusals_with(b"System.NullReferenceException: at Receiver.Run(Program.cs:12)"), {"body-leak"}, set()),
        (_refusals_with(b"wrong signature"), {"fixed-answers"}, set()),
        (_echo, {"body-leak"}, set()),
        (_echo_signature, {"body-leak"}, set()),
        (_reasons, {"fixed-answers"}, set()),
        (_says_version, {"header-leak"}, set()),
        (_no_allow, {"attack-method"}, set()),
    ],
    ids=[
        "201", "202", "204", "500", "401", "403", "spooled", "quarantined", "other-body", "redirect", "no-large",
        "loses-chunked", "python-trace", "net-trace", "reason", "echo", "echo-signature", "reasons",
        "version", "no-allow",
    ],
)  # fmt: skip
def test_a_fault_is_found_by_its_own_check(answer: Answer, failed: set[str], warned: set[str]) -> None:
    """One fault, one row that fails or warns, and that row says what to do."""
    with serving(answer) as url:
        rows = examine(url)
    assert ids(rows, Status.FAIL) == failed, rows
    assert ids(rows, Status.WARN) == warned
    assert all(rows[name].advice for name in failed | warned)


def _value(came: Came) -> str:
    return came.request.headers.get(HEADER) or ""


def _hmac(body: bytes, key: str = KEY, name: str = "sha256") -> bytes:
    return hmac.new(key.encode(), body, name).digest()


def _signature(came: Came, key: str, name: str = "sha256") -> str:
    return base64.b64encode(_hmac(came.request.body, key, name)).decode()


def _opens(test: Callable[[Came], bool]) -> Answer:
    return lambda came: ACCEPTED if refused(came) and came.request.method == "POST" and test(came) else good(came)


def _reserialised(came: Came) -> bool:
    try:
        body = json.dumps(json.loads(came.request.body), separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return _value(came) == base64.b64encode(_hmac(body)).decode()


def _breaks_on(test: Callable[[Came], bool]) -> Answer:
    return lambda came: with_body(REFUSALS[503], b"{}") if refused(came) and test(came) else good(came)


def _parses_first(came: Came) -> bool:
    return came.request.body[:2] == b"[["


@pytest.mark.parametrize(
    ("answer", "group"),
    [
        (_opens(lambda came: "'" in _value(came)), Group.HEADER),
        (_opens(lambda came: _value(came) == _hmac(came.request.body).hex()), Group.ENCODING),
        (_opens(lambda came: _value(came)[:4] == base64.b64encode(_hmac(came.request.body)).decode()[:4]
                and len(_value(came)) < 33), Group.PARTIAL),
        (_opens(lambda came: _value(came) == _signature(came, KEY.upper())), Group.KEY),
        (_opens(lambda came: _value(came) == _signature(came, KEY, "sha1")), Group.ALGORITHM),
        (_opens(lambda came: len(came.request.headers.get_all(HEADER)) == 1 and _reserialised(came)), Group.BODY),
        (_breaks_on(_parses_first), Group.PARSER),
        (lambda came: ACCEPTED if came.request.method == "PUT" else good(came), Group.METHOD),
        (_opens(lambda came: came.query == "test=1" and not _value(came)), Group.WAY_ROUND),
        (_opens(lambda came: came.request.headers.get("x-debug") == "true"), Group.WAY_ROUND),
    ],
    ids=[
        "sql", "hex", "prefix", "upper-case-key", "sha1", "re-serialised", "parses-first", "put", "test-query",
        "debug-header",
    ],
)  # fmt: skip
def test_an_open_door_is_found_by_its_own_group(answer: Answer, group: Group) -> None:
    """A receiver with one known hole fails the group of attacks that goes through it, which names the attack."""
    attacks = (*FEW, *(attack for attack in ATTACKS if attack.group is group and attack not in FEW))
    with serving(answer) as url:
        rows = examine(url, attacks)
    failed = ids(rows, Status.FAIL)
    assert failed == {f"attack-{group}"}, {name: rows[name].details for name in failed}
    assert rows[f"attack-{group}"].details


def test_the_constant_answer_of_no_receiver_is_found() -> None:
    """A server that answers 200 to everything lets everything through, and each group of attacks says so."""
    with serving(lambda _: ACCEPTED, limit=None) as url:
        rows = examine(url, ATTACKS)
    assert ids(rows, Status.FAIL) == {f"attack-{group}" for group in (*Group, "length", "size")}
    assert rows["attack-key"].found.startswith("let through: ")


def test_a_chunked_forgery_that_passes_is_found() -> None:
    """A receiver that takes what has no length without looking fails the group of lengths."""
    open_ = _opens(lambda came: came.request.headers.get("transfer-encoding") == "chunked")
    with serving(open_) as url:
        assert ids(examine(url), Status.FAIL) == {"attack-length"}


@pytest.mark.parametrize("gentle", [False, True])
def test_a_missing_limit_is_found(gentle: bool) -> None:
    """A body above 4 MiB that is refused for another reason than its size fails the row of the size."""
    with serving(lambda came: good(came) if len(came.request.body) < 4_000_000 else REFUSALS[401], limit=None) as url:
        assert ids(examine(url, (), gentle=gentle), Status.FAIL) == {"attack-size"}


@pytest.mark.parametrize(("number", "status"), [(1, Status.WARN), (3, Status.FAIL)], ids=["first", "later"])
def test_a_slow_answer_is_found(number: int, status: Status) -> None:
    """Beyond the receiver's own budget, but within Dastra's patience: the first answer warns, a later one fails."""

    def answer(came: Came) -> Response:
        if came.number == number:
            time.sleep(SLOW_SECONDS)
        return good(came)

    with serving(answer) as url:
        rows = examine(url, (), TIGHT)
    assert ids(rows, status) == {"first-answer" if number == 1 else "later-answers"}


def test_nobody_listens() -> None:
    """A port where nobody listens fails the row of the address, and nothing else is tried."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        rows = examine(f"http://127.0.0.1:{sock.getsockname()[1]}/")
    assert ids(rows, Status.FAIL) == {"ipv4"}
    assert ids(rows, Status.PASS) == {"dns"}


def test_an_unknown_name() -> None:
    """A name that does not resolve fails the first row."""
    rows = examine("https://receiver.invalid/dastra")
    assert ids(rows, Status.FAIL) == {"dns"}


def test_clear_text_beyond_this_machine_fails() -> None:
    """Clear text to another host than loopback fails one row: events carry personal data."""
    with serving(host="127.1") as url:
        rows = examine(url)
    assert ids(rows, Status.FAIL) == {"https"}
