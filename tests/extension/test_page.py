"""The board in Chromium, on a page whose kernel is a script: every part of it, without a notebook around it."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import statistics
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from elfbook.view.messages import STATES
from tests.extension.conftest import ROOT, run
from tests.extension.contrast import FAINT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]
PICTURES = ROOT / "artefacts" / "page"
WAIT_MS = 30_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM and not os.environ.get("CI"), reason="no chromium on this machine"),
]


ASKED_FOR: set[str] = set()
"""What any page has asked the server for."""
OWN = {"index.html", "board.css", "page.js", "canvas.js", "graphviz.js", "favicon.ico"}


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files, remembers which, and prints nothing."""

    def do_GET(self) -> None:
        ASKED_FOR.add(self.path.partition("?")[0].rpartition("/")[2])
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served, on this machine only."""
    folder = tmp_path_factory.mktemp("page")
    run("node", "build.mjs", str(folder), "--harness", cwd=packages)
    shutil.copy(packages / "harness" / "index.html", folder)
    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "install chromium: with CI=1 the browser tests are not skipped"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Board:
    """A board on the page, and the script behind it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def step(self, changes: int) -> None:
        """Jobs begin and end; returns when that is drawn."""
        self.page.evaluate("changes => harness.host.step(changes)", changes)
        seq = self.page.evaluate("harness.host.script.seq")
        self.page.wait_for_selector(f".elf-board[data-seq='{seq}']", timeout=WAIT_MS)

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return self.page.evaluate("kind => harness.host.sent.filter((each) => each.kind === kind)", kind)

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    def key(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.className || document.activeElement.tagName")


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Any]:
    """Opens a board; whatever it did, it has thrown nothing, and only the page's own files were fetched."""
    pages: list[Board] = []

    def opens(jobs: int, theme: str = "light", without: str = "", every: bool = False, **context: Any) -> Board:
        page = browser.new_context(**({"viewport": {"width": 1100, "height": 900}} | context)).new_page()
        page.set_default_timeout(WAIT_MS)
        board = Board(page)
        pages.append(board)
        if without:
            page.route(f"**/{without}", lambda route: route.fulfill(status=404))
        page.goto(f"{address}/index.html?jobs={jobs}&theme={theme}{'&every' if every else ''}")
        page.wait_for_selector("[data-drawn]")
        return board

    yield opens
    for board in pages:
        assert board.faults == []
        board.page.context.close()
    assert ASKED_FOR <= OWN


def test_the_graph_appears_and_its_states_change(opened: Any) -> None:
    board = opened(12)
    expect(board.page.locator(".elf-node")).to_have_count(12)
    expect(board.page.locator(".elf-node-waiting")).to_have_count(12)
    board.step(5)
    expect(board.page.locator(".elf-node-running")).to_have_count(5)
    places = "[...document.querySelectorAll('.elf-node')].map((node) => node.getAttribute('transform'))"
    before = board.page.evaluate(places)
    board.step(7)
    assert board.page.evaluate(places) == before
    assert board.page.locator(".elf-node-done").count() > 0
    expect(board.page.locator(".elf-stateline")).to_contain_text("running")
    board.picture("running")


KINDS = ["value", "after", "turn", "rule", "parent"]
LEGEND = ["needs the value", "only comes after", "waits for its turn", "begun by a rule", "called by the job"]
LINES = """selector => [...document.querySelectorAll(selector)].map((line) => {
  const { strokeWidth, strokeDasharray } = getComputedStyle(line);
  return `${strokeWidth} ${strokeDasharray}`;
})"""


def test_every_kind_of_edge_is_drawn_in_its_own_way_and_named(opened: Any) -> None:
    """Also those that no run has so far: this page's run is a script."""
    board = opened(12, every=True)
    page = board.page
    assert page.locator(".elf-legend > span").all_inner_texts() == LEGEND
    drawn = [page.evaluate(LINES, f".elf-edge-{kind}") for kind in KINDS]
    assert all(lines and len(set(lines)) == 1 for lines in drawn)
    assert [lines[0] for lines in drawn] == page.evaluate(LINES, ".elf-legend path")
    assert len({lines[0] for lines in drawn}) == len(KINDS)
    page.locator(".elf-job", has_text="task_fetch[1]").click()
    expect(page.locator(".elf-detail-near")).to_contain_text("has its turn after task_fetch[0]")
    page.locator(".elf-job", has_text="task_merge[0]").click()
    expect(page.locator(".elf-detail-near")).to_contain_text("called by task_prepare[0]")
    board.picture("every kind of edge")
    page.get_by_role("button", name="By task").click()
    page.wait_for_selector("[data-drawn='tasks']")
    board.picture("every kind of edge, by task")


def test_a_failure_rises_with_its_traceback_and_moves_nothing(opened: Any) -> None:
    board = opened(12)
    page = board.page
    place = page.evaluate("[scrollY, document.activeElement.tagName]")
    board.step(100)
    failure = page.locator(".elf-failure")
    expect(failure).to_contain_text("ValueError: day is out of range for month")
    expect(failure.locator(".elf-trace-arrow")).to_contain_text("----> 9")
    expect(page.locator(".elf-job:visible")).to_have_count(1)
    expect(page.locator(".elf-job:visible")).to_contain_text("task_parse[2]")
    assert page.evaluate("[scrollY, document.activeElement.tagName]") == place
    page.get_by_role("button", name="all 12").click()
    expect(page.locator(".elf-job[aria-setsize='12']").first).to_be_visible()
    expect(page.locator(".elf-foot")).to_be_visible()


def test_a_job_opens_with_everything_and_workers_text_stays_text(opened: Any) -> None:
    board = opened(12)
    board.step(100)
    page = board.page
    page.get_by_role("button", name="Open task_parse[2]").click()
    detail = page.locator(".elf-detail[data-job='task_parse[2]']")
    expect(detail).to_contain_text("strict")
    expect(detail.locator(".elf-log")).to_contain_text("<b>not bold</b>")
    expect(detail.locator(".elf-ansi-2")).to_have_text("read")
    frame = detail.frame_locator("iframe")
    expect(frame.locator("td").first).to_have_text("1")
    expect(detail.locator("img.elf-figure")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    expect(page.locator(".elf-node.elf-path")).to_have_count(3)
    detail.locator("summary").click()
    detail.get_by_role("button", name="Go to the cell").click()
    assert page.evaluate("harness.host.revealed") == ["c6"]
    detail.get_by_role("button", name="task_merge[0]").click()
    expect(page.locator(".elf-detail-title")).to_have_text("task_merge[0]")
    assert [each["job"] for each in board.sent("open")] == [7, 9]


def test_the_traceback_of_an_open_job_is_seen_once(opened: Any) -> None:
    board = opened(12)
    board.step(100)
    page = board.page
    page.get_by_role("button", name="Open task_parse[2]").click()
    detail, arrow = page.locator(".elf-detail"), page.locator(".elf-trace-arrow:visible")
    above = detail.get_by_role("button", name="above")
    expect(detail.locator(".elf-detail-trace")).to_have_text("traceback above")
    expect(arrow).to_have_count(1)
    above.focus()
    board.key("Enter")
    assert page.evaluate("document.activeElement.ariaLabel") == "traceback of task_parse[2]"
    board.picture("traceback above")
    page.locator(".elf-failure > summary").click()
    expect(detail.locator(".elf-trace-arrow")).to_be_visible()
    expect(arrow).to_have_count(1)
    page.locator(".elf-failure > summary").click()
    expect(above).to_be_visible()
    expect(arrow).to_have_count(1)


def test_an_open_job_that_is_not_the_first_of_its_group_has_its_own_traceback(opened: Any) -> None:
    board = opened(2200)
    board.step(5000)
    page = board.page
    expect(page.locator(".elf-failure strong")).to_have_text("task_parse × 2")
    page.locator(".elf-graph").focus()
    board.key("f")
    expect(page.locator(".elf-detail[data-job='task_parse[2]'] .elf-detail-trace")).to_have_text("traceback above")
    board.key("f")
    own = page.locator(".elf-detail[data-job='task_parse[1002]']")
    expect(own.get_by_role("group", name="traceback of task_parse[1002]")).to_be_visible()


def test_progress_is_a_bar_in_its_row_and_in_the_open_job(opened: Any) -> None:
    board = opened(12)
    board.step(5)
    page = board.page
    row = page.locator(".elf-job:visible", has_text="running").first
    expect(row).to_contain_text("40 % · rows <b>40</b> of 100")
    row.click()
    bar = page.get_by_role("progressbar", name="progress")
    expect(bar).to_have_js_property("value", 0.4)
    expect(page.locator(".elf-detail")).to_contain_text("40 % · rows <b>40</b> of 100")
    drawn = "row => parseFloat(getComputedStyle(row, '::after').width) / row.clientWidth"
    assert abs(row.evaluate(drawn) - 0.4) < 0.02
    board.picture("progress")
    button = page.locator(".elf-detail").get_by_role("button", name="Cancel").element_handle()
    job = row.get_attribute("data-job")
    tell = "({ job, words, share }) => harness.host.tell({ kind: 'moves', jobs: [{ job: Number(job), words, share }] })"
    page.evaluate(tell, {"job": job, "words": "90 %", "share": 0.9})
    expect(bar).to_have_js_property("value", 0.9)
    assert button.evaluate("button => button.isConnected"), "what is under a pointer is not made anew"
    page.evaluate(tell, {"job": job, "words": "nearly there", "share": None})
    expect(page.locator(".elf-detail")).to_contain_text("nearly there")
    expect(bar).to_have_count(0)
    assert row.evaluate(drawn) == 0
    page.evaluate("harness.host.tell({ kind: 'moves', jobs: [] })")
    expect(page.locator(".elf-detail")).not_to_contain_text("nearly there")
    expect(row).not_to_contain_text("nearly there")


def test_what_destroys_asks_first(opened: Any) -> None:
    board = opened(12)
    board.step(6)
    page = board.page
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    assert cancel.get_attribute("title") == "%elf cancel crawl"
    cancel.click()
    page.get_by_role("button", name="Let it go on").click()
    assert board.sent("act") == []
    cancel.click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.locator(".elf-stateline")).to_contain_text("cancelled")
    assert [each["verb"] for each in board.sent("act")] == ["cancel"]
    expect(page.locator(".elf-answer")).to_contain_text("cancel: all asked for")


def test_by_keyboard_alone(opened: Any) -> None:
    board = opened(12)
    board.step(100)
    page = board.page
    board.key("Tab", "Tab")
    assert page.evaluate("document.activeElement.closest('.elf-board') !== null")
    board.key("f")
    expect(page.locator(".elf-detail-title")).to_have_text("task_parse[2]")
    expect(page.locator(".elf-log")).to_be_visible()
    board.key("l")
    assert "elf-log" in board.focused()
    board.key("i")
    assert "elf-values" in board.focused()
    board.key("r")
    expect(page.locator(".elf-ask")).to_contain_text("task_parse[2]")
    board.key("Escape")
    expect(page.locator(".elf-ask")).to_have_count(0)
    assert board.sent("act") == []
    board.key("r", "Enter")
    expect(page.locator(".elf-stateline")).to_contain_text("running")
    assert [(each["verb"], each["jobs"]) for each in board.sent("act")] == [("retry", [7])]
    board.key("g")
    if "elf-graph" not in board.focused():
        board.key("g")
    board.key("ArrowLeft")
    expect(page.locator(".elf-node.elf-selected")).to_contain_text("task_fetch[2]")
    board.key("g", "/")
    page.keyboard.type("merge")
    board.key("ArrowDown", "ArrowDown", "Enter")
    expect(page.locator(".elf-detail-title")).to_have_text("task_merge[1]")
    board.key("?")
    expect(page.locator(".elf-help")).to_be_visible()
    board.key("Escape", "Escape")
    assert board.focused() == "MAIN"


def test_a_group_opens_in_its_place(opened: Any) -> None:
    board = opened(1000)
    page = board.page
    expect(page.locator(".elf-node")).to_have_count(5)
    board.step(300)
    page.locator(".elf-graph").focus()
    board.key("ArrowRight", "ArrowRight", "Enter")
    expect(page.locator(".elf-cell")).to_have_count(240)
    board.picture("opened group")
    board.key("Enter")
    expect(page.locator(".elf-cell")).to_have_count(0)


AXE = "async () => (await axe.run('.elf-board')).violations.map((v) => [v.id, v.nodes.map((n) => n.html)])"


@pytest.mark.parametrize("theme", ["none", "light", "dark"])
def test_accessible(opened: Any, packages: Path, theme: str) -> None:
    board = opened(12, theme)
    page = board.page
    page.add_script_tag(path=packages / "node_modules" / "axe-core" / "axe.min.js")
    board.step(8)
    assert page.evaluate(AXE) == []
    board.step(100)
    page.get_by_role("button", name="Open task_parse[2]").click()
    page.locator("summary", has_text="timeline").click()
    expect(page.get_by_label("timeline: 12 jobs")).to_be_visible()
    page.locator("summary", has_text="workers").click()
    expect(page.locator(".elf-workers")).to_contain_text("worker-1")
    page.locator(".elf-stateline").get_by_role("button", name="Retry failed").click()
    board.key("?")
    board.picture(f"all of it, {theme}")
    assert page.evaluate(AXE) == []


@pytest.mark.parametrize("theme", ["none", "light", "dark"])
def test_a_glyph_is_as_readable_as_words_whatever_its_state_and_when_selected(opened: Any, theme: str) -> None:
    board = opened(12, theme)
    page = board.page
    seen: set[str] = set()

    def look() -> None:
        page.get_by_role("button", name="all 12").click()
        for state in STATES:
            row = page.locator(".elf-job:visible", has_text=state).first
            if row.count():
                row.click()
                expect(row).to_have_attribute("aria-selected", "true")
                seen.add(state)
                assert page.evaluate(FAINT)["faint"] == [], state

    board.step(6)
    look()
    page.evaluate("harness.host.step(100)")
    look()
    page.evaluate("harness.host.script.retry(); harness.host.script.cancel(); harness.host.step(0)")
    look()
    assert seen == set(STATES)


CORNER = "[...document.querySelector('.elf-canvas').getContext('2d').getImageData(0, 0, 1, 1).data].slice(0, 3)"


def test_a_canvas_follows_the_theme(opened: Any) -> None:
    board = opened(1000)
    page = board.page
    page.get_by_role("button", name="All jobs").click()
    page.wait_for_selector("[data-drawn='canvas']")
    for theme, corner in [("dark", "17,17,17"), ("light", "255,255,255")] * 2:
        page.evaluate("theme => harness.theme(theme)", theme)
        page.wait_for_function(f"String({CORNER}) === '{corner}'")
    page.evaluate("harness.theme('dark')")
    page.wait_for_function(f"String({CORNER}) === '17,17,17'")
    board.step(1500)
    board.picture("canvas, dark")


def test_without_the_file_that_draws_them_canvases_are_asked_for_again(opened: Any) -> None:
    """Where it does not come the board says so and goes on; where it comes later, all is drawn."""
    board = opened(100, without="canvas.js")
    page = board.page
    page.get_by_role("button", name="All jobs").click()
    expect(page.locator(".elf-answer")).to_contain_text("all jobs cannot be drawn: there is no canvas.js")
    expect(page.get_by_role("button", name="By task")).to_have_attribute("aria-pressed", "true")
    page.locator("summary", has_text="timeline").click()
    expect(page.locator(".elf-answer")).to_contain_text("the timeline cannot be drawn: there is no canvas.js")
    board.step(30)
    page.unroute("**/canvas.js")
    page.get_by_role("button", name="All jobs").click()
    page.wait_for_selector("[data-drawn='canvas']")
    page.locator("summary", has_text="timeline").click()
    page.locator("summary", has_text="timeline").click()
    expect(page.get_by_label("timeline: 100 jobs")).to_be_visible()


def test_narrow(opened: Any) -> None:
    board = opened(12, viewport={"width": 480, "height": 900}, reduced_motion="reduce", forced_colors="active")
    board.step(100)
    board.page.get_by_role("button", name="Open task_parse[2]").click()
    expect(board.page.locator(".elf-log")).to_be_visible()
    assert board.page.evaluate("document.documentElement.scrollWidth") <= 480
    board.picture("narrow, forced colours")


LINES_OF_OUTPUT = """pre => {
  const { lineHeight } = getComputedStyle(pre);
  return [Math.round(pre.clientHeight / parseFloat(lineHeight)), pre.textContent.trimEnd().split('\\n').length];
}"""


@pytest.mark.parametrize("width", [480, 960])
def test_what_a_job_prints_keeps_its_lines_and_scrolls_in_its_own_box(opened: Any, width: int) -> None:
    board = opened(12, viewport={"width": width, "height": 900})
    board.step(100)
    page = board.page
    page.get_by_role("button", name="Open task_parse[2]").click()
    log = page.locator(".elf-log")
    expect(log).to_contain_text("humidity")
    drawn, written = log.locator(".elf-stdout").evaluate(LINES_OF_OUTPUT)
    assert drawn == written == 4
    assert log.evaluate("log => log.scrollWidth > log.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    log.focus()
    board.key("ArrowRight")
    page.wait_for_function("document.querySelector('.elf-log').scrollLeft > 0")
    board.picture(f"output at {width}")


def test_touch_pans_and_pinches(opened: Any) -> None:
    board = opened(12, has_touch=True)
    page = board.page
    look = "document.querySelector('.elf-svg > g').getAttribute('transform')"
    before = page.evaluate(look)
    box = page.locator(".elf-graph").bounding_box()
    x, y = box["x"] + 100, box["y"] + 60
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": px, "y": py, "id": number} for number, (px, py) in enumerate(points)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (x, y), (x + 50, y))
    for spread in (60, 80, 110):
        touch("touchMove", (x, y), (x + spread, y))
    touch("touchEnd")
    page.wait_for_function(f"{look} !== '{before}'")
    assert float(page.evaluate(look).rpartition("(")[2].rstrip(")")) > 1


def test_ten_thousand_jobs_stay_smooth(opened: Any) -> None:
    board = opened(10_000, "dark")
    page = board.page
    page.get_by_role("button", name="All jobs").click()
    page.wait_for_selector("[data-drawn='canvas']")
    # A thousand changes a second for three seconds. The bound is loose: figures are the benchmarks' matter.
    frames = page.evaluate("harness.flow(30, 100, 100)")
    assert statistics.median(frames) < 100
    assert board.sent("ack")
    assert page.locator(".elf-job").count() < 60
    board.step(3000)
    page.locator("summary", has_text="timeline").click()
    expect(page.get_by_label("timeline: 10\u202f000 jobs")).to_be_visible()
    board.picture("ten thousand")
