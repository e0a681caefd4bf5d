"""Proof under strain: load and faults (``load``), hostile input (``fuzz``), tests that miss nothing (``mutants``).

The figures are in ``docs/reliability.md``. Each part is a command of ``python -m reliability``.
"""
