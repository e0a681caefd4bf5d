"""What the tests of the page say in one word."""

from __future__ import annotations

import re
from typing import Final

from playwright.sync_api import Locator, Page, expect

from tests import planted
from tests.cli.helpers import Run

ROWS: Final = "#rows [role=option]"


def rows(page: Page) -> Locator:
    """The requests in the list, newest first."""
    return page.locator(ROWS)


def newest(page: Page) -> Locator:
    """The newest one."""
    return rows(page).first


def read(page: Page, row: Locator) -> Locator:
    """Open a request; its detail."""
    number = row.get_attribute("data-number")
    row.click()
    detail = page.locator("#detail")
    expect(detail.locator("h2")).to_have_text(re.compile(rf"#{number} "))
    return detail


def send(page: Page, run: Run, count: int = 1, **fields: object) -> list[bytes]:
    """Post genuine events from outside and wait until they are in the list."""
    before = rows(page).count()
    bodies = [planted.body(**fields) for _ in range(count)]
    for body in bodies:
        assert run.post(body).status_code == 200
    expect(rows(page)).to_have_count(before + count)
    return bodies


def fact(detail: Locator, name: str) -> Locator:
    """The value beside a name."""
    return detail.locator(".facts > div").filter(has=detail.page.locator(f"dt:text-is('{name}')")).locator("dd").first
