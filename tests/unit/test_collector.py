"""The garbage collector around a cold start: it rests while an entry point is imported, and works afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import planted

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = {
    # only for aws
    "aws_lambda.receive": "https://sqs.eu-west-3.amazonaws.com/000000000000/events bucket name",
    "aws_lambda.redrive": "https://sqs.eu-west-3.amazonaws.com/000000000000/events bucket name",
    "aws_lambda.watch": "https://sqs.eu-west-3.amazonaws.com/000000000000/events bucket name",
    # end of only
    # only for azure
    "azure_function.function_app": (
        "invented.servicebus.windows.net/events https://invented.blob.core.windows.net/events"
        " https://invented.vault.azure.net/secrets/keys"
    ),
    # end of only
    # only for gcp
    "gcp_function.main": "projects/invented/topics/events bucket projects/invented/secrets/keys",
    # end of only
}
"""Each entry point, with its queue, its store and its secret."""


def run(program: str, parts: str = "q s n") -> str:
    """What a program says in a fresh interpreter, with invented settings and no account."""
    queue, store, secret = parts.split()
    env = {
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "eu-west-3",
        "AWS_ACCESS_KEY_ID": "invented",
        "AWS_SECRET_ACCESS_KEY": planted.KEY,
        "DASTRA_QUEUE": queue,
        "DASTRA_STORE": store,
        "DASTRA_SIGNATURE_KEYS_SECRET": secret,
        "DASTRA_API_KEY_SECRET": secret,
    }
    ran = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


def test_it_rests_from_the_import_on_until_it_is_told() -> None:
    """And afterwards never looks at what was there by then."""
    program = (
        "import gc, core.collector\n"
        "rested = not gc.isenabled() and not gc.get_freeze_count()\n"
        "core.collector.resume()\n"
        "print(rested, gc.isenabled(), gc.get_freeze_count() > 1000)"
    )
    assert run(program) == "True True True"


@pytest.mark.parametrize("module", ENTRY_POINTS)
def test_no_collection_runs_while_an_entry_point_is_imported(module: str) -> None:
    """Not one, from its first import of ours on; a fresh interpreter has nothing yet that could be garbage."""
    program = (
        "import gc, typing\n"  # the platform's own program has imported these before the entry file
        "try:\n    import azure.functions\n"
        "except ImportError:\n    pass\n"
        "runs = lambda: [generation['collections'] for generation in gc.get_stats()]\n"
        "gc.collect()\n"  # else one is due soon, maybe before the module that stops them is found
        f"before = runs()\nimport {module}\n"
        "print(runs() == before, gc.isenabled(), gc.get_freeze_count() > 1000)"
    )
    assert run(program, ENTRY_POINTS[module]) == "True True True"


@pytest.mark.parametrize(
    "package", sorted({"core.event", *(name.partition(".")[0] + ".wiring" for name in ENTRY_POINTS)})
)
def test_who_imports_a_package_keeps_the_collector(package: str) -> None:
    """Only the entry points stop it: a consumer's program collects as before."""
    assert run(f"import gc, {package}\nprint(gc.isenabled(), gc.get_freeze_count())") == "True 0"
