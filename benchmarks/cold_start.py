"""Import and clients beside importing the same packages bare and making the same client, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.handler import INVENTED_ACCOUNT, settings
from benchmarks.rows import Row, Sample, compare

_ROUNDS: Final = 21
_OURS: Final = "import aws_lambda.receive"
_PACKAGES: Final = """
import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
boto3.session.Session().client("sqs", config=Config(connect_timeout=1))
"""
_SDK: Final = """
import boto3
boto3.session.Session().client("sqs")
"""


def rows() -> Iterator[Row]:
    """Bytecode is on both sides: the first round, which writes it, is thrown away."""
    samples: dict[str, list[float]] = {program: [] for program in (_OURS, _PACKAGES, _SDK)}
    for _ in range(_ROUNDS + 1):
        for program, into in samples.items():
            into.append(_run(program))
    ours, packages, sdk = (Sample(into[1:]) for into in samples.values())
    yield compare("import and clients", ours, packages, "ms", 1.1, "floor: SDK, Powertools, pydantic and the client")
    yield compare("import and clients, beside the SDK", ours, sdk, "ms", None, "floor: boto3 and the client")


def _run(program: str) -> float:
    root = Path(__file__).resolve().parent.parent
    timed = f"import time\nstarted = time.perf_counter()\n{program}\nprint(time.perf_counter() - started)"
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(root),
        **INVENTED_ACCOUNT,
        **settings("http://127.0.0.1:9/000000000000/events"),
    }
    done = subprocess.run([sys.executable, "-c", timed], env=env, cwd=root, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])
