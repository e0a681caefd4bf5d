"""``python -m reliability.fuzz.guided TARGET ...``: a target under atheris, which steers by coverage.

Runs in the environment that has atheris. The arguments after the target are libFuzzer's.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore] # in an environment of its own


def main() -> None:
    """Fuzz until libFuzzer's arguments end it; an input that breaks a promise ends it with a trace."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["core", "aws_lambda", "gcp_function", "azure_function", "json"]):
        from reliability.fuzz.targets import load

        target = load(name)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
