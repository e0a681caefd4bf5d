"""The bundle in Lambda's own runtime: how it starts, what it prints, and what is left when it is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts import build_aws
from tests import planted
from tests.bundle.aws.conftest import starter
from tests.bundle.aws.rie import Environment, FunctionError, GoneError, Pool
from tests.drivers import LISTED, Driver, HttpRequest, Mode, Port
from tests.drivers.aws import FRONTS, as_event
from tests.drivers.aws_rie import RECEIVE, REDRIVE, RieDriver, Start

if TYPE_CHECKING:
    from tests.drivers.aws import AwsPlatform

pytestmark = [pytest.mark.emulator, pytest.mark.slow]


def genuine() -> HttpRequest:
    """A genuine request from a listed address."""
    body = planted.body()
    return HttpRequest(body, (("Dastra-Signature", planted.signature(body)), ("Content-Type", "application/json")))


def settings(driver: Driver, platform: AwsPlatform, **more: str) -> dict[str, str]:
    """The environment of a function of this deployment, as the template sets it."""
    assert isinstance(driver, RieDriver)
    return {
        **platform.environment(),
        "DASTRA_QUEUE": driver.queue_url,
        "DASTRA_STORE": driver.bucket,
        "DASTRA_SIGNATURE_KEYS_SECRET": driver.secret,
        "DASTRA_SOURCE_IP_ALLOWLIST": LISTED,
        **more,
    }


def test_bytecode_makes_the_start_shorter(
    bundle: Path,
    start: Start,
    driver: Driver,
    platform: AwsPlatform,
    tmp_path: Path,
    record_property: Callable[..., None],
) -> None:
    """The initialisation under Lambda's runtime is shorter with bytecode than without, by the medians of five each."""
    without = starter(build_aws.build(tmp_path / "plain" / "aws", None).folder)
    driver.put_keys(planted.KEY)
    figures: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(5):
        for name, make in (("with", start), ("without", without)):
            with make(RECEIVE, settings(driver, platform)) as environment:
                environment.invoke(as_event(genuine(), FRONTS[0]))
                figures[name].append(Environment.init_ms(environment.output()))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    record_property("init_ms", json.dumps(medians))
    sys.stdout.write(f"INIT, median of 5: {medians['with']:.0f} ms with bytecode, {medians['without']:.0f} without\n")
    assert medians["with"] < medians["without"]


def test_metrics_come_in_the_namespace_of_the_stack(start: Start, driver: Driver, platform: AwsPlatform) -> None:
    """What the functions emit is in the namespace that the template names, or the deployed alarms would be deaf."""
    driver.put_keys(planted.KEY)
    environment = settings(driver, platform, POWERTOOLS_METRICS_NAMESPACE="DastraWebhooks/of-a-stack")
    for handler, event, service, name in (
        (RECEIVE, as_event(genuine(), FRONTS[0]), "receiver", "Accepted"),
        (REDRIVE, {}, "redrive", "SpoolCount"),
    ):
        with start(handler, environment) as function:
            function.invoke(event)
            emitted = metrics(function.output())
        assert {line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in emitted} == {"DastraWebhooks/of-a-stack"}
        assert {line["service"] for line in emitted} == {service}
        assert {tuple(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]) for line in emitted} == {("service",)}
        assert any(name in line for line in emitted)


def metrics(output: str) -> list[dict[str, Any]]:
    """The lines in embedded metric format."""
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')]


def test_a_setting_that_cannot_be_used_stops_the_start_and_names_itself(
    start: Start, driver: Driver, platform: AwsPlatform
) -> None:
    """With a bad setting the function does not start, and its log says which value is wrong and what would be right."""
    with start(RECEIVE, settings(driver, platform, DASTRA_SOURCE_IP_MODE="strict")) as environment:
        with pytest.raises(FunctionError):
            environment.invoke(as_event(genuine(), FRONTS[0]))
        printed = environment.output()
    assert "DASTRA_SOURCE_IP_MODE is 'strict': valid: off, observe, quarantine, reject" in printed


def test_a_crash_of_the_process_is_an_error_and_the_next_request_starts_a_new_one(
    start: Start, driver: Driver, platform: AwsPlatform
) -> None:
    """After its process was killed the environment answers an error for that request alone; the next is accepted."""
    driver.put_keys(planted.KEY)
    with start(RECEIVE, settings(driver, platform)) as environment:
        first, lost, last = genuine(), genuine(), genuine()
        assert environment.invoke(as_event(first, FRONTS[0]))["statusCode"] == 200
        driver.slow(3.0)
        driver.fault(Port.QUEUE, Mode.HANGING)
        pid = environment.runtime_pid()
        assert pid is not None
        threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises((FunctionError, GoneError)):
            environment.invoke(as_event(lost, FRONTS[0]))
        driver.lift()
        assert environment.invoke(as_event(last, FRONTS[0]))["statusCode"] == 200
    assert [message.body for message in driver.messages()] == [first.body, last.body]


def test_a_killed_environment_loses_no_event_that_was_answered_200(
    start: Start, driver: Driver, platform: AwsPlatform
) -> None:
    """Killed in mid-request again and again: what was answered 200 is on the queue or in the store, byte for byte.

    The queue is slow, fails or loses its answers meanwhile.
    """
    driver.put_keys(planted.KEY)
    environment = settings(driver, platform)
    chance = random.Random(3)  # the same moments in every run, as far as the machine allows
    answered: dict[bytes, int | None] = {}
    kills = 0
    driver.slow(0.1)
    with Pool(lambda: start(RECEIVE, environment)) as pool:
        stop = threading.Event()

        def kill() -> None:
            nonlocal kills
            while not stop.wait(chance.uniform(0.02, 0.9)):
                kills += pool.kill_one()

        def send() -> None:
            for _ in range(15):
                request = genuine()
                try:
                    answered[request.body] = pool.invoke(as_event(request, FRONTS[0]))["statusCode"]
                except (GoneError, FunctionError):
                    answered[request.body] = None

        killer = threading.Thread(target=kill)
        killer.start()
        for mode in (Mode.SLOW, Mode.ERROR_500, Mode.CUT):
            driver.fault(Port.QUEUE, mode)
            senders = [threading.Thread(target=send) for _ in range(2)]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
        stop.set()
        killer.join()
    driver.lift()
    kept = {message.body for message in driver.messages()} | {stored.body for stored in driver.stored("spool/")}
    promised = {body for body, status in answered.items() if status == 200}
    sys.stdout.write(f"{len(answered)} requests, {kills} kills, {len(promised)} answered 200, {len(kept)} kept\n")
    assert kills >= 5, "too few to prove anything"
    assert len(promised) >= 30, "too few to prove anything"
    assert not promised - kept


def test_the_handler_survives_whatever_event_it_gets(start: Start, driver: Driver, platform: AwsPlatform) -> None:
    """An event of another service is answered 400 and no crash, which would cost a start and raise an alarm."""
    with start(RECEIVE, settings(driver, platform)) as environment:
        events: list[Any] = [{}, [], "text", None, {"Records": [{"eventSource": "aws:sqs"}]}]
        for event in events:
            assert environment.invoke(event)["statusCode"] == 400
