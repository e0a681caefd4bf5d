"""What the store makes of S3's answers; that S3 stores at all is the emulator's part."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from aws_lambda.s3_store import S3Store
from core.ports import NotFoundError, PortError, StoredEntry, StoredObject
from tests.unit.aws_lambda.stub import Answer, Stub

LISTING = b"""<ListBucketResult><IsTruncated>false</IsTruncated>
<Contents><Key>spool/a</Key><Size>7</Size><LastModified>2026-03-02T12:00:00.000Z</LastModified></Contents>
<Contents><Key>spool/b</Key><Size>0</Size><LastModified>2026-03-02T12:00:01.000Z</LastModified></Contents>
</ListBucketResult>"""

CALLS: dict[str, Callable[[S3Store], object]] = {
    "put": lambda store: store.put("spool/x", b"body", {"reason": "x"}, 1),
    "put if absent": lambda store: store.put("spool/x", b"body", {}, 1, only_if_absent=True),
    "get": lambda store: store.get("spool/x", 1),
    "list": lambda store: store.list("spool/", 10, 1),
    "delete": lambda store: store.delete("spool/x", 1),
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))


@pytest.fixture
def store(aws: Stub) -> S3Store:
    """A bucket behind the stub, which takes whatever it is given."""
    aws.answer = Answer(b"")
    return S3Store("invented-bucket", 5, 4)


def error(code: str, status: int) -> Answer:
    """An error of S3."""
    return Answer(f"<Error><Code>{code}</Code><Message>planted</Message></Error>".encode(), status)


def test_a_client_is_made_when_it_is_first_needed(aws: Stub, store: S3Store) -> None:
    """Most instances never need it; a discarded one is made again."""
    assert store._client._client is None
    store.delete("x", 1)
    first = store._client.get()
    store.discard()
    store.delete("x", 1)
    assert store._client.get() is not first
    assert len(aws.asked) == 2


def test_a_place_is_named_as_a_claim_check_does(store: S3Store) -> None:
    """By bucket and key."""
    assert store.url("claims/x") == "s3://invented-bucket/claims/x"


def test_a_put_carries_bytes_and_metadata(aws: Stub, store: S3Store) -> None:
    """Without a condition unless it was asked for; one that was made is true."""
    assert store.put("spool/x", b"\xff\0", {"reason": "too_old", "id": "1"}, 1) is True
    assert store.put("leases/x", b"", {}, 1, only_if_absent=True) is True
    (method, path, headers, body), (_, _, conditional, _) = aws.asked
    assert (method, path) == ("PUT", "/invented-bucket/spool/x")
    assert b"\xff\0" in body
    assert (headers["x-amz-meta-reason"], headers["x-amz-meta-id"]) == ("too_old", "1")
    assert "if-none-match" not in headers
    assert conditional["if-none-match"] == "*"


@pytest.mark.parametrize(
    ("code", "status"), [("PreconditionFailed", 412), ("ConditionalRequestConflict", 409)], ids=["exists", "race"]
)
def test_a_conditional_put_on_what_exists_is_false(aws: Stub, store: S3Store, code: str, status: int) -> None:
    """Also where another writer is at it; without the condition the same answer is an error."""
    aws.answer = error(code, status)
    assert store.put("leases/x", b"", {}, 1, only_if_absent=True) is False
    with pytest.raises(PortError) as raised:
        store.put("spool/x", b"", {}, 1)
    assert raised.value.code == code


def test_an_object_comes_back_with_its_metadata(aws: Stub, store: S3Store) -> None:
    """Bytes as they are."""
    aws.answer = Answer(b"\xff\0", headers=(("x-amz-meta-reason", "too_old"),))
    assert store.get("spool/x", 1) == StoredObject("spool/x", b"\xff\0", {"reason": "too_old"})


@pytest.mark.parametrize(("code", "status"), [("NoSuchKey", 404), ("NotFound", 404)])
def test_an_object_that_is_not_there_is_not_found(aws: Stub, store: S3Store, code: str, status: int) -> None:
    """That is an answer and no failure; a bucket that is not there is a failure."""
    aws.answer = error(code, status)
    with pytest.raises(NotFoundError):
        store.get("spool/x", 1)
    aws.answer = error("NoSuchBucket", 404)
    with pytest.raises(PortError) as raised:
        store.get("spool/x", 1)
    assert not isinstance(raised.value, NotFoundError)
    assert raised.value.code == "NoSuchBucket"


@pytest.mark.parametrize(
    ("limit", "keys"), [(1, ["spool/a"]), (2, ["spool/a", "spool/b"]), (9, ["spool/a", "spool/b"])]
)
def test_a_listing_has_so_many_entries_at_most(aws: Stub, store: S3Store, limit: int, keys: list[str]) -> None:
    """With sizes and times in UTC."""
    aws.answer = Answer(LISTING)
    listed = store.list("spool/", limit, 1)
    assert [entry.key for entry in listed] == keys
    first = listed[0]
    assert StoredEntry(first.key, first.size, first.modified.astimezone(UTC)) == StoredEntry(
        "spool/a", 7, datetime(2026, 3, 2, 12, tzinfo=UTC)
    )


def test_an_empty_listing_is_empty(aws: Stub, store: S3Store) -> None:
    """And no error."""
    aws.answer = Answer(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    assert list(store.list("spool/", 10, 1)) == []


@calls
def test_an_error_of_s3_keeps_its_code(call: Callable[[S3Store], object], aws: Stub, store: S3Store) -> None:
    """Whatever was asked, and without S3's message."""
    aws.answer = error("AccessDenied", 403)
    with pytest.raises(PortError) as raised:
        call(store)
    assert (raised.value.code, raised.value.timed_out) == ("AccessDenied", False)
    assert "planted" not in str(raised.value)


@calls
def test_an_s3_that_is_not_there_is_a_failure(
    call: Callable[[S3Store], object], aws: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exception of the SDK escapes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("aws_lambda.sdk.ATTEMPTS", 1)
    with pytest.raises(PortError) as raised:
        call(S3Store("invented-bucket", 5, 4))
    assert raised.value.code == "EndpointConnectionError"
