"""A local run, Debian's Chromium, and a page that must neither complain nor ask any other host for anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from cli.commands.run import CLOUDS
from tests import planted
from tests.cli.helpers import Run, running

SIZE: Final = {"width": 1440, "height": 900}
_SECONDS: Final = 15.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright, which downloads no browser for it.

    No longer than a module: while Playwright runs, its event loop counts as running in this thread, and another test's
    ``asyncio.run`` would refuse to start.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium; install it: apt-get install chromium")
    expect.set_options(timeout=_SECONDS * 1000)
    with sync_playwright() as playwright:
        # No sandbox of its own: it cannot have one as root, and every page here is ours.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Run]]:
    """The local run of a cloud; it starts when it is first asked for."""
    runs: dict[str, Run] = {}
    with ExitStack() as stack:

        def get(cloud: str) -> Run:
            if cloud not in runs:
                folder = tmp_path_factory.mktemp(cloud)
                made = running(folder, "--redrive-every", "0", "--cloud", cloud, DASTRA_SIGNATURE_KEYS=planted.KEY)
                runs[cloud] = stack.enter_context(made)
            return runs[cloud]

        yield get


def tidy(run: Run) -> None:
    """Nothing remembered, nothing in the store, no fault; what was queued stays."""
    run.faults(queue="none", store="none", keys="none")
    with console(run) as client:
        for record in run.get("stored"):
            client.post("drop", json={"key": record["key"]}).raise_for_status()
        client.post("clear", json={}).raise_for_status()


def console(run: Run) -> httpx.Client:
    """A client that sends what the page sends."""
    return httpx.Client(
        base_url=f"{run.url}_local/console/",
        headers={"X-Dastra-Console": "1"},
        trust_env=False,
        verify=False,  # nothing here is https, and the certificates take their time to read
        timeout=_SECONDS,
    )


@pytest.fixture
def run(run_of: Callable[[str], Run]) -> Run:
    """The AWS run, with nothing remembered and nothing broken: what SQS takes is what the tests go by."""
    if "aws" not in CLOUDS:
        pytest.skip("goes by what SQS takes, and this copy is without AWS; the short tour tries the other clouds")
    run = run_of("aws")
    tidy(run)
    return run


class Opened:
    """Opens pages of a run, and knows what they complained about and whom they asked."""

    def __init__(self, browser: Browser) -> None:
        self._browser: Final = browser
        self._contexts: Final[list[BrowserContext]] = []
        self.complaints: Final[list[str]] = []
        self.asked: Final[set[str]] = set()

    def __call__(self, run: Run, url: str | None = None, **options: object) -> Page:
        """The console of a run, connected, at another URL where one is given; ``options`` are a browser context's."""
        context = self._browser.new_context(**{"viewport": SIZE, **options})  # type: ignore[arg-type]
        context.set_default_timeout(_SECONDS * 1000)
        self._contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.asked.add(urlsplit(request.url).netloc))
        page.goto(f"{url or run.url}_local/")
        page.wait_for_selector("#samples button", state="attached")
        page.wait_for_selector(".live:not(.down)")
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def close(self) -> None:
        """Close all of them."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Opens pages. A complaint on a page's own console fails the test, as does a request to another host."""
    pages = Opened(browser)
    yield pages
    pages.close()
    assert pages.complaints == []
    assert {host.partition(":")[0] for host in pages.asked} <= {"127.0.0.1"}


@pytest.fixture
def page(opened: Opened, run: Run) -> Page:
    """The console of the AWS run."""
    return opened(run)
