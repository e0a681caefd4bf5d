"""One scenario on one cloud: start everything, send, wait for what was spooled, judge."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from cli.commands.run import CLOUDS
from cli.local.cloud import LocalCloud
from cli.local.journal import Journal
from core.log import QUEUE_FAILED
from core.ports import PortError
from core.settings import PREFIX
from core.signature import sign
from reliability.load.instance import Instance, Size, commands
from reliability.load.plan import KEY, LISTED, MARKER, Plan, Sample
from reliability.load.sender import Sender
from reliability.load.verdict import Allowed, Found, Growth, Tally, Verdict, found_in, judge
from reliability.load.weather import Weather


class Scenario(StrEnum):
    """What goes wrong meanwhile."""

    CALM = "calm"
    QUEUE = "queue"
    KILL = "kill"
    STORM = "storm"


ALLOWED: Final = {
    Scenario.CALM: Allowed(),
    Scenario.QUEUE: Allowed(duplicates=True),
    Scenario.KILL: Allowed(unanswered=True),
    Scenario.STORM: Allowed(unanswered=True, duplicates=True),
}
_WARM: Final = 0.02
_QUARTER: Final = 0.25
_HALF: Final = 0.5
_REDRIVES: Final = 100
_FAILED_REDRIVES: Final = 20
_SAMPLED_SECONDS: Final = 0.5
_WORKER: Final = "azure_functions_runtime"
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True, slots=True)
class Order:
    """What to run. ``seconds`` above 0 ends the sending by time, though the plan has more."""

    cloud: str
    scenario: Scenario
    plan: Plan
    connections: int
    instances: int
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did and what is to be said about it."""

    order: Order
    sent: int
    seconds: float
    slowest_seconds: float
    genuine: Mapping[str, int]
    attacks: Mapping[str, int]
    first: Verdict
    """Before the spool is put back."""
    last: Verdict
    """Afterwards."""
    redriven: int
    weather: Mapping[str, int]
    growth: Growth | None
    python: str
    """The version; on Azure it decides whether the functions run in the real worker."""
    errors: Mapping[str, int]
    """What the receiver logged as having failed, with the code of each error."""
    leaked: int
    """Log lines with a key, a signature or a body's words in them."""

    @property
    def faults(self) -> list[str]:
        """Sentences for everything that must not be."""
        found = [*self.first.faults]
        found += [f"after the redrive: {fault}" for fault in self.last.faults if fault not in self.first.faults]
        if left := self.last.places.get("spool", 0):
            found.append(f"{left} left in the spool though the queue works again")
        plan = self.order.plan
        if self.growth and not self.growth.is_flat(self.order.instances, large=bool(plan.large)):
            found.append("memory or threads grew in the second half")
        if self.leaked:
            found.append(f"{self.leaked} log lines hold what no log may hold")
        return found

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "faults": self.faults}


def run(order: Order, told: Callable[[int], None], phase: Callable[[str], None]) -> Report:
    """Run it. ``told`` is given how many requests have been answered, ``phase`` what is being done.

    Changes this process's environment for good.

    Raises:
        CliError: something does not start.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dastra-webhooks-load-")))
        journal = Journal(scratch / "redrive.log")
        stack.callback(journal.close)
        stack.enter_context(redirect_stdout(journal))
        phase("starting the emulators")
        settings = {f"{PREFIX}SOURCE_IP_ALLOWLIST": LISTED}
        if order.cloud == "gcp":
            # Nobody reads the consumer's subscription: after half an hour it fills the 256 MB of Google's emulator.
            os.environ.setdefault("_JAVA_OPTIONS", "-Xmx2g")
        # The instances have the real worker; a second one in this process would only take its time.
        more = {"worker": False} if order.cloud == "azure" else {}
        start = import_module(str(CLOUDS[order.cloud])).start
        local: LocalCloud = stack.enter_context(start(settings, KEY.reveal(), journal, lambda _: None, **more))
        phase("starting the receiver")
        env = {
            **local.environment,
            **settings,
            f"{PREFIX}QUEUE": local.queue,
            f"{PREFIX}STORE": local.store,
            f"{PREFIX}SIGNATURE_KEYS_SECRET": local.secret,
            "PYTHONUNBUFFERED": "1",
            "THREADS": "16",
        }
        # only for gcp
        if order.cloud == "gcp":
            from gcp_function.wiring import ALLOCATOR

            env |= ALLOCATOR
        # end of only
        instances = [
            stack.enter_context(Instance(commands(order.cloud), env, scratch / f"instance-{number}.log"))
            for number in range(order.instances)
        ]
        phase("sending")
        return _measured(order, local, instances, scratch, told, phase)


def _measured(
    order: Order,
    local: LocalCloud,
    instances: list[Instance],
    scratch: Path,
    told: Callable[[int], None],
    phase: Callable[[str], None],
) -> Report:
    tally = Tally()
    sizes = _Sizes(instances)
    started = time.monotonic()
    samples = _until(order, started)
    # The fronts of the other two are a part of the instance.
    sender = Sender(samples, [instance.port for instance in instances], order.cloud == "gcp", tally.add)
    weather = _weather(order, local, instances)
    sending = threading.Thread(target=sender.run, args=(order.connections,), daemon=True)
    with weather:
        sending.start()
        while sending.is_alive():
            sending.join(_SAMPLED_SECONDS)
            told(len(tally.answers))
            elapsed = (time.monotonic() - started) / order.seconds if order.seconds else 0
            sizes.sample(elapsed or len(tally.answers) / len(order.plan))
    seconds = time.monotonic() - started
    phase("counting what was kept")
    said = list(_said(scratch))
    doubtful = {str(line["event_id"]) for line in said if line.get("message") == QUEUE_FAILED.name}
    first = judge(tally.answers, _look(local), ALLOWED[order.scenario], doubtful)
    redriven, last = 0, first
    if first.places.get("spool"):
        phase("putting the spool back on the queue")
        redriven = _redrive(local)
        last = judge(tally.answers, _look(local), ALLOWED[order.scenario], doubtful)
    return Report(
        order,
        len(tally.answers),
        round(seconds, 1),
        round(tally.slowest(), 2),
        dict(tally.statuses(genuine=True)),
        dict(tally.statuses(genuine=False)),
        first,
        last,
        redriven,
        dict(weather.counts),
        # A killed instance begins anew: there is nothing to compare.
        None if order.scenario in (Scenario.KILL, Scenario.STORM) else sizes.growth(),
        _python(order),
        dict(Counter(f"{line.get('message')} ({line['error']})" for line in said if "error" in line)),
        _leaks(scratch, order, len(tally.answers)),
    )


def _until(order: Order, started: float) -> Iterator[Sample]:
    samples = order.plan.samples()
    if not order.seconds:
        return samples
    return itertools.takewhile(lambda _: time.monotonic() - started < order.seconds, samples)


def _weather(order: Order, local: LocalCloud, instances: list[Instance]) -> Weather:
    weather = Weather(order.plan.seed)
    if order.scenario in (Scenario.QUEUE, Scenario.STORM):
        weather.breaks(local.faults["queue"])
        weather.redrives(local.redrive)
    if order.scenario in (Scenario.KILL, Scenario.STORM):
        weather.kills(instances)
    return weather


class _Sizes:
    """All instances together, sampled; of several samples about a moment, the largest."""

    def __init__(self, instances: list[Instance]) -> None:
        self._instances: Final = instances
        self._seen: Final[list[tuple[float, Size]]] = []

    def sample(self, done: float) -> None:
        sizes = [size for instance in self._instances if (size := instance.size()) is not None]
        if len(sizes) == len(self._instances):
            total = Size(sum(size.megabytes for size in sizes), sum(size.threads for size in sizes))
            self._seen.append((done, total))

    def growth(self) -> Growth | None:
        if not self._seen:
            return None
        end = self._seen[-1][0]
        return Growth(self._at(_WARM * end), self._at(_QUARTER * end), self._at(_HALF * end), self._at(end))

    def _at(self, moment: float) -> Size:
        size = next((size for done, size in self._seen if done >= moment), self._seen[-1][1])
        return Size(round(size.megabytes, 1), size.threads)


def _look(local: LocalCloud) -> list[Found]:
    return found_in(local.messages(), local.stored())


def _redrive(local: LocalCloud) -> int:
    """Put the spool back, as often as it takes; how many went. So many may fail on end."""
    sent = failed = 0
    for _ in range(_REDRIVES):
        try:
            report = local.redrive()
        except PortError:
            failed += 1
            if failed > _FAILED_REDRIVES:
                raise
            continue
        failed = 0
        sent += int(report["sent"])
        if not report["sent"] and not report["skipped"]:
            break
    return sent


def _python(order: Order) -> str:
    version = platform.python_version()
    if order.cloud != "azure":
        return version
    return f"{version}, {'real worker' if find_spec(_WORKER) else 'without the worker, which needs 3.13'}"


def _said(scratch: Path) -> Iterator[Mapping[str, Any]]:
    """The log lines of the instances."""
    for path in sorted(scratch.glob("instance-*.log")):
        for line in path.open(errors="replace"):
            with suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict):
                    yield said


def _leaks(scratch: Path, order: Order, sent: int) -> int:
    """How many log lines hold a key, the signature of a genuine event, or the words that stand in every body."""
    signatures = {sign(sample.body, KEY) for sample in itertools.islice(order.plan.samples(), sent) if sample.genuine}

    def leaks(line: str) -> bool:
        words = KEY.reveal() in line or MARKER in line
        return words or any(token in signatures for token in _SIGNATURE.findall(line))

    return sum(leaks(line) for path in scratch.glob("*.log") for line in path.open(errors="replace"))
