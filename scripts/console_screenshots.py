"""Makes the screenshots of docs/console.md: a local run, Debian's Chromium, and the same story each time.

    .venv/bin/python scripts/console_screenshots.py            # into docs/
    .venv/bin/python scripts/console_screenshots.py FOLDER     # to look at first

Needs Chromium (apt-get install chromium) and Pillow, which `make bench` installs and which makes the files small.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT: Final = Path(__file__).resolve().parents[1]
MOST_BYTES: Final = 250_000
ROWS: Final = "#rows [role=option]"
PORT: Final = 8080
"""As a reader will have it: the page shows its address."""


@contextmanager
def local_run() -> Iterator[str]:
    """A local run; its URL."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DASTRA_")}
        # So that the page names the program alone, and no place of this machine.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dastra-webhooks"), "run", "--json", "--port", str(PORT),
             "--redrive-every", "0"],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                sys.exit(f"The run did not start: is port {PORT} taken?")
            yield str(json.loads(line)["url"])
        finally:
            process.terminate()
            process.wait(20)


def open_page(browser: Browser, url: str, width: int, height: int, scheme: Literal["light", "dark"]) -> Page:
    """The console in a window of this size."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(f"{url}_local/")
    expect(page.locator("#url")).to_have_text(url)
    expect(page.locator(".live")).not_to_have_class("live down")
    return page


def press(page: Page, selector: str) -> None:
    """Press a button that sends, and wait until its request is answered."""
    before = page.locator(ROWS).count()
    page.locator(selector).evaluate("button => button.click()")
    expect(page.locator(ROWS)).to_have_count(before + 1)
    expect(page.locator(ROWS).first.locator(".badge")).not_to_have_text("under way")


def day(page: Page) -> None:
    """A day's requests: accepted, refused, held, and one spooled while the queue hangs."""
    for family in ("user", "processing", "data_subject_message", "task"):
        press(page, f"[data-family={family}]")
    press(page, "[data-attack=key]")
    press(page, "[data-special=large]")
    press(page, "[data-attack=method]")
    press(page, "[data-special=not-an-object]")
    page.locator("#from").evaluate("select => { select.value = '127.0.0.2' }")
    press(page, "[data-family=comment]")
    page.locator("#from").evaluate("select => { select.value = '127.0.0.1' }")
    press(page, "[data-attack=encoding]")
    page.locator(".switch[data-service=queue][data-fault=hanging]").click()
    expect(page.locator("#tile-queue.broken")).to_have_count(1)
    press(page, "[data-family=data_breach]")
    press(page, "[data-family=data_subject_request]")
    expect(page.locator("#count-spool")).to_have_text("2")


def read(page: Page, row: int) -> None:
    """Open a request, and move the pointer away."""
    page.locator(ROWS).nth(row).click()
    expect(page.locator("#detail")).to_be_visible()
    page.mouse.move(0, 0)
    page.wait_for_timeout(600)


def shoot(page: Page, path: Path) -> None:
    """Write a picture of 256 colours; it must be small enough for the repository."""
    page.wait_for_timeout(400)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}  {size / 1000:.0f} kB")
    if size > MOST_BYTES:
        sys.exit(f"{path} is larger than {MOST_BYTES / 1000:.0f} kB")


def main() -> None:
    """Make all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    program = shutil.which("chromium")
    if program is None:
        sys.exit("There is no Chromium; install it: apt-get install chromium")
    with local_run() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        wide = open_page(browser, url, 1280, 1000, "light")
        shoot(wide, folder / "console-empty.png")
        day(wide)
        read(wide, 1)
        shoot(wide, folder / "console.png")
        dark = open_page(browser, url, 1280, 1000, "dark")
        expect(dark.locator(ROWS)).to_have_count(wide.locator(ROWS).count())
        dark.locator(".switch[data-service=queue][data-fault=hanging]").click()
        read(dark, 2)
        dark.locator("#explain").click()
        expect(dark.locator("#explained")).to_be_visible()
        expect(dark.locator("#toast.shown")).to_have_count(0, timeout=10_000)
        shoot(dark, folder / "console-dark.png")
        narrow = open_page(browser, url, 380, 820, "light")
        read(narrow, 3)
        narrow.locator("#detail").evaluate("detail => detail.scrollIntoView()")
        shoot(narrow, folder / "console-narrow.png")
        browser.close()


if __name__ == "__main__":
    main()
