"""The AWS bundle: its size, and its initialisation under Lambda's own runtime with and without bytecode."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.handler import INVENTED_ACCOUNT, settings
from benchmarks.rows import Row, Sample
from benchmarks.samples import genuine_event
from benchmarks.stub import stub_queue
from scripts import aws_tools, build_aws
from scripts.python313 import find_python

# The harness of the bundle's tests: the real runtime client in the Runtime Interface Emulator.
from tests.bundle.aws.rie import Environment

_ROUNDS: Final = 9
_MOST_MB: Final = 12
_MEGABYTE: Final = 1_000_000


def rows() -> Iterator[Row]:
    """Needs Python 3.13, as Lambda has; without it there is nothing to show."""
    python = find_python()
    if python is None:
        sys.stderr.write("aws_bundle: left out, Python 3.13 was not found; install it, or name one in PYTHON313\n")
        return
    aws_tools.main(["sam", "runtime"])
    rie = aws_tools.rie()
    if rie is None:
        sys.stderr.write("aws_bundle: left out, the Runtime Interface Emulator runs on Linux only\n")
        return
    with tempfile.TemporaryDirectory() as scratch, stub_queue(0) as endpoint:
        compiled = build_aws.build(Path(scratch) / "compiled", python).folder
        plain = build_aws.build(Path(scratch) / "plain", None).folder
        size = build_aws.write_zip(compiled, Path(scratch) / "compiled.zip")
        env = {**INVENTED_ACCOUNT, "AWS_ENDPOINT_URL": endpoint, **settings(f"{endpoint}/000000000000/events")}
        timings: dict[Path, list[float]] = {compiled: [], plain: []}
        for _ in range(_ROUNDS):
            for bundle, into in timings.items():
                into.append(_init_seconds(bundle, env, rie))
    ours, floor = (Sample(into) for into in timings.values())
    yield Row(
        "AWS bundle, zipped", size / _MEGABYTE, _MOST_MB, "MB", 1.0, note="floor: the limit; boto3 is the runtime's"
    )
    yield Row(
        "AWS init, bytecode",
        ours.median * 1000,
        floor.median * 1000,
        "ms",
        1.0,
        f"{ours.spread(1000)} / {floor.spread(1000)}",
        "floor: the same bundle without bytecode, under the real runtime",
    )


def _init_seconds(bundle: Path, env: dict[str, str], rie: Path) -> float:
    python = aws_tools.RUNTIME_CLIENT.folder / "bin/python"
    with Environment(bundle, "aws_lambda.receive.handler", env, rie=rie, python=python) as environment:
        answer = environment.invoke(genuine_event())
        if answer["statusCode"] != 200:
            raise AssertionError(answer)
        return Environment.init_ms(environment.output()) / 1000
