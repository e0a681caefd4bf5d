"""Every button, filter, switch and view of the page does what it says, in a real browser."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from cli.doctor.attacks import ATTACKS
from cli.local.console.attacks import KINDS, SPECIALS
from cli.samples import families
from tests import planted
from tests.cli.helpers import Run, running, until
from tests.console.conftest import Opened, console
from tests.console.helpers import fact, newest, read, rows, send

pytestmark = pytest.mark.emulator


def test_an_empty_page_says_what_to_do_first(page: Page) -> None:
    """Before anything has come it shows the command to send with, and a button; after that the request."""
    empty = page.locator("#empty")
    expect(empty).to_contain_text("Nothing has come yet")
    expect(empty.locator("code")).to_have_text(re.compile("dastra-webhooks send$"))
    empty.get_by_role("button", name="Send a sample").click()
    expect(newest(page)).to_contain_text("200 accepted")
    expect(empty).to_be_hidden()


def test_each_family_has_a_button(page: Page, run: Run) -> None:
    """Each button sends one signed event of its family, which is accepted."""
    for family, types in families().items():
        page.locator(f"[data-family={family}]").click()
        expect(newest(page)).to_contain_text(types[0])
        expect(newest(page)).to_contain_text("200 accepted")
    expect(rows(page)).to_have_count(len(families()))


def test_any_event_type_can_be_sent(page: Page) -> None:
    """Every documented type is in the list of types; the button sends the chosen one."""
    offered = page.locator("#type-to-send option").all_text_contents()
    assert sorted(offered) == sorted(name for names in families().values() for name in names)
    page.select_option("#type-to-send", "TaskArchived")
    page.click("#send-type")
    expect(newest(page)).to_contain_text("TaskArchived")


@pytest.mark.parametrize("name", SPECIALS)
def test_unusual_events_get_their_verdict(page: Page, name: str) -> None:
    """Held, too large, a claim check: each button's event gets the verdict that it is for."""
    page.locator(f"[data-special={name}]").click()
    expect(newest(page)).to_have_class(re.compile(rf"\b{SPECIALS[name].expects}\b"))
    if name == "large":
        expect(newest(page)).to_contain_text("claim check")


def test_each_kind_of_attack_has_a_button(page: Page, run: Run) -> None:
    """Two presses each: every one is refused, none is queued or stored, and the second press sends another attack."""
    queued, origins = len(run.bodies()), []
    for group in KINDS:
        for _ in range(2):
            before = rows(page).count()
            page.locator(f"[data-attack={group}]").click()
            expect(rows(page)).to_have_count(before + 1)
            expect(newest(page)).to_have_class(re.compile(r"\brefused\b"))
            origins.append(newest(page).locator(".tag").last.text_content())
    assert len(set(origins)) == len(origins) == 2 * len(KINDS)
    assert {attack.group for attack in ATTACKS} == set(KINDS)
    assert len(run.bodies()) == queued
    assert run.get("stored") == []


def test_filters_and_search(page: Page, run: Run) -> None:
    """By verdict, by event type and by words; together; and all again."""
    send(page, run, eventType="TaskEdit")
    send(page, run, eventType="UserLogin", eventName="Zebra ahead")
    run.post(planted.body(eventType="TaskEdit"), planted.signature(b"other"))
    expect(rows(page)).to_have_count(3)
    chip = page.locator("[data-kind=refused]")
    expect(chip).to_have_text("refused 1")
    chip.click()
    expect(rows(page)).to_have_count(1)
    expect(chip).to_have_attribute("aria-pressed", "true")
    page.locator("[data-kind=accepted]").click()
    expect(rows(page)).to_have_count(3)
    page.select_option("#by-type", "TaskEdit")
    expect(rows(page)).to_have_count(2)
    chip.click()
    expect(rows(page)).to_have_count(1)
    page.select_option("#by-type", "")
    page.fill("#search", "zebra USERlogin")
    expect(rows(page)).to_have_count(1)
    page.fill("#search", "nothing has this")
    expect(rows(page)).to_have_count(0)
    page.get_by_role("button", name="Show all").click()
    expect(rows(page)).to_have_count(3)
    expect(page.locator("#search")).to_have_value("")


def test_the_detail_tells_all(page: Page, run: Run) -> None:
    """Verdict and why, address and list, key, type and label, both bodies, message in three notations, steps."""
    [body] = send(page, run, eventName="Label of it")
    detail = read(page, newest(page))
    expect(detail.locator(".badge")).to_have_text("200 accepted")
    expect(detail.locator(".story")).to_contain_text("Label of it")
    expect(detail.locator(".story")).to_contain_text("the queue has it")
    expect(fact(detail, "from")).to_have_text("127.0.0.1: on the list")
    expect(fact(detail, "key")).to_contain_text(run.started["keys"][0])
    expect(fact(detail, "is now")).to_have_text("on the queue")
    for step in ("Screen", "Queue", "Entry point"):
        expect(detail.locator(".steps div").filter(has_text=step)).to_contain_text(re.compile(r"\d ms"))
    pretty = detail.get_by_label("Body, indented").text_content() or ""
    assert '\n  "eventName": "Label of it",\n' in pretty
    raw = detail.get_by_label("Body, as it came")
    assert raw.text_content() == body.decode()
    page.click("#raw-hex")
    expect(raw).to_contain_text(body[:16].hex(" "))
    id_ = next(message["id"] for message in run.get("messages") if message["body"].encode() == body)
    names = detail.locator(".attributes dt")
    for cloud, prefix in {"aws": "ce-", "gcp": "ce-", "azure": "cloudEvents:"}.items():
        page.click(f"#notation-{cloud}")
        expect(names.filter(has_text=re.compile(f"^{prefix}id$"))).to_have_count(1)
        expect(detail.locator(".attributes")).to_contain_text(id_)
    page.click("#more-notation")
    expect(detail.get_by_label("Message", exact=True)).to_contain_text("application_properties")
    page.click("#more-headers")
    expect(detail).to_contain_text(planted.signature(body))
    page.click("#more-answer")
    expect(detail.get_by_label("Answer's body")).to_have_text('{"status":"accepted"}')
    page.click("#more-lines")
    expect(detail.get_by_label("Log lines")).to_contain_text('"message":"accepted"')
    page.click("#close-detail")
    expect(detail).to_be_hidden()
    expect(page.locator("#rows")).to_be_focused()


def test_why_a_refused_request_was_refused(page: Page, run: Run) -> None:
    """In a sentence, with what to do next; nothing is said to be anywhere."""
    run.post(planted.body(), planted.signature(b"other"))
    detail = read(page, newest(page))
    expect(detail.locator(".story")).to_contain_text("none of the known keys makes it")
    expect(fact(detail, "is now")).to_have_text("nowhere: it was not let in")
    expect(fact(detail, "key")).to_have_text("none matched")
    expect(page.locator("#accept")).to_have_count(0)


def test_bytes_that_are_no_text_are_shown_in_hex(page: Page) -> None:
    """With a word on why there is no indented form."""
    page.locator("[data-special=not-text]").click()
    detail = read(page, newest(page))
    expect(detail.get_by_label("Body, as it came")).to_contain_text("000000  ff 00 1b 7b")
    expect(detail).to_contain_text("It is not text (UTF-8).")
    expect(page.locator("#raw-text")).to_be_disabled()


def test_replay_shows_the_duplicate(page: Page, run: Run) -> None:
    """The same bytes again: another request, the same event, named as such, and twice on the queue."""
    [body] = send(page, run)
    read(page, newest(page))
    page.click("#replay")
    expect(rows(page)).to_have_count(2)
    expect(newest(page)).to_contain_text("same as #")
    expect(newest(page)).to_contain_text("replay of")
    assert run.bodies().count(body.decode()) == 2
    detail = read(page, newest(page))
    expect(fact(detail, "is now")).to_have_text("on the queue, 2 times")
    page.click("#to-first")
    expect(detail.locator("h2")).not_to_contain_text(f"#{newest(page).get_attribute('data-number')} ")


def test_news_of_what_is_shown_do_not_hold_up_what_was_chosen(page: Page, run: Run) -> None:
    """While another request is on its way to the page, news of the present one leave the choice alone."""
    [first, _] = send(page, run, 2)
    read(page, rows(page).nth(1))
    number = newest(page).get_attribute("data-number")
    held: list[Route] = []
    way = f"**/requests/{number}"

    def hold(route: Route) -> None:
        if released:
            route.continue_()
        else:
            held.append(route)

    released = False
    page.route(way, hold)
    newest(page).click()
    assert run.post(first).status_code == 200
    expect(newest(page)).to_contain_text("same as #")
    page.wait_for_timeout(700)
    released = True
    for route in held:
        route.continue_()
    expect(page.locator("#detail h2")).to_contain_text(f"#{number} ")


@pytest.mark.parametrize("special", ["plain", "not-text", "large"])
def test_copied_curl_sends_the_same_bytes(page: Page, run: Run, special: str) -> None:
    """What is on the clipboard, pasted into bash, is the same event: in quotes, through base64, through a file."""
    if special == "plain":
        send(page, run, eventName='it\'s "quoted" $HOME `x` \\ \u00e9\u202e!', data={"text": "@\r\n\t%"})
    else:
        page.locator(f"[data-special={special}]").click()
    expect(rows(page)).to_have_count(1)
    read(page, newest(page))
    page.click("#copy-curl")
    expect(page.locator("#toast")).to_have_text("command copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert page.locator("#curl-text").text_content() == copied
    done = subprocess.run(["bash", "-c", copied], cwd=run.folder, capture_output=True, text=True, check=False)
    assert "HTTP/1.1 200 OK" in done.stdout, done.stderr
    expect(newest(page)).to_contain_text("same as #")


def test_the_body_can_be_downloaded(page: Page, run: Run) -> None:
    """The exact bytes, as a file and never as a page."""
    page.locator("[data-special=large]").click()
    expect(newest(page)).to_contain_text("accepted")
    read(page, newest(page))
    with page.expect_download() as download:
        page.click("#download")
    saved = download.value.path().read_bytes()
    assert saved.decode() == run.bodies()[-1]
    expect(page.locator("#detail")).to_contain_text("The first 262.1 kB of 1.2 MB")


def test_a_broken_queue_spools_and_redrive_heals(page: Page, run: Run) -> None:
    """Down: the event is spooled, and counted. Up again: the redrive button puts it on the queue; the row says so."""
    down = page.locator(".switch[data-service=queue][data-fault=refused]")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#tile-queue")).to_have_class(re.compile("broken"))
    [body] = send(page, run)
    expect(newest(page)).to_contain_text("200 spooled")
    expect(page.locator("#count-spool")).to_have_text("1")
    detail = read(page, newest(page))
    expect(fact(detail, "is now")).to_contain_text("in the store: spool/")
    page.click("#redrive")
    expect(page.locator("#rows .note-row").filter(has_text="1 failed")).to_have_count(1)
    down.click()
    expect(page.locator("#tile-queue")).not_to_have_class(re.compile("broken"))
    page.click("#redrive")
    expect(page.locator("#count-spool")).to_have_text("0")
    expect(newest(page)).to_contain_text("now on the queue")
    expect(fact(detail, "is now")).to_have_text("on the queue")
    assert run.bodies()[-1].encode() == body


@pytest.mark.slow
def test_a_hanging_queue_is_seen_while_it_hangs(opened: Opened, tmp_path: Path) -> None:
    """The request is in the list before its answer, as under way; then it is spooled, and its time was the queue's.

    In a run of its own: after a hang the receiver leaves its queue alone for 15 seconds.
    """
    with running(tmp_path, "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        page = opened(run)
        page.locator(".switch[data-service=queue][data-fault=hanging]").click()
        expect(page.locator("#tile-queue select")).to_have_value("hanging")
        page.keyboard.press("s")
        expect(newest(page)).to_contain_text("under way")
        expect(newest(page)).to_contain_text("200 spooled")
        detail = read(page, newest(page))
        expect(detail.locator(".steps div").filter(has_text="Queue")).to_contain_text(re.compile(r"\d{4}(\.\d)? ms"))
        page.close()


def test_with_queue_and_store_down_an_event_is_lost(page: Page, run: Run) -> None:
    """503, marked as failed and told as such; the store's switch is the page's own."""
    page.locator(".switch[data-service=queue][data-fault=refused]").click()
    page.locator(".switch[data-service=store][data-fault=refused]").click()
    expect(page.locator("#store-word")).to_have_text("refuses connections")
    page.keyboard.press("s")
    expect(newest(page)).to_contain_text("503 event_lost")
    detail = read(page, newest(page))
    expect(detail.locator(".story")).to_contain_text("it is lost")


def test_every_fault_can_be_chosen(page: Page, run: Run) -> None:
    """The lists have every fault; choosing one switches it, on the keys too."""
    select = page.locator("select[data-service=keys]")
    assert len(select.locator("option").all()) == 12
    select.select_option("500")
    assert until(lambda: run.get("faults")["keys"] == "500")
    expect(page.locator("#tile-keys")).to_have_class(re.compile("broken"))
    page.locator(".switch[data-service=keys]").click()
    assert until(lambda: run.get("faults")["keys"] == "refused")


def test_an_address_is_accepted_where_its_event_is_shown(page: Page, run: Run) -> None:
    """Off the list: held. Accepting it releases what is held, and the next event passes."""
    address = "127.0.0.3"
    page.select_option("#from", address)
    page.locator("[data-family=task]").click()
    expect(newest(page)).to_contain_text("200 quarantined")
    expect(page.locator("#count-quarantine")).to_have_text("1")
    detail = read(page, newest(page))
    expect(fact(detail, "from")).to_have_text(f"{address}: not on the list")
    page.click("#accept")
    expect(page.locator("#toast")).to_have_text(f"{address} is accepted; 1 of 1 held event released")
    expect(fact(detail, "is now")).to_have_text("on the queue")
    expect(page.locator("#count-quarantine")).to_have_text("0")
    page.locator("[data-family=task]").click()
    expect(rows(page)).to_have_count(2)
    expect(newest(page)).to_contain_text("200 accepted")


def test_held_events_are_released_or_dropped(page: Page, run: Run) -> None:
    """In the view of the store: release sends it to the queue; drop asks once more, and deletes."""
    for _ in range(2):
        page.locator("[data-special=not-an-object]").click()
    expect(rows(page)).to_have_count(2)
    queued = len(run.bodies())
    page.click("#open-store")
    cards = page.locator("#view-store .card")
    expect(cards).to_have_count(2)
    cards.first.get_by_role("button", name="Release").click()
    expect(cards).to_have_count(1)
    assert len(run.bodies()) == queued + 1
    cards.first.get_by_role("button", name="Drop").click()
    expect(cards.first).to_contain_text("Really drop?")
    assert len(run.get("stored")) == 1
    cards.first.get_by_role("button", name="Really drop").click()
    expect(page.locator("#view-store .empty")).to_contain_text("Nothing is held")
    page.click("#tab-requests")
    expect(newest(page).or_(rows(page).last).filter(has_text="now on the queue")).to_have_count(1)
    expect(rows(page).filter(has_text="no longer stored")).to_have_count(1)


def test_a_click_is_not_lost_when_its_row_changes_meanwhile(page: Page, run: Run) -> None:
    """The button goes down, the request gets another state, the button comes up: it is opened, and drawn anew."""
    page.locator("[data-special=not-an-object]").click()
    row = rows(page).first
    expect(row).to_contain_text("quarantined")
    number, box = row.get_attribute("data-number"), row.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    [held] = run.get("stored")
    with console(run) as client:
        client.post("release", json={"key": held["key"]}).raise_for_status()
    expect(page.locator("#tab-store")).to_have_text("Store (0)")
    page.mouse.up()
    expect(page.locator("#detail h2")).to_have_text(re.compile(rf"#{number} "))
    expect(row).to_contain_text("now on the queue")


def test_a_release_that_fails_is_told(page: Page, run: Run, opened: Opened) -> None:
    """With the queue down the event stays held, and the page says why."""
    page.locator("[data-special=not-an-object]").click()
    read(page, newest(page))
    page.locator(".switch[data-service=queue][data-fault=refused]").click()
    page.click("#release")
    expect(page.locator("#toast")).to_contain_text("it was not done")
    expect(page.locator("#toast")).to_have_class(re.compile("bad"))
    assert len(run.get("stored")) == 1
    [complaint] = opened.complaints
    assert "503" in complaint
    opened.complaints.clear()


def test_the_queue_is_shown(page: Page, run: Run) -> None:
    """The latest messages, each with a way to its request."""
    send(page, run, eventType="RelationOfThisTest")
    page.click("#tab-queue")
    card = page.locator("#view-queue .card").first
    expect(card).to_contain_text("RelationOfThisTest")
    card.get_by_role("button", name="request #").click()
    expect(page.locator("#detail h2")).to_contain_text("RelationOfThisTest")
    expect(page.locator("#tab-requests")).to_have_attribute("aria-selected", "true")


def test_pause_and_clear(page: Page, run: Run) -> None:
    """Paused, the list stands still and counts what comes; cleared, all is forgotten on every page."""
    send(page, run)
    page.click("#pause")
    run.post(planted.body())
    expect(page.locator("#pause")).to_have_text("Resume (1 new)")
    expect(rows(page)).to_have_count(1)
    page.click("#pause")
    expect(rows(page)).to_have_count(2)
    page.click("#clear")
    expect(rows(page)).to_have_count(0)
    expect(page.locator("#empty")).to_contain_text("Nothing has come yet")


def test_two_pages_show_the_same(opened: Opened, run: Run) -> None:
    """What one page switches and sends the other one shows."""
    one, other = opened(run), opened(run)
    one.locator(".switch[data-service=store]").click()
    expect(other.locator("#tile-store")).to_have_class(re.compile("broken"))
    one.keyboard.press("s")
    expect(newest(other)).to_contain_text("accepted")


def test_the_url_is_copied(page: Page, run: Run) -> None:
    """The webhook's URL, as it goes into Dastra or a command."""
    page.click("#copy-url")
    expect(page.locator("#toast")).to_have_text("URL copied")
    assert page.evaluate("navigator.clipboard.readText()") == run.url


def test_what_never_reached_the_receiver_is_noted(page: Page, run: Run) -> None:
    """A request that the server before it turned away shows as a note, not as nothing."""
    with console(run) as client:
        client.post("send", json={"special": "hostile", "from": "192.0.2.1"}).raise_for_status()
    note = page.locator("#rows .note-row")
    expect(note).to_contain_text("before the receiver saw it")
