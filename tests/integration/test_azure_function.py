"""The functions as a whole, over real AMQP and HTTP: one connection, a saturated instance, and faults in any order.

What the tables of the contract say, they say of this cloud too; here is what is Azure's own.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
from azure.functions import FunctionApp, TimerRequest
from cloudevents.http import CloudEvent

from azure_function import wiring
from cli.local.faults import Fault
from core.deadline import Deadline
from core.delivery import Trace
from core.envelope import Envelope
from core.message import QueueMessage, event_id
from core.settings import SettingsError
from tests import planted
from tests.contract.answers import ACCEPTED, SPOOLED, UNAUTHORIZED
from tests.contract.bypass import CASES, Case, Place, signed, sized
from tests.drivers import LISTED, UNLISTED, HttpRequest, Platform
from tests.drivers.azure import CHUNKED, CLASSIC, CLASSIC_CHUNKED, FRONTS, AzureDriver
from tests.fakes import RecordingLog
from tests.planted import KEY

pytestmark = pytest.mark.emulator

BUDGET: Final = {"TIME_BUDGET_SECONDS": "4", "QUEUE_BUDGET_SECONDS": "1.5"}
SLACK: Final = 1.5


@pytest.fixture
def driver(platform_of: Callable[[str], Platform]) -> Iterator[AzureDriver]:
    """A deployment."""
    with platform_of("azure").deploy() as deployed:
        assert isinstance(deployed, AzureDriver)
        yield deployed


def test_sixty_four_requests_at_once_go_over_one_connection(driver: AzureDriver) -> None:
    """Four times as many as there are threads: every event is accepted, once on the queue, and one link carried all."""
    before = driver.platform.emulator.broker.accepted_connections
    driver.build(keys=[KEY])
    requests = [signed() for _ in range(64)]
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda request: driver.post(request, CHUNKED), requests))
    assert answers == [ACCEPTED] * 64
    assert sorted(found.body for found in driver.messages()) == sorted(request.body for request in requests)
    assert driver.platform.emulator.broker.accepted_connections == before + 1


def test_a_saturated_instance_with_a_hanging_queue_keeps_every_event(driver: AzureDriver) -> None:
    """A hundred events, sixteen threads, a queue that hangs: each is kept within the budget, threads stay as few."""
    driver.build(BUDGET, keys=[KEY])
    assert driver.post(signed()) == ACCEPTED
    driver.platform.emulator.broker.set(Fault.HANGING)
    requests = [signed() for _ in range(100)]
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(
                most, sum(thread.name.startswith(("request", "queue", "store")) for thread in threading.enumerate())
            )

    watcher = threading.Thread(target=watch)
    before = sum(thread.name.startswith(("request", "queue", "store")) for thread in threading.enumerate())
    watcher.start()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(driver.post, requests))
    done.set()
    watcher.join()
    assert answers == [SPOOLED] * 100
    assert max(answer.seconds for answer in answers) < 4 + SLACK
    # Sixteen of each kind, whatever came.
    assert most <= before + 3 * wiring.WORKERS
    driver.lift()
    while driver.stored("spool/"):
        driver.redrive()
    assert {found.body for found in driver.messages()} >= {request.body for request in requests}


def test_whatever_fails_in_whatever_order_an_accepted_event_is_kept(driver: AzureDriver) -> None:
    """Faults of the queue follow each other while events come: every 200 is on the queue in the end, nothing else."""
    chosen = random.Random(7)
    faults = [Fault.NONE, Fault.RESET, Fault.CUT, Fault.CUT_HALF, Fault.ERROR_500, Fault.ERROR_503, Fault.THROTTLED]
    faults += [Fault.HANGING, Fault.REFUSED, Fault.SILENT, Fault.SLOW]
    driver.build({**BUDGET, "QUEUE_BUDGET_SECONDS": "0.8"}, keys=[KEY], rest=0.1)
    driver.slow(0.05)
    broker = driver.platform.emulator.broker
    kept: list[bytes] = []

    def post(request: HttpRequest) -> None:
        answer = driver.post(request, chosen.choice(FRONTS))
        assert answer in (ACCEPTED, SPOOLED)
        kept.append(request.body)

    for _ in range(12):
        broker.set(chosen.choice(faults))
        if chosen.random() < 0.3:
            broker.disconnect()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(post, [signed() for _ in range(4)]))
    driver.lift()
    while driver.stored("spool/"):
        driver.redrive()
    assert {found.body for found in driver.messages()} == set(kept)
    assert len(kept) == 48


def test_one_who_gives_up_waiting_cuts_nobody_off(driver: AzureDriver) -> None:
    """A request gives up behind a slow send of the redrive, on the one connection: the redrive's message still goes."""
    driver.build({"TIME_BUDGET_SECONDS": "2", "QUEUE_BUDGET_SECONDS": "0.5"}, keys=[KEY])
    assert driver.post(signed()) == ACCEPTED
    assert driver.instance is not None
    patient = driver.instance.delivery(RecordingLog(), patience=5)
    driver.slow(1.5)
    driver.platform.emulator.broker.set(Fault.SLOW)
    body = planted.body()
    message = QueueMessage.of_event(body, Envelope.parse(body), planted.signature(body))
    before = driver.platform.emulator.broker.accepted_connections
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(patient.enqueue, message, Deadline.start(10, 0), Trace())
        time.sleep(0.2)
        assert driver.post(signed()) == SPOOLED
        assert sent.result() is None
    assert driver.platform.emulator.broker.accepted_connections == before
    assert [found.body for found in driver.messages()].count(body) == 1


def test_a_restarted_broker_is_found_again(driver: AzureDriver) -> None:
    """Away, events are spooled; back, they are accepted again by the same instance, and the spool empties itself."""
    driver.build(BUDGET, keys=[KEY])
    broker = driver.platform.emulator.broker
    assert driver.post(signed()) == ACCEPTED
    broker.stop_listening()
    assert [driver.post(signed()) for _ in range(3)] == [SPOOLED] * 3
    broker.listen()
    assert driver.post(signed()) == ACCEPTED
    assert driver.redrive().sent == 3
    assert len(driver.messages()) == 5


def test_a_large_event_is_a_claim_check_that_a_consumer_can_follow(driver: AzureDriver) -> None:
    """Above the tier's limit the body is in the store, the pointer on the queue, the reference the blob's own URL."""
    driver.build(keys=[KEY])
    request = signed(sized(driver.queue_limit))
    assert driver.post(request, CHUNKED) == ACCEPTED
    (message,) = driver.messages()
    assert (message.claimed, message.body) == (True, request.body)
    place = driver.platform.emulator.container_url(driver.name)
    assert message.attributes["dataref"] == f"{place}/claims/{event_id(request.body)}"


def test_behind_front_door_the_client_is_the_last_but_one(driver: AzureDriver) -> None:
    """With two trusted hops the element before Front Door's own address counts; in front of it nothing does."""
    driver.build({"TRUSTED_PROXY_HOPS": "2", "SOURCE_IP_MODE": "reject"}, keys=[KEY])
    forwarded = ("X-Forwarded-For", f"{UNLISTED}, {LISTED}")
    assert driver.post(signed(None, forwarded, client="203.0.113.200")) == ACCEPTED
    forged = ("X-Forwarded-For", f"{LISTED}, {UNLISTED}")
    assert driver.post(signed(None, forged, client=LISTED)).status == 403
    assert driver.post(signed(client=LISTED)).status == 403


def test_a_message_is_a_cloud_event_for_the_official_sdk(driver: AzureDriver) -> None:
    """The attributes are those of CloudEvents 1.0: the official SDK takes them, extensions included."""
    driver.build(keys=[KEY])
    request = signed()
    assert driver.post(request) == ACCEPTED
    (message,) = driver.messages()
    event = CloudEvent(dict(message.attributes), message.body)
    assert (event["id"], event["type"], event["specversion"]) == (message.id, "eu.dastra.DataSubjectCreation", "1.0")
    assert event["signature"] == planted.signature(request.body)


# -- the classic form --------------------------------------------------------------------------------------------------

_METHOD_IN_ANOTHER_CASE: Final = frozenset({"method-post", "method-Post"})
"""The classic form's library gives methods in capitals alone, so it cannot tell."""


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name not in _METHOD_IN_ANOTHER_CASE], ids=lambda case: case.name
)
def test_the_classic_form_answers_the_same(driver: AzureDriver, case: Case) -> None:
    """The whole table of what may come to the door, through the form that is not the usual one."""
    driver.build(case.settings, keys=case.keys)
    request, expected = case.make(), case.on(CLASSIC.duplicates)
    assert driver.post(request, CLASSIC) == expected.answer
    queued = expected.place in (Place.QUEUE, Place.CLAIM)
    assert [message.body for message in driver.messages()] == [request.body] * queued


def test_the_classic_form_loses_a_chunked_event_and_says_so(
    driver: AzureDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the platform has it: nothing can be kept; the alarm names the case, and no key is asked for again."""
    driver.put_keys(KEY)
    driver.build()
    asked = driver.platform.emulator.vault.requests
    capsys.readouterr()
    assert driver.post(signed(), CLASSIC_CHUNKED) == UNAUTHORIZED
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["message"], line["level"]) for line in lines][-1] == ("body_not_received", "ERROR")
    assert "bad_signature" not in {line["message"] for line in lines}
    assert driver.platform.emulator.vault.requests == asked
    assert driver.post(signed(), CLASSIC) == ACCEPTED


# -- the function app --------------------------------------------------------------------------------------------------


@pytest.fixture
def env(driver: AzureDriver) -> dict[str, str]:
    """The settings of a function app on this deployment."""
    driver.put_keys(KEY)
    emulator = driver.platform.emulator
    return {
        "DASTRA_QUEUE": emulator.queue_address(driver.name),
        "DASTRA_STORE": emulator.container_url(driver.name),
        "DASTRA_SIGNATURE_KEYS_SECRET": emulator.secret_url(driver.name),
        "DASTRA_SOURCE_IP_ALLOWLIST": LISTED,
    }


def _functions(app: FunctionApp) -> dict[str, Any]:
    return {str(found.get_function_name()): found for found in app.get_functions()}


@pytest.mark.parametrize("form", ["", "streaming", "classic"])
def test_the_function_app_has_two_functions(env: dict[str, str], form: str) -> None:
    """In both forms: one HTTP function for every method and path without a key of the host's, one timer."""
    functions = _functions(wiring.function_app({**env, "HTTP_FORM": form}))
    assert functions.keys() == {"receive", "redrive"}
    trigger = functions["receive"].get_trigger()
    assert (trigger.type, trigger.auth_level.value, trigger.route, trigger.methods) == (
        "httpTrigger",
        "anonymous",
        "{*path}",
        None,
    )
    assert functions["redrive"].get_trigger().schedule == wiring.SCHEDULE


def test_another_form_is_refused(env: dict[str, str]) -> None:
    """And the valid ones are named."""
    with pytest.raises(SettingsError, match="streaming, classic"):
        wiring.function_app({**env, "HTTP_FORM": "fast"})


def test_the_timer_function_runs_again_and_again(
    driver: AzureDriver, env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each run empties the spool and emits the gauges; one that cannot reach the store fails, and says why."""
    run = _functions(wiring.function_app(env))["redrive"].get_user_function()
    timer: TimerRequest = object()  # type: ignore[assignment]
    for expected in (0, 1):
        if expected:
            driver.build(env_of(env), keys=None)
            driver.platform.emulator.broker.set(Fault.REFUSED)
            assert driver.post(signed()) == SPOOLED
            driver.lift()
        capsys.readouterr()
        run(timer)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        (gauges,) = [line for line in lines if line["message"] == "redrive"]
        assert (gauges["sent"], gauges["spool_count"], gauges["service"]) == (expected, 0, "redrive")
    driver.platform.emulator.store.set(Fault.REFUSED)
    with pytest.raises(Exception, match="ServiceRequestError"):
        run(timer)
    (failed,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (failed["message"], failed["during"]) == ("store_failed", "redrive")


def env_of(env: dict[str, str]) -> dict[str, str]:
    """The settings by their names without a prefix, as a driver takes them."""
    return {name.removeprefix("DASTRA_"): value for name, value in env.items()}


def test_an_instance_starts_without_a_key_and_without_a_queue(driver: AzureDriver, env: dict[str, str]) -> None:
    """Neither vault nor namespace answers: the start is over within the refresh's second all the same."""
    driver.platform.emulator.vault.set(Fault.HANGING)
    driver.platform.emulator.broker.set(Fault.SILENT)
    started = time.monotonic()
    wiring.function_app(env)
    assert time.monotonic() - started < 1 + SLACK


def test_requests_do_not_block_the_workers_loop(driver: AzureDriver) -> None:
    """While a request waits for a hanging queue, the worker's own loop goes on: another is answered meanwhile."""
    driver.build({**BUDGET, "QUEUE_BUDGET_SECONDS": "2.5"}, keys=[KEY])
    driver.platform.emulator.broker.set(Fault.HANGING)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(driver.post, signed())
        time.sleep(0.3)
        quick = driver.post(HttpRequest(b"", method="GET"))
        assert quick.status == 405
        assert quick.seconds < 1
        assert slow.result() == SPOOLED
    assert asyncio.iscoroutinefunction(_receive(driver))


def _receive(driver: AzureDriver) -> Any:
    return driver._forms[CHUNKED.name][0]
