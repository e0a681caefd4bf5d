"""The client, and the stand-in, held against Dastra's own API description by a server that checks both sides."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cli.dastra.access import ApiKey
from cli.dastra.client import DastraApi
from cli.dastra.errors import DastraError, GoneError
from cli.samples import event_types
from tests.dastra import described
from tests.dastra.standin import API_KEY, Manner, StandIn

RECEIVER = "http://127.0.0.1:9/"
JUDGED = Manner(zones=True)


@pytest.fixture(scope="module")
def mock() -> Iterator[DastraApi]:
    """A server that answers with examples made from the description, another one each time."""
    with described.serving() as url, DastraApi(url, ApiKey(API_KEY)) as api:
        yield api


@pytest.fixture(scope="module")
def account() -> Iterator[StandIn]:
    """The stand-in."""
    with StandIn(JUDGED) as standin:
        yield standin


@pytest.fixture(scope="module")
def judged(account: StandIn) -> Iterator[DastraApi]:
    """The stand-in, behind a server that refuses what does not fit the description, in either direction."""
    with described.serving(account.url) as url, DastraApi(url, ApiKey(API_KEY), sleep=lambda _: None) as api:
        yield api


@pytest.mark.parametrize("number", range(5))
def test_every_call_fits_the_description(mock: DastraApi, number: int) -> None:
    """Every request that the client makes is one that the description has, and every answer it allows is understood."""
    made = mock.create_webhook(RECEIVER, number, event_types()[number::7])
    assert made.id is not None
    for hook in (*mock.webhooks(number), *mock.webhooks(), mock.webhook(number + 1)):
        assert isinstance(hook.id, int)
        assert set(hook.events) <= set(event_types())
        _ = hook.blocked, hook.errors, hook.workspace_id, hook.last_error_at
    mock.subscribe(mock.webhook(number + 1), event_types()[number::7])
    mock.test_webhook(number, event_types()[number])
    mock.test_payload({"webhookId": number, "signatureUrl": RECEIVER, "eventType": event_types()[number], "data": {}})
    assert mock.delete_webhook(number) is True
    window = {"start": datetime.now(UTC).isoformat(), "channels": list(event_types()[:3]), "asc": True}
    next(iter(mock.pages("/v1/Logs", params=window)))


def test_the_judge_judges(mock: DastraApi) -> None:
    """A body and a path that do not fit the description are refused: the tests beside this one can fail."""
    for call in (
        lambda: mock.create_webhook(RECEIVER, None, ("NoSuchEvent",)),
        lambda: mock.test_webhook("x", "TaskEdit"),
        lambda: mock.request("POST", "/v1/WebHookUrls", json={"address": RECEIVER}),
    ):
        with pytest.raises(DastraError) as caught:
            call()
        assert caught.value.status == 422


def test_the_stand_in_speaks_as_described(judged: DastraApi, account: StandIn) -> None:
    """A webhook's whole life in the stand-in, deliveries included, has no request and no answer off the description."""
    made = judged.create_webhook(RECEIVER, 1)
    judged.subscribe(made, ("TaskEdit", "TaskCreation"))
    judged.test_webhook(made.id, "TaskEdit")
    judged.test_payload({"webhookId": made.id, "signatureUrl": RECEIVER, "eventType": "TaskEdit"})
    assert judged.webhook(made.id).events == ("TaskEdit", "TaskCreation")
    assert [hook.id for hook in judged.webhooks(1)] == [made.id]
    account.settle()
    assert len(account.refused()) == 2, "nobody listens there"
    assert judged.delete_webhook(made.id) is True
    with pytest.raises(GoneError):
        judged.webhook(made.id)


def test_a_judged_stand_in_can_be_wrong(judged: DastraApi, account: StandIn) -> None:
    """An answer off the description, here a list in pages, is found: the test above can fail."""
    account.add(RECEIVER)
    account.manner = Manner(pages=2, zones=True)
    with pytest.raises(DastraError) as caught:
        judged.webhooks()
    account.manner = JUDGED
    assert caught.value.status == 500


def test_the_documented_event_types() -> None:
    """The event types that commands take for documented are those of the description."""
    assert set(event_types()) == set(described.load()["components"]["schemas"]["NotificationChannel"]["enum"])
