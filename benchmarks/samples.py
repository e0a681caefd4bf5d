"""The event that is measured: invented, 2 KB, in the shape of a data subject request."""

from __future__ import annotations

import base64
import json
import time
from typing import Any, Final

from benchmarks.rows import KEY_TEXT
from core.signature import SignatureKey, sign

KEY: Final = SignatureKey(KEY_TEXT)
OTHER_KEY: Final = SignatureKey("another-invented-key")
SOURCE: Final = "40.89.131.148"
BODY: Final = json.dumps(
    {
        "webhookId": 12,
        "signatureUrl": "https://receiver.example/dastra",
        "userId": 5,
        "eventType": "DataSubjectCreation",
        "eventName": "Création d'une demande",
        "date": "2026-03-02T09:16:04.1182299",
        "data": {
            "id": 7,
            "givenName": "Camille",
            "familyName": "Exemple",
            "email": "camille@example.org",
            "customFields": [{"name": f"champ {i}", "value": "é" * 8, "rank": i} for i in range(30)],
        },
    },
    ensure_ascii=False,
).encode()


def function_url_event(body: bytes, signature: str) -> dict[str, Any]:
    """An event of a function URL (payload 2.0), received now."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json; charset=utf-8",
            "content-length": str(len(body)),
            "dastra-signature": signature,
            "host": "abcdefgh.lambda-url.eu-west-3.on.aws",
            "x-amzn-trace-id": "Root=1-00000000-000000000000000000000000",
            "x-forwarded-for": SOURCE,
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": SOURCE, "userAgent": ""},
            "requestId": "00000000-0000-0000-0000-000000000000",
            "timeEpoch": int(time.time() * 1000),
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def genuine_event() -> dict[str, Any]:
    """The sample, signed."""
    return function_url_event(BODY, sign(BODY, KEY))
