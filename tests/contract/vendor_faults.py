"""What published webhook receivers get wrong. Each has cases in the tables; a test holds that none is left out."""

from __future__ import annotations

from enum import StrEnum


class VendorFault(StrEnum):
    """A fault seen in a published receiver."""

    FAILS_OPEN = "no signature passes, a query skips the check, or a failed key look-up leaves a key that passes"
    PARSES_FIRST = "JSON is parsed before the signature is checked: anybody's deep body is a 500"
    COMPARES_TEXT = "signatures are compared as text: a header outside ASCII is a 500"
    OTHER_BYTES = "the HMAC is not over the bytes received: re-serialised JSON, or base64 wrapping forgotten"
    EXACT_CASE = "the header is looked up by exact case"
    WRONG_ANSWER = "a wrong signature is a 500 or a 200, or the right one is logged"
    NOT_AWAITED = "200 before the queue has the event, or time-outs beyond the sender's patience"
    SIZE_LIMIT = "a body above the queue's limit is refused and lost"
    CONNECTION_PER_EVENT = "a new connection for each event"
    FIRST_FORWARDED = "the first element of X-Forwarded-For is believed"
    ONE_CACHED_SECRET = "one secret, cached for an hour: rotation loses events"
    DRIFT = "the same logic several times, drifting apart"
