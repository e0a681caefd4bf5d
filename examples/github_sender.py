"""Another sender: GitHub's webhooks through the same receiver, store, spool, quarantine and alarms.

A sender is one function in the form of ``core.screening.screen``: bytes, headers, address, keys and policy in, one of
three outcomes out. Hand it to ``core.assembly.assemble``, which each cloud's ``wiring.py`` calls once:

    assemble(settings, delivery, keys, github_sender.screen)

What GitHub sends: ``X-Hub-Signature-256`` is ``sha256=`` and the HMAC-SHA256 of the body in hex, keyed with the
webhook's secret; ``X-GitHub-Event`` is the type and ``X-GitHub-Hook-ID`` the webhook (GitHub's webhook documentation).
In GitHub, set the webhook's *Content type* to ``application/json``: the form that it sends otherwise is no JSON object,
and every event ends in quarantine.
Set ``DASTRA_SOURCE_IP_ALLOWLIST`` to GitHub's networks (the ``hooks`` of its ``/meta`` API) or the mode to ``off``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from core.envelope import Envelope, EnvelopeError
from core.http import Request
from core.message import UNCLASSIFIED, UNLISTED, QueueMessage, event_id, plain_token
from core.screening import Accepted, HoldReason, Outcome, Policy, Quarantined, RefusalReason, Refused, SourceIpMode
from core.signature import SignatureKey, matching_key

HEADER: Final = "x-hub-signature-256"
TYPE_PREFIX: Final = "com.github."
SOURCE_PREFIX: Final = "urn:github:webhook:"
_FORM: Final = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


def screen(request: Request, keys: Sequence[SignatureKey], policy: Policy, now: float) -> Outcome:  # noqa: ARG001 - the form of every sender; GitHub signs no time
    """Decide what a request is: never raises, whatever the sender wrote."""
    if request.method != "POST":
        return Refused(405, RefusalReason.METHOD)
    digest = read_signature(request.headers.get_all(HEADER))
    if len(request.body) > policy.max_body_bytes or (request.length or 0) > policy.max_body_bytes:
        return Refused(413, RefusalReason.TOO_LARGE, claimed=digest is not None)
    if digest is None:
        return Refused(401, RefusalReason.MALFORMED_SIGNATURE)
    if not keys:
        return Refused(503, RefusalReason.NO_KEY, claimed=True)
    key = matching_key(request.body, digest, keys)
    if key is None:
        return Refused(401, RefusalReason.WRONG_SIGNATURE, claimed=True)
    return _admit(request, key, policy)


def read_signature(values: Sequence[str]) -> bytes | None:
    """The 32 bytes that the header claims; None where there is no header, two different ones, or another form."""
    distinct = {part.strip() for value in values for part in value.split(",")}
    match = _FORM.fullmatch(distinct.pop()) if len(distinct) == 1 else None
    return bytes.fromhex(match[1]) if match else None


def _admit(request: Request, key: SignatureKey, policy: Policy) -> Outcome:
    listed = policy.listed(request.source)
    refused = not listed and policy.source_ip_mode is SourceIpMode.REJECT
    hook = plain_token(request.headers.get("x-github-hook-id"))
    event = plain_token(request.headers.get("x-github-event"))
    message = message_of(request.body, hook, event, unlisted=not listed)
    # For the log line alone: which webhook and which type.
    envelope = Envelope(webhook_id=hook, event_type=event)
    try:
        Envelope.parse(request.body)
    except EnvelopeError:
        return Quarantined(message, None, key, listed, HoldReason.NOT_AN_OBJECT, refused)
    if not listed and policy.source_ip_mode is not SourceIpMode.OBSERVE:
        return Quarantined(message, envelope, key, listed, HoldReason.UNLISTED_ADDRESS, refused)
    return Accepted(message, envelope, key, listed)


def message_of(body: bytes, hook: str | None, event: str | None, *, unlisted: bool = False) -> QueueMessage:
    """The message, after the same contract. It has no ``signature``: ``Event`` would take it for one of Dastra's.

    A consumer reads it without ``keys=``, since with them it is invalid; so nothing proves who put it on the queue. The
    id stays the hash of the body, by which a consumer checks it; two deliveries of GitHub always differ.
    """
    attributes = {
        "specversion": "1.0",
        "id": event_id(body),
        "source": SOURCE_PREFIX + (hook or "unknown"),
        "type": TYPE_PREFIX + (event or UNCLASSIFIED),
    }
    if unlisted:
        attributes["sourceipcheck"] = UNLISTED
    return QueueMessage(attributes["id"], body, MappingProxyType(attributes))
