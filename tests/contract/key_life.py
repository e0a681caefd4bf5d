"""The life of a key, as far as it is data. ``test_key_life.py`` runs it."""

from __future__ import annotations

from typing import Final

from tests.contract.answers import ACCEPTED, UNAUTHORIZED, UNAVAILABLE
from tests.contract.vendor_faults import VendorFault
from tests.drivers import Answer

STANDS_FOR: Final = (VendorFault.ONE_CACHED_SECRET, VendorFault.FAILS_OPEN)

WITHOUT_A_KEY: Final[dict[str, tuple[str | None, Answer]]] = {
    "well-formed": ("{}", UNAVAILABLE),
    "well-formed-padded": (" {}\t", UNAVAILABLE),
    "well-formed-twice": ("{0},{0}", UNAVAILABLE),
    "missing": (None, UNAUTHORIZED),
    "empty": ("", UNAUTHORIZED),
    "malformed": ("x", UNAUTHORIZED),
    "prefixed": ("sha256={}", UNAUTHORIZED),
    "two-different": ("{}," + "A" * 43 + "=", UNAUTHORIZED),
}
"""What a request gets while no key is known, by the form of its header: only what may be the sender's is a 503."""

SECRETS: Final[dict[str, tuple[str, Answer]]] = {
    "text": ("{0}", ACCEPTED),
    "text-with-line-end": ("{0}\r\n", ACCEPTED),
    "text-with-bom": ("\ufeff{0}", ACCEPTED),
    "comma": ("{1},{0}", ACCEPTED),
    "lines": ("{1}\n{0}\n", ACCEPTED),
    "json-list": ('["{1}", "{0}"]', ACCEPTED),
    "json-object": ('{{"new": "{1}", "old": "{0}"}}', ACCEPTED),
    "other-key-only": ("{1}", UNAUTHORIZED),
    "blank": (" \n", UNAVAILABLE),
    "empty-list": ("[]", UNAVAILABLE),
    "empty-object": ("{{}}", UNAVAILABLE),
    "broken-json": ('["{0}"', UNAVAILABLE),
    "list-of-null": ("[null]", UNAVAILABLE),
}
"""What a genuine request gets by what stands in the key store; {0} is its key, {1} another."""
