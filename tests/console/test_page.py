"""The page for everybody: by keyboard, in light and dark, at any width, for screen readers; and nothing in it runs."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from cli.commands.run import CLOUDS
from cli.local.console.notation import PREFIXES
from cli.local.faults import Fault, FaultProxy
from tests import planted
from tests.cli.helpers import Run
from tests.console.conftest import Opened, tidy
from tests.console.helpers import newest, read, rows, send

pytestmark = pytest.mark.emulator

WIDTHS: Final = (320, 1024, *(pytest.param(width, marks=pytest.mark.slow) for width in (375, 768, 1440, 1920)))
HOSTILE: Final = (
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    "\"><svg onload=document.title='owned'>",
    "javascript:document.title='owned'",
    "</pre></dd><iframe srcdoc=\"<script>parent.document.title='owned'</script>\">",
    "{{constructor.constructor('document.title=1')()}}",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "\x1b[31m\x07\x00",
)
DOCS: Final = Path(__file__).parents[2] / "docs" / "console.md"


def fill(page: Page, run: Run) -> None:
    """One request of each kind."""
    send(page, run)
    run.post(planted.body(), planted.signature(b"other"))
    page.locator("[data-special=not-an-object]").click()
    run.faults(queue="refused")
    expect(rows(page)).to_have_count(3)
    run.post(planted.body())
    run.faults(store="refused")
    run.post(planted.body())
    run.faults(queue="none", store="none")
    expect(rows(page)).to_have_count(5)


def test_everything_by_keyboard(page: Page, run: Run) -> None:
    """Without a mouse: send, move, read, replay, copy, search, pause, views, theme, help, and back each time."""
    press = page.keyboard.press
    press("s")
    expect(rows(page)).to_have_count(1)
    press("s")
    expect(rows(page)).to_have_count(2)
    press("j")
    expect(rows(page).nth(0)).to_have_attribute("aria-selected", "true")
    press("j")
    expect(rows(page).nth(1)).to_have_attribute("aria-selected", "true")
    press("k")
    expect(rows(page).nth(0)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#rows")).to_have_attribute("aria-activedescendant", re.compile(r"row-\d+"))
    page.locator("#rows").focus()
    press("End")
    expect(rows(page).nth(1)).to_have_attribute("aria-selected", "true")
    press("ArrowUp")
    press("Enter")
    expect(page.locator("#detail")).to_be_focused()
    press("c")
    expect(page.locator("#toast")).to_have_text("command copied")
    press("r")
    expect(rows(page)).to_have_count(3)
    press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator("#rows")).to_be_focused()
    press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("same as")
    press("Escape")
    expect(page.locator("#search")).not_to_be_focused()
    expect(rows(page)).to_have_count(0)
    press("a")
    expect(rows(page)).to_have_count(3)
    press("p")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    press("p")
    for key, view in {"2": "queue", "3": "store", "1": "requests"}.items():
        press(key)
        expect(page.locator(f"#view-{view}")).to_be_visible()
    page.locator("#tab-requests").focus()
    press("ArrowLeft")
    expect(page.locator("#tab-store")).to_be_focused()
    press("1")
    run.faults(queue="refused")
    press("s")
    expect(newest(page)).to_contain_text("spooled")
    run.faults(queue="none")
    press("d")
    expect(newest(page)).to_contain_text("now on the queue")
    run.post(planted.body(), planted.signature(b"other"))
    expect(newest(page)).to_contain_text("401")
    page.locator("#rows").focus()
    press("Home")
    press("Enter")
    expect(page.locator("#explain")).to_be_visible()
    press("e")
    expect(page.locator("#explained")).to_contain_text(re.compile("combinations? tried"))
    press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    expect(page.locator("#detail")).to_be_visible()


def test_explain_names_the_reason(page: Page, run: Run) -> None:
    """A signature in hex: the page says so, and what to do."""
    body = planted.body()
    run.post(body, base64.b64decode(planted.signature(body)).hex())
    read(page, newest(page))
    page.click("#explain")
    expect(page.locator("#explained")).to_contain_text(re.compile("hex", re.IGNORECASE))


def test_shortcuts_can_be_switched_off(page: Page) -> None:
    """Single keys do nothing then (WCAG 2.1.4), also after the page was loaded again; nor do keys with a modifier."""
    page.keyboard.press("?")
    page.locator("#use-shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("s")
    page.reload()
    page.wait_for_selector("#samples button")
    page.keyboard.press("s")
    page.wait_for_timeout(500)
    expect(rows(page)).to_have_count(0)
    page.click("#help")
    page.locator("#use-shortcuts").check()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("Alt+s")
    page.keyboard.press("s")
    expect(rows(page)).to_have_count(1)


def test_every_shortcut_is_documented(page: Page) -> None:
    """The page's own table and docs/console.md name the same keys."""
    page.keyboard.press("?")
    shown = [key.text_content() for key in page.locator("#shortcut-rows kbd").all()]
    assert shown
    documented = re.findall(r"<kbd>(.*?)</kbd>", DOCS.read_text())
    assert sorted(set(documented)) == sorted(set(map(str, shown)))


def test_tab_goes_all_the_way_round(page: Page, run: Run) -> None:
    """Tab reaches every control and leaves the page at its end: there is no trap, and focus is always seen."""
    send(page, run)
    read(page, newest(page))
    page.locator(".skip").focus()
    script = """() => {
        const node = document.activeElement;
        if (node === document.body) return null;
        const style = getComputedStyle(node);
        return [node.id || node.dataset.family || node.dataset.attack || node.dataset.special || node.className
                || node.textContent, style.outlineStyle];
    }"""
    seen = []
    for _ in range(150):
        page.keyboard.press("Tab")
        found = page.evaluate(script)
        if found is None:
            break
        seen.append(found)
    else:
        pytest.fail("Tab never leaves the page")
    assert all(outline != "none" for _, outline in seen)
    names = {name for name, _ in seen}
    assert {
        "theme",
        "redrive",
        "tab-requests",
        "search",
        "rows",
        "replay",
        "copy-curl",
        "close-detail",
        "from",
    } <= names


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing(opened: Opened, run: Run, scheme: Any) -> None:
    """axe-core has no complaint: empty, full, with a request open, each view, and the dialog."""
    page = opened(run, color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator("#empty")).to_be_visible()
    assert_accessible(page)
    fill(page, run)
    read(page, rows(page).nth(4))
    for name in ("headers", "answer", "lines", "notation"):
        page.click(f"#more-{name}")
    assert_accessible(page)
    page.click("#tab-store")
    expect(page.locator("#view-store .card")).to_have_count(2)
    assert_accessible(page)
    page.click("#tab-queue")
    expect(page.locator("#view-queue .card").first).to_be_visible()
    page.keyboard.press("?")
    assert_accessible(page)


def assert_accessible(page: Page) -> None:
    """No rule of WCAG 2.2 A and AA, nor of best practice, is broken."""
    # The page's own policy forbids strangers' scripts, so axe runs in a world apart.
    found = Axe().run(page)
    broken = [
        (violation["id"], [node["target"] for node in violation["nodes"]]) for violation in found.response["violations"]
    ]
    assert broken == []


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_any_width(opened: Opened, run: Run, width: int) -> None:
    """Nothing stands out of the page to the side: empty, full, and with a request open."""
    page = opened(run, viewport={"width": width, "height": 800})
    fits = "() => document.scrollingElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(fits)
    send(page, run, eventName="W" * 300)
    run.post(planted.body(eventName="<" * 90))
    expect(rows(page)).to_have_count(2)
    assert page.evaluate(fits)
    read(page, newest(page))
    page.click("#more-headers")
    expect(page.locator("#detail")).to_be_in_viewport()
    assert page.evaluate(fits)


def test_light_dark_and_the_systems_own(opened: Opened, run: Run) -> None:
    """The system's scheme is taken until the button says else, which is remembered."""
    dark, light = (opened(run, color_scheme=scheme) for scheme in ("dark", "light"))
    colour = "() => getComputedStyle(document.body).backgroundColor"
    assert dark.evaluate(colour) != light.evaluate(colour)
    dark.click("#theme")
    expect(dark.locator("#theme")).to_have_text("Theme: light")
    assert dark.evaluate(colour) == light.evaluate(colour)
    dark.reload()
    expect(dark.locator("#theme")).to_have_text("Theme: light")
    dark.click("#theme")
    light.click("#theme")
    light.click("#theme")
    assert dark.evaluate(colour) == light.evaluate(colour)


def test_reduced_motion_is_respected(opened: Opened, run: Run) -> None:
    """Nothing moves where the system asks for that; otherwise the sign of life does."""
    name = "() => getComputedStyle(document.querySelector('.dot')).animationName"
    assert opened(run, reduced_motion="reduce").evaluate(name) == "none"
    assert opened(run, reduced_motion="no-preference").evaluate(name) == "pulse"


@pytest.mark.parametrize("signed", [True, False], ids=["genuine", "forged"])
def test_nothing_an_event_carries_runs(page: Page, run: Run, signed: bool) -> None:
    """Markup and scripts in names, labels, bodies, headers, paths and queries are text, wherever they are shown."""
    title = page.title()
    for number, text in enumerate(HOSTILE):
        body = planted.body(eventType=text, eventName=text, data={text: [text]})
        header = text.encode("ascii", "ignore").decode().translate(dict.fromkeys(range(32), " ")).strip()
        value = planted.signature(body if signed else b"other")
        path = "?q=%3Cscript%3E<script>'" if number == 1 else f"<img%20src=x%20onerror=alert({number})>"
        run.post(body, value, path=path, **{"X-Hostile": header, "User-Agent": header or "x"})
    expect(rows(page)).to_have_count(len(HOSTILE))
    elements = "() => [...document.querySelectorAll('script, iframe, svg, object, embed, [onerror], [onload]')].length"
    scripts = page.evaluate(elements)
    for row in rows(page).all():
        detail = read(page, row)
        for name in ("headers", "answer", "lines"):
            if page.locator(f"#more-{name}").locator("xpath=..").get_attribute("open") is None:
                page.click(f"#more-{name}")
        page.click("#copy-curl")
        expect(detail.locator("#curl-text")).to_contain_text("curl -i")
    for view in ("queue", "store"):
        page.click(f"#tab-{view}")
    page.wait_for_timeout(300)
    assert page.evaluate(elements) == scripts
    assert page.title() == title
    text = page.locator("body").text_content() or ""
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_the_policy_stops_markup_even_if_the_page_asked_for_it(page: Page, opened: Opened) -> None:
    """Trusted types: assigning markup throws, so that a mistake of the page's own shows at once."""
    assert page.evaluate("() => { try { document.body.innerHTML = '<b>'; return false } catch { return true } }")
    assert page.evaluate("() => { try { setTimeout('1'); return false } catch { return true } }")
    assert opened.complaints
    opened.complaints.clear()


def test_the_browser_connects_again_and_misses_nothing(opened: Opened, run: Run) -> None:
    """Cut off, the page says so; back again, it shows what came meanwhile, without being loaded anew."""
    with FaultProxy(run.port) as way:
        page = opened(run, way.url + "/")
        page.evaluate("() => { window.same = true }")
        send(page, run)
        way.set(Fault.REFUSED)
        expect(page.locator("#live")).to_have_class(re.compile("down"))
        run.post(planted.body())
        way.set(Fault.NONE)
        expect(page.locator("#live")).not_to_have_class(re.compile("down"))
        expect(rows(page)).to_have_count(2)
        assert page.evaluate("() => window.same")
        page.close()
    assert all("ERR_" in complaint for complaint in opened.complaints)
    opened.complaints.clear()


@pytest.mark.slow
@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_short_tour_of_each_cloud(opened: Opened, run_of: Callable[[str], Run], cloud: str) -> None:
    """Accepted with its message in the cloud's notation, refused, spooled and redriven, held and accepted."""
    run = run_of(cloud)
    tidy(run)
    page = opened(run)
    expect(page.locator("#cloud")).to_have_text(re.compile("AWS|Google Cloud|Azure"))
    send(page, run)
    detail = read(page, newest(page))
    expect(detail.locator(".attributes")).to_contain_text(f"{PREFIXES[cloud]}id")
    expect(detail.locator(".steps div").filter(has_text="Queue")).to_contain_text(" ms")
    page.locator("[data-attack=key]").click()
    expect(newest(page)).to_contain_text("401 unauthorized")
    page.locator(".switch[data-service=queue][data-fault=refused]").click()
    expect(page.locator("#tile-queue")).to_have_class(re.compile("broken"))
    page.keyboard.press("s")
    expect(newest(page)).to_contain_text("200 spooled")
    page.locator(".switch[data-service=queue][data-fault=refused]").click()
    expect(page.locator("#tile-queue")).not_to_have_class(re.compile("broken"))
    page.click("#redrive")
    expect(newest(page)).to_contain_text("now on the queue")
    page.select_option("#from", "127.0.0.2")
    page.keyboard.press("s")
    expect(newest(page)).to_contain_text("200 quarantined")
    read(page, newest(page))
    page.click("#accept")
    expect(newest(page)).to_contain_text("now on the queue")
