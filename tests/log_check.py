"""A pytest plugin: no line that anything prints or logs while the suite runs may hold a body, a key or a signature.

It reads what pytest captured of every phase of every test (standard output and error down to the file descriptors,
and log records), in every xdist worker, and fails the phase in which a registered value turns up. The values are
those of :mod:`tests.planted`. With ``-s`` nothing is captured, so nothing is checked, and the summary says so.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest

from tests import planted

MARK = "prints_planted"


class LeakError(AssertionError):
    """Something planted was printed or logged."""


def check(text: str, where: str = "the output") -> None:
    """Fail when ``text`` holds anything registered: for a test that reads its own output, which pytest then lacks."""
    if found := planted.found_in(text):
        raise LeakError(_report(text, where, found))


def _report(text: str, where: str, found: Sequence[str]) -> str:
    lines = [planted.masked(line)[:300] for line in text.splitlines() if planted.found_in(line)]
    return "\n".join([f"log check: {', '.join(found)} in {where}:", *(f"  {line}" for line in lines[:5])])


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of tests whose subject is to print what is planted."""
    config.addinivalue_line("markers", f"{MARK}: prints planted values on purpose; the log check leaves it out")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Check what this phase printed."""
    report = yield
    if item.get_closest_marker(MARK) is None:
        _fail(report, [(name, text) for name, text in report.sections if name.endswith(f" {call.when}")])
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Check what importing a test module printed."""
    report = yield
    _fail(report, report.sections)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport, sections: Sequence[tuple[str, str]]) -> None:
    problems = [_report(text, name, found) for name, text in sections if (found := planted.found_in(text))]
    if problems:
        report.outcome = "failed"
        report.longrepr = "\n".join(filter(None, (report.longreprtext, *problems)))
        # The sections hold the values; whoever reads the failure in a public log must not see them.
        report.sections = [(name, planted.masked(text)) for name, text in report.sections]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say when nothing was checked."""
    if config.getoption("capture", None) == "no":
        terminalreporter.write_line("log check: OFF, since -s captures nothing", yellow=True)
