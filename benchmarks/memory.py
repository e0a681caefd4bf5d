"""Peak memory of a process that receives the largest event, beside what the function is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.handler import INVENTED_ACCOUNT, settings
from benchmarks.largest import largest_body
from benchmarks.rows import Row
from benchmarks.samples import KEY, function_url_event
from cli.local.emulator import AwsEmulator, Names, Resources, provision
from core.signature import sign

MEMORY_MB: Final = 256
_CHILD: Final = """
import json, sys
from pathlib import Path
from aws_lambda.receive import handler
for line in sys.stdin:
    answer = handler(json.loads(line), None)
    assert answer["statusCode"] == 200, answer
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak.split()[1], file=sys.stderr)
"""


def rows() -> Iterator[Row]:
    """Three events of 4 MiB in a row, each a claim check, as the runtime hands them over: parsed from one JSON line."""
    if not Path("/proc/self/status").exists():
        return
    lines = [json.dumps(function_url_event(body, sign(body, KEY))) for body in map(largest_body, range(3))]
    with AwsEmulator() as emulator:
        account = {**INVENTED_ACCOUNT, "AWS_ENDPOINT_URL": emulator.endpoint_url}
        resources = provision(emulator.session(), Names(), endpoint_url=emulator.endpoint_url)
        peak = _run(account, resources, "\n".join(lines))
    yield Row("memory, events of 4 MiB", peak, MEMORY_MB, "MB", 1.0, note="floor: the memory of the function")


def _run(account: dict[str, str], resources: Resources, lines: str) -> float:
    root = Path(__file__).resolve().parent.parent
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(root),
        **account,
        **settings(resources.queue_url),
        "DASTRA_STORE": resources.bucket,
    }
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], env=env, input=lines, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return int(done.stderr.split()[-1]) / 1024
