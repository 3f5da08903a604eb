"""The report in a real browser: it renders, its switches work, it asks nobody for anything and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.report.stage import write_report

from .browser import EXECUTABLE, Browser
from .conftest import build_store

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no chromium on this machine: the report was not rendered")

RECORDING = "document.getElementById('pick-recording')"
SERIES = "document.getElementById('pick-series')"
STAGE = "document.querySelector('.stage')"
LABEL = "document.getElementById('plot').getAttribute('aria-label')"
DRAWN = "[...document.querySelectorAll('#plot path')].map(p => p.getAttribute('d')).join()"
CHANGE = "dispatchEvent(new Event('change'))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fake = build_store(tmp_path_factory.mktemp("store") / "store", num_recordings=4, num_frames=2000)
    files = write_report(
        fake.store,
        rows=fake.rows,
        title="Valence",
        protocol="per-rater: no delay",
        protocol_name="per-rater",
        corpus_note="Synthetic corpus: invented.",
    )
    return files.html


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser, page: Path) -> Browser:
    chromium.call("Emulation.setEmulatedMedia", media="")
    chromium.size(1100)
    chromium.open("about:blank")
    chromium.requests.clear()
    chromium.complaints.clear()
    chromium.open(page.as_uri())
    return chromium


def test_it_renders_without_a_complaint_and_asks_for_nothing(browser: Browser, page: Path) -> None:
    assert browser.value(f"{STAGE}.clientHeight") > 200
    for kind in ("band", "rating", "prediction", "single", "gap"):
        assert len(browser.value(f"document.querySelector('#plot .{kind}').getAttribute('d')")) > 20
    assert browser.complaints == []
    assert [address for address in browser.requests if not address.startswith("data:")] == [page.as_uri()]


def test_the_policy_stops_whatever_would_be_fetched(browser: Browser) -> None:
    said = browser.value("fetch('http://127.0.0.1:9/x').then(() => 'fetched', () => 'refused')")
    assert said == "refused"
    assert any("Content Security Policy" in text for text in browser.complaints)


def test_switches_change_the_drawing(browser: Browser) -> None:
    seen = [browser.value(DRAWN)]
    browser.value(f"{SERIES}.value = 'FM3'; {SERIES}.{CHANGE}")
    seen.append(browser.value(DRAWN))
    assert "P13, FM3" in browser.value(LABEL)
    browser.value(f"{RECORDING}.value = '1'; {RECORDING}.{CHANGE}")
    seen.append(browser.value(DRAWN))
    assert "P14, FM3" in browser.value(LABEL)
    assert browser.value(f"{SERIES}.value") == "FM3"
    assert len(set(seen)) == 3
    assert browser.complaints == []


def test_the_selects_answer_to_the_keyboard(browser: Browser) -> None:
    browser.value(f"{RECORDING}.focus()")
    browser.key("ArrowDown")
    assert "P14" in browser.value(LABEL)
    browser.key("Tab")
    assert browser.value("document.activeElement.id") == "pick-series"
    browser.key("ArrowDown")
    assert "P14, FM1" in browser.value(LABEL)


def test_the_keyboard_zooms_and_moves(browser: Browser) -> None:
    browser.value(f"{STAGE}.focus()")
    whole = browser.value(DRAWN)
    browser.key("+", "Equal")
    assert "0:20 to 1:00 of 1:20" in browser.value(LABEL)
    browser.key("ArrowRight")
    assert "0:36 to 1:16 of 1:20" in browser.value(LABEL)
    browser.key("ArrowRight")
    assert "0:40 to 1:20 of 1:20" in browser.value(LABEL)
    assert browser.value(DRAWN) != whole
    browser.key("0", "Digit0")
    assert browser.value(DRAWN) == whole


def _plot_box(browser: Browser) -> dict[str, Any]:
    browser.value(f"{STAGE}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box: dict[str, Any] = browser.value(
        "(() => { const b = document.getElementById('plot').getBoundingClientRect();"
        " return {left: b.left + 40, right: b.right - 8, middle: b.top + b.height / 2}; })()"
    )
    return box


def test_a_drag_looks_closer_and_a_double_click_goes_back(browser: Browser) -> None:
    box = _plot_box(browser)
    at = [box["left"] + share * (box["right"] - box["left"]) for share in (0.25, 0.5)]
    browser.mouse("mousePressed", at[0], box["middle"], button="left", clickCount=1)
    browser.mouse("mouseMoved", at[1], box["middle"], button="left", buttons=1)
    browser.mouse("mouseReleased", at[1], box["middle"], button="left", clickCount=1)
    assert "0:20 to 0:40 of 1:20" in browser.value(LABEL)
    assert "rating" in browser.value("document.getElementById('readout').textContent")
    for number in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            browser.mouse(kind, at[0], box["middle"], button="left", clickCount=number)
    assert "0:00 to 1:20 of 1:20" in browser.value(LABEL)


def test_the_wheel_zooms_once_the_picture_is_chosen_and_else_scrolls(browser: Browser) -> None:
    box = _plot_box(browser)
    turn = {"deltaX": 0, "deltaY": -100}
    label = browser.value(LABEL)
    browser.mouse("mouseWheel", box["left"] + 5, box["middle"], **turn)
    assert browser.value(LABEL) == label
    box = _plot_box(browser)
    browser.value(f"{STAGE}.focus({{preventScroll: true}})")
    browser.mouse("mouseWheel", box["left"], box["middle"], **turn)
    browser.value("new Promise(done => setTimeout(done, 200))")
    assert "0:00 to 1:04 of 1:20" in browser.value(LABEL)


def test_zoomed_in_every_stretch_is_drawn(browser: Browser) -> None:
    """The deepest zoom shows the samples' own values: the highest of the whole stays the highest of the parts."""
    code = (
        "[...document.querySelector('#plot .of-prediction').getAttribute('d').matchAll(/[ V]([\\d.]+)/g)]"
        ".map(m => Number(m[1])).reduce((a, b) => Math.min(a, b), 1e9)"
    )
    whole = browser.value(code)
    parts = []
    for start in range(0, 80, 20):
        browser.value(f"location.hash = '#trace=P13&rater=&from={start}&to={start + 20}'")
        browser.value("new Promise(done => setTimeout(done, 50))")
        parts.append(browser.value(code))
    assert min(parts) == whole


def test_a_link_leads_to_a_recording_and_a_span(chromium: Browser, page: Path) -> None:
    chromium.open("about:blank")
    chromium.open(f"{page.as_uri()}#trace=P15&rater=FF2&from=10&to=30")
    assert "P15, FF2; 0:10 to 0:30" in chromium.value(LABEL)
    chromium.value("document.querySelector('.glances a[href=\"#trace=P14\"]').click()")
    chromium.value("new Promise(done => setTimeout(done, 50))")
    assert "P14, FF2" in chromium.value(LABEL)


@pytest.mark.parametrize("width", [320, 375, 768, 1100])
def test_no_width_needs_to_be_scrolled_across(browser: Browser, page: Path, width: int) -> None:
    browser.size(width)
    browser.open(page.as_uri())
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(f"{STAGE}.clientWidth") <= width


def test_in_print_all_stands_open_and_no_control_is_there(browser: Browser) -> None:
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden = "getComputedStyle(document.querySelector('.controls')).display"
    assert browser.value(hidden) == "none"
    shown = "[...document.querySelectorAll('details table')].every(t => t.getClientRects().length > 0)"
    assert browser.value(shown) is True
    assert browser.value("document.querySelectorAll('details table').length") > 20


def test_without_script_the_thumbnails_and_all_else_stay(browser: Browser, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page.as_uri())
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.value("document.getElementById('viewer').hidden") is True
    assert browser.value("document.querySelectorAll('.glances svg .prediction').length") == 4


def test_a_screen_reader_finds_names_for_everything(browser: Browser) -> None:
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles: dict[str, list[str]] = {}
    for node in nodes:
        if not node.get("ignored"):
            role = str(node.get("role", {}).get("value"))
            roles.setdefault(role, []).append(str(node.get("name", {}).get("value", "")))
    for role in ("image", "button", "combobox", "link", "table", "region", "navigation"):
        assert roles[role], role
        assert all(name.strip() for name in roles[role]), (role, roles[role])
    assert len(roles["heading"]) > 15
