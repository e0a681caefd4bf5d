"""What a person reads: units, safe text, and tables that are whole where nobody folds them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.exits import MEANINGS, Exit
from cli.output import Output, make_console, plural, pretty_body, printable, size, span
from cli.stored import KEPT, short_keys
from core.ports import StoredEntry


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (86_400, "24 h"),
        (172_800, "2 d"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    """A time span is told in its largest fitting unit; the future counts as now."""
    assert span(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (3_550, "3.5 kB"), (4_194_304, "4.2 MB")])
def test_sizes(count: int, text: str) -> None:
    """Sizes are in decimal units."""
    assert size(count) == text


def test_plurals() -> None:
    """One is singular, none and many are plural."""
    assert [plural(n, "event") for n in (0, 1, 2)] == ["0 events", "1 event", "2 events"]


def test_steering_characters_are_spelt_out() -> None:
    """Escape sequences, C1 controls, carriage returns, direction overrides and lone surrogates lose their power."""
    text = printable("a\x1b[31m\x9b\r\u202eb\ud800\tc\nd")
    assert text == "a\\x1b[31m\\x9b\\r\\u202eb\\ud800\tc\nd"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"a":"\xc3\xa9"}', '{\n  "a": "\u00e9"\n}'),
        (b"text", "text"),
        (b"\xff\x00", "(2 bytes, not UTF-8) ff 00"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_bodies(body: bytes, shown: str) -> None:
    """JSON is indented, other text stays, and what is no text is shown in hex; no body makes it fail."""
    assert pretty_body(body) == shown


def test_a_file_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no terminal is, no value is cut or folded and no colour is written."""
    key = "k" * 300
    Output().table([("KEY", "keep"), ("OTHER", "cut")], [(key, key)])
    assert f"{key}  {key}" in capsys.readouterr().out


def test_what_may_be_cut_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """At a given width columns that may be cut are, and those to keep stay whole."""
    monkeypatch.setenv("COLUMNS", "40")
    Output().table([("KEY", "keep"), ("OTHER", "cut")], [("k" * 12, "o" * 60)])
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("k" * 12 + "  o")
    assert line.endswith("…")
    assert len(line) == 40


@pytest.mark.parametrize("setting", ["NO_COLOR", "TERM"])
def test_colour_can_be_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str) -> None:
    """NO_COLOR and a dumb terminal get plain text."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv(setting, "dumb")
    with (tmp_path / "out").open("w") as file:
        make_console(file=file).print("text", style="green")
    assert "\x1b[32m" not in (tmp_path / "out").read_text()


def test_every_exit_code_has_a_meaning() -> None:
    """The help lists each exit code, and no two share a number."""
    assert set(MEANINGS) == set(Exit)


def _entries(*keys: str) -> list[StoredEntry]:
    return [StoredEntry(key, 1, datetime.now(UTC)) for key in keys]


def test_short_keys_name_one_event_each() -> None:
    """Short keys are 8 characters, longer where ids are alike, and have the time where the id is the same."""
    alike = ["abcdef0123" + "0" * 54, "abcdef0124" + "0" * 54]
    keys = [f"quarantine/20260101T000000000Z-{id_}" for id_ in (*alike, "f" * 64)]
    shorts = short_keys(_entries(*keys, f"quarantine/20260102T000000000Z-{'f' * 64}"))
    assert [shorts[key] for key in keys] == ["abcdef0123", "abcdef0124", "20260101T000000000Z-ffffffff"]
    assert len(set(shorts.values())) == 4


def test_the_store_keeps_events_for_30_days() -> None:
    """What the list says of expiry is what the store's lifecycle does."""
    assert timedelta(days=30) == KEPT
