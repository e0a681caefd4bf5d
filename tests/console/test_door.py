"""Who may use the console: this machine's programs and its own page, and nobody whom a browser brings along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.sync_api import Page, expect

from cli.local.console.page import HEADERS, names
from tests import planted
from tests.cli.helpers import Run, running
from tests.console.conftest import console
from tests.console.helpers import rows

pytestmark = pytest.mark.emulator

READS: Final = (
    "",
    "console/about",
    "console/events",
    "console/requests",
    "console/queue",
    "console/app.js",
    "messages",
)
CHANGES: Final = ("console/send", "console/clear", "console/release", "console/drop", "console/accept",
                  "console/requests/1/replay", "console/requests/1/explain", "redrive")  # fmt: skip
MARK: Final = {"X-Dastra-Console": "1"}


def ask(run: Run, method: str, path: str, **headers: str) -> httpx.Response:
    """A request to the console with these headers."""
    with console(run) as client:
        del client.headers["X-Dastra-Console"]
        url = f"{run.url}_local/{path}"
        with client.stream(method, url, headers=headers, content=b"{}" if method == "POST" else None) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()
            return answer


def foreign(run: Run) -> list[Mapping[str, str]]:
    """What a browser sends when it is another site that asks."""
    return [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{run.port}"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.2"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": f"http://localhost:{run.port}"},
        {"Origin": f"https://127.0.0.1:{run.port}"},
        {"Origin": f"http://127.0.0.1:{run.port + 1}"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ]


@pytest.mark.parametrize("path", READS)
def test_foreign_pages_read_nothing(run: Run, path: str) -> None:
    """A rebound name, another site, another port of this machine: 403, whatever is asked for."""
    assert ask(run, "GET", path).status_code == 200
    for headers in foreign(run):
        answer = ask(run, "GET", path, **headers)
        # Without a Host the server itself refuses.
        assert answer.status_code in ((400, 403) if headers.get("Host") == "" else (403,)), headers


@pytest.mark.parametrize("path", CHANGES)
def test_foreign_pages_change_nothing(run: Run, path: str) -> None:
    """The same for what changes something, even with the page's own header."""
    for headers in foreign(run):
        assert ask(run, "POST", path, **{**MARK, **headers}).status_code in (400, 403), headers
    for headers in ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},):
        assert ask(run, "POST", path, **{**MARK, **headers}).status_code == 403


@pytest.mark.parametrize("path", [path for path in CHANGES if path.startswith("console/")])
def test_a_form_changes_nothing(run: Run, path: str) -> None:
    """Without the header that only a script of the page's own origin can send, a change is refused."""
    own = {"Origin": run.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert ask(run, "POST", path, **own).status_code == 403
    assert ask(run, "POST", path, **own, **MARK).status_code != 403


def test_faults_are_not_switched_from_elsewhere(run: Run) -> None:
    """PUT is guarded as POST is; a program on this machine, which sends no origin, still may."""
    for headers in foreign(run):
        answer = httpx.put(f"{run.url}_local/faults", json={"queue": "hanging"}, headers=headers, trust_env=False)
        assert answer.status_code in (400, 403)
    assert run.get("faults")["queue"] == "none"
    run.faults(queue="500")
    assert run.get("faults")["queue"] == "500"


def test_a_link_to_the_page_may_be_followed(run: Run) -> None:
    """Navigation from another site shows the page and tells that site nothing."""
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = ask(run, "GET", "", **headers, **{"Sec-Fetch-Dest": "document"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_another_site_in_a_real_browser_gets_nothing(page: Page, run: Run, opened: object) -> None:
    """A page of another origin in Chromium: neither fetch nor form nor image reaches what is guarded."""
    other = page.context.new_page()
    other.route("http://evil.test/**", lambda route: route.fulfill(body="<p>evil", content_type="text/html"))
    other.goto("http://evil.test/")
    script = """async (url) => {
        const results = [];
        for (const [path, init] of [
            ["console/requests", {}], ["messages", { mode: "no-cors" }],
            ["console/clear", { method: "POST", body: "{}", mode: "no-cors" }],
            ["redrive", { method: "POST", mode: "no-cors" }],
            ["console/send", { method: "POST", headers: { "X-Dastra-Console": "1" }, body: '{"event":"TaskEdit"}' }],
        ]) {
            try {
                const answer = await fetch(url + path, init);
                results.push(answer.type === "opaque" ? "opaque" : await answer.text());
            } catch {
                results.push("failed");
            }
        }
        return results;
    }"""
    run.post(planted.body())
    expect(rows(page)).to_have_count(1)
    assert set(other.evaluate(script, f"{run.url}_local/")) <= {"failed", "opaque"}
    page.wait_for_timeout(500)
    expect(rows(page)).to_have_count(1)
    other.close()


def test_every_answer_keeps_to_itself(run: Run) -> None:
    """Policy, no sniffing, no caching, no embedding: on the page, its files, the look-ups and the errors."""
    for path in (*READS, *(f"console/{name}" for name in names()), "console/nothing.js", "nothing"):
        answer = ask(run, "GET", path, Accept="text/html")
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
    assert ask(run, "GET", "console/requests", Host="evil.example").headers["x-content-type-options"] == "nosniff"
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"):
        assert part in policy
    kept = {"X-Content-Type-Options", "Cross-Origin-Resource-Policy", "Referrer-Policy", "Cache-Control"}
    assert kept <= HEADERS.keys()


def test_only_the_pages_own_files_are_served(run: Run) -> None:
    """No way out of the folder, and no Python source."""
    for name in ("../api.py", "..%2fapi.py", "%2e%2e/api.py", "api.py", "__init__.py", "static/app.js", "app.js/"):
        assert ask(run, "GET", f"console/{name}").status_code == 404, name


def test_programs_still_get_the_list(run: Run) -> None:
    """Who does not ask for HTML by name gets JSON, as before."""
    for accept in ("*/*", "application/json", ""):
        assert "endpoints" in ask(run, "GET", "", Accept=accept).json()


def test_wrong_questions_get_plain_answers(run: Run) -> None:
    """400 and 404 with a word on what is wrong; never a 500."""
    with console(run) as client:
        for path, body in {
            "send": b"", "release": b"[]", "drop": b'{"key":"claims/x"}', "accept": b"{}",
        }.items():  # fmt: skip
            answer = client.post(path, content=body)
            assert answer.status_code in (400, 409), path
            assert answer.json()["error"]
        for sent in ({"event": "no such type!"}, {"special": "x"}, {"attack": "x"}, {"event": 7}):
            assert client.post("send", json=sent).status_code == 400
        assert client.post("send", content=b"[" * 100_000).status_code == 400
        assert client.post("release", json={"key": "quarantine/nothing"}).status_code == 503
        assert client.post("accept", json={"address": "not an address"}).status_code == 409
        for path in ("requests/999999", "requests/999999/body", "requests/999999/curl", "requests/x"):
            assert client.get(path).status_code == 404
        assert client.post("requests/999999/replay", json={}).status_code == 404


def test_labels_that_are_no_text_do_not_break_the_stream(run: Run) -> None:
    """Half a surrogate pair, a NUL, an endless label: in the list they are told, cut and in ASCII."""
    body = planted.body()[:-1] + b',"eventName":"\\ud800\\u0000' + b"x" * 5000 + b'"}'
    assert run.post(body).status_code == 200
    with console(run) as client:
        answer = client.get("requests")
        [request] = answer.json()["requests"]
        assert answer.content.isascii()
        assert request["label"].startswith("\ud800\x00xxx")
        assert len(request["label"]) < 400
        with client.stream("GET", "events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:") and "items" in line:
                    assert json.loads(line[5:])["items"][0]["label"] == request["label"]
                    break


def test_a_stream_goes_on_where_it_was(run: Run) -> None:
    """With the last id it was told, a page gets only what came since; another run's id begins anew."""

    def first(last: str | None) -> tuple[list[str], list[int]]:
        events, numbers = [], []
        with (
            console(run) as client,
            client.stream("GET", "events", headers={"Last-Event-ID": last} if last else {}) as s,
        ):
            for line in s.iter_lines():
                if line.startswith("event:"):
                    events.append(line[7:])
                if line.startswith("id:"):
                    ids.append(line[4:])
                if line.startswith("data:") and events[-1] == "requests":
                    numbers += [item["n"] for item in json.loads(line[5:])["items"]]
                if line.startswith("data:") and events[-1] == "state":
                    return events, numbers
        raise AssertionError("the stream ended")

    ids: list[str] = []
    run.post(planted.body())
    events, numbers = first(None)
    assert events == ["hello", "requests", "state"]
    assert len(numbers) == 1
    last = ids[-1]
    run.post(planted.body())
    events, newer = first(last)
    assert events == ["requests", "state"]
    assert newer == [numbers[0] + 1]
    for other in ("other-1", "nonsense", f"{last.partition('-')[0]}-99999999999999999999999"):
        events, everything = first(other)
        assert events[0] == "hello"
        assert len(everything) == 2


@pytest.mark.slow
def test_an_open_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """With a page connected, the run ends as quickly as without one, and the stream ends properly."""
    with (
        running(tmp_path, "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as own,
        console(own) as client,
        client.stream("GET", "events") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        assert own.stop() == 0
        assert list(lines)[-1] == ""
